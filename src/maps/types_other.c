/* SPDX-License-Identifier: MIT */
/* Ring buffers, queues, stacks, Bloom filters, prefixes: attributes and memory. */
#include <errno.h>

#include "base/pages.h"
#include "maps/bloom.h"
#include "maps/hash.h"
#include "maps/lpm.h"
#include "maps/queue.h"
#include "maps/ring.h"
#include "maps/types.h"

/* Ring buffers. */

static int check_ring(const struct sta__map_attributes *attributes, const char **why)
{
    uint32_t size = attributes->max_entries;

    if (attributes->key_size || attributes->value_size || size == 0 || size & (size - 1) ||
        size % STA__PAGE_SIZE) {
        *why = "key_size and value_size have to be 0, max_entries a power of two and whole pages";
        return -EINVAL;
    }
    return 0;
}

static void place_ring(struct sta_map *map, const struct sta__map_attributes *attributes,
                       struct sta__placer *placer)
{
    map->ring.consumer = sta__place(placer, 1, STA__PAGE_SIZE, STA__PAGE_SIZE);
    map->ring.producer = sta__place(placer, 1, STA__PAGE_SIZE, STA__PAGE_SIZE);
    map->ring.data = sta__place(placer, 1, attributes->max_entries, STA__PAGE_SIZE);
    map->ring.mask = attributes->max_entries - 1;
    map->ring.wake_fd = -1;
    map->again_size = attributes->max_entries;
    map->ops = &sta__ring_ops;
}

const struct sta__map_type sta__type_ringbuf = {
    .name = "ringbuf",
    .flags = BPF_F_NUMA_NODE,
    .check = check_ring,
    .place = place_ring,
};

/* Queues and stacks. */

static int check_queue(const struct sta__map_attributes *attributes, const char **why)
{
    if (attributes->key_size || attributes->value_size == 0 || attributes->max_entries == 0) {
        *why = "key_size has to be 0, value_size and max_entries must not be";
        return -EINVAL;
    }
    if (attributes->value_size > STA__KMALLOC_MAX) {
        *why = "the value is too large";
        return -E2BIG;
    }
    return 0;
}

static void place_queue(struct sta_map *map, const struct sta__map_attributes *attributes,
                        struct sta__placer *placer)
{
    map->queue.stride = sta__words_round(attributes->value_size);
    map->queue.values =
        sta__place(placer, attributes->max_entries, map->queue.stride, STA__CACHE_LINE);
    map->ops = attributes->type == BPF_MAP_TYPE_STACK ? &sta__stack_ops : &sta__queue_ops;
}

const struct sta__map_type sta__type_queue = {
    .name = "queue",
    .flags = BPF_F_NUMA_NODE | STA__FLAGS_ACCESS,
    .check = check_queue,
    .place = place_queue,
};

/* Bloom filters. */

#define HASHES_MAX     15
#define HASHES_DEFAULT 5

static int check_bloom(const struct sta__map_attributes *attributes, const char **why)
{
    if (attributes->key_size || attributes->value_size == 0 || attributes->max_entries == 0) {
        *why = "key_size has to be 0, value_size and max_entries must not be";
        return -EINVAL;
    }
    if (attributes->extra > HASHES_MAX) {
        *why = "map_extra is how many hashes, at most 15";
        return -EINVAL;
    }
    return 0;
}

static int check_bloom_value(const struct sta__map_attributes *attributes, const char **why)
{
    *why = "the value is too large";
    return attributes->value_size > STA__KMALLOC_MAX ? -E2BIG : 0;
}

static void place_bloom(struct sta_map *map, const struct sta__map_attributes *attributes,
                        struct sta__placer *placer)
{
    uint64_t wanted, bits = 64;

    map->bloom.hashes = attributes->extra ? (uint32_t)attributes->extra : HASHES_DEFAULT;
    /* Half of the bits set when it is full: entries * hashes / ln 2, which is about 7 / 5. */
    wanted = (uint64_t)attributes->max_entries * map->bloom.hashes * 7 / 5;
    while (bits < wanted)
        bits *= 2;
    map->bloom.mask = bits - 1;
    map->bloom.bits = sta__place(placer, bits / 64, 8, STA__CACHE_LINE);
    map->ops = &sta__bloom_ops;
}

const struct sta__map_type sta__type_bloom_filter = {
    .name = "bloom_filter",
    .flags = BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | STA__FLAGS_ACCESS,
    .has_extra = true,
    .check_first = check_bloom_value,
    .check = check_bloom,
    .place = place_bloom,
};

/* Longest prefix match. */

static int check_lpm(const struct sta__map_attributes *attributes, const char **why)
{
    if (attributes->max_entries == 0 || attributes->value_size == 0 ||
        !(attributes->flags & BPF_F_NO_PREALLOC)) {
        *why = "BPF_F_NO_PREALLOC has to be set, value_size and max_entries must not be 0";
        return -EINVAL;
    }
    if (attributes->key_size < sizeof(uint32_t) + 1 ||
        attributes->key_size > sizeof(uint32_t) + STA__LPM_DATA_MAX) {
        *why = "key_size has to be 4 and 1 to 256";
        return -EINVAL;
    }
    if (attributes->value_size > STA__KMALLOC_MAX - STA__LPM_DATA_MAX - 64) {
        *why = "the value is too large";
        return -EINVAL;
    }
    return sta__type_hash.check(attributes, why);
}

static void place_lpm(struct sta_map *map, const struct sta__map_attributes *attributes,
                      struct sta__placer *placer)
{
    sta__type_hash.place(map, attributes, placer);
    map->trie.longest = (attributes->key_size - (uint32_t)sizeof(uint32_t)) * 8;
    map->trie.lengths =
        sta__place(placer, map->trie.longest + 1, sizeof(uint32_t), STA__CACHE_LINE);
    map->ops = &sta__lpm_ops;
}

static void init_lpm(struct sta_map *map)
{
    sta__type_hash.init(map);
}

const struct sta__map_type sta__type_lpm_trie = {
    .name = "lpm_trie",
    .flags = BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | STA__FLAGS_ACCESS,
    .check = check_lpm,
    .place = place_lpm,
    .init = init_lpm,
};
