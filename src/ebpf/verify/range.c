/* SPDX-License-Identifier: MIT */
/* Bounds of a number. The deductions are as many and as strong as the kernel's, so that the same
 * programs pass; each is sound by itself, so their order and number decide only how much is found.
 */
#include "ebpf/verify/range.h"

#define HIGH(x) ((uint64_t)(x) & ~(uint64_t)UINT32_MAX)

void sta__range_forget_64(struct sta__range *r)
{
    r->smin = INT64_MIN;
    r->smax = INT64_MAX;
    r->umin = 0;
    r->umax = UINT64_MAX;
}

void sta__range_forget_32(struct sta__range *r)
{
    r->smin32 = INT32_MIN;
    r->smax32 = INT32_MAX;
    r->umin32 = 0;
    r->umax32 = UINT32_MAX;
}

void sta__range_forget_bounds(struct sta__range *r)
{
    sta__range_forget_64(r);
    sta__range_forget_32(r);
}

void sta__range_unknown(struct sta__range *r)
{
    r->bits = STA__TNUM_UNKNOWN;
    sta__range_forget_bounds(r);
}

void sta__range_const(struct sta__range *r, uint64_t value)
{
    r->bits = sta__tnum_const(value);
    r->smin = r->smax = (int64_t)value;
    r->umin = r->umax = value;
    r->smin32 = r->smax32 = (int32_t)value;
    r->umin32 = r->umax32 = (uint32_t)value;
}

static void narrow_s64(struct sta__range *r, int64_t min, int64_t max)
{
    r->smin = MAX(r->smin, min);
    r->smax = MIN(r->smax, max);
}

static void narrow_u64(struct sta__range *r, uint64_t min, uint64_t max)
{
    r->umin = MAX(r->umin, min);
    r->umax = MIN(r->umax, max);
}

static void narrow_s32(struct sta__range *r, int32_t min, int32_t max)
{
    r->smin32 = MAX(r->smin32, min);
    r->smax32 = MIN(r->smax32, max);
}

static void narrow_u32(struct sta__range *r, uint32_t min, uint32_t max)
{
    r->umin32 = MAX(r->umin32, min);
    r->umax32 = MIN(r->umax32, max);
}

/* With sign, the smallest number has an unknown sign bit set, and the largest has it clear. */
void sta__range_from_bits_32(struct sta__range *r)
{
    uint32_t value = (uint32_t)r->bits.value, mask = (uint32_t)r->bits.mask;
    uint32_t sign = 1u << 31;

    narrow_s32(r, (int32_t)(value | (mask & sign)), (int32_t)(value | (mask & ~sign)));
    narrow_u32(r, value, value | mask);
}

/* If only one number has such bits and is within such bounds, it is that one. */
static void find_only_one(struct sta__range *r)
{
    bool has_min = ((r->umin ^ r->bits.value) & ~r->bits.mask) == 0;
    uint64_t next = sta__tnum_next(r->bits, r->umin);

    if (has_min && next > r->umax)
        sta__range_const(r, r->umin);
    else if (!has_min && next == sta__tnum_max(r->bits))
        sta__range_const(r, next);
    else if (!has_min && next <= r->umax && sta__tnum_next(r->bits, next) > r->umax)
        sta__range_const(r, next);
}

static void from_bits_64(struct sta__range *r)
{
    uint64_t value = r->bits.value, mask = r->bits.mask;
    uint64_t sign = 1ull << 63;

    narrow_s64(r, (int64_t)(value | (mask & sign)), (int64_t)(value | (mask & ~sign)));
    narrow_u64(r, value, value | mask);
    find_only_one(r);
}

void sta__range_from_bits(struct sta__range *r)
{
    sta__range_from_bits_32(r);
    from_bits_64(r);
}

/* The lower halves of a 64-bit range from `min` to `max`. If the upper halves are equal, the lower
 * ones go from one to the other. */
static void low_of_64(struct sta__range *r, uint64_t min, uint64_t max)
{
    uint32_t low_min = (uint32_t)min, low_max = (uint32_t)max;

    if (HIGH(min) == HIGH(max)) {
        if (low_min <= low_max)
            narrow_u32(r, low_min, low_max);
        if ((int32_t)low_min <= (int32_t)low_max)
            narrow_s32(r, (int32_t)low_min, (int32_t)low_max);
    } else if ((uint32_t)(min >> 32) + 1 == (uint32_t)(max >> 32) && (int32_t)low_min < 0 &&
               (int32_t)low_max >= 0) {
        /* From below a multiple of 2^32 to above it: through 0. */
        narrow_s32(r, (int32_t)low_min, (int32_t)low_max);
    }
}

