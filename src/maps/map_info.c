/* SPDX-License-Identifier: MIT */
/* What is known of maps. */
#include <errno.h>
#include <string.h>

#include <sta/map.h>

#include "maps/lease.h"
#include "maps/map.h"
#include "maps/shared.h"

int sta_map_fd(const struct sta_map *map)
{
    return map ? map->fd : -EINVAL;
}

int sta_map_cpus_fd(void)
{
    return sta__lease_fd();
}

int sta_map_cpus_join(int fd)
{
    static const struct sta__log silent;

    return sta__lease_join(fd, &silent);
}

uint32_t sta_map_cpus(void)
{
    return sta__lease_cpus();
}

int sta_map_freeze(struct sta_map *map)
{
    if (!map)
        return -EINVAL;
    if (map->flags & BPF_F_RDONLY)
        return -EPERM;
    if (atomic_exchange(&map->head->is_frozen, 1))
        return -EPERM; /* as to everything that hosts want to change */
    return sta__map_keep_constants(map);
}

int sta_map_info(const struct sta_map *map, struct sta_map_info *out)
{
    struct sta_map_info info = {.size = sizeof(info)};
    const struct sta__map_attributes *attributes;

    if (!map || !out || out->size < sizeof(out->size))
        return -EINVAL;
    attributes = &map->head->attributes;
    info.type = map->type;
    info.key_size = map->key_size;
    info.value_size = map->value_size;
    info.max_entries = map->max_entries;
    info.map_flags = map->flags;
    info.id = attributes->id;
    info.map_extra = attributes->extra;
    info.is_frozen = atomic_load(&map->head->is_frozen);
    info.cpus = map->cpus;
    info.memory_bytes = map->size;
    if (map->values)
        info.values_at = (uint64_t)((const char *)map->values - (const char *)map->head);
    memcpy(info.name, attributes->name, sizeof(info.name));
    info.name[sizeof(info.name) - 1] = '\0'; /* whatever another process wrote there */
    if (out->size < info.size)
        info.size = out->size;
    memcpy(out, &info, info.size);
    return 0;
}
