/* SPDX-License-Identifier: MIT */
/*
 * A stack for callbacks: 64 KiB for each thread that wants one, made when it is wanted first and
 * given back when the thread exits.
 *
 * It is used by one callback at a time, since a thread that is in a section runs no second one (see
 * quiesce.h). So it needs no owner: each callback starts at its top, whatever a longjmp has left
 * there.
 *
 *       application's stack            private stack
 *      ┌───────────────────┐          ┌───────────────────┐ low + STA__PRIVATE_STACK_SIZE
 *      │ application       │          │ callback          │
 *      │ section, context  │  ┌─────► │ ...               │
 *      │ call_apart        │ ─┘       │ signal handlers   │ that interrupt it without SA_ONSTACK
 *      └───────────────────┘          ├───────────────────┤ low
 *                                     │ guard page        │
 *                                     └───────────────────┘
 */
#ifndef STA_BASE_PRIVATE_STACK_H
#define STA_BASE_PRIVATE_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/quiesce.h"

/*
 * The top of this thread's private stack, which is made if there is none; 0: use the stack that you
 * are on. That is when there is no memory, and on the alternate signal stack: the kernel starts a
 * second handler at the top of that unless the stack pointer is in it. `here` is an address on the
 * current stack. Inside a section only.
 */
uintptr_t sta__private_stack_top(const void *here);

/* Asks the kernel for this thread's alternate signal stack, for sta__alt_stack_note(). */
void sta__alt_stack_find(void);

/* Gives it back: the thread is about to exit. Nothing happens when it is or may be in use. */
void sta__private_stack_release(const void *here);

/* Calls fn(ctx, ctx_size, ret, user_data) on the stack with this top, which is 16-byte aligned.
 * Unwinding goes on on the stack of the caller. */
int sta__call_apart(int (*fn)(void *, size_t, uint64_t *, void *), void *ctx, size_t ctx_size,
                    uint64_t *ret, void *user_data, uintptr_t top);

/* The same by sta__call_with_vectors_saved(), all on that stack. */
int sta__call_apart_with_vectors_saved(int (*fn)(void *, size_t, uint64_t *, void *), void *ctx,
                                       size_t ctx_size, uint64_t *ret, void *user_data,
                                       uintptr_t top);

#endif
