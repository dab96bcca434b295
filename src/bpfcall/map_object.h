/* SPDX-License-Identifier: MIT */
/* Maps as objects: what keeps what. */
#ifndef STA_BPFCALL_MAP_OBJECT_H
#define STA_BPFCALL_MAP_OBJECT_H

#include "bpfcall/bpfcall.h"

extern const struct sta__fd_ops sta__map_object_ops;

/* An object that elements of a map stand for stays while they do: how many do, by object. */
struct sta__bpf_held {
    struct sta__fd_object *object;
    void *thing; /* what programs find there */
    uint32_t count;
    struct sta__bpf_held *next;
};

/* An object for a map, which is not known yet; NULL: no memory. `fd` stays the map's. */
struct sta__bpf_map *sta__map_object_make(struct sta_map *map);
/* Frees one that has not become known. */
void sta__map_object_drop(struct sta__bpf_map *map);
int sta__map_object_add_eventfd(struct sta__bpf_map *map); /* ring buffers; 0 or -errno */

/*
 * Puts an object into an element in the place of the one that is there, or takes that out (NULL).
 * Returns 0 or the errors of sta__objects_set() and of sta_map_delete(). `thing` is what programs
 * find there: see maps/object_array.h.
 */
int sta__map_object_put(struct sta__bpf_map *map, const void *key, struct sta__fd_object *object,
                        void *thing, uint64_t flags);

/* Takes all elements out of an array of things. */
void sta__map_object_clear(struct sta__bpf_map *map);

#endif
