/* SPDX-License-Identifier: MIT */
/*
 * Arithmetic on numbers of which only a range is known. Each operation is done for the bits and for
 * the four pairs of bounds by themselves; what one learns from another comes afterwards
 * (sta__range_sync).
 */
#include <linux/bpf.h>

#include "ebpf/verify/range.h"

static void add_unsigned(uint64_t *min, uint64_t *max, uint64_t add_min, uint64_t add_max,
                         uint64_t all_ones)
{
    uint64_t new_min = (*min + add_min) & all_ones, new_max = (*max + add_max) & all_ones;
    bool min_wraps = new_min < *min, max_wraps = new_max < *max;

    /* All sums wrap or none does: they are still in order. */
    if (min_wraps || !max_wraps) {
        *min = new_min;
        *max = new_max;
    } else {
        *min = 0;
        *max = all_ones;
    }
}

static void sub_unsigned(uint64_t *min, uint64_t *max, uint64_t sub_min, uint64_t sub_max,
                         uint64_t all_ones)
{
    uint64_t new_min = (*min - sub_max) & all_ones, new_max = (*max - sub_min) & all_ones;
    bool min_wraps = *min < sub_max, max_wraps = *max < sub_min;

    if (!min_wraps || max_wraps) {
        *min = new_min;
        *max = new_max;
    } else {
        *min = 0;
        *max = all_ones;
    }
}

static void add_64(struct sta__range *d, const struct sta__range *s)
{
    if (__builtin_add_overflow(d->smin, s->smin, &d->smin) ||
        __builtin_add_overflow(d->smax, s->smax, &d->smax)) {
        d->smin = INT64_MIN;
        d->smax = INT64_MAX;
    }
    add_unsigned(&d->umin, &d->umax, s->umin, s->umax, UINT64_MAX);
}

static void add_32(struct sta__range *d, const struct sta__range *s)
{
    uint64_t min = d->umin32, max = d->umax32;

    if (__builtin_add_overflow(d->smin32, s->smin32, &d->smin32) ||
        __builtin_add_overflow(d->smax32, s->smax32, &d->smax32)) {
        d->smin32 = INT32_MIN;
        d->smax32 = INT32_MAX;
    }
    add_unsigned(&min, &max, s->umin32, s->umax32, UINT32_MAX);
    d->umin32 = (uint32_t)min;
    d->umax32 = (uint32_t)max;
}

static void sub_64(struct sta__range *d, const struct sta__range *s)
{
    if (__builtin_sub_overflow(d->smin, s->smax, &d->smin) ||
        __builtin_sub_overflow(d->smax, s->smin, &d->smax)) {
        d->smin = INT64_MIN;
        d->smax = INT64_MAX;
    }
    sub_unsigned(&d->umin, &d->umax, s->umin, s->umax, UINT64_MAX);
}

static void sub_32(struct sta__range *d, const struct sta__range *s)
{
    uint64_t min = d->umin32, max = d->umax32;

    if (__builtin_sub_overflow(d->smin32, s->smax32, &d->smin32) ||
        __builtin_sub_overflow(d->smax32, s->smin32, &d->smax32)) {
        d->smin32 = INT32_MIN;
        d->smax32 = INT32_MAX;
    }
    sub_unsigned(&min, &max, s->umin32, s->umax32, UINT32_MAX);
    d->umin32 = (uint32_t)min;
    d->umax32 = (uint32_t)max;
}

void sta__range_add(struct sta__range *dst, const struct sta__range *src)
{
    add_32(dst, src);
    add_64(dst, src);
    dst->bits = sta__tnum_add(dst->bits, src->bits);
}

/* The extremes of a product are among the products of the extremes, if none of them overflows. */
static bool signed_products(const int64_t a[2], const int64_t b[2], int64_t *min, int64_t *max)
{
    bool overflows = false;

    for (int i = 0; i < 4; i++) {
        int64_t product = 0;

        overflows |= __builtin_mul_overflow(a[i & 1], b[i >> 1], &product);
        *min = i ? MIN(*min, product) : product;
        *max = i ? MAX(*max, product) : product;
    }
    return !overflows;
}

