/* SPDX-License-Identifier: MIT */
/*
 * A number of which some bits are known: bits set in `mask` are unknown, the others are those of
 * `value`, whose unknown bits are 0. It stands for the set of all numbers that agree with it.
 */
#ifndef STA_EBPF_VERIFY_TNUM_H
#define STA_EBPF_VERIFY_TNUM_H

#include <stdbool.h>
#include <stdint.h>

struct sta__tnum {
    uint64_t value, mask;
};

#define STA__TNUM_UNKNOWN ((struct sta__tnum){0, UINT64_MAX})

static inline struct sta__tnum sta__tnum_const(uint64_t value)
{
    return (struct sta__tnum){value, 0};
}

static inline bool sta__tnum_is_const(struct sta__tnum t)
{
    return t.mask == 0;
}

static inline uint64_t sta__tnum_max(struct sta__tnum t)
{
    return t.value | t.mask;
}

/* All of the upper half known to be 0. */
static inline struct sta__tnum sta__tnum_low(struct sta__tnum t)
{
    return (struct sta__tnum){(uint32_t)t.value, (uint32_t)t.mask};
}

/* `t` with the lower half of `low`. */
static inline struct sta__tnum sta__tnum_with_low(struct sta__tnum t, struct sta__tnum low)
{
    return (struct sta__tnum){(t.value & ~(uint64_t)UINT32_MAX) | (uint32_t)low.value,
                              (t.mask & ~(uint64_t)UINT32_MAX) | (uint32_t)low.mask};
}

/* The smallest set that holds all numbers from `min` to `max`. */
struct sta__tnum sta__tnum_range(uint64_t min, uint64_t max);

/* The smallest number of the set that is above `n`; the largest one of all if none is. */
uint64_t sta__tnum_next(struct sta__tnum t, uint64_t n);

/* What both say. Bits that they disagree on come out as 1: there is no such number. */
struct sta__tnum sta__tnum_intersect(struct sta__tnum a, struct sta__tnum b);

/* What either may be. */
struct sta__tnum sta__tnum_union(struct sta__tnum a, struct sta__tnum b);

/* Whether some number is in both. */
bool sta__tnum_overlap(struct sta__tnum a, struct sta__tnum b);

/* Whether all numbers of `inner` are in `outer`. */
bool sta__tnum_contains(struct sta__tnum outer, struct sta__tnum inner);

struct sta__tnum sta__tnum_add(struct sta__tnum a, struct sta__tnum b);
struct sta__tnum sta__tnum_sub(struct sta__tnum a, struct sta__tnum b);
struct sta__tnum sta__tnum_and(struct sta__tnum a, struct sta__tnum b);
struct sta__tnum sta__tnum_or(struct sta__tnum a, struct sta__tnum b);
struct sta__tnum sta__tnum_xor(struct sta__tnum a, struct sta__tnum b);
struct sta__tnum sta__tnum_mul(struct sta__tnum a, struct sta__tnum b);
struct sta__tnum sta__tnum_lsh(struct sta__tnum a, unsigned shift);
struct sta__tnum sta__tnum_rsh(struct sta__tnum a, unsigned shift);

/* The lowest `bytes` bytes (2, 4, 8), in the opposite order; the rest is 0. */
struct sta__tnum sta__tnum_swap(struct sta__tnum a, unsigned bytes);

/* Arithmetic shift of the lower `width` bits (32 or 64); the rest is 0. */
struct sta__tnum sta__tnum_arsh(struct sta__tnum a, unsigned shift, unsigned width);

#endif
