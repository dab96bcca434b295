/* SPDX-License-Identifier: MIT */
/* References to maps: see map.h. Not on the dispatch path. */
#include <stddef.h>
#include <stdlib.h>

#include <sta/map.h>

#include "base/gate.h"
#include "maps/map.h"
#include "maps/objects.h"
#include "maps/objects_held.h"
#include "maps/ring.h"

static void end(struct sta__after_grace *what)
{
    struct sta_map *map = (struct sta_map *)((char *)what - offsetof(struct sta_map, after_grace));

    sta__held_put_all(map);
    sta__held_free(map);
    if (map->head)
        STA__RAW2(SYS_munmap, map->head, map->size + map->again_size);
    if (map->fd >= 0)
        STA__RAW1(SYS_close, map->fd);
    free(map->inner);
    free(map);
}

void sta__map_get(struct sta_map *map)
{
    /* Relaxed: the caller has the map by a reference already. */
    atomic_fetch_add_explicit(&map->references, 1, memory_order_relaxed);
}

void sta__map_put(struct sta_map *map)
{
    /* Both ways: what all others did to it comes before its end. */
    if (atomic_fetch_sub_explicit(&map->references, 1, memory_order_acq_rel) != 0)
        return;
    if (map->type == BPF_MAP_TYPE_RINGBUF)
        sta__ring_forget(map);
    sta__object_forget(map);
    sta__after_grace(&map->after_grace, end);
}

void sta__map_open(struct sta_map *map)
{
    atomic_fetch_add_explicit(&map->hosts, 1, memory_order_relaxed);
    sta__map_get(map);
}

void sta_map_close(struct sta_map *map)
{
    if (!map)
        return;
    if (atomic_fetch_sub_explicit(&map->hosts, 1, memory_order_acq_rel) == 0 &&
        map->type == BPF_MAP_TYPE_PROG_ARRAY) {
        atomic_store_explicit(&map->objects.is_left, true, memory_order_relaxed);
        sta__held_put_all(map);
    }
    sta__map_put(map);
}
