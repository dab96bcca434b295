/* SPDX-License-Identifier: MIT */
/* Hash maps of all kinds: attributes and memory. */
#include <errno.h>

#include "maps/hash.h"
#include "maps/types.h"

#define FLAGS        (BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | STA__FLAGS_ACCESS | BPF_F_ZERO_SEED)
#define FLAGS_LRU    (FLAGS | BPF_F_NO_COMMON_LRU)
#define FLAGS_PERCPU (FLAGS & ~BPF_F_NUMA_NODE)

/* The kernel's own element, which counts in its limit. */
#define KERNEL_ELEM  48
#define CAPACITY_MAX (UINT32_C(1) << 30)

static int check(const struct sta__map_attributes *attributes, const char **why)
{
    if (attributes->key_size == 0 || attributes->value_size == 0 || attributes->max_entries == 0) {
        *why = "key_size, value_size and max_entries must not be 0";
        return -EINVAL;
    }
    if ((uint64_t)attributes->key_size + attributes->value_size >= STA__KMALLOC_MAX - KERNEL_ELEM) {
        *why = "key and value are too large";
        return -E2BIG;
    }
    if (attributes->max_entries > CAPACITY_MAX) {
        *why = "max_entries is too large";
        return -E2BIG;
    }
    return 0;
}

static int check_lru(const struct sta__map_attributes *attributes, const char **why)
{
    if (attributes->flags & BPF_F_NO_PREALLOC) {
        *why = "LRU maps are preallocated";
        return -STA__ENOTSUPP;
    }
    return check(attributes, why);
}

static int check_percpu(const struct sta__map_attributes *attributes, const char **why)
{
    int err = check(attributes, why);

    if (err == 0 && sta__words_round(attributes->value_size) > STA__PERCPU_MAX) {
        *why = "the value is too large to be per CPU";
        err = -E2BIG;
    }
    return err;
}

static int check_lru_percpu(const struct sta__map_attributes *attributes, const char **why)
{
    int err = check_lru(attributes, why);

    return err ? err : check_percpu(attributes, why);
}

static uint32_t buckets_of(uint32_t capacity)
{
    uint32_t buckets = 1;

    while (buckets < capacity)
        buckets *= 2;
    return buckets;
}

static const struct sta__map_ops *choose_ops(const struct sta__hash *hash, uint32_t key_size)
{
    if (hash->other_value || hash->elem_size != sta__hash_word_elem_size(key_size))
        return &sta__hash_ops;
    return key_size == 4    ? &sta__hash4_word_ops
           : key_size == 8  ? &sta__hash8_word_ops
           : key_size == 16 ? &sta__hash16_word_ops
                            : &sta__hash_ops;
}

static void place_elements(struct sta_map *map, const struct sta__map_attributes *attributes,
                           struct sta__placer *placer, bool is_percpu)
{
    struct sta__hash *hash = &map->hash;
    uint32_t value_size = sta__words_round(attributes->value_size);
    uint32_t buckets = buckets_of(attributes->max_entries);
    uint32_t end_of_key;

    hash->capacity = attributes->max_entries;
    hash->bucket_mask = buckets - 1;
    hash->seed = attributes->seed;
    end_of_key = (uint32_t)sizeof(struct sta__elem) + sta__words_round(attributes->key_size);
    if ((value_size > 8 || attributes->has_lock) && !is_percpu) {
        hash->value_at = end_of_key;
        hash->other_value = value_size;
    } else {
        hash->value_at = offsetof(struct sta__elem, word);
    }
    hash->elem_size = sta__hash_elem_size(end_of_key + 2 * hash->other_value);
    hash->free_words = (attributes->max_entries + 63) / 64;
    hash->buckets = sta__place(placer, buckets, sizeof(struct sta__bucket), STA__CACHE_LINE);
    hash->free_bits = sta__place(placer, hash->free_words, 8, STA__CACHE_LINE);
    hash->elems = sta__place(placer, hash->capacity, hash->elem_size, STA__CACHE_LINE);
    map->ops = choose_ops(hash, attributes->key_size);
}

static void place(struct sta_map *map, const struct sta__map_attributes *attributes,
                  struct sta__placer *placer)
{
    place_elements(map, attributes, placer, false);
}

static void place_lru(struct sta_map *map, const struct sta__map_attributes *attributes,
                      struct sta__placer *placer)
{
    place(map, attributes, placer);
    map->hash.is_lru = true;
    map->ops = &sta__lru_hash_ops;
}

static void place_percpu(struct sta_map *map, const struct sta__map_attributes *attributes,
                         struct sta__placer *placer)
{
    struct sta__hash *hash = &map->hash;

    place_elements(map, attributes, placer, true);
    hash->cpu_value_size = sta__words_round(attributes->value_size);
    hash->cpu_stride = ((size_t)hash->capacity * hash->cpu_value_size + STA__CACHE_LINE - 1) /
                       STA__CACHE_LINE * STA__CACHE_LINE;
    hash->cpu_values = sta__place(placer, attributes->cpus, hash->cpu_stride, STA__CACHE_LINE);
    map->ops = &sta__percpu_hash_ops;
}

static void place_lru_percpu(struct sta_map *map, const struct sta__map_attributes *attributes,
                             struct sta__placer *placer)
{
    place_percpu(map, attributes, placer);
    map->hash.is_lru = true;
}

static void init(struct sta_map *map)
{
    struct sta__hash *hash = &map->hash;

    for (uint32_t i = 0; i <= hash->bucket_mask; i++)
        atomic_init(&hash->buckets[i].first, STA__CHAIN_END | i);
    for (uint32_t i = 0; i < hash->capacity; i += 64) {
        uint32_t left = hash->capacity - i;

        atomic_init(&hash->free_bits[i / 64], left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1);
    }
    for (uint32_t i = 0; i < STA__HINTS; i++)
        atomic_init(&map->head->hints[i].word,
                    (uint32_t)((uint64_t)hash->free_words * i / STA__HINTS));
}

const struct sta__map_type sta__type_hash = {
    .name = "hash",
    .flags = FLAGS,
    .may_have_lock = true,
    .check = check,
    .place = place,
    .init = init,
};

const struct sta__map_type sta__type_lru_hash = {
    .name = "lru_hash",
    .flags = FLAGS_LRU,
    .check = check_lru,
    .place = place_lru,
    .init = init,
};

const struct sta__map_type sta__type_percpu_hash = {
    .name = "percpu_hash",
    .flags = FLAGS_PERCPU,
    .is_percpu = true,
    .check = check_percpu,
    .place = place_percpu,
    .init = init,
};

const struct sta__map_type sta__type_lru_percpu_hash = {
    .name = "lru_percpu_hash",
    .flags = FLAGS_LRU & ~BPF_F_NUMA_NODE,
    .is_percpu = true,
    .check = check_lru_percpu,
    .place = place_lru_percpu,
    .init = init,
};
