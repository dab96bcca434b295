/* SPDX-License-Identifier: MIT */
/*
 * The counters of attachments: one set for each stripe of threads (base/stripe.h), so that threads
 * share no cache line, and side by side for the attachments of a list, so that a thread that runs
 * through the list reads little memory.
 *
 *      slab    stripe 0:   set of attachment A | of B | of C | ...   one page
 *              stripe 1:   set of attachment A | of B | of C | ...   one page, ...
 *
 * An attachment is known by its set in stripe 0.
 */
#ifndef STA_ATTACH_COUNTERS_H
#define STA_ATTACH_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/stripe.h"

struct sta__counters {
    _Atomic uint64_t runs;
    _Atomic uint64_t missed;
    _Atomic uint64_t failed;
    _Atomic uint64_t overrides;
};

#define STA__COUNTERS_STRIPE_SIZE 4096
#define STA__COUNTERS_PER_SLAB    (STA__COUNTERS_STRIPE_SIZE / sizeof(struct sta__counters))

struct sta__counters_slab;

/* Zero-initialised: none. */
struct sta__counters_pool {
    struct sta__counters_slab *slabs;
};

/* Zeroed counters; NULL if there is no memory. The pool's owner holds its lock. */
struct sta__counters *sta__counters_alloc(struct sta__counters_pool *pool,
                                          struct sta__arena *arena);

void sta__counters_free(struct sta__counters_pool *pool, struct sta__counters *counters);

void sta__counters_destroy(struct sta__counters_pool *pool, struct sta__arena *arena);

/* The set that the threads of this stripe count in. */
STA__INLINE struct sta__counters *sta__counters_of(struct sta__counters *counters, uint32_t stripe)
{
    return (struct sta__counters *)((char *)counters + (size_t)stripe * STA__COUNTERS_STRIPE_SIZE);
}

#endif
