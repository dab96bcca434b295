/* SPDX-License-Identifier: MIT */
/* Comparisons of numbers: whether their result is known, and what it says of the two. */
#include <linux/bpf.h>

#include "ebpf/verify/range.h"

/* One width's view of a range. */
struct view {
    struct sta__tnum bits;
    uint64_t umin, umax;
    int64_t smin, smax;
};

static struct view view_of(const struct sta__range *r, bool is_32)
{
    if (is_32)
        return (struct view){sta__tnum_low(r->bits), r->umin32, r->umax32, r->smin32, r->smax32};
    return (struct view){r->bits, r->umin, r->umax, r->smin, r->smax};
}

static bool are_apart(const struct view *a, const struct view *b)
{
    return a->umin > b->umax || a->umax < b->umin || a->smin > b->smax || a->smax < b->smin;
}

static int equal(const struct sta__range *ra, const struct sta__range *rb, bool is_32)
{
    struct view a = view_of(ra, is_32), b = view_of(rb, is_32);

    if (sta__tnum_is_const(a.bits) && sta__tnum_is_const(b.bits))
        return a.bits.value == b.bits.value;
    if (!sta__tnum_overlap(a.bits, b.bits) || are_apart(&a, &b))
        return 0;
    if (!is_32) { /* equal numbers have equal lower halves */
        a = view_of(ra, true);
        b = view_of(rb, true);
        if (are_apart(&a, &b))
            return 0;
    }
    return -1;
}

static int unsigned_above(const struct view *a, const struct view *b)
{
    return a->umin > b->umax ? 1 : a->umax <= b->umin ? 0 : -1;
}

static int signed_above(const struct view *a, const struct view *b)
{
    return a->smin > b->smax ? 1 : a->smax <= b->smin ? 0 : -1;
}

static int any_bit(struct view a, struct view b)
{
    if (!sta__tnum_is_const(b.bits)) {
        struct view other = a;

        a = b;
        b = other;
    }
    if (!sta__tnum_is_const(b.bits))
        return -1;
    if (a.bits.value & b.bits.value)
        return 1;
    return sta__tnum_max(a.bits) & b.bits.value ? -1 : 0;
}

static int opposite(int known)
{
    return known < 0 ? known : !known;
}

int sta__range_compare(const struct sta__range *ra, const struct sta__range *rb, uint8_t op,
                       bool is_32)
{
    struct view a = view_of(ra, is_32), b = view_of(rb, is_32);

    switch (op) {
    case BPF_JEQ:
        return equal(ra, rb, is_32);
    case BPF_JNE:
        return opposite(equal(ra, rb, is_32));
    case BPF_JSET:
        return any_bit(a, b);
    case BPF_JGT:
        return unsigned_above(&a, &b);
    case BPF_JLT:
        return unsigned_above(&b, &a);
    case BPF_JGE:
        return opposite(unsigned_above(&b, &a));
    case BPF_JLE:
        return opposite(unsigned_above(&a, &b));
    case BPF_JSGT:
        return signed_above(&a, &b);
    case BPF_JSLT:
        return signed_above(&b, &a);
    case BPF_JSGE:
        return opposite(signed_above(&b, &a));
    default: /* BPF_JSLE */
        return opposite(signed_above(&a, &b));
    }
}

static void refine_equal(struct sta__range *a, struct sta__range *b, bool is_32)
{
    if (is_32) {
        struct sta__tnum low = sta__tnum_intersect(sta__tnum_low(a->bits), sta__tnum_low(b->bits));

        a->umin32 = b->umin32 = MAX(a->umin32, b->umin32);
        a->umax32 = b->umax32 = MIN(a->umax32, b->umax32);
        a->smin32 = b->smin32 = MAX(a->smin32, b->smin32);
        a->smax32 = b->smax32 = MIN(a->smax32, b->smax32);
        a->bits = sta__tnum_with_low(a->bits, low);
        b->bits = sta__tnum_with_low(b->bits, low);
        return;
    }
    a->umin = b->umin = MAX(a->umin, b->umin);
    a->umax = b->umax = MIN(a->umax, b->umax);
    a->smin = b->smin = MAX(a->smin, b->smin);
    a->smax = b->smax = MIN(a->smax, b->smax);
    a->bits = b->bits = sta__tnum_intersect(a->bits, b->bits);
}

static bool is_const(const struct sta__range *r, bool is_32)
{
    return is_32 ? sta__range_is_const_32(r) : sta__range_is_const(r);
}

