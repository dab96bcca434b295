/* SPDX-License-Identifier: MIT */
/*
 * The attach registry and the dispatcher: which callbacks run for which system call.
 *
 * Order: for each event the callbacks attached to that call run first, then those attached to all
 * calls, each group in attach order (or by priority, see sta_attach_options). Each callback gets a
 * copy of the context of its own.
 *
 * Concurrency: sta_attach, sta_attach_with, sta_detach and sta_attach_info may be called from any
 * thread at any time, also from inside a callback, and in the child after fork. They are not
 * async-signal-safe. sta_dispatch takes no lock, allocates nothing, makes no system call of its own
 * and is async-signal-safe.
 *
 * What callbacks may do: they run in the middle of a system call of the application, possibly one
 * that malloc or the dynamic loader makes, possibly in a signal handler. So: nothing that is not
 * async-signal-safe, except the functions of this library that say so. System calls that a callback
 * makes run natively and are not traced; they are counted as missed. longjmp out of a callback is
 * allowed.
 */
#ifndef STA_ATTACH_H
#define STA_ATTACH_H

#include <stddef.h>
#include <stdint.h>

#include <sta/base.h>
#include <sta/context.h>
#include <sta/syscalls.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One registry with its dispatcher. */
struct sta;

/* How a registry is made. Zero it, then set `size`; fields past `size` take their defaults. */
struct sta_options {
    size_t size;    /* sizeof(struct sta_options) */
    sta_log_fn log; /* receives messages; may be NULL */
    void *log_data;
};

/*
 * Creates a registry. `options` may be NULL. Returns 0 and the registry in *out, or -errno:
 * -ENOMEM, -EINVAL (out is NULL, size 0 or too small), -E2BIG (what a later version added is set).
 */
STA_API int sta_new(struct sta **out, const struct sta_options *options);

/*
 * Detaches everything, removes the transformer and the hook if this registry owns them, and frees
 * it. NULL is allowed. No other thread may be inside a function of this registry, nor inside a call
 * that was dispatched through sta_dispatch(). Not from inside a callback.
 */
STA_API void sta_free(struct sta *sta);

/*
 * A callback.
 *
 * ctx        struct sta_sys_enter or struct sta_sys_exit: a copy, the callback may scribble on it
 * ctx_size   its size in bytes: 64 or 24
 * ret        0 before the call; a place for the callback's own result (an eBPF program's r0). It
 * does not change the system call: sta_override_return() does user_data  as given when attaching
 *
 * Returns 0, or a negative errno, which is only counted as failed: the other callbacks and the call
 * go on.
 */
typedef int (*sta_callback)(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data);

/*
 * The callback and all it calls touch general registers only (compiled with -mgeneral-regs-only).
 * Without this flag the vector state of an intercepted thread is saved around the callback, which
 * costs time.
 */
#define STA_CALLBACK_GENERAL_REGS (1u << 0)

#define STA_ATTACH_NAME_SIZE 32

/* How to attach. Zero it, then set `size`, `target` and `callback`. */
struct sta_attach_options {
    size_t size; /* sizeof(struct sta_attach_options) */
    struct sta_target target;
    sta_callback callback;
    void *user_data;
    unsigned flags; /* STA_CALLBACK_* */
    int priority; /* lower runs earlier within the group; equal ones in attach order; 0 normally */
    const char *name; /* for sta_attach_info(); shorter than STA_ATTACH_NAME_SIZE; may be NULL */
    /* What sta_current_cookie() says in the callback, and bpf_get_attach_cookie() in a program:
     * which of several attachments of the same callback this is. */
    uint64_t cookie;
};

