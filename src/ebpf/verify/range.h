/* SPDX-License-Identifier: MIT */
/*
 * What is known of a number: bits, and bounds of it as 64 and as 32 bits, with and without sign.
 * All hold at once. A range may be empty (a minimum above its maximum): on a path that is never
 * taken but that nobody noticed to be so.
 */
#ifndef STA_EBPF_VERIFY_RANGE_H
#define STA_EBPF_VERIFY_RANGE_H

#include "ebpf/verify/tnum.h"

#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define MIN(a, b) ((a) < (b) ? (a) : (b))

struct sta__range {
    struct sta__tnum bits;
    int64_t smin, smax;
    uint64_t umin, umax;
    int32_t smin32, smax32;
    uint32_t umin32, umax32;
};

void sta__range_unknown(struct sta__range *r);
void sta__range_const(struct sta__range *r, uint64_t value);

/* Forgets the bounds, but not the bits. */
void sta__range_forget_bounds(struct sta__range *r);
void sta__range_forget_64(struct sta__range *r);
void sta__range_forget_32(struct sta__range *r);

/* Bounds from bits. */
void sta__range_from_bits_32(struct sta__range *r);
void sta__range_from_bits(struct sta__range *r);

/* Derives all that follows from one part for the others. */
void sta__range_sync(struct sta__range *r);

/* The number is its lower half, zero-extended. */
void sta__range_zero_extend(struct sta__range *r);

/* The number is its lowest `size` bytes, zero- or sign-extended to 64 bits. */
void sta__range_truncate(struct sta__range *r, unsigned size);
void sta__range_sign_extend(struct sta__range *r, unsigned size);
/* Likewise to 32 bits; the upper half is undefined until sta__range_zero_extend(). */
void sta__range_sign_extend_32(struct sta__range *r, unsigned size);

/* Takes no number at all for any number: the proof is on a path that cannot be taken. */
void sta__range_check(struct sta__range *r);

/* Whether each number of `inner` is in `outer`. */
bool sta__range_contains(const struct sta__range *outer, const struct sta__range *inner);

bool sta__range_equal(const struct sta__range *a, const struct sta__range *b);

static inline bool sta__range_is_const(const struct sta__range *r)
{
    return sta__tnum_is_const(r->bits);
}

static inline bool sta__range_is_const_32(const struct sta__range *r)
{
    return (uint32_t)r->bits.mask == 0;
}

/* Does dst = dst OP src, as 64 or 32 bits; `op` is BPF_ADD to BPF_ARSH, BPF_NEG, BPF_DIV ... */
void sta__range_alu(struct sta__range *dst, struct sta__range src, uint8_t op, bool is_32);

/* The lowest `bytes` bytes, zero-extended; in the opposite order if `swaps`. */
void sta__range_bytes(struct sta__range *r, unsigned bytes, bool swaps);

/* dst += src without what follows from it; for numbers that differ by a constant. */
void sta__range_add(struct sta__range *dst, const struct sta__range *src);

/* Whether a OP b holds: 1, 0, or -1 if that is not known. `op` is BPF_JEQ ... BPF_JSLE. */
int sta__range_compare(const struct sta__range *a, const struct sta__range *b, uint8_t op,
                       bool is_32);

/* a OP b holds (or, if not `holds`, does not): narrows both. */
void sta__range_refine(struct sta__range *a, struct sta__range *b, uint8_t op, bool is_32,
                       bool holds);

#endif