/* Only a number at the edge of the range can be cut off. */
static void refine_unequal(struct sta__range *a, struct sta__range *b, bool is_32)
{
    struct sta__range *r = is_const(b, is_32) ? a : b;
    uint64_t value = is_const(b, is_32) ? b->bits.value : a->bits.value;

    if (!is_const(a, is_32) && !is_const(b, is_32))
        return;
    if (is_32) {
        r->umin32 += r->umin32 == (uint32_t)value;
        r->umax32 -= r->umax32 == (uint32_t)value;
        r->smin32 = (int32_t)((uint32_t)r->smin32 + (r->smin32 == (int32_t)value));
        r->smax32 = (int32_t)((uint32_t)r->smax32 - (r->smax32 == (int32_t)value));
        return;
    }
    r->umin += r->umin == value;
    r->umax -= r->umax == value;
    r->smin = (int64_t)((uint64_t)r->smin + (r->smin == (int64_t)value));
    r->smax = (int64_t)((uint64_t)r->smax - (r->smax == (int64_t)value));
}

/* `a & b` is not 0, or is: says something of the other if one is known. */
static void refine_bits(struct sta__range *a, struct sta__range *b, bool is_32, bool any)
{
    struct sta__range *r = is_const(b, is_32) ? a : b;
    uint64_t value = is_const(b, is_32) ? b->bits.value : a->bits.value;
    struct sta__tnum bits;

    if (!is_const(a, is_32) && !is_const(b, is_32))
        return;
    if (is_32)
        value = (uint32_t)value;
    bits = is_32 ? sta__tnum_low(r->bits) : r->bits;
    if (!any)
        bits = sta__tnum_and(bits, sta__tnum_const(~value));
    else if (value && !(value & (value - 1))) /* a single bit: that one is set */
        bits = sta__tnum_or(bits, sta__tnum_const(value));
    else
        return;
    r->bits = is_32 ? sta__tnum_with_low(r->bits, bits) : bits;
}

/* a < b, or a <= b. No bound wraps: a comparison that cannot hold was decided before. */
static void refine_below(struct sta__range *a, struct sta__range *b, bool is_32, bool is_signed,
                         bool or_equal)
{
    int gap = or_equal ? 0 : 1;

    if (is_32 && is_signed) {
        a->smax32 = MIN(a->smax32, (int32_t)((uint32_t)b->smax32 - gap));
        b->smin32 = MAX((int32_t)((uint32_t)a->smin32 + gap), b->smin32);
    } else if (is_32) {
        a->umax32 = MIN(a->umax32, b->umax32 - gap);
        b->umin32 = MAX(a->umin32 + gap, b->umin32);
    } else if (is_signed) {
        a->smax = MIN(a->smax, (int64_t)((uint64_t)b->smax - gap));
        b->smin = MAX((int64_t)((uint64_t)a->smin + gap), b->smin);
    } else {
        a->umax = MIN(a->umax, b->umax - gap);
        b->umin = MAX(a->umin + gap, b->umin);
    }
}

void sta__range_refine(struct sta__range *a, struct sta__range *b, uint8_t op, bool is_32,
                       bool holds)
{
    switch (op) {
    case BPF_JEQ:
    case BPF_JNE:
        if ((op == BPF_JEQ) == holds)
            refine_equal(a, b, is_32);
        else
            refine_unequal(a, b, is_32);
        break;
    case BPF_JSET:
        refine_bits(a, b, is_32, holds);
        break;
    case BPF_JGT:
    case BPF_JSGT:
        holds ? refine_below(b, a, is_32, op == BPF_JSGT, false)
              : refine_below(a, b, is_32, op == BPF_JSGT, true);
        break;
    case BPF_JGE:
    case BPF_JSGE:
        holds ? refine_below(b, a, is_32, op == BPF_JSGE, true)
              : refine_below(a, b, is_32, op == BPF_JSGE, false);
        break;
    case BPF_JLT:
    case BPF_JSLT:
        holds ? refine_below(a, b, is_32, op == BPF_JSLT, false)
              : refine_below(b, a, is_32, op == BPF_JSLT, true);
        break;
    default: /* BPF_JLE, BPF_JSLE */
        holds ? refine_below(a, b, is_32, op == BPF_JSLE, true)
              : refine_below(b, a, is_32, op == BPF_JSLE, false);
    }
    sta__range_sync(a);
    sta__range_sync(b);
}
