/* SPDX-License-Identifier: MIT */
/* On the dispatch path: see cgroup_array.h. */
#include "maps/cgroup_array.h"

#include <errno.h>

#include "maps/array.h"
#include "maps/map_none.h"

/* Relaxed, here and below: an id is all that there is to an element. */
uint64_t sta__cgroup_array_id(struct sta_map *map, uint32_t index)
{
    return atomic_load_explicit(&map->objects.ids[index], memory_order_relaxed);
}

/* Elements are set by file descriptors, and by sta_map_set_cgroup(). */
static long update_refused(struct sta_map *map, const void *key, const void *value, uint64_t flags)
{
    (void)value;
    if (flags != BPF_ANY)
        return -EINVAL;
    return sta__array_index(key) >= map->max_entries ? -E2BIG : -EBADF;
}

static long remove_id(struct sta_map *map, const void *key)
{
    uint32_t index = sta__array_index(key);

    if (index >= map->max_entries)
        return -E2BIG;
    return atomic_exchange_explicit(&map->objects.ids[index], 0, memory_order_relaxed) ? 0
                                                                                       : -ENOENT;
}

const struct sta__map_ops sta__cgroup_array_ops = {
    .update = update_refused,
    .write = update_refused,
    .remove = remove_id,
    .next_key = sta__array_next_key,
    STA__NO_LOOKUP,
    STA__NO_READ,
    STA__NO_TAIL,
    STA__NO_PERCPU,
    STA__NO_QUEUE,
    STA__NO_EACH,
    STA__NO_TAKE,
};
