/* SPDX-License-Identifier: MIT */
/* The state of a checked run: registers, and the memory that there is. */
#ifndef STA_TESTS_VERIFIER_CONCRETE_RUN_H
#define STA_TESTS_VERIFIER_CONCRETE_RUN_H

#include <stdbool.h>
#include <string.h>

#include "verifier/concrete.h"

#define STEPS_MAX   10000
#define REGIONS_MAX 64
#define FRAMES_MAX  16
#define GAP         320
#define DYNPTRS_MAX 32

struct region {
    uint64_t at, size;
    bool is_read_only;
    uint32_t lock_end; /* four bytes before it are a lock; 0: there is none */
};

struct run {
    const struct sta__code *code;
    uint64_t random;
    uint64_t regs[11];
    struct region regions[REGIONS_MAX];
    uint32_t region_count;
    uint32_t frames, steps, insn;
    /* With gaps, so that what is just outside of one is in none. */
    char stacks[FRAMES_MAX][STA__STACK_SIZE + GAP];
    char context[8192 + GAP], values[8][64 + GAP], records[8][256 + GAP], key[64];
    char locked[4][16 + GAP];
    struct {
        uint64_t at, bytes[2]; /* where it was made, and what was written there */
        uint64_t data, size;
        bool is_record;
    } dynptrs[DYNPTRS_MAX];
    uint32_t dynptr_count;
    uint64_t held;                    /* the lock's address */
    uint32_t record_count, callbacks; /* records made; calls by helpers that are under way */
    const char *wrong;
    bool is_over; /* given up */
};

static inline uint64_t any(struct run *r)
{
    static const uint64_t edges[] = {0,          1,         7,          8,          15,
                                     63,         64,        255,        0x7fffffff, 0x80000000,
                                     0xffffffff, INT64_MAX, 1ull << 63, UINT64_MAX};
    uint64_t n;

    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    n = r->random * 0x2545f4914f6cdd1dull;
    switch (n % 4) {
    case 0:
        return edges[(n >> 8) % (sizeof(edges) / sizeof(edges[0]))];
    case 1: /* small ones, with sign */
        return (n >> 8) % 320 - 160;
    default:
        return n >> (n >> 2) % 64;
    }
}

static inline uint64_t add_region(struct run *r, void *at, uint64_t size, bool is_read_only)
{
    for (uint32_t i = 0; i < r->region_count; i++) {
        if (r->regions[i].at == (uint64_t)(uintptr_t)at && r->regions[i].size == size)
            return r->regions[i].at;
    }
    if (r->region_count == REGIONS_MAX)
        r->is_over = true;
    else
        r->regions[r->region_count++] =
            (struct region){(uint64_t)(uintptr_t)at, size, is_read_only, 0};
    return (uint64_t)(uintptr_t)at;
}

static inline void *check(struct run *r, uint64_t at, uint64_t size, bool writes)
{
    for (uint32_t i = 0; i < r->region_count; i++) {
        const struct region *region = &r->regions[i];

        if (at >= region->at && at - region->at <= region->size &&
            region->size - (at - region->at) >= size) {
            if (writes && size && region->is_read_only)
                r->wrong = "a write to what is read-only";
            if (region->lock_end && at < region->at + region->lock_end &&
                at + size > region->at + region->lock_end - 4)
                r->wrong = "an access to a lock";
            return (void *)(uintptr_t)at;
        }
    }
    if (size)
        r->wrong = "an access outside of everything";
    return NULL;
}

static inline uint64_t load(struct run *r, uint64_t at, unsigned size)
{
    uint64_t value = 0;
    const void *from = check(r, at, size, false);

    if (from && !r->wrong)
        memcpy(&value, from, size);
    return value;
}

static inline void store(struct run *r, uint64_t at, unsigned size, uint64_t value)
{
    void *to = check(r, at, size, true);

    if (to && !r->wrong)
        memcpy(to, &value, size);
}

static inline void fill(struct run *r, uint64_t at, uint64_t size)
{
    char *to = check(r, at, size, true);

    for (uint64_t i = 0; to && !r->wrong && i < size; i++)
        to[i] = (char)any(r);
}

/* Addresses of subprograms, as programs see them. */
#define FUNC_BASE 0x10000

/* Where a map's value lies: a region from now on. */
uint64_t concrete_value_of(struct run *r, const struct sta_map *map);
uint64_t concrete_call_helper(struct run *r, int32_t id);
void concrete_run_subprog(struct run *r, uint32_t subprog);

#endif
