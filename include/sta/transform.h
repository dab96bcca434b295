/* SPDX-License-Identifier: MIT */
/*
 * The text segment transformer: makes the system calls of this very process reach the dispatcher.
 *
 * It rewrites the `syscall` instructions of every ELF file that is mapped executable (the program,
 * libc, the loader, libraries, the vDSO), each by the gentlest method that works for it (see enum
 * sta_site_method), and only while something is attached to the call: where the number of a call is
 * known, the instruction is as it was until somebody attaches to that number, or to all calls.
 * Libraries that are loaded later are rewritten when they are mapped. It needs no privilege.
 *
 * One registry of a process at a time can have its transformer installed.
 *
 * Code in no ELF file (a JIT's, hand-made pages) runs unseen, unless STA_TRANSFORM_EXHAUSTIVE asks
 * for Syscall User Dispatch on top, or STA_METHOD_SUD for nothing else (prctl(2)
 * PR_SET_SYSCALL_USER_DISPATCH, Linux 5.11): the kernel sends SIGSYS for every system call
 * instruction outside the library's own, and the handler leads the thread to the dispatcher.
 *
 * The application's own use of the signals that a method needs goes on: its handler gets every
 * signal that is not ours, what it reads back with sigaction is its own, and masks that block the
 * signal do not block ours.
 */
#ifndef STA_TRANSFORM_H
#define STA_TRANSFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sta/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sta;

/* How system calls can be made to reach the dispatcher. */
enum sta_transform_method {
    STA_METHOD_AUTO,    /* the best one that works here */
    STA_METHOD_SUD,     /* Syscall User Dispatch: nothing is rewritten, every call is a signal */
    STA_METHOD_REWRITE, /* the instructions are rewritten */
};

/* Flags. EXHAUSTIVE: code in no ELF file, too, by Syscall User Dispatch; every call of the process
 * then costs 75 ns or more on top, and one of such code a signal (1.5 to 2.5 us), until its
 * instruction could be rewritten as well. */
#define STA_TRANSFORM_EXHAUSTIVE 1u
/* PRIVATE_STACK: callbacks run on a stack of 64 KiB that each thread gets at its first one and
 * gives back when it exits, where that goes through the library. Without it they run on the
 * application's, below the red zone; and so they do for calls that are made on an alternate signal
 * stack (sigaltstack(2)), of which the kernel takes the top for the next signal when something else
 * is in use, and where there is no memory for one. */
#define STA_TRANSFORM_PRIVATE_STACK 2u

/* Zero it, then set `size`. */
struct sta_transform_options {
    size_t size; /* sizeof(struct sta_transform_options) */
    enum sta_transform_method method;
    unsigned flags; /* STA_TRANSFORM_* */
};

/*
 * Starts interception for all threads of this process, those created later, and forked children.
 * `options` may be NULL.
 *
 * Rewriting changes nothing that a thread could be in the middle of, so other threads may run: each
 * sees the code before or after a change. Calls that they are in already are not seen. But no
 * thread may take code away (dlclose, munmap) while this function reads it: afterwards such calls
 * are intercepted themselves.
 *
 * With Syscall User Dispatch, threads that exist already are told by a signal (SIGSYS, SA_RESTART);
 * a system call that the kernel does not restart after a signal (poll, nanosleep, epoll_wait, ...)
 * may return EINTR once. A thread that blocks SIGSYS is reached as soon as it unblocks it; one that
 * waits for it in sigwait(3) is left alone.
 *
 * Returns 0, or -errno with a log message: -EBUSY, a transformer is installed in this process
 * already; -ENOTSUP, no method works here (which, and why, is logged), or the library was compiled
 * for ThreadSanitizer, whose runtime makes calls that must not be intercepted; -EINVAL; -ENOMEM. On
 * failure nothing is changed. Not from inside a callback (-EDEADLK).
 */
STA_API int sta_transform_install(struct sta *sta, const struct sta_transform_options *options);

/*
 * Ends interception and restores every byte that was changed. Calls under way are finished without
 * exit callbacks. Returns 0; -ENOENT, this registry has no transformer installed; -EDEADLK, from
 * inside a callback.
 */
STA_API int sta_transform_remove(struct sta *sta);

