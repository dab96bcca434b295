/* SPDX-License-Identifier: MIT */
/*
 * Keys and values, which others may be reading or writing at the same time: they are moved in words
 * of eight bytes, each of them whole. In maps they lie at multiples of eight bytes, and the last
 * word is filled up with zeroes. What callers hand over may lie anywhere.
 *
 * The accesses are relaxed: what orders them is the store that publishes an element.
 */
#ifndef STA_MAPS_WORDS_H
#define STA_MAPS_WORDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

typedef _Atomic uint64_t sta__word;
typedef uint64_t __attribute__((may_alias, aligned(1))) sta__word_anywhere;
typedef uint32_t __attribute__((may_alias, aligned(1))) sta__half_anywhere;

STA__INLINE uint32_t sta__words_round(uint32_t size)
{
    return (size + 7) & ~7u;
}

/* The last `size` bytes, fewer than eight, as a word. */
STA__INLINE uint64_t sta__word_of_rest(const void *from, uint32_t size)
{
    const uint8_t *bytes = from;
    uint64_t word = 0;

    if (size == 4)
        return *(const sta__half_anywhere *)from;
    for (uint32_t i = 0; i < size; i++)
        word |= (uint64_t)bytes[i] << 8 * i;
    return word;
}

/* Likewise of one to eight. */
STA__INLINE uint64_t sta__word_of(const void *from, uint32_t size)
{
    return size == 8 ? *(const sta__word_anywhere *)from : sta__word_of_rest(from, size);
}

STA__INLINE void sta__words_write(void *to, const void *from, uint32_t size)
{
    const char *bytes = from;
    sta__word *word = to;

    for (; size >= 8; size -= 8, bytes += 8)
        atomic_store_explicit(word++, *(const sta__word_anywhere *)bytes, memory_order_relaxed);
    if (size)
        atomic_store_explicit(word, sta__word_of_rest(bytes, size), memory_order_relaxed);
}

STA__INLINE void sta__words_read(void *to, const void *from, uint32_t size)
{
    const sta__word *word = from;
    char *bytes = to;
    uint64_t rest;

    for (; size >= 8; size -= 8, bytes += 8)
        *(sta__word_anywhere *)bytes = atomic_load_explicit(word++, memory_order_relaxed);
    if (size == 0)
        return;
    rest = atomic_load_explicit(word, memory_order_relaxed);
    for (uint32_t i = 0; i < size; i++)
        bytes[i] = (char)(rest >> 8 * i);
}

STA__INLINE void sta__words_clear(void *to, uint32_t size)
{
    sta__word *word = to;

    for (uint32_t i = 0; i < size; i += 8)
        atomic_store_explicit(word++, 0, memory_order_relaxed);
}

/* Whether what lies in a map is what a caller handed over. */
STA__INLINE bool sta__words_are(const void *in_map, const void *other, uint32_t size)
{
    const sta__word *word = in_map;
    const char *bytes = other;

    for (; size >= 8; size -= 8, bytes += 8) {
        if (atomic_load_explicit(word++, memory_order_relaxed) !=
            *(const sta__word_anywhere *)bytes)
            return false;
    }
    return size == 0 ||
           atomic_load_explicit(word, memory_order_relaxed) == sta__word_of_rest(bytes, size);
}

/* Mixes a word into a hash: the halves of a product depend on all bits of both factors. */
STA__INLINE uint64_t sta__words_mix(uint64_t hash, uint64_t word)
{
    unsigned __int128 product = (unsigned __int128)(hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

STA__INLINE uint64_t sta__words_hash(const void *key, uint32_t size, uint64_t seed)
{
    const char *bytes = key;

    for (; size >= 8; size -= 8, bytes += 8)
        seed = sta__words_mix(seed, *(const sta__word_anywhere *)bytes) + 1;
    if (size)
        seed = sta__words_mix(seed, sta__word_of_rest(bytes, size));
    return seed;
}

#endif
