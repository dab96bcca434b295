/* SPDX-License-Identifier: MIT */
/*
 * What a map holds because its elements lead there: one reference for each element to which this
 * process gave an object. It is given up when this process gives the element another one or takes
 * it out, or with the map: what another process does to the element is not noticed before.
 */
#ifndef STA_MAPS_OBJECTS_HELD_H
#define STA_MAPS_OBJECTS_HELD_H

#include <stdint.h>

struct sta_map;

/* How objects of a kind are held. */
struct sta__object_kind {
    void (*get)(void *object);
    void (*put)(void *object);
};

/* In the map's list until its end; written under its lock. */
struct sta__held {
    struct sta__held *next;
    uint32_t id; /* 0: for the next one */
    void *object;
    const struct sta__object_kind *kind;
};

/* 0 or -ENOMEM. Not on the dispatch path. */
int sta__held_get(struct sta_map *map, uint32_t id, void *object,
                  const struct sta__object_kind *kind);

/* Notes `what`, in `room` if need be; returns `room` if not. */
struct sta__held *sta__held_fill(struct sta_map *map, struct sta__held *room,
                                 const struct sta__held *what);

/* Of an element that led to this number; nothing, if this process did not make it so. The object
 * may end by this. */
void sta__held_put(struct sta_map *map, uint32_t id);

/* Not on the dispatch path. */
void sta__held_put_all(struct sta_map *map);
void sta__held_free(struct sta_map *map);

#endif
