/* SPDX-License-Identifier: MIT */
/*
 * Hash maps with a value for each CPU. Elements hold the keys; the values of a CPU lie together, in
 * the order of the elements, so that CPUs do not write to each other's cache lines:
 *
 *      elements  │ values of CPU 0 │ values of CPU 1 │ ..
 *
 * Programs see the value of the CPU that their run leases, and write to that one only: in place, as
 * nobody else does. On the dispatch path.
 */
#include "maps/hash.h"
#include "maps/lease.h"
#include "maps/map_none.h"
#include "maps/shared.h"

#define NONE UINT32_MAX

static uint32_t index_of(const struct sta__hash *hash, const struct sta__elem *elem)
{
    return (uint32_t)((size_t)((const char *)elem - hash->elems) / hash->elem_size);
}

static void *lookup_percpu(struct sta_map *map, const void *key, uint32_t cpu)
{
    struct sta__elem *elem;

    if (cpu >= map->cpus)
        return NULL;
    elem = sta__hash_find(&map->hash, key, map->key_size);
    if (!elem)
        return NULL;
    if (map->hash.is_lru && !atomic_load_explicit(&elem->referenced, memory_order_relaxed))
        atomic_store_explicit(&elem->referenced, 1, memory_order_relaxed);
    return sta__hash_cpu_value(&map->hash, index_of(&map->hash, elem), cpu);
}

static void *lookup(struct sta_map *map, const void *key)
{
    return lookup_percpu(map, key, sta__lease_cpu());
}

/* The values of one element: that of one CPU (the others are 0 if it is new), or of all. */
struct written {
    const char *value;
    bool is_all;
    uint32_t cpu;
};

static void write_values(struct sta_map *map, uint32_t index, const struct written *written,
                         bool is_new)
{
    for (uint32_t cpu = 0; cpu < map->cpus; cpu++) {
        char *value = sta__hash_cpu_value(&map->hash, index, cpu);

        if (written->is_all)
            sta__words_write(value, written->value + (size_t)cpu * map->hash.cpu_value_size,
                             map->value_size);
        else if (cpu == written->cpu)
            sta__words_write(value, written->value, map->value_size);
        else if (is_new)
            sta__words_clear(value, map->value_size);
    }
}

static long write_values_of(struct sta_map *map, const void *key, const struct written *written,
                            uint64_t flags)
{
    uint32_t bucket = sta__hash_bucket_of(&map->hash, key, map->key_size);
    struct sta__hash_place place;
    struct sta__owner_guard guard;
    uint32_t index;
    long err;

    if (flags > BPF_EXIST)
        return -EINVAL;
    err = sta__hash_lock(map, bucket, &guard);
    if (err != 0)
        return err;
    if (sta__hash_find_place(&map->hash, bucket, key, map->key_size, &place)) {
        if (flags == BPF_NOEXIST)
            err = -EEXIST;
        else
            write_values(map, place.index, written, false);
    } else if (flags == BPF_EXIST) {
        err = -ENOENT;
    } else {
        index = map->hash.is_lru ? sta__hash_evict(map, bucket) : sta__hash_claim(map, bucket);
        if (index == NONE) {
            err = map->hash.is_lru ? -ENOMEM : -E2BIG;
        } else {
            write_values(map, index, written, true);
            sta__hash_publish(map, bucket, index, key);
        }
    }
    sta__hash_unlock(map, bucket, &guard);
    return err;
}

static long update(struct sta_map *map, const void *key, const void *value, uint64_t flags)
{
    struct written written = {.value = value};

    written.cpu = sta__lease_cpu();
    if (written.cpu >= map->cpus) /* CPUs that were said to be impossible */
        written.cpu %= map->cpus;
    return write_values_of(map, key, &written, flags);
}

static long write_all(struct sta_map *map, const void *key, const void *value, uint64_t flags)
{
    struct written written;

    written.value = value;
    written.is_all = true;
    written.cpu = 0;
    return write_values_of(map, key, &written, flags);
}

void sta__hash_read_cpus(struct sta_map *map, uint32_t index, void *values)
{
    for (uint32_t cpu = 0; cpu < map->cpus; cpu++)
        sta__words_read((char *)values + (size_t)cpu * map->hash.cpu_value_size,
                        sta__hash_cpu_value(&map->hash, index, cpu), map->hash.cpu_value_size);
}

static long read_locked(struct sta_map *map, const void *key, void *value, bool and_remove)
{
    uint32_t bucket = sta__hash_bucket_of(&map->hash, key, map->key_size);
    struct sta__hash_place place;
    struct sta__owner_guard guard;
    long err = sta__hash_lock(map, bucket, &guard);

    if (err != 0)
        return err;
    if (sta__hash_find_place(&map->hash, bucket, key, map->key_size, &place)) {
        sta__hash_read_cpus(map, place.index, value);
        if (and_remove)
            sta__hash_remove_locked(map, &place);
    } else {
        err = -ENOENT;
    }
    sta__hash_unlock(map, bucket, &guard);
    return err;
}

static long read_all(struct sta_map *map, const void *key, void *value)
{
    return read_locked(map, key, value, false);
}

static long take_all(struct sta_map *map, const void *key, void *value)
{
    return read_locked(map, key, value, true);
}

const struct sta__map_ops sta__percpu_hash_ops = {
    .lookup = lookup,
    .update = update,
    .remove = sta__hash_remove,
    .lookup_percpu = lookup_percpu,
    .for_each = sta__hash_for_each,
    .read = read_all,
    .write = write_all,
    .take = take_all,
    .next_key = sta__hash_next_key,
    STA__NO_TAIL,
    STA__NO_QUEUE,
};
