/* SPDX-License-Identifier: MIT */
/*
 * Bloom filters: a value that was added is found; one that was not may be. Each value sets as many
 * bits as there are hashes, one after the other without a lock: until the last is set it may not be
 * found. On the dispatch path.
 */
#include "maps/bloom.h"

#include <errno.h>

#include "maps/map_none.h"
#include "maps/shared.h"
#include "maps/words.h"

/* The bit of each hash: both halves of one long hash, one of them so many times. */
struct bits {
    uint64_t next, step;
};

static struct bits bits_of(const struct sta_map *map, const void *value)
{
    uint64_t hash = sta__words_hash(value, map->value_size, map->head->attributes.seed);
    struct bits bits = {.next = hash};

    bits.step = sta__words_mix(hash, UINT64_C(0xd6e8feb86659fd93)) | 1;
    return bits;
}

static long push(struct sta_map *map, const void *value, uint64_t flags)
{
    struct bits bits = bits_of(map, value);

    if (flags != BPF_ANY)
        return -EINVAL;
    for (uint32_t i = 0; i < map->bloom.hashes; i++, bits.next += bits.step) {
        uint64_t bit = bits.next & map->bloom.mask;

        /* Relaxed: bits mean nothing but themselves. */
        atomic_fetch_or_explicit(&map->bloom.bits[bit / 64], UINT64_C(1) << bit % 64,
                                 memory_order_relaxed);
    }
    return 0;
}

static long peek(struct sta_map *map, void *value)
{
    struct bits bits = bits_of(map, value);

    for (uint32_t i = 0; i < map->bloom.hashes; i++, bits.next += bits.step) {
        uint64_t bit = bits.next & map->bloom.mask;

        if (!(atomic_load_explicit(&map->bloom.bits[bit / 64], memory_order_relaxed) &
              UINT64_C(1) << bit % 64))
            return -ENOENT;
    }
    return 0;
}

static long write_value(struct sta_map *map, const void *key, const void *value, uint64_t flags)
{
    (void)key;
    return push(map, value, flags);
}

static long read_value(struct sta_map *map, const void *key, void *value)
{
    (void)key;
    return peek(map, value);
}

static long remove_none(struct sta_map *map, const void *key)
{
    (void)map, (void)key;
    return -EOPNOTSUPP;
}

static long next_none(struct sta_map *map, const void *key, void *next)
{
    (void)map, (void)key, (void)next;
    return -EOPNOTSUPP;
}

const struct sta__map_ops sta__bloom_ops = {
    .push = push,
    .peek = peek,
    .pop = sta__none_pop,
    .read = read_value,
    .write = write_value,
    .update = sta__none_update,
    .remove = remove_none,
    .next_key = next_none,
    STA__NO_LOOKUP,
    STA__NO_PERCPU,
    STA__NO_TAIL,
    STA__NO_EACH,
    STA__NO_TAKE,
};
