/* SPDX-License-Identifier: MIT */
/*
 * Running ordinary C code where the vector registers belong to somebody else.
 */
#ifndef STA_BASE_VECTORS_H
#define STA_BASE_VECTORS_H

#include <stddef.h>
#include <stdint.h>

/* Finds out what there is to save on this processor. Idempotent, any thread. */
void sta__vectors_init(void);

/*
 * Calls fn(ctx, ctx_size, ret, user_data) with the x87, SSE, AVX and AVX-512 state of the caller
 * saved on the stack (up to 2.7 KiB) and restored. Tile registers (AMX) are left alone: a callback
 * must not touch them.
 */
int sta__call_with_vectors_saved(int (*fn)(void *, size_t, uint64_t *, void *), void *ctx,
                                 size_t ctx_size, uint64_t *ret, void *user_data);

#endif