static void deduce_32(struct sta__range *r)
{
    low_of_64(r, r->umin, r->umax);
    low_of_64(r, (uint64_t)r->smin, (uint64_t)r->smax);
    /* Within one half of the numbers, those with and without sign are in the same order. */
    if ((int32_t)r->umin32 <= (int32_t)r->umax32)
        narrow_s32(r, (int32_t)r->umin32, (int32_t)r->umax32);
    if ((uint32_t)r->smin32 <= (uint32_t)r->smax32) {
        narrow_u32(r, (uint32_t)r->smin32, (uint32_t)r->smax32);
    } else if (r->umax32 < (uint32_t)r->smin32) { /* see deduce_64 */
        r->smin32 = (int32_t)r->umin32;
        r->umax32 = MIN(r->umax32, (uint32_t)r->smax32);
    } else if ((uint32_t)r->smax32 < r->umin32) {
        r->smax32 = (int32_t)r->umax32;
        r->umin32 = MAX(r->umin32, (uint32_t)r->smin32);
    }
}

static void deduce_64(struct sta__range *r)
{
    if ((int64_t)r->umin <= (int64_t)r->umax)
        narrow_s64(r, (int64_t)r->umin, (int64_t)r->umax);
    if ((uint64_t)r->smin <= (uint64_t)r->smax) {
        narrow_u64(r, (uint64_t)r->smin, (uint64_t)r->smax);
    } else if (r->umax < (uint64_t)r->smin) {
        /* Signed bounds around 0 are two pieces, [0, smax] and [smin, 2^64): only the first one
         * meets the unsigned bounds. */
        r->smin = (int64_t)r->umin;
        r->umax = MIN(r->umax, (uint64_t)r->smax);
    } else if ((uint64_t)r->smax < r->umin) {
        r->smax = (int64_t)r->umax;
        r->umin = MAX(r->umin, (uint64_t)r->smin);
    }
}

static void deduce_mixed(struct sta__range *r)
{
    /* The upper half of a bound with the lower half's own bound: no number between the two. */
    narrow_u64(r, HIGH(r->umin) | r->umin32, HIGH(r->umax) | r->umax32);
    narrow_s64(r, (int64_t)(HIGH(r->smin) | r->umin32), (int64_t)(HIGH(r->smax) | r->umax32));
    /* A number that is its lower half sign-extended, and that half is not negative: it is that
     * half. What was known of the whole is replaced, even if it was more. */
    if (r->smin32 >= 0 && r->smin >= INT32_MIN && r->smax <= INT32_MAX) {
        r->smin = r->smin32;
        r->smax = r->smax32;
        r->umin = (uint64_t)r->smin;
        r->umax = (uint64_t)r->smax;
        r->bits = sta__tnum_intersect(r->bits, sta__tnum_range(r->umin, r->umax));
    }
}

static void deduce(struct sta__range *r)
{
    deduce_32(r);
    deduce_64(r);
    deduce_mixed(r);
}

static void bits_from_bounds(struct sta__range *r)
{
    struct sta__tnum all = sta__tnum_intersect(r->bits, sta__tnum_range(r->umin, r->umax));
    struct sta__tnum low =
        sta__tnum_intersect(sta__tnum_low(all), sta__tnum_range(r->umin32, r->umax32));

    r->bits = sta__tnum_with_low(all, low);
}

void sta__range_sync(struct sta__range *r)
{
    sta__range_from_bits(r);
    deduce(r);
    deduce(r);
    deduce(r);
    bits_from_bounds(r);
    sta__range_from_bits(r);
}

void sta__range_zero_extend(struct sta__range *r)
{
    r->bits = sta__tnum_low(r->bits);
    r->umin = r->umin32;
    r->umax = r->umax32;
    if (r->smin32 >= 0 && r->smax32 >= 0) {
        r->smin = r->smin32;
        r->smax = r->smax32;
    } else {
        r->smin = 0;
        r->smax = UINT32_MAX;
    }
}

void sta__range_truncate(struct sta__range *r, unsigned size)
{
    uint64_t mask = size < 8 ? (1ull << size * 8) - 1 : UINT64_MAX;

    r->bits.value &= mask;
    r->bits.mask &= mask;
    if ((r->umin & ~mask) == (r->umax & ~mask)) {
        r->umin &= mask;
        r->umax &= mask;
    } else {
        r->umin = 0;
        r->umax = mask;
    }
    r->smin = (int64_t)r->umin;
    r->smax = (int64_t)r->umax;
    if (size < 4)
        sta__range_forget_32(r);
    sta__range_sync(r);
}

