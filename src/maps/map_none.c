/* SPDX-License-Identifier: MIT */
/* On the dispatch path: see map_none.h. */
#include "maps/map_none.h"

#include <errno.h>

#define NOT_SUPPORTED 524 /* ENOTSUPP */

void *sta__none_lookup(struct sta_map *map, const void *key)
{
    (void)map, (void)key;
    return NULL;
}

void *sta__none_lookup_percpu(struct sta_map *map, const void *key, uint32_t cpu)
{
    (void)map, (void)key, (void)cpu;
    return NULL;
}

const struct sta__tail_target *sta__none_tail_target(struct sta_map *map, uint32_t index)
{
    (void)map, (void)index;
    return NULL;
}

long sta__none_update(struct sta_map *map, const void *key, const void *value, uint64_t flags)
{
    (void)map, (void)key, (void)value, (void)flags;
    return -EINVAL;
}

long sta__none_remove(struct sta_map *map, const void *key)
{
    (void)map, (void)key;
    return -EINVAL;
}

long sta__none_push(struct sta_map *map, const void *value, uint64_t flags)
{
    (void)map, (void)value, (void)flags;
    return -EOPNOTSUPP;
}

long sta__none_pop(struct sta_map *map, void *value)
{
    (void)map, (void)value;
    return -EOPNOTSUPP;
}

long sta__none_for_each(struct sta_map *map, sta__map_visit visit, void *data)
{
    (void)map, (void)visit, (void)data;
    return -EINVAL;
}

long sta__none_read(struct sta_map *map, const void *key, void *value)
{
    (void)map, (void)key, (void)value;
    return -NOT_SUPPORTED;
}

long sta__none_next_key(struct sta_map *map, const void *key, void *next)
{
    (void)map, (void)key, (void)next;
    return -EINVAL;
}
