/* SPDX-License-Identifier: MIT */
/*
 * Counters that many threads increment without sharing a cache line: one stripe for each of the
 * first threads, which only that thread writes, and a last one for all others, who must use a
 * locked add.
 */
#ifndef STA_BASE_STRIPE_H
#define STA_BASE_STRIPE_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/compiler.h"

/* Stripes that belong to one thread; stripe number STA__STRIPE_OWNED is the shared one. */
#define STA__STRIPE_OWNED 15
#define STA__STRIPE_COUNT (STA__STRIPE_OWNED + 1)

STA__INLINE uint32_t sta__stripe_of(uint32_t reader_index)
{
    return reader_index < STA__STRIPE_OWNED ? reader_index : STA__STRIPE_OWNED;
}

/* Adds one. A single instruction, so that a signal handler on the same thread loses nothing. */
STA__INLINE void sta__count(_Atomic uint64_t *counter, uint32_t stripe)
{
    if (sta__likely(stripe < STA__STRIPE_OWNED))
        __asm__ volatile("addq $1, %0" : "+m"(*counter) : : "cc");
    else
        atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

#endif