/*
 * Attaches a callback. Returns its attach id, >= 1, never used again in this registry; or -errno:
 * -EINVAL (NULL, a number outside 0 .. STA_SYSCALL_LIMIT-1 that is not STA_ALL_SYSCALLS, unknown
 * flags, size 0 or smaller than the struct's first version), -E2BIG (what a later version added is
 * set), -ENAMETOOLONG, -ENOMEM, -ENOSPC (2^31-1 ids were given out).
 *
 * Now and then this waits for callbacks that are running, as sta_detach() does: hold no lock that a
 * callback may want. The callback may run on other threads before this returns. An exit callback
 * does not run for calls that were entered while nothing at all was attached to them.
 */
STA_API int sta_attach(struct sta *sta, const struct sta_target *target, sta_callback callback,
                       void *user_data);
STA_API int sta_attach_with(struct sta *sta, const struct sta_attach_options *options);

/*
 * Detaches. Returns 0, -ENOENT if nothing has this id (any more), -EINVAL for a NULL registry,
 * -ENOMEM.
 *
 * When it returns 0, the callback is not running on any other thread and will never run again.
 * Called from inside a callback, it waits for the other threads only. When callbacks on two threads
 * detach each other, neither can wait for the other: then -EINPROGRESS is returned, the callback
 * is detached and will not be called again, but a run that began earlier has yet to end.
 */
STA_API int sta_detach(struct sta *sta, int attach_id);

/* What is known of one attachment. Set `size` before the call. Counts are since attaching. */
struct sta_attach_info {
    size_t size; /* sizeof(struct sta_attach_info) */
    struct sta_target target;
    unsigned flags;
    int priority;
    char name[STA_ATTACH_NAME_SIZE];
    uint64_t runs;      /* times the callback was called */
    uint64_t missed;    /* events suppressed because a callback was already running on the thread */
    uint64_t failed;    /* runs that returned a negative value */
    uint64_t overrides; /* runs that called sta_override_return() */
};

/* Fills *out. Returns 0, -ENOENT, or -EINVAL. Counts of events that are under way may be missing.
 */
STA_API int sta_attach_info(struct sta *sta, int attach_id, struct sta_attach_info *out);

/*
 * A system call with its number and arguments; returns what the kernel returns: -errno on failure.
 */
typedef int64_t (*sta_syscall_fn)(int64_t sys_nr, int64_t a1, int64_t a2, int64_t a3, int64_t a4,
                                  int64_t a5, int64_t a6);

/*
 * Dispatches one system call: enter callbacks, the original call, exit callbacks. Returns what the
 * application is to get. Never sets errno.
 *
 * Only the low 32 bits of `sys_nr` choose the call, sign-extended, as in the kernel
 * (do_syscall_64); the original gets all 64. Numbers outside 0 .. STA_SYSCALL_LIMIT-1 reach the
 * callbacks on all calls only. exit, exit_group and rt_sigreturn have no exit event.
 *
 * vfork and clone with a stack of its own cannot return through a C function; whoever dispatches
 * them makes the original cope.
 */
STA_API int64_t sta_dispatch(struct sta *sta, int64_t sys_nr, int64_t a1, int64_t a2, int64_t a3,
                             int64_t a4, int64_t a5, int64_t a6);

/* What sta_dispatch() calls for the real call; NULL, the default: the kernel. */
STA_API void sta_set_original_syscall(struct sta *sta, sta_syscall_fn original);

/*
 * For a host runtime that has a hook slot of its own, through which all its system calls go.
 *
 * sta_set_global() names the registry that such a slot, and only such a slot, dispatches to; NULL
 * for none, and then calls go straight to the original.
 *
 * sta_setup_syscall_hooker() saves *slot as the original call of that registry (NULL: the kernel)
 * and stores the dispatcher in *slot. Returns 0; -EINVAL, slot is NULL; -ENODEV, no global
 * registry; -EALREADY, the dispatcher is in the slot already. Not thread-safe against calls through
 * the slot being changed: the host does this before it starts threads.
 */
STA_API void sta_set_global(struct sta *sta);
STA_API int sta_setup_syscall_hooker(sta_syscall_fn *slot);

#ifdef __cplusplus
}
#endif

#endif
