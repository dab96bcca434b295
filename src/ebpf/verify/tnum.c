/* SPDX-License-Identifier: MIT */
#include "ebpf/verify/tnum.h"

struct sta__tnum sta__tnum_range(uint64_t min, uint64_t max)
{
    uint64_t differ = min ^ max;
    uint64_t mask;

    if (!differ)
        return sta__tnum_const(min);
    /* All bits from the highest one that differs downwards take both values on the way. */
    mask = UINT64_MAX >> __builtin_clzll(differ);
    return (struct sta__tnum){min & ~mask, mask};
}

uint64_t sta__tnum_next(struct sta__tnum t, uint64_t n)
{
    uint64_t least = n + 1, conflict, above, raised;

    if (n >= sta__tnum_max(t))
        return sta__tnum_max(t);
    conflict = (least ^ t.value) & ~t.mask;
    if (!conflict)
        return least;
    /* `least` and `t` part at the highest bit of `conflict`; all below is then t's own choice. */
    above = ~(UINT64_MAX >> __builtin_clzll(conflict));
    if (t.value >> (63 - __builtin_clzll(conflict)) & 1)
        return (least & above) | (t.value & ~above);
    /* There it has a 1 and t a 0: an unknown bit further up becomes 1. */
    raised = t.mask & ~least & above;
    raised &= -raised;
    above = ~(raised | (raised - 1));
    return (least & above) | raised | (t.value & ~above);
}

struct sta__tnum sta__tnum_intersect(struct sta__tnum a, struct sta__tnum b)
{
    uint64_t mask = a.mask & b.mask;

    return (struct sta__tnum){(a.value | b.value) & ~mask, mask};
}

struct sta__tnum sta__tnum_union(struct sta__tnum a, struct sta__tnum b)
{
    uint64_t mask = a.mask | b.mask | (a.value ^ b.value);

    return (struct sta__tnum){a.value & ~mask, mask};
}

bool sta__tnum_overlap(struct sta__tnum a, struct sta__tnum b)
{
    return ((a.value ^ b.value) & ~(a.mask | b.mask)) == 0;
}

bool sta__tnum_contains(struct sta__tnum outer, struct sta__tnum inner)
{
    return (inner.mask & ~outer.mask) == 0 && ((inner.value ^ outer.value) & ~outer.mask) == 0;
}

/* The sum with all unknown bits 0 and with all of them 1 differ in every bit that some carry can
 * reach; between these two, carries come and go independently. */
struct sta__tnum sta__tnum_add(struct sta__tnum a, struct sta__tnum b)
{
    uint64_t least = a.value + b.value;
    uint64_t most = sta__tnum_max(a) + sta__tnum_max(b);
    uint64_t mask = (least ^ most) | a.mask | b.mask;

    return (struct sta__tnum){least & ~mask, mask};
}

struct sta__tnum sta__tnum_sub(struct sta__tnum a, struct sta__tnum b)
{
    uint64_t least = a.value - sta__tnum_max(b);
    uint64_t most = sta__tnum_max(a) - b.value;
    uint64_t mask = (least ^ most) | a.mask | b.mask;

    return (struct sta__tnum){(a.value - b.value) & ~mask, mask};
}

struct sta__tnum sta__tnum_and(struct sta__tnum a, struct sta__tnum b)
{
    uint64_t ones = a.value & b.value;

    return (struct sta__tnum){ones, sta__tnum_max(a) & sta__tnum_max(b) & ~ones};
}

struct sta__tnum sta__tnum_or(struct sta__tnum a, struct sta__tnum b)
{
    uint64_t ones = a.value | b.value;

    return (struct sta__tnum){ones, (a.mask | b.mask) & ~ones};
}

struct sta__tnum sta__tnum_xor(struct sta__tnum a, struct sta__tnum b)
{
    uint64_t mask = a.mask | b.mask;

    return (struct sta__tnum){(a.value ^ b.value) & ~mask, mask};
}

/* Long multiplication: for each bit of `a`, `b` in its place is added, or not, or perhaps. */
struct sta__tnum sta__tnum_mul(struct sta__tnum a, struct sta__tnum b)
{
    struct sta__tnum sum = sta__tnum_const(0);

    for (; a.value | a.mask; a = sta__tnum_rsh(a, 1), b = sta__tnum_lsh(b, 1)) {
        if (a.value & 1)
            sum = sta__tnum_add(sum, b);
        else if (a.mask & 1)
            sum = sta__tnum_union(sum, sta__tnum_add(sum, b));
    }
    return sum;
}

struct sta__tnum sta__tnum_lsh(struct sta__tnum a, unsigned shift)
{
    return (struct sta__tnum){a.value << shift, a.mask << shift};
}

struct sta__tnum sta__tnum_rsh(struct sta__tnum a, unsigned shift)
{
    return (struct sta__tnum){a.value >> shift, a.mask >> shift};
}

/* An unknown sign bit fills with unknown bits, since the mask is shifted with its own sign. */
struct sta__tnum sta__tnum_arsh(struct sta__tnum a, unsigned shift, unsigned width)
{
    if (width == 32)
        return (struct sta__tnum){(uint32_t)((int32_t)a.value >> shift),
                                  (uint32_t)((int32_t)a.mask >> shift)};
    return (struct sta__tnum){(uint64_t)((int64_t)a.value >> shift),
                              (uint64_t)((int64_t)a.mask >> shift)};
}

struct sta__tnum sta__tnum_swap(struct sta__tnum a, unsigned bytes)
{
    unsigned down = 64 - bytes * 8;

    return (struct sta__tnum){__builtin_bswap64(a.value) >> down,
                              __builtin_bswap64(a.mask) >> down};
}
