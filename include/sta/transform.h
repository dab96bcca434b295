/* SPDX-License-Identifier: MIT */
/*
 * The text segment transformer: makes the system calls of this very process reach the dispatcher.
 *
 * One registry of a process at a time can have its transformer installed. It needs no privilege.
 *
 * Method today: Syscall User Dispatch (prctl(2) PR_SET_SYSCALL_USER_DISPATCH, Linux 5.11): the
 * kernel sends SIGSYS for every system call instruction outside the library's own, and the handler
 * leads the thread to the dispatcher. Every call of every armed thread costs a signal (1.5 to
 * 2.5 us).
 *
 * The application's own use of SIGSYS goes on: its handler gets every SIGSYS that is not ours, what
 * it reads back with sigaction is its own, and masks that block SIGSYS do not block ours.
 */
#ifndef STA_TRANSFORM_H
#define STA_TRANSFORM_H

#include <stddef.h>
#include <stdint.h>

#include <sta/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sta;

/* How system calls can be made to reach the dispatcher. */
enum sta_transform_method {
    STA_METHOD_AUTO, /* the best one that works here */
    STA_METHOD_SUD,  /* Syscall User Dispatch */
};

/* Zero it, then set `size`. */
struct sta_transform_options {
    size_t size; /* sizeof(struct sta_transform_options) */
    enum sta_transform_method method;
};

/*
 * Starts interception for all threads of this process, those created later, and forked children.
 * `options` may be NULL.
 *
 * Threads that exist already are told by a signal (SIGSYS, SA_RESTART); a system call that the
 * kernel does not restart after a signal (poll, nanosleep, epoll_wait, ...) may return EINTR once.
 * A thread that blocks SIGSYS is reached as soon as it unblocks it; one that waits for it in
 * sigwait(3) is left alone.
 *
 * Returns 0, or -errno with a log message: -EBUSY, a transformer is installed in this process
 * already; -ENOTSUP, no method works here (which, and why, is logged), or the library was compiled
 * for ThreadSanitizer, whose runtime makes calls that must not be intercepted; -EINVAL; -ENOMEM. On
 * failure nothing is changed. Not from inside a callback (-EDEADLK).
 */
STA_API int sta_transform_install(struct sta *sta, const struct sta_transform_options *options);

/*
 * Ends interception and restores what was changed. Calls under way are finished without exit
 * callbacks. Returns 0; -ENOENT, this registry has no transformer installed; -EDEADLK, from inside
 * a callback.
 */
STA_API int sta_transform_remove(struct sta *sta);

/* What interception covers. Set `size` before the call. */
struct sta_transform_report {
    size_t size;                      /* sizeof(struct sta_transform_report) */
    enum sta_transform_method method; /* the one in use */
    unsigned threads;                 /* threads intercepted now */
    unsigned threads_left;            /* threads that exist and are not, for now or for good */
};

/* Fills *out. Returns 0; -ENOENT, this registry has no transformer installed; -EINVAL. */
STA_API int sta_transform_report(struct sta *sta, struct sta_transform_report *out);

#ifdef __cplusplus
}
#endif

#endif
