/* SPDX-License-Identifier: MIT */
/* On the dispatch path: see object_array.h. */
#include "maps/object_array.h"

#include <errno.h>

#include "maps/array.h"
#include "maps/hash.h"
#include "maps/map_none.h"
#include "maps/objects.h"
#include "maps/objects_held.h"
#include "maps/words.h"

static sta__word *element(struct sta_map *map, uint32_t index)
{
    return &map->objects.ids[index];
}

/* Acquire, here and below: what a number stands for was noted before it was stored. */
static uint32_t id_at(struct sta_map *map, uint32_t index)
{
    if (index >= map->max_entries)
        return 0;
    return (uint32_t)atomic_load_explicit(element(map, index), memory_order_acquire);
}

enum sta__object_class sta__objects_class(const struct sta_map *map)
{
    switch (map->type) {
    case BPF_MAP_TYPE_ARRAY_OF_MAPS:
    case BPF_MAP_TYPE_HASH_OF_MAPS:
        return STA__OBJECT_MAP;
    case BPF_MAP_TYPE_PROG_ARRAY:
        return STA__OBJECT_PROGRAM;
    case BPF_MAP_TYPE_PERF_EVENT_ARRAY:
        return STA__OBJECT_RING;
    default:
        return STA__OBJECT_NONE;
    }
}

bool sta__map_is_like(const struct sta_map *wanted, const struct sta_map *map)
{
    if (map->type != wanted->type || map->key_size != wanted->key_size ||
        map->value_size != wanted->value_size || map->flags != wanted->flags ||
        map->has_lock != wanted->has_lock || map->lock_at != wanted->lock_at)
        return false;
    return map->type != BPF_MAP_TYPE_ARRAY || map->flags & BPF_F_INNER_MAP ||
           map->max_entries == wanted->max_entries;
}

/* Other processes write numbers, too: those of other things lead nowhere. */
static void *find_class(uint32_t id, enum sta__object_class class)
{
    return sta__object_class_of(id) == class ? sta__object_find(id) : NULL;
}

static void *find_inner(const struct sta_map *map, uint32_t id)
{
    struct sta_map *inner = find_class(id, STA__OBJECT_MAP);

    return inner && sta__map_is_like(map->inner, inner) ? inner : NULL;
}

static long update_refused(struct sta_map *map, const void *key, const void *value, uint64_t flags)
{
    (void)value;
    if (flags != BPF_ANY)
        return -EINVAL;
    return sta__array_index(key) >= map->max_entries ? -E2BIG : -EBADF;
}

static long remove_object(struct sta_map *map, const void *key)
{
    uint32_t index = sta__array_index(key), id;

    if (index >= map->max_entries)
        return -E2BIG;
    id = (uint32_t)atomic_exchange_explicit(element(map, index), 0, memory_order_acq_rel);
    sta__held_put(map, id);
    return id ? 0 : -ENOENT;
}

/* Hosts see the number. */
static long read_id(struct sta_map *map, const void *key, void *value)
{
    uint32_t id = id_at(map, sta__array_index(key));

    if (id == 0)
        return -ENOENT;
    *(sta__half_anywhere *)value = id;
    return 0;
}

static const struct sta__tail_target *tail_target(struct sta_map *map, uint32_t index)
{
    if (atomic_load_explicit(&map->objects.is_left, memory_order_relaxed))
        return NULL;
    return find_class(id_at(map, index), STA__OBJECT_PROGRAM);
}

static void *lookup_map(struct sta_map *map, const void *key)
{
    return find_inner(map, id_at(map, sta__array_index(key)));
}

#define ARRAY                                                                   \
    .update = update_refused, .write = update_refused, .remove = remove_object, \
    .next_key = sta__array_next_key, STA__NO_PERCPU, STA__NO_QUEUE, STA__NO_EACH, STA__NO_TAKE

const struct sta__map_ops sta__prog_array_ops = {
    .read = read_id,
    .tail_target = tail_target,
    STA__NO_LOOKUP,
    ARRAY,
};

const struct sta__map_ops sta__perf_event_array_ops = {
    STA__NO_READ,
    STA__NO_LOOKUP,
    STA__NO_TAIL,
    ARRAY,
};

const struct sta__map_ops sta__array_of_maps_ops = {
    .lookup = lookup_map,
    .read = read_id,
    STA__NO_TAIL,
    ARRAY,
};

/* Hash maps of maps: the elements are those of a hash map with a value of one word. */

static void *lookup_in_hash(struct sta_map *map, const void *key)
{
    const uint32_t *id = sta__hash_ops.lookup(map, key);

    return id ? find_inner(map, (uint32_t)atomic_load_explicit((const sta__word *)id,
                                                               memory_order_acquire))
              : NULL;
}

static long update_hash_refused(struct sta_map *map, const void *key, const void *value,
                                uint64_t flags)
{
    (void)map, (void)key, (void)value, (void)flags;
    return -EBADF;
}

static long read_hash_id(struct sta_map *map, const void *key, void *value)
{
    return sta__hash_ops.read(map, key, value);
}

/* Under the lock, so that what is given up is what was there. */
static long remove_from_hash(struct sta_map *map, const void *key)
{
    struct sta__lock_state saved;
    uint32_t id = 0;
    long err;

    sta__lock(&map->objects_lock, &saved);
    err = sta__hash_ops.take(map, key, &id);
    sta__unlock(&map->objects_lock, &saved);
    sta__held_put(map, id);
    return err;
}

const struct sta__map_ops sta__hash_of_maps_ops = {
    .lookup = lookup_in_hash,
    .update = update_hash_refused,
    .write = update_hash_refused,
    .remove = remove_from_hash,
    .read = read_hash_id,
    .next_key = sta__hash_next_key,
    STA__NO_PERCPU,
    STA__NO_TAIL,
    STA__NO_QUEUE,
    STA__NO_EACH,
    STA__NO_TAKE,
};

void *sta__objects_get(struct sta_map *map, const void *key)
{
    if (map->type == BPF_MAP_TYPE_HASH_OF_MAPS)
        return lookup_in_hash(map, key);
    if (map->type == BPF_MAP_TYPE_ARRAY_OF_MAPS)
        return lookup_map(map, key);
    return find_class(id_at(map, sta__array_index(key)), sta__objects_class(map));
}
