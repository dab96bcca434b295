/* SPDX-License-Identifier: MIT */
/*
 * Arrays and hash maps of things that are not values: programs (PROG_ARRAY), perf events
 * (PERF_EVENT_ARRAY), cgroups (CGROUP_ARRAY), maps (ARRAY_OF_MAPS, HASH_OF_MAPS). An element is the
 * thing's number, see objects.h, in a word; 0: there is none.
 *
 * Hosts of the kernel put file descriptors there. Here, what descriptors stand for is known to
 * whoever answers bpf(2); he puts things by sta__objects_set(), and sta_map_update() is -EBADF. On
 * the dispatch path.
 */
#ifndef STA_MAPS_OBJECT_ARRAY_H
#define STA_MAPS_OBJECT_ARRAY_H

#include "maps/map.h"
#include "maps/objects.h"
#include "maps/objects_held.h"

extern const struct sta__map_ops sta__prog_array_ops, sta__perf_event_array_ops,
    sta__array_of_maps_ops, sta__hash_of_maps_ops;

/* What elements of such a map stand for. */
enum sta__object_class sta__objects_class(const struct sta_map *map);

/* What programs were verified for, as `wanted`, is true of this map: the kernel's rule. */
bool sta__map_is_like(const struct sta_map *wanted, const struct sta_map *map);

/* The thing that an element stands for; NULL: there is none in this process. */
void *sta__objects_get(struct sta_map *map, const void *key);

/* Makes an element stand for a thing: a struct sta__tail_target, a struct sta_map, .. A map is held
 * by the map that it is an element of. Returns 0, -EINVAL (flags, or a map that is not like the
 * others), -E2BIG, -ENFILE (there are too many things), -ENOMEM, and the errors of hash maps. Not
 * async-signal-safe. */
int sta__objects_set(struct sta_map *map, const void *key, void *object, uint64_t flags);

/* Likewise, of other things that are held. */
int sta__objects_set_held(struct sta_map *map, const void *key, void *object,
                          const struct sta__object_kind *kind, uint64_t flags);

#endif
