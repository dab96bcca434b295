/* SPDX-License-Identifier: MIT */
/*
 * What a program sees of a map. Each type of map has a table of operations in a file of its own.
 */
#ifndef STA_MAPS_MAP_H
#define STA_MAPS_MAP_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>

struct sta_map;
struct sta__tail_target;

/* Called by helpers, on the dispatch path: as async-signal-safe as the dispatcher. The kernel's
 * errors. */
struct sta__map_ops {
    void *(*lookup)(struct sta_map *map, const void *key); /* the value's address; NULL: none */
    long (*update)(struct sta_map *map, const void *key, const void *value, uint64_t flags);
    long (*remove)(struct sta_map *map, const void *key);
    /* BPF_MAP_TYPE_PROG_ARRAY, which has to have it: the element's program, see ebpf/tail.h. NULL:
     * there is none. `index` is less than max_entries. What is returned stays until the run ends.
     */
    const struct sta__tail_target *(*tail_target)(struct sta_map *map, uint32_t index);
};

struct sta_map {
    const struct sta__map_ops *ops;
    uint32_t type; /* BPF_MAP_TYPE_* */
    uint32_t key_size, value_size;
    uint32_t max_entries;
    uint32_t flags; /* BPF_F_* */
    /* Nobody can change its contents any more (BPF_MAP_FREEZE with BPF_F_RDONLY_PROG): the verifier
     * takes them as constants. */
    bool is_frozen;
    /* Array maps, not per CPU: where element 0 lies, and bytes from one element to the next.
     * BPF_PSEUDO_MAP_VALUE points into the first; NULL: it has no such place. */
    void *values;
    uint32_t value_stride;
};

#endif
