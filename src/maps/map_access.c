/* SPDX-License-Identifier: MIT */
/* What hosts do with elements: see sta/map.h. On the dispatch path, as callbacks do it too. */
#include <errno.h>

#include <sta/map.h>

#include "maps/map.h"
#include "maps/shared.h"

static bool may_read(const struct sta_map *map)
{
    return !(map->flags & BPF_F_WRONLY);
}

static bool may_write(const struct sta_map *map)
{
    return !(map->flags & BPF_F_RDONLY) &&
           !atomic_load_explicit(&map->head->is_frozen, memory_order_relaxed);
}

static bool lacks_lock(const struct sta_map *map, uint64_t flags)
{
    return flags & BPF_F_LOCK && !map->has_lock;
}

/* Keys are there, unless the type has none. */
static int check_key(const struct sta_map *map, const void *key)
{
    if (map->key_size == 0)
        return key ? -EINVAL : 0;
    return key ? 0 : -EFAULT;
}

int sta_map_lookup(struct sta_map *map, const void *key, void *value, uint64_t flags)
{
    int err;

    if (!map || flags & ~(uint64_t)BPF_F_LOCK)
        return -EINVAL;
    if (!may_read(map))
        return -EPERM;
    if (lacks_lock(map, flags))
        return -EINVAL;
    err = check_key(map, key);
    if (err == 0 && !value)
        err = -EFAULT;
    if (err)
        return err;
    return (int)(flags & BPF_F_LOCK ? map->ops->read_locked : map->ops->read)(map, key, value);
}

int sta_map_update(struct sta_map *map, const void *key, const void *value, uint64_t flags)
{
    int err;

    if (!map)
        return -EINVAL;
    if (!may_write(map))
        return -EPERM;
    if (lacks_lock(map, flags))
        return -EINVAL;
    err = check_key(map, key);
    if (err == 0 && !value)
        err = -EFAULT;
    return err ? err : (int)map->ops->write(map, key, value, flags);
}

int sta_map_delete(struct sta_map *map, const void *key)
{
    int err;

    if (!map)
        return -EINVAL;
    if (!may_write(map))
        return -EPERM;
    err = check_key(map, key);
    return err ? err : (int)map->ops->remove(map, key);
}

int sta_map_lookup_and_delete(struct sta_map *map, const void *key, void *value, uint64_t flags)
{
    int err;

    if (!map || flags & ~(uint64_t)BPF_F_LOCK)
        return -EINVAL;
    if (!may_read(map) || !may_write(map))
        return -EPERM;
    if (lacks_lock(map, flags))
        return -EINVAL;
    err = check_key(map, key);
    if (err == 0 && !value)
        err = -EFAULT;
    return err ? err : (int)map->ops->take(map, key, value);
}

int sta_map_next_key(struct sta_map *map, const void *key, void *next)
{
    if (!map || !next)
        return -EINVAL;
    if (!may_read(map))
        return -EPERM;
    return (int)map->ops->next_key(map, key, next);
}