/*
 * How a system call instruction is rewritten; the best first. Each changes the bytes of one
 * instruction only, so that no thread can be in the middle of what changes, and what a blocked call
 * returns to stays as it was.
 */
enum sta_site_method {
    STA_SITE_LEFT,   /* not at all: see the reason */
    STA_SITE_MOV,    /* `mov $number,%eax` just before it becomes a jump */
    STA_SITE_SHORT,  /* the instruction becomes a short jump into padding nearby, and that a jump */
    STA_SITE_DETOUR, /* an earlier instruction of 5 bytes or more becomes a jump; it and those that
                        follow up to the system call are executed elsewhere */
    STA_SITE_TRAP,   /* the instruction becomes `ud2`; a SIGILL handler sees to it */
    STA_SITE_METHOD_COUNT,
};

/* Why no better method was chosen. */
enum sta_site_reason {
    STA_REASON_NONE,       /* it is the best one */
    STA_REASON_NO_MOV,     /* no mov of the number just before it */
    STA_REASON_JUMPED_TO,  /* something jumps to it, behind the mov */
    STA_REASON_NO_PADDING, /* nor padding in reach */
    STA_REASON_NO_DETOUR,  /* nor an earlier instruction that could be moved away */
    /* Left alone: */
    STA_REASON_NO_CODE,      /* the two bytes are a part of something else */
    STA_REASON_UNKNOWN_CODE, /* where instructions begin around it could not be found out */
    STA_REASON_CANCELLATION, /* the C library compares the program counter with its address */
    STA_REASON_TOO_FAR,      /* no free memory within 2 GiB */
    STA_REASON_READ_ONLY,    /* the kernel did not let us write there */
    STA_REASON_THREADS,      /* a trap, which threads that existed already could have blocked */
    STA_REASON_COUNT,
};

/* In words, without a full stop: "no padding in reach". Never NULL. */
STA_API const char *sta_site_method_name(enum sta_site_method method);
STA_API const char *sta_site_reason_text(enum sta_site_reason reason);

/* What interception covers. Set `size` before the call. */
struct sta_transform_report {
    size_t size;                      /* sizeof(struct sta_transform_report) */
    enum sta_transform_method method; /* the one in use */
    /* Syscall User Dispatch, alone or on top: */
    unsigned threads;      /* threads intercepted now */
    unsigned threads_left; /* threads that exist and are not, for now or for good */
    /* Rewriting: */
    unsigned mappings;                         /* executable mappings of ELF files */
    unsigned sites;                            /* places with the bytes of `syscall` in them */
    unsigned by_method[STA_SITE_METHOD_COUNT]; /* of these, how many by which method */
    unsigned rewritten;                        /* of these, how many are rewritten right now */
};

/* Fills *out. Returns 0; -ENOENT, this registry has no transformer installed; -EINVAL. */
STA_API int sta_transform_report(struct sta *sta, struct sta_transform_report *out);

#define STA_MAPPING_PATH_SIZE 256

/* One executable mapping. Set `size` before the call. */
struct sta_transform_mapping {
    size_t size;                      /* sizeof(struct sta_transform_mapping) */
    uintptr_t start, end;             /* addresses of its code */
    char path[STA_MAPPING_PATH_SIZE]; /* as in /proc/self/maps; a longer one loses its beginning */
    unsigned sites;
    unsigned by_method[STA_SITE_METHOD_COUNT];
    unsigned by_reason[STA_REASON_COUNT];
    unsigned rewritten;
};

/* Mapping number `index`, from 0. Returns 0; -ENOENT, there are no more, or this registry has no
 * transformer installed; -EINVAL. */
STA_API int sta_transform_mapping(struct sta *sta, unsigned index,
                                  struct sta_transform_mapping *out);

/* One system call instruction. Set `size` before the call. */
struct sta_transform_site {
    size_t size;       /* sizeof(struct sta_transform_site) */
    uintptr_t address; /* of the instruction */
    int sys_nr;        /* the number it is used with; STA_ALL_SYSCALLS: not known, or several */
    enum sta_site_method method;
    enum sta_site_reason reason;
    bool rewritten; /* right now */
};

/* Site number `index` of mapping number `mapping`, both from 0. Returns as above. */
STA_API int sta_transform_site(struct sta *sta, unsigned mapping, unsigned index,
                               struct sta_transform_site *out);

#ifdef __cplusplus
}
#endif

#endif
