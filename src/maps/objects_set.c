/* SPDX-License-Identifier: MIT */
/* Putting things into maps: see object_array.h. Not on the dispatch path. */
#include <errno.h>

#include <sta/map.h>

#include "maps/array.h"
#include "maps/hash.h"
#include "maps/object_array.h"
#include "maps/objects.h"
#include "maps/shared.h"

static bool holds_maps(const struct sta_map *map)
{
    return map->type == BPF_MAP_TYPE_ARRAY_OF_MAPS || map->type == BPF_MAP_TYPE_HASH_OF_MAPS;
}

/* What programs were verified for: the kernel's rule. */
static bool is_alike(const struct sta_map *outer, const struct sta_map *inner)
{
    const struct sta__map_attributes *wanted = &outer->head->attributes;

    if (inner->type != wanted->inner_type || inner->key_size != wanted->inner_key_size ||
        inner->value_size != wanted->inner_value_size || inner->flags != wanted->inner_flags)
        return false;
    return inner->type != BPF_MAP_TYPE_ARRAY || inner->flags & BPF_F_INNER_MAP ||
           inner->max_entries == wanted->inner_max_entries;
}

int sta__objects_set(struct sta_map *map, const void *key, void *object, uint64_t flags)
{
    struct sta_map *inner = holds_maps(map) ? object : NULL;
    bool is_hash = map->type == BPF_MAP_TYPE_HASH_OF_MAPS;
    uint32_t id;

    if (!is_hash && flags != BPF_ANY)
        return -EINVAL;
    if (!is_hash && sta__array_index(key) >= map->max_entries)
        return -E2BIG;
    if (inner && !is_alike(map, inner))
        return -EINVAL;
    id = sta__object_note(object, inner ? inner->head->attributes.id : 0);
    if (id == 0 && inner && sta__object_find(inner->head->attributes.id) == inner)
        id = inner->head->attributes.id;
    if (id == 0)
        return -ENFILE;
    if (is_hash)
        return (int)sta__hash_ops.update(map, key, &id, flags);
    /* Release: pairs with id_at(). */
    atomic_store_explicit(&map->objects.ids[sta__array_index(key)], id, memory_order_release);
    return 0;
}

int sta_map_set_map(struct sta_map *map, const void *key, struct sta_map *inner, uint64_t flags)
{
    if (!map || !key || !inner || !holds_maps(map))
        return -EINVAL;
    if (map->flags & BPF_F_RDONLY || atomic_load(&map->head->is_frozen))
        return -EPERM;
    return sta__objects_set(map, key, inner, flags);
}
