/* SPDX-License-Identifier: MIT */
/*
 * What a callback sees of a system call, and how it changes the call's result.
 *
 * The layouts are those of the kernel's raw_syscalls tracepoints (struct trace_event_raw_sys_enter
 * and trace_event_raw_sys_exit in vmlinux.h; /sys/kernel/tracing/events/raw_syscalls/.../format),
 * so that code written for the kernel reads the same offsets here.
 */
#ifndef STA_CONTEXT_H
#define STA_CONTEXT_H

#include <stdint.h>

#include <sta/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The common head of a trace event, 8 bytes (kernel: struct trace_entry). Zero in libsta: the
 * kernel keeps a pointer of its own there and lets no program read it. */
struct sta_trace_entry {
    unsigned short type;
    unsigned char flags;
    unsigned char preempt_count;
    int pid;
};

/* Entry of a call, 64 bytes. `id` is the system call number, sign-extended from 32 bits as in the
 * kernel. Arguments past the call's arity are as the application left them in the registers. */
struct sta_sys_enter {
    struct sta_trace_entry ent;
    long id;
    unsigned long args[6];
};

/* Exit of a call, 24 bytes. `ret` is the result as the kernel returns it: -errno on failure. */
struct sta_sys_exit {
    struct sta_trace_entry ent;
    long id;
    long ret;
};

/* The kernel's names for the same layouts. Left out where a vmlinux.h brings the kernel's own. */
#if !defined(__VMLINUX_H__) && !defined(STA_NO_KERNEL_NAMES)
#    define trace_event_raw_sys_enter sta_sys_enter
#    define trace_event_raw_sys_exit  sta_sys_exit
#endif

/*
 * Overrides the result of the call that the running callback was called for.
 *
 * At entry: the real call is skipped, exit callbacks still run and see `value`. At exit: `value`
 * replaces what the application gets. `value` is a result as the kernel would return it (-EPERM, a
 * count, a descriptor). Of several overrides the last one wins. For exit, exit_group and
 * rt_sigreturn, which must happen, it is accepted and ignored.
 *
 * Returns 0; -EINVAL when no callback is running on this thread. Async-signal-safe, no system call.
 */
STA_API int sta_override_return(int64_t value);

/*
 * The six arguments with which the current call was entered, for enter and exit callbacks alike:
 * what an exit callback needs of the entry it does not have to store and look up.
 *
 * Valid until the callback returns. NULL when no callback is running on this thread.
 * Async-signal-safe, no system call.
 */
STA_API const unsigned long *sta_current_args(void);

/* The cookie that the running callback was attached with, see sta_attach_options; 0 when no
 * callback is running on this thread. Async-signal-safe, no system call. */
STA_API uint64_t sta_current_cookie(void);

#ifdef __cplusplus
}
#endif

#endif
