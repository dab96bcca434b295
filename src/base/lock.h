/* SPDX-License-Identifier: MIT */
/*
 * The writers' lock. Unlike a pthread mutex it
 *
 *  - blocks all signals while held, so that a handler on the same thread cannot come to wait for
 * it;
 *  - makes no call that is intercepted, so that a callback cannot come to wait for it;
 *  - is taken over when its owner does not exist: in a child that was forked by another thread.
 * What it protects must therefore be in order at every moment: each change takes effect with one
 * store.
 *
 * Never held while waiting for anything.
 */
#ifndef STA_BASE_LOCK_H
#define STA_BASE_LOCK_H

#include <stdatomic.h>
#include <stdint.h>

/* Zero-initialised: not held. */
struct sta__lock {
    _Atomic uint32_t owner; /* thread id; the top bit: others wait */
};

/* What the lock changed of its holder: the signal mask. */
struct sta__lock_state {
    uint64_t signal_mask;
};

void sta__lock(struct sta__lock *lock, struct sta__lock_state *saved);
void sta__unlock(struct sta__lock *lock, const struct sta__lock_state *saved);

#endif
