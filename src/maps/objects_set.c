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

static uint32_t number_of(const struct sta_map *map, void *object, struct sta_map *inner)
{
    uint32_t id = inner ? inner->head->attributes.id : 0;
    uint32_t noted = sta__object_note(object, sta__objects_class(map), id);

    if (noted == 0 && inner && sta__object_find(id) == inner)
        noted = id;
    return noted;
}

/* 0, and what it led to before in *old. */
static int change(struct sta_map *map, const void *key, uint32_t id, uint64_t flags, uint32_t *old)
{
    struct sta__lock_state saved;
    int err;

    if (map->type != BPF_MAP_TYPE_HASH_OF_MAPS) {
        /* Both ways: release pairs with id_at(). */
        *old = (uint32_t)atomic_exchange_explicit(&map->objects.ids[sta__array_index(key)], id,
                                                  memory_order_acq_rel);
        return 0;
    }
    sta__lock(&map->objects_lock, &saved);
    if (sta__hash_ops.read(map, key, old) < 0)
        *old = 0;
    err = (int)sta__hash_ops.update(map, key, &id, flags);
    sta__unlock(&map->objects_lock, &saved);
    return err;
}

int sta__objects_set_held(struct sta_map *map, const void *key, void *object,
                          const struct sta__object_kind *kind, uint64_t flags)
{
    struct sta_map *inner = holds_maps(map) ? object : NULL;
    bool is_hash = map->type == BPF_MAP_TYPE_HASH_OF_MAPS;
    uint32_t id, old = 0;
    int err;

    if (!is_hash && flags != BPF_ANY)
        return -EINVAL;
    if (!is_hash && sta__array_index(key) >= map->max_entries)
        return -E2BIG;
    if (inner && !sta__map_is_like(map->inner, inner))
        return -EINVAL;
    id = number_of(map, object, inner);
    if (id == 0)
        return -ENFILE;
    err = kind ? sta__held_get(map, id, object, kind) : 0;
    if (err == 0) {
        err = change(map, key, id, flags, &old);
        sta__held_put(map, err == 0 ? old : id);
    }
    return err;
}

static void get_map(void *map)
{
    sta__map_get(map);
}

static void put_map(void *map)
{
    sta__map_put(map);
}

static const struct sta__object_kind map_kind = {get_map, put_map};

int sta__objects_set(struct sta_map *map, const void *key, void *object, uint64_t flags)
{
    return sta__objects_set_held(map, key, object, holds_maps(map) ? &map_kind : NULL, flags);
}

int sta_map_set_map(struct sta_map *map, const void *key, struct sta_map *inner, uint64_t flags)
{
    if (!map || !key || !inner || !holds_maps(map))
        return -EINVAL;
    if (map->flags & BPF_F_RDONLY || atomic_load(&map->head->is_frozen))
        return -EPERM;
    return sta__objects_set(map, key, inner, flags);
}
