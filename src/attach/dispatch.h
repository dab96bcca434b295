/* SPDX-License-Identifier: MIT */
/*
 * The two halves of a dispatch, for those who make the real call themselves in between.
 *
 *      struct sta__call call = {nr, arguments};
 *      if (sta__enter(sta, &call, kind))
 *              call.ret = the real call;
 *      else
 *              kind |= STA__CALL_SKIPPED;
 *      sta__exit(sta, &call, kind);
 *      return call.ret;
 *
 * Neither half holds anything while the real call runs: that may block, fork, or not return.
 */
#ifndef STA_ATTACH_DISPATCH_H
#define STA_ATTACH_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include <sta/context.h>

struct sta;
struct sta__hooks;
struct sta__section;

/* One system call on its way through. */
struct sta__call {
    union {
        struct sta_sys_enter enter; /* the context of which each enter callback gets a copy */
        /* In the place of `ent`, which no callback sees: of a struct sta__call_site, rbp. */
        uint64_t frame_pointer;
    };
    int64_t ret;
    /* For who makes the call: what is attached to it. The dispatcher does not look at it. */
    const struct sta__hooks *hooks;
    /* Set by sta__enter(): the section that a callback forks from, which the child gets back. */
    const struct sta__section *outer;
};

/* A call of which is known where in the application it was made: the registers behind its
 * instruction. */
struct sta__call_site {
    struct sta__call call;
    uint64_t return_address; /* rip */
    uint64_t flags;
    uint64_t sp;
};

/* How a call was made and how it went, or'ed together.
 *
 * VECTORS  the vector registers are the application's: save them around callbacks
 * COMPAT   it came through int 0x80, whose numbers are others: only callbacks on all calls run
 * SKIPPED  at exit: the real call was overridden, and not made
 * PRIVATE_STACK  run callbacks on a stack of their own, see private_stack.h
 * SITE     it is the first member of a struct sta__call_site */
#define STA__CALL_VECTORS       1u
#define STA__CALL_COMPAT        2u
#define STA__CALL_SKIPPED       4u
#define STA__CALL_PRIVATE_STACK 8u
#define STA__CALL_SITE          16u

/* Whether a call comes back to where it was made: exit, exit_group and rt_sigreturn do not, so they
 * have no exit event and cannot be overridden. */
static inline bool sta__call_returns(long sys_nr)
{
    return sys_nr != SYS_exit && sys_nr != SYS_exit_group && sys_nr != SYS_rt_sigreturn;
}

/* Runs the enter callbacks. True: the real call is to be made. False: `call->ret` is its result. */
bool sta__enter(struct sta *sta, struct sta__call *call, unsigned kind);

/* Runs the exit callbacks on `call->ret`, which they may override. */
void sta__exit(struct sta *sta, struct sta__call *call, unsigned kind);

/* Where the call was made for which the running callback was called; NULL: that is not known, or
 * none is running on this thread. */
const struct sta__call_site *sta__current_site(void);

#endif
