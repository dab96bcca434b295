/* SPDX-License-Identifier: MIT */
#include "attach/counters.h"

#include <stdbool.h>
#include <string.h>

#define WORDS (STA__COUNTERS_PER_SLAB / 64)

struct sta__counters_slab {
    struct sta__counters stripes[STA__STRIPE_COUNT][STA__COUNTERS_PER_SLAB];
    struct sta__counters_slab *next;
    uint64_t used[WORDS]; /* one bit for each attachment */
};

/* The first free place of a slab, now taken; NULL if it is full. */
static struct sta__counters *take(struct sta__counters_slab *slab)
{
    for (unsigned word = 0; word < WORDS; word++) {
        unsigned bit;

        if (slab->used[word] == UINT64_MAX)
            continue;
        bit = (unsigned)__builtin_ctzll(~slab->used[word]);
        slab->used[word] |= UINT64_C(1) << bit;
        return &slab->stripes[0][word * 64 + bit];
    }
    return NULL;
}

static struct sta__counters_slab *grow(struct sta__counters_pool *pool, struct sta__arena *arena)
{
    struct sta__counters_slab *slab = sta__arena_alloc(arena, sizeof(*slab));

    if (!slab)
        return NULL;
    slab->next = pool->slabs;
    pool->slabs = slab;
    return slab;
}

struct sta__counters *sta__counters_alloc(struct sta__counters_pool *pool, struct sta__arena *arena)
{
    struct sta__counters_slab *slab;
    struct sta__counters *counters = NULL;

    for (slab = pool->slabs; slab && !counters; slab = slab->next)
        counters = take(slab);
    if (!counters) {
        slab = grow(pool, arena);
        counters = slab ? take(slab) : NULL;
    }
    if (!counters)
        return NULL;
    for (uint32_t stripe = 0; stripe < STA__STRIPE_COUNT; stripe++)
        memset(sta__counters_of(counters, stripe), 0, sizeof(*counters));
    return counters;
}

void sta__counters_free(struct sta__counters_pool *pool, struct sta__counters *counters)
{
    for (struct sta__counters_slab *slab = pool->slabs; slab; slab = slab->next) {
        size_t index = (size_t)(counters - slab->stripes[0]);

        if (counters >= slab->stripes[0] && index < STA__COUNTERS_PER_SLAB) {
            slab->used[index / 64] &= ~(UINT64_C(1) << index % 64);
            return;
        }
    }
}

void sta__counters_destroy(struct sta__counters_pool *pool, struct sta__arena *arena)
{
    while (pool->slabs) {
        struct sta__counters_slab *slab = pool->slabs;

        pool->slabs = slab->next;
        sta__arena_free(arena, slab, sizeof(*slab));
    }
}