static void mul_64(struct sta__range *d, const struct sta__range *s)
{
    const int64_t a[2] = {d->smin, d->smax}, b[2] = {s->smin, s->smax};

    if (__builtin_mul_overflow(d->umax, s->umax, &d->umax) ||
        __builtin_mul_overflow(d->umin, s->umin, &d->umin)) {
        d->umin = 0;
        d->umax = UINT64_MAX;
    }
    if (!signed_products(a, b, &d->smin, &d->smax)) {
        d->smin = INT64_MIN;
        d->smax = INT64_MAX;
    }
}

static void mul_32(struct sta__range *d, const struct sta__range *s)
{
    const int64_t a[2] = {d->smin32, d->smax32}, b[2] = {s->smin32, s->smax32};
    int64_t min, max;

    if (__builtin_mul_overflow(d->umax32, s->umax32, &d->umax32) ||
        __builtin_mul_overflow(d->umin32, s->umin32, &d->umin32)) {
        d->umin32 = 0;
        d->umax32 = UINT32_MAX;
    }
    (void)signed_products(a, b, &min, &max); /* of 32 bits, no product overflows 64 */
    if (min >= INT32_MIN && max <= INT32_MAX) {
        d->smin32 = (int32_t)min;
        d->smax32 = (int32_t)max;
    } else {
        d->smin32 = INT32_MIN;
        d->smax32 = INT32_MAX;
    }
}

/* Signed bounds where the unsigned ones are all there is to know. */
static void signed_from_unsigned_64(struct sta__range *d)
{
    bool same_order = (int64_t)d->umin <= (int64_t)d->umax;

    d->smin = same_order ? (int64_t)d->umin : INT64_MIN;
    d->smax = same_order ? (int64_t)d->umax : INT64_MAX;
}

static void signed_from_unsigned_32(struct sta__range *d)
{
    bool same_order = (int32_t)d->umin32 <= (int32_t)d->umax32;

    d->smin32 = same_order ? (int32_t)d->umin32 : INT32_MIN;
    d->smax32 = same_order ? (int32_t)d->umax32 : INT32_MAX;
}

/* AND only clears bits, OR only sets them, XOR does as it likes. */
static void bitwise(struct sta__range *d, const struct sta__range *s, uint8_t op)
{
    if (op == BPF_AND) {
        d->bits = sta__tnum_and(d->bits, s->bits);
        d->umin = d->bits.value;
        d->umax = MIN(d->umax, s->umax);
        d->umin32 = (uint32_t)d->bits.value;
        d->umax32 = MIN(d->umax32, s->umax32);
    } else if (op == BPF_OR) {
        d->bits = sta__tnum_or(d->bits, s->bits);
        d->umin = MAX(d->umin, s->umin);
        d->umax = sta__tnum_max(d->bits);
        d->umin32 = MAX(d->umin32, s->umin32);
        d->umax32 = (uint32_t)sta__tnum_max(d->bits);
    } else {
        d->bits = sta__tnum_xor(d->bits, s->bits);
        d->umin = d->bits.value;
        d->umax = sta__tnum_max(d->bits);
        d->umin32 = (uint32_t)d->bits.value;
        d->umax32 = (uint32_t)sta__tnum_max(d->bits);
    }
    if (sta__tnum_is_const(d->bits)) {
        sta__range_const(d, d->bits.value);
        return;
    }
    signed_from_unsigned_64(d);
    signed_from_unsigned_32(d);
    sta__range_from_bits(d);
}

static void lsh_low(struct sta__range *d, unsigned shift)
{
    d->smin32 = INT32_MIN;
    d->smax32 = INT32_MAX;
    /* Bits shifted out: nothing is left to say. */
    if (d->umax32 > 1u << (31 - shift)) {
        d->umin32 = 0;
        d->umax32 = UINT32_MAX;
    } else {
        d->umin32 <<= shift;
        d->umax32 <<= shift;
    }
}

static void lsh_32(struct sta__range *d, unsigned shift)
{
    lsh_low(d, shift);
    d->bits = sta__tnum_low(sta__tnum_lsh(sta__tnum_low(d->bits), shift));
    sta__range_forget_64(d);
    sta__range_from_bits_32(d);
}

static void lsh_64(struct sta__range *d, unsigned shift)
{
    d->smin = INT64_MIN;
    d->smax = INT64_MAX;
    if (shift == 32) { /* half of a sign extension: the lower half alone decides */
        d->smin = (int64_t)((uint64_t)(int64_t)d->smin32 << 32);
        d->smax = (int64_t)((uint64_t)(int64_t)d->smax32 << 32);
    }
    if (d->umax > 1ull << (63 - shift)) {
        d->umin = 0;
        d->umax = UINT64_MAX;
    } else {
        d->umin <<= shift;
        d->umax <<= shift;
    }
    if (shift > 31)
        sta__range_forget_32(d);
    else
        lsh_low(d, shift);
    d->bits = sta__tnum_lsh(d->bits, shift);
    sta__range_from_bits(d);
}

