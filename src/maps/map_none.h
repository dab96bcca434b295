/* SPDX-License-Identifier: MIT */
/*
 * What maps do that do not do it: each type's operations are complete, so that nobody has to look
 * before calling one. A program that was verified calls none of these, a trusted one may.
 */
#ifndef STA_MAPS_MAP_NONE_H
#define STA_MAPS_MAP_NONE_H

#include "maps/map.h"

void *sta__none_lookup(struct sta_map *map, const void *key);
void *sta__none_lookup_percpu(struct sta_map *map, const void *key, uint32_t cpu);
const struct sta__tail_target *sta__none_tail_target(struct sta_map *map, uint32_t index);
long sta__none_update(struct sta_map *map, const void *key, const void *value, uint64_t flags);
long sta__none_remove(struct sta_map *map, const void *key);
long sta__none_push(struct sta_map *map, const void *value, uint64_t flags);
long sta__none_pop(struct sta_map *map, void *value);
long sta__none_for_each(struct sta_map *map, sta__map_visit visit, void *data);
/* -ENOTSUPP, 524. */
long sta__none_read(struct sta_map *map, const void *key, void *value);
long sta__none_next_key(struct sta_map *map, const void *key, void *next); /* -EINVAL */

#define STA__NO_LOOKUP   .lookup = sta__none_lookup
#define STA__NO_PERCPU   .lookup_percpu = sta__none_lookup_percpu
#define STA__NO_TAIL     .tail_target = sta__none_tail_target
#define STA__NO_UPDATE   .update = sta__none_update, .write = sta__none_update
#define STA__NO_REMOVE   .remove = sta__none_remove
#define STA__NO_QUEUE    .push = sta__none_push, .pop = sta__none_pop, .peek = sta__none_pop
#define STA__NO_EACH     .for_each = sta__none_for_each
#define STA__NO_READ     .read = sta__none_read
#define STA__NO_TAKE     .take = sta__none_read
#define STA__NO_NEXT_KEY .next_key = sta__none_next_key

#endif
