/* SPDX-License-Identifier: MIT */
/* Which system calls are answered, and by what. */
#ifndef STA_BPFCALL_HOOKS_H
#define STA_BPFCALL_HOOKS_H

#include "base/compiler.h"
#include "bpfcall/bpfcall.h"

struct sta__hooked_call {
    int sys_nr;
    const char *name; /* "bpf: mmap" */
    sta__bpf_hook hook;
};

extern const struct sta__hooked_call sta__hooked_calls[];
extern const unsigned sta__hooked_call_count;

/* Answers any system call: its result, or STA__NOT_OURS. */
long sta__bpf_answer(struct sta__bpf *bpf, long sys_nr, const unsigned long *args);

/* While a thread loads an object, this answers its calls, and no other does; else NULL. */
extern STA__HIDDEN STA__THREAD_LOCAL struct sta__bpf *sta__bpf_of_thread;

/* Whether the registry has the hooks of an emulation, which obey sta__bpf_of_thread. */
bool sta__emulates(const struct sta *sta);

/* Attaches all hooks to a registry: `callback` for each call. Fills `ids`; how many, or -errno and
 * nothing is attached. */
int sta__hooks_attach(struct sta *sta, sta_callback callback, void *user_data,
                      int ids[STA__HOOKS_MAX]);
void sta__hooks_detach(struct sta *sta, const int *ids, int count);

/* perf.c */
long sta__hook_perf_event_open(struct sta__bpf *bpf, const unsigned long *args);
long sta__hook_ioctl(struct sta__bpf *bpf, const unsigned long *args);

/* mmap.c: rings, arrays and perf rings are mapped where the kernel would map them. */
long sta__hook_mmap(struct sta__bpf *bpf, const unsigned long *args);

/* poll.c */
long sta__hook_epoll_ctl(struct sta__bpf *bpf, const unsigned long *args);
long sta__hook_epoll_wait(struct sta__bpf *bpf, const unsigned long *args);
long sta__hook_poll(struct sta__bpf *bpf, const unsigned long *args);
long sta__hook_ppoll(struct sta__bpf *bpf, const unsigned long *args);
long sta__hook_select(struct sta__bpf *bpf, const unsigned long *args);
long sta__hook_pselect6(struct sta__bpf *bpf, const unsigned long *args);

/* files.c: ids of tracepoints, and the kernel's BTF, where the kernel shows them to nobody. */
long sta__hook_open(struct sta__bpf *bpf, const unsigned long *args);
long sta__hook_openat(struct sta__bpf *bpf, const unsigned long *args);
long sta__hook_faccessat(struct sta__bpf *bpf, const unsigned long *args);
long sta__hook_access(struct sta__bpf *bpf, const unsigned long *args);

#endif
