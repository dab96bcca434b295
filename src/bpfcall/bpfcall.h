/* SPDX-License-Identifier: MIT */
/*
 * bpf(2) and its friends answered in user space: an enter hook on each of the system calls, which
 * overrides the result of what concerns our objects and lets everything else pass to the kernel.
 *
 *      emulate.c      sta_emulate_start(): which calls are hooked, and by what
 *      call.c         bpf(2): sizes of attributes, and which function answers which command
 *      map_command.c, element_command.c, batch_command.c     maps
 *      program_command.c, btf.c, link.c, info.c, id_command.c the other commands
 *      fds.c, close.c   what descriptors stand for, and their end
 *      perf.h ..        perf_event_open(2), its ioctls, mmap(2) of rings, epoll_ctl(2), tracefs
 *
 * The hooks are C callbacks that run on the calling thread in the place of the system call. They
 * may call libc. So a bpf(2) call in a signal handler that interrupted malloc may deadlock, where
 * the kernel's would not.
 */
#ifndef STA_BPFCALL_BPFCALL_H
#define STA_BPFCALL_BPFCALL_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <sta/bpfcall.h>
#include <sta/program.h>

#include "base/lock.h"
#include "base/log.h"
#include "bpfcall/fds.h"

#define STA__FDS_BUCKETS 256
#define STA__HOOKS_MAX   24

/* One emulation. */
struct sta__bpf {
    struct sta *sta;
    struct sta__log log;
    unsigned flags;   /* STA_EMULATE_* */
    bool has_own_btf; /* and not the kernel's: own_btf.h */
    int hooks[STA__HOOKS_MAX], hook_count;
    /* fds.c */
    struct sta__lock lock;
    struct sta__fd_object *buckets[STA__FDS_BUCKETS];
    _Atomic uint32_t object_count;
    uint32_t last_id[STA__FD_KINDS];
    _Atomic bool has_closed;
    _Atomic uint32_t enter_type_id, exit_type_id; /* tracing.c; 0: not known yet */
    _Atomic bool has_waited;                      /* poll.c: some object was ever in an epoll set */
    _Atomic uint64_t dev;                         /* of memfds; 0: not known yet */
    _Atomic uint32_t own_min; /* no descriptor of our own is below; 0: there was none */
};

/* For who brings hooks of his own. `free` detaches nothing that was attached by hooks[]. */
int sta__bpf_new(struct sta__bpf **out, struct sta *sta, const struct sta__log *log);
void sta__bpf_free(struct sta__bpf *bpf);

/* What a hook returns of a call that is none of ours: the kernel answers. */
#define STA__NOT_OURS LONG_MIN

/* Answers a call with its six arguments, as the application gave them: its result, -errno, or
 * STA__NOT_OURS. */
typedef long (*sta__bpf_hook)(struct sta__bpf *bpf, const unsigned long *args);

/* bpf(2). `attr` is the application's pointer. */
long sta__bpf_call(struct sta__bpf *bpf, int cmd, void *attr, unsigned size);

long sta__hook_bpf(struct sta__bpf *bpf, const unsigned long *args);
long sta__hook_close(struct sta__bpf *bpf, const unsigned long *args);
long sta__hook_close_range(struct sta__bpf *bpf, const unsigned long *args);
long sta__hook_dup2(struct sta__bpf *bpf, const unsigned long *args);
long sta__hook_dup3(struct sta__bpf *bpf, const unsigned long *args);

/* Objects, as the commands' files and perf's know them. */

struct sta__bpf_map {
    struct sta__fd_object object;
    struct sta_map *map;
    struct sta__bpf_btf *btf; /* may be NULL */
    uint32_t btf_key_type_id, btf_value_type_id;
    struct sta__bpf_held *held; /* what its elements stand for: objects that stay for it */
    uint32_t program_type;      /* PROG_ARRAY: of the first program that had to do with it */
};

struct sta__bpf_program {
    struct sta__fd_object object;
    struct sta_program *program;
    uint32_t type, expected_attach_type;
    char name[16];
    uint8_t tag[8];
    uint32_t insns;
    uint64_t load_time_ns;
    uint32_t created_by_uid;
    bool is_gpl;
    struct sta__bpf_btf *btf; /* may be NULL */
    struct sta__bpf_map **maps;
    uint32_t map_count;
    /* Raw tracepoint by BTF (BPF_PROG_TYPE_TRACING): whether its event is the entry. */
    bool is_tracing, is_enter;
    _Atomic uint64_t runs; /* BPF_PROG_TEST_RUN */
};

struct sta__bpf_btf {
    struct sta__fd_object object;
    void *data;
    uint32_t size;
    struct btf *btf; /* libbpf's */
};

/* `kind` of sta__fds_get_kind() and the struct go together. */
#define STA__OBJECT_OF(type, object_) ((struct type *)(object_))

#endif
