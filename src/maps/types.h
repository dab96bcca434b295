/* SPDX-License-Identifier: MIT */
/*
 * Types of maps: what each may be created with, which parts its memory has, and its operations. Not
 * on the dispatch path.
 */
#ifndef STA_MAPS_TYPES_H
#define STA_MAPS_TYPES_H

#include "base/log.h"
#include "maps/map.h"
#include "maps/shared.h"

/* Hands out parts of a map's memory; with a base of 0 it only counts. */
struct sta__placer {
    uintptr_t base;
    uint64_t at; /* UINT64_MAX: more than there can be */
};

/* `count` times `size` bytes at a multiple of `align`. */
void *sta__place(struct sta__placer *placer, uint64_t count, uint64_t size, uint32_t align);

struct sta__map_type {
    const char *name;
    uint32_t flags; /* that are allowed */
    bool is_percpu;
    bool is_leased;     /* programs are to be alone on a CPU, though values are not per CPU */
    bool has_extra;     /* map_extra means something */
    bool may_have_lock; /* in its values */
    /* 0, or the kernel's error with a reason: what it looks at before flags (NULL: nothing), and
     * after. */
    int (*check_first)(const struct sta__map_attributes *attributes, const char **why);
    int (*check)(const struct sta__map_attributes *attributes, const char **why);
    /* Fills in where the parts are, and chooses the operations. */
    void (*place)(struct sta_map *map, const struct sta__map_attributes *attributes,
                  struct sta__placer *placer);
    /* Fills the memory of a new map; it is zeroed. May be NULL. */
    void (*init)(struct sta_map *map);
};

/* NULL: there is no such type here. */
const struct sta__map_type *sta__map_type(uint32_t type);

/* By family: types_hash.c and so on. */
extern const struct sta__map_type sta__type_hash, sta__type_lru_hash, sta__type_percpu_hash,
    sta__type_lru_percpu_hash, sta__type_array, sta__type_percpu_array, sta__type_ringbuf,
    sta__type_queue, sta__type_bloom_filter, sta__type_lpm_trie, sta__type_prog_array,
    sta__type_perf_event_array, sta__type_array_of_maps, sta__type_hash_of_maps,
    sta__type_stack_trace;

#define STA__FLAGS_ACCESS (BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)
#define STA__KMALLOC_MAX  (UINT64_C(1) << 22) /* the kernel's limit to the size of an element */
#define STA__PERCPU_MAX   32768               /* to that of a value per CPU */
#define STA__ENOTSUPP     524                 /* ENOTSUPP, which user space has no name for */

#endif
