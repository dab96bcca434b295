/* SPDX-License-Identifier: MIT */
/*
 * The writers' lock of maps: one word, in memory that processes share, which says who holds it.
 *
 *      63            32 31             0
 *     +----------------+----------------+
 *     | process id     | thread id      |      0: free; all ones: its holder is gone
 *     +----------------+----------------+
 *
 * It is held for some tens of nanoseconds and makes no system call but when somebody waits for
 * long. Whoever holds it may be killed, interrupted or left by longjmp at any instruction:
 *
 *  - a holder that does not exist any more is found out by those who wait, and one of them takes
 *    over. It is told so, and has to put in order what the lock protects before anything else.
 *  - a signal handler that wants what its own thread holds gets -EBUSY, as it does when it would
 *    have to wait for another thread while its own holds some lock: those two could wait for each
 *    other.
 *  - whoever waits for a holder that lives but does not run (stopped, starved) gives up after a
 *    second, with -EBUSY.
 *
 * What it protects is therefore such that each change takes effect with one store.
 *
 * A number is all that is known of a holder. One that died, and whose number is another living
 * thread's by the time somebody waits, is taken for living: who waits then gives up each time. Ids
 * go around after 4 million as systems are set up today.
 *
 * Process ids are those of this process's namespace: processes that share a map see the same ones.
 * On the dispatch path.
 */
#ifndef STA_MAPS_OWNER_LOCK_H
#define STA_MAPS_OWNER_LOCK_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/quiesce.h"

typedef _Atomic uint64_t sta__owner_word;

#define STA__OWNER_GONE UINT64_MAX

/* Locks of one thread that interrupt each other, or are nested. */
#define STA__OWNER_DEPTH 4

/* What a thread notes of the locks that it holds, so that those which a longjmp left are known. */
struct sta__owner_hold {
    sta__owner_word *word;
    const uint64_t *mark; /* on the holder's stack: see struct sta__owner_guard */
};

struct sta__owner_holds {
    uint32_t depth;
    struct sta__owner_hold holds[STA__OWNER_DEPTH];
};

extern STA__HIDDEN STA__THREAD_LOCAL struct sta__owner_holds sta__owner_holds;

/* This thread's. The asm keeps the compiler from testing the address by the flags of the addition
 * that makes it, as it does for -fsanitize=null: the linker may replace that addition with an
 * instruction that leaves the flags alone. */
STA__INLINE struct sta__owner_holds *sta__owner_own_holds(void)
{
    struct sta__owner_holds *holds = &sta__owner_holds;

    __asm__("" : "+r"(holds));
    return holds;
}

/* Lives on the stack of the holder. */
struct sta__owner_guard {
    uint64_t mark; /* the address of the lock's word, inverted: intact while the frame is there */
};

/* This thread, as lock words name it. */
uint64_t sta__owner_self_slow(void);

STA__INLINE uint64_t sta__owner_self(void)
{
    uint64_t ids = sta__self.pid_tgid;

    if (sta__likely(ids && atomic_load_explicit(&sta__self.reader->owner, memory_order_relaxed) ==
                               sta__self.owner))
        return ids;
    return sta__owner_self_slow();
}

/* Whether a thread that a lock's word names exists; a process that is killed and not waited for
 * does not. */
bool sta__owner_exists(uint64_t owner);
bool sta__owner_thread_exists(uint32_t thread);

/* Gives up what this thread left by longjmp. False: it is STA__OWNER_DEPTH deep. */
bool sta__owner_forget_left(const struct sta__owner_guard *guard);

int sta__owner_wait(sta__owner_word *word, uint64_t self);

enum { STA__OWNER_LOCKED, STA__OWNER_TAKEN_OVER };

/* STA__OWNER_LOCKED; STA__OWNER_TAKEN_OVER: the last holder did not come to an end; -EBUSY. */
STA__INLINE int sta__owner_lock(sta__owner_word *word, struct sta__owner_guard *guard)
{
    struct sta__owner_holds *holds = sta__owner_own_holds();
    uint64_t self = sta__owner_self(), seen = 0;
    int result = STA__OWNER_LOCKED;
    uint32_t depth;

    if (sta__unlikely(holds->depth != 0) && !sta__owner_forget_left(guard))
        return -EBUSY;
    depth = holds->depth;
    /* Noted first: a handler may leave by longjmp right behind the exchange. */
    *(volatile uint64_t *)&guard->mark = ~(uint64_t)(uintptr_t)word;
    holds->holds[depth].word = word;
    holds->holds[depth].mark = &guard->mark;
    atomic_signal_fence(memory_order_seq_cst);
    holds->depth = depth + 1;
    atomic_signal_fence(memory_order_seq_cst);
    /* Acquire: what the previous holder did is seen. */
    if (sta__unlikely(!atomic_compare_exchange_strong_explicit(
            word, &seen, self, memory_order_acquire, memory_order_relaxed))) {
        result = sta__owner_wait(word, self);
        if (result < 0) {
            holds->depth = depth;
            *(volatile uint64_t *)&guard->mark = 0;
        }
    }
    return result;
}

/* For a second lock while one is held: does not wait. `from` is the word that was seen: 0, or that
 * of a holder who is gone; then what it protects has to be put in order. */
bool sta__owner_trylock(sta__owner_word *word, uint64_t from, struct sta__owner_guard *guard);
/* Whether a word is held by nobody who could come to an end. */
bool sta__owner_is_gone(uint64_t seen);

STA__INLINE void sta__owner_unlock(sta__owner_word *word, struct sta__owner_guard *guard)
{
    /* Release: what was done under the lock is seen by the next holder. */
    atomic_store_explicit(word, 0, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
    sta__owner_holds.depth--;
    atomic_signal_fence(memory_order_seq_cst);
    *(volatile uint64_t *)&guard->mark = 0;
}

#endif
