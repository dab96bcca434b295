/* SPDX-License-Identifier: MIT */
/* Going through all elements of a hash map. On the dispatch path. */
#include "base/memory.h"
#include "maps/hash.h"
#include "maps/shared.h"

/* The key of an element that a chain led to. False: it is another chain's by now. */
static bool read_key(struct sta_map *map, uint32_t bucket, uint32_t index, void *key)
{
    struct sta__elem *elem = sta__hash_elem(&map->hash, index);
    uint32_t version;

    do {
        version = atomic_load_explicit(&elem->version, memory_order_acquire);
        /* Acquire: who sees that the key is not being written reads what was written. */
        if (atomic_load_explicit(&elem->next, memory_order_acquire) == STA__CHAIN_BUSY ||
            atomic_load_explicit(&elem->owner, memory_order_acquire) != bucket + 1)
            return false;
        sta__words_read(key, elem->key, map->key_size);
    } while (!sta__hash_is_settled(elem, version));
    return true;
}

/* The first key of the first bucket from `bucket` on that has one. */
static long first_from(struct sta_map *map, uint64_t bucket, void *next)
{
    struct sta__hash *hash = &map->hash;

    while (bucket <= hash->bucket_mask) {
        uint32_t first = atomic_load_explicit(&hash->buckets[bucket].first, memory_order_acquire);

        if (first >= hash->capacity)
            bucket++;
        else if (read_key(map, (uint32_t)bucket, first, next))
            return 0;
    }
    return -ENOENT;
}

static long note_cursor(struct sta_map *map, const void *next, long err)
{
    /* Relaxed: it counts for whoever comes with that key and nobody else. */
    if (err == 0)
        atomic_store_explicit(&map->hash.cursor,
                              sta__words_hash(next, map->key_size, map->hash.seed),
                              memory_order_relaxed);
    return err;
}

/*
 * The order is that of the buckets, and of the chains. A key that is not in the map has no place in
 * it: what comes after it is the first key, as in the kernel; those who want the first one may ask
 * so. But the key that was given last is remembered, and when it has been removed since, the walk
 * goes on from its bucket, so that it comes to an end however often that happens.
 */
long sta__hash_next_key(struct sta_map *map, const void *key, void *next)
{
    struct sta__hash *hash = &map->hash;
    uint64_t mixed;
    uint32_t bucket;

    if (!key)
        return note_cursor(map, next, first_from(map, 0, next));
    mixed = sta__words_hash(key, map->key_size, hash->seed);
    bucket = (uint32_t)mixed & hash->bucket_mask;
    for (;;) {
        struct sta__elem *elem = sta__hash_find(hash, key, map->key_size);
        uint32_t link;

        if (!elem)
            break;
        link = atomic_load_explicit(&elem->next, memory_order_acquire);
        if (link == (STA__CHAIN_END | bucket))
            return note_cursor(map, next, first_from(map, (uint64_t)bucket + 1, next));
        if (link < hash->capacity && read_key(map, bucket, link, next))
            return note_cursor(map, next, 0);
    }
    if (atomic_load_explicit(&hash->cursor, memory_order_relaxed) != mixed)
        bucket = 0;
    return note_cursor(map, next, first_from(map, bucket, next));
}

/* The walk may remove what it visits, and add; it may then meet elements twice or not at all. */
long sta__hash_for_each(struct sta_map *map, sta__map_visit visit, void *data)
{
    struct sta__hash *hash = &map->hash;
    long visited = 0;

    for (uint64_t bucket = 0; bucket <= hash->bucket_mask; bucket++) {
        uint32_t link = atomic_load_explicit(&hash->buckets[bucket].first, memory_order_acquire);

        while (link < hash->capacity) {
            struct sta__elem *elem = sta__hash_elem(hash, link);
            void *value =
                hash->cpu_values ? map->ops->lookup(map, elem->key) : sta__hash_value(hash, elem);

            link = atomic_load_explicit(&elem->next, memory_order_acquire);
            if (!value)
                continue;
            visited++;
            if (visit(map, elem->key, value, data))
                return visited;
        }
    }
    return visited;
}

long sta__hash_read_bucket(struct sta_map *map, uint32_t bucket, const struct sta__hash_batch *to)
{
    struct sta__hash *hash = &map->hash;
    struct sta__hash_place place;
    struct sta__owner_guard guard;
    uint32_t count = 0;
    uint32_t value_size = hash->cpu_values ? map->cpus * hash->cpu_value_size : map->value_size;
    long err = sta__hash_lock(map, bucket, &guard);

    if (err != 0)
        return err;
    place.link = &hash->buckets[bucket].first;
    /* A chain that is longer than the map, or another one by now: some other process wrote to it.
     */
    for (uint32_t i = *place.link; i < hash->capacity && count < hash->capacity;
         i = sta__hash_elem(hash, i)->next)
        count++;
    for (uint32_t i = 0; i < count && count <= to->room; i++) {
        place.index = atomic_load_explicit(place.link, memory_order_relaxed);
        if (place.index >= hash->capacity) {
            count = i;
            break;
        }
        place.elem = sta__hash_elem(hash, place.index);
        sta__words_read((char *)to->keys + (size_t)i * map->key_size, place.elem->key,
                        map->key_size);
        if (hash->cpu_values)
            sta__hash_read_cpus(map, place.index, (char *)to->values + (size_t)i * value_size);
        else
            sta__hash_copy_value(map, place.elem, (char *)to->values + (size_t)i * value_size,
                                 to->with_lock);
        if (to->and_remove)
            sta__hash_remove_locked(map, &place);
        else
            place.link = &place.elem->next;
    }
    sta__hash_unlock(map, bucket, &guard);
    return count;
}