void sta__range_check(struct sta__range *r)
{
    bool is_const = sta__tnum_is_const(r->bits);
    bool is_const_32 = (uint32_t)r->bits.mask == 0;

    if (r->umin > r->umax || r->smin > r->smax || r->umin32 > r->umax32 || r->smin32 > r->smax32 ||
        (is_const && (r->umin != r->bits.value || r->umax != r->bits.value ||
                      r->smin != (int64_t)r->bits.value || r->smax != (int64_t)r->bits.value)) ||
        (is_const_32 &&
         (r->umin32 != (uint32_t)r->bits.value || r->umax32 != (uint32_t)r->bits.value ||
          r->smin32 != (int32_t)r->bits.value || r->smax32 != (int32_t)r->bits.value)))
        sta__range_forget_bounds(r);
}

bool sta__range_contains(const struct sta__range *outer, const struct sta__range *inner)
{
    return outer->umin <= inner->umin && outer->umax >= inner->umax && outer->smin <= inner->smin &&
           outer->smax >= inner->smax && outer->umin32 <= inner->umin32 &&
           outer->umax32 >= inner->umax32 && outer->smin32 <= inner->smin32 &&
           outer->smax32 >= inner->smax32 && sta__tnum_contains(outer->bits, inner->bits);
}

bool sta__range_equal(const struct sta__range *a, const struct sta__range *b)
{
    return a->bits.value == b->bits.value && a->bits.mask == b->bits.mask && a->umin == b->umin &&
           a->umax == b->umax && a->smin == b->smin && a->smax == b->smax &&
           a->umin32 == b->umin32 && a->umax32 == b->umax32 && a->smin32 == b->smin32 &&
           a->smax32 == b->smax32;
}

/*
 * Sign extension of the lowest `size` bytes of a number of 8 or 4 bytes, of which the signed bounds
 * are given: the result's. It keeps the order only while the bits above do not change on the way
 * and the sign does not either.
 */
static bool sign_extend_bounds(int64_t *min, int64_t *max, unsigned size)
{
    unsigned up = 64 - size * 8;
    int64_t low = (int64_t)((uint64_t)*min << up) >> up;
    int64_t high = (int64_t)((uint64_t)*max << up) >> up;

    if ((uint64_t)*min >> size * 8 == (uint64_t)*max >> size * 8 && (low < 0) == (high < 0)) {
        *min = MIN(low, high);
        *max = MAX(low, high);
        return true;
    }
    *min = INT64_MIN >> up;
    *max = INT64_MAX >> up;
    return false;
}

void sta__range_sign_extend(struct sta__range *r, unsigned size)
{
    unsigned up = 64 - size * 8;
    int64_t min = r->smin, max = r->smax;

    if (sta__tnum_is_const(r->bits)) {
        sta__range_const(r, (uint64_t)((int64_t)(r->bits.value << up) >> up));
        return;
    }
    if (sign_extend_bounds(&min, &max, size)) {
        r->umin = (uint64_t)min;
        r->umax = (uint64_t)max;
        r->umin32 = (uint32_t)min;
        r->umax32 = (uint32_t)max;
        r->bits = sta__tnum_range((uint64_t)min, (uint64_t)max);
    } else {
        r->umin = 0;
        r->umax = UINT64_MAX;
        r->umin32 = 0;
        r->umax32 = UINT32_MAX;
        r->bits = STA__TNUM_UNKNOWN;
    }
    r->smin = min;
    r->smax = max;
    r->smin32 = (int32_t)min;
    r->smax32 = (int32_t)max;
}

void sta__range_sign_extend_32(struct sta__range *r, unsigned size)
{
    unsigned up = 32 - size * 8;
    int64_t min = r->smin32, max = r->smax32;

    if (sta__tnum_is_const(r->bits)) {
        sta__range_const(r, (uint32_t)((int32_t)((uint32_t)r->bits.value << up) >> up));
        return;
    }
    if (sign_extend_bounds(&min, &max, size)) {
        r->umin32 = (uint32_t)min;
        r->umax32 = (uint32_t)max;
        r->bits = sta__tnum_low(sta__tnum_range((uint64_t)min, (uint64_t)max));
    } else {
        r->umin32 = 0;
        r->umax32 = UINT32_MAX;
        r->bits = sta__tnum_low(STA__TNUM_UNKNOWN);
    }
    r->smin32 = (int32_t)min;
    r->smax32 = (int32_t)max;
}
