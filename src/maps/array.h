/* SPDX-License-Identifier: MIT */
/*
 * Arrays: elements that are always there, zero at first, at `values`, one `value_stride` after the
 * other; those per CPU, the elements of one CPU after those of the other. Values change in place.
 */
#ifndef STA_MAPS_ARRAY_H
#define STA_MAPS_ARRAY_H

#include "maps/map.h"
#include "maps/words.h"

extern const struct sta__map_ops sta__array_ops, sta__percpu_array_ops;

long sta__array_next_key(struct sta_map *map, const void *key, void *next);

static inline uint32_t sta__array_index(const void *key)
{
    return *(const sta__half_anywhere *)key;
}

#endif
