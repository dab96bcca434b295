/* SPDX-License-Identifier: MIT */
/*
 * Running ordinary C code where the vector registers belong to somebody else.
 */
#ifndef STA_BASE_VECTORS_H
#define STA_BASE_VECTORS_H

/* State components, by their bits in XCR0 (Intel SDM volume 1, chapter 13). */
#define STA__VECTORS_X87    0x01
#define STA__VECTORS_SSE    0x02 /* xmm0-15 */
#define STA__VECTORS_AVX    0x04 /* upper halves of ymm0-15 */
#define STA__VECTORS_K      0x20 /* k0-7 */
#define STA__VECTORS_HI256  0x40 /* upper halves of zmm0-15 */
#define STA__VECTORS_HI16   0x80 /* zmm16-31 */
#define STA__VECTORS_AVX512 (STA__VECTORS_K | STA__VECTORS_HI256 | STA__VECTORS_HI16)
#define STA__VECTORS_ALL \
    (STA__VECTORS_X87 | STA__VECTORS_SSE | STA__VECTORS_AVX | STA__VECTORS_AVX512)

#ifndef __ASSEMBLER__

#    include <stdatomic.h>
#    include <stddef.h>
#    include <stdint.h>

#    include "base/compiler.h"

/* Finds out what there is to save on this processor. Idempotent, any thread. */
void sta__vectors_init(void);

/* The same, but only once, as asking the processor takes long where it is a virtual one. */
void sta__vectors_need(void);

/*
 * After sta__vectors_need(): calls fn(ctx, ctx_size, ret, user_data) with the x87, SSE, AVX and
 * AVX-512 state of the caller saved on the stack and restored. What has its initial value is not
 * stored, and has it again afterwards, so that the processor and the kernel go on leaving it out.
 * The stack needed is 304 bytes while only xmm0-15 are in use, and up to 3032 with everything.
 *
 * fn starts with the caller's mxcsr and x87 control word, and with an empty x87 stack. It must
 * leave x87 as the ABI says, without MMX registers in use. Where x87 was not in use, its exception
 * pointers may change: nobody can have relied on them. Tile registers (AMX) are left alone: a
 * callback must not touch them. So is PKRU.
 */
int sta__call_with_vectors_saved(int (*fn)(void *, size_t, uint64_t *, void *), void *ctx,
                                 size_t ctx_size, uint64_t *ret, void *user_data);

/* For vectors.S, and for tests, which can choose the other ways by these. */
extern STA__HIDDEN _Atomic uint32_t sta__vectors_tracked; /* what xgetbv tells of; 0: it cannot */
extern STA__HIDDEN _Atomic uint32_t sta__vectors_mask;    /* for xsave; 0: only fxsave is there */
extern STA__HIDDEN _Atomic uint32_t sta__vectors_compact; /* xsavec is there */
extern STA__HIDDEN _Atomic uint64_t sta__vectors_size;    /* what xsave or fxsave need */

#endif
#endif
