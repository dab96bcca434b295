/* SPDX-License-Identifier: MIT */
/*
 * Memory that does not come from malloc: the registry changes inside callbacks too, and the call
 * that a callback runs for may have been made by malloc, with malloc's lock held.
 *
 * Blocks of up to STA__ARENA_SMALL bytes are powers of two and kept in free lists; the smaller of
 * them are cut from chunks. Larger ones are mappings of their own. Not thread-safe: the owner's
 * lock protects it. Each change takes effect with one store, so an arena copied by fork in the
 * middle of a change is in order (a block may be lost).
 */
#ifndef STA_BASE_ARENA_H
#define STA_BASE_ARENA_H

#include <stddef.h>

#define STA__ARENA_MIN_SHIFT 6
#define STA__ARENA_MAX_SHIFT 20
#define STA__ARENA_SMALL     ((size_t)1 << STA__ARENA_MAX_SHIFT)

struct sta__arena_chunk;

/* Zero-initialised: empty. */
struct sta__arena {
    struct sta__arena_chunk *chunks;
    size_t chunk_used; /* bytes cut from the newest chunk */
    void *free[STA__ARENA_MAX_SHIFT - STA__ARENA_MIN_SHIFT + 1];
};

/* `size` > 0 bytes, aligned to a cache line, zeroed; NULL if the system has none. */
void *sta__arena_alloc(struct sta__arena *arena, size_t size);

/* Gives back a block of `size` bytes, the size it was asked for with. NULL is allowed. */
void sta__arena_free(struct sta__arena *arena, void *block, size_t size);

/* Gives all chunks back to the system, and with them every small block. */
void sta__arena_destroy(struct sta__arena *arena);

#endif
