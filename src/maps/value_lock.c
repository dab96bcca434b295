/* SPDX-License-Identifier: MIT */
/* Waiting, and copying. On the dispatch path: see value_lock.h. */
#include "maps/value_lock.h"

#include <stdbool.h>
#include <time.h>

#include "base/clock.h"
#include "base/gate.h"

#define SPINS       100 /* before others are let run */
#define LOOK_EVERY  16  /* rounds between looks at the holder */
#define PATIENCE_NS UINT64_C(1000000000)

/* Whether nobody needs to wait for this holder. `since`: when it was waited for first, 0: now. */
static bool is_lost(uint32_t holder, uint64_t *since)
{
    uint64_t now = sta__clock_ns(CLOCK_MONOTONIC);

    if (*since == 0)
        *since = now;
    return now - *since > PATIENCE_NS || !sta__owner_thread_exists(holder);
}

STA__NOINLINE void sta__value_lock_slow(sta__value_word *word)
{
    uint32_t self = (uint32_t)sta__owner_self(), holder = 0;
    uint64_t since = 0;

    for (unsigned round = 0;; round++) {
        uint32_t seen = atomic_load_explicit(word, memory_order_relaxed);

        if (seen != holder) /* the patience is with one holder */
            since = 0;
        holder = seen;
        if (seen == 0 || seen == self ||
            (round >= SPINS && round % LOOK_EVERY == 0 && is_lost(seen, &since))) {
            /* Acquire: as in sta__value_lock(). */
            if (atomic_compare_exchange_strong_explicit(word, &seen, self, memory_order_acquire,
                                                        memory_order_relaxed))
                return;
            continue;
        }
        if (round < SPINS)
            __builtin_ia32_pause();
        else
            STA__RAW0(SYS_sched_yield);
    }
}

/* The lock is one half of a word; the other half, if the value has it, is written alone. */
STA__NOINLINE void sta__value_write_around(void *to, const void *from, uint32_t size,
                                           uint32_t lock_at)
{
    uint32_t word_at = lock_at & ~7u, half_at = lock_at ^ 4, behind = word_at + 8;
    const char *bytes = from;

    sta__words_write(to, from, word_at);
    if (half_at < size) {
        uint32_t left = size - half_at < 4 ? size - half_at : 4;

        atomic_store_explicit((_Atomic uint32_t *)((char *)to + half_at),
                              (uint32_t)sta__word_of_rest(bytes + half_at, left),
                              memory_order_relaxed);
    }
    if (behind < size)
        sta__words_write((char *)to + behind, bytes + behind, size - behind);
}