static void rsh_32(struct sta__range *d, unsigned shift)
{
    d->smin32 = INT32_MIN;
    d->smax32 = INT32_MAX;
    d->umin32 >>= shift;
    d->umax32 >>= shift;
    d->bits = sta__tnum_rsh(sta__tnum_low(d->bits), shift);
    sta__range_forget_64(d);
    sta__range_from_bits_32(d);
}

static void rsh_64(struct sta__range *d, unsigned shift)
{
    d->smin = INT64_MIN;
    d->smax = INT64_MAX;
    d->umin >>= shift;
    d->umax >>= shift;
    d->bits = sta__tnum_rsh(d->bits, shift);
    sta__range_forget_32(d); /* bits of the upper half come down */
    sta__range_from_bits(d);
}

static void arsh_32(struct sta__range *d, unsigned shift)
{
    d->smin32 >>= shift;
    d->smax32 >>= shift;
    d->umin32 = 0;
    d->umax32 = UINT32_MAX;
    d->bits = sta__tnum_arsh(sta__tnum_low(d->bits), shift, 32);
    sta__range_forget_64(d);
    sta__range_from_bits_32(d);
}

static void arsh_64(struct sta__range *d, unsigned shift)
{
    d->smin >>= shift;
    d->smax >>= shift;
    d->umin = 0;
    d->umax = UINT64_MAX;
    d->bits = sta__tnum_arsh(d->bits, shift, 64);
    sta__range_forget_32(d);
    sta__range_from_bits(d);
}

/* Shifts by an unknown number, or by too large a one, say nothing; divisions neither. */
static bool is_tracked(const struct sta__range *src, uint8_t op, bool is_32)
{
    switch (op) {
    case BPF_ADD:
    case BPF_SUB:
    case BPF_NEG:
    case BPF_MUL:
    case BPF_AND:
    case BPF_OR:
    case BPF_XOR:
        return true;
    case BPF_LSH:
    case BPF_RSH:
    case BPF_ARSH:
        return is_32 ? sta__range_is_const_32(src) && src->umin32 == src->umax32 && src->umax32 < 32
                     : sta__range_is_const(src) && src->umin == src->umax && src->umax < 64;
    default:
        return false;
    }
}

void sta__range_alu(struct sta__range *dst, struct sta__range src, uint8_t op, bool is_32)
{
    unsigned shift = is_32 ? src.umax32 : (unsigned)src.umax;

    if (!is_tracked(&src, op, is_32)) {
        sta__range_unknown(dst);
        return;
    }
    switch (op) {
    case BPF_ADD:
        sta__range_add(dst, &src);
        break;
    case BPF_NEG:
        src = *dst;
        sta__range_const(dst, 0);
        /* fall through */
    case BPF_SUB:
        sub_32(dst, &src);
        sub_64(dst, &src);
        dst->bits = sta__tnum_sub(dst->bits, src.bits);
        break;
    case BPF_MUL:
        dst->bits = sta__tnum_mul(dst->bits, src.bits);
        mul_32(dst, &src);
        mul_64(dst, &src);
        break;
    case BPF_AND:
    case BPF_OR:
    case BPF_XOR:
        bitwise(dst, &src, op);
        break;
    case BPF_LSH:
        is_32 ? lsh_32(dst, shift) : lsh_64(dst, shift);
        break;
    case BPF_RSH:
        is_32 ? rsh_32(dst, shift) : rsh_64(dst, shift);
        break;
    default:
        is_32 ? arsh_32(dst, shift) : arsh_64(dst, shift);
    }
    if (is_32)
        sta__range_zero_extend(dst);
    sta__range_sync(dst);
}

/* The order of numbers is lost with the order of their bytes: only bits are left. */
void sta__range_bytes(struct sta__range *r, unsigned bytes, bool swaps)
{
    if (swaps) {
        r->bits = sta__tnum_swap(r->bits, bytes);
        sta__range_forget_bounds(r);
        sta__range_sync(r);
    } else if (bytes < 8) {
        sta__range_truncate(r, bytes);
    }
}
