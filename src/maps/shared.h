/* SPDX-License-Identifier: MIT */
/*
 * A map's memory: a memfd which every process that has the map maps whole, each at an address of
 * its own. Nothing in it is an address.
 *
 *      0              4096
 *     +---------------+------------------------------------+
 *     | struct        | parts, by type: elements, buckets, |
 *     | sta__map_head | values, rings                      |
 *     +---------------+------------------------------------+
 *
 * Where the parts lie follows from the attributes and from nothing else, so that each process
 * computes it, and none has to trust another's offsets. The memfd is sealed against being cut off
 * or grown.
 */
#ifndef STA_MAPS_SHARED_H
#define STA_MAPS_SHARED_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/compiler.h"
#include "maps/owner_lock.h"

#define STA__MAP_MAGIC     UINT64_C(0x70616d2d61747300) /* "\0sta-map" */
#define STA__MAP_VERSION   2                            /* of the layout of all parts */
#define STA__MAP_HEAD_SIZE 4096
#define STA__MAP_NAME_SIZE 16 /* BPF_OBJ_NAME_LEN */

/* What a map is created with: written once, before anybody else can see it. */
struct sta__map_attributes {
    uint32_t type; /* BPF_MAP_TYPE_* */
    uint32_t key_size, value_size, max_entries;
    uint32_t flags;  /* BPF_F_* */
    uint32_t cpus;   /* how many values there are of each key: 1, or the machine's CPUs */
    uint64_t extra;  /* map_extra of bpf(2) */
    uint64_t seed;   /* of hashes */
    uint64_t leases; /* per CPU: which set of leases its CPUs are from, see lease.h; else 0 */
    uint32_t id;
    char name[STA__MAP_NAME_SIZE];
    uint32_t has_lock, lock_at; /* a struct bpf_spin_lock in each value, and where */
    /* Of a map's inner maps: what they have to be like. */
    uint32_t inner_type, inner_key_size, inner_value_size, inner_max_entries, inner_flags,
        inner_has_lock, inner_lock_at;
};

#define STA__HINTS 16

/* By CPU. */
struct sta__map_hint {
    _Atomic uint32_t word;  /* where to look for free elements first */
    _Atomic uint64_t freed; /* elements that were given back */
} __attribute__((aligned(STA__CACHE_LINE)));

struct sta__map_head {
    uint64_t magic;
    uint32_t version;
    uint32_t head_size;
    uint64_t size; /* of the memfd */
    struct sta__map_attributes attributes;

    _Atomic uint32_t is_frozen __attribute__((aligned(STA__CACHE_LINE)));
    _Atomic uint32_t exhausted; /* how often no element was free */
    _Atomic uint64_t full_at;   /* 1 and how many had been given back then; 0: some may be free */

    /* Of types that have one lock for the whole map. */
    sta__owner_word lock __attribute__((aligned(STA__CACHE_LINE)));
    _Atomic uint64_t first, last; /* queues: elements ever taken, ever put */

    _Atomic uint32_t hand __attribute__((aligned(STA__CACHE_LINE))); /* LRU: the next candidate */
    struct sta__map_hint hints[STA__HINTS];

    /* Rings: consumers that wait, and a count that they sleep on. */
    _Atomic uint32_t waiting __attribute__((aligned(STA__CACHE_LINE)));
    _Atomic uint32_t wakes;
};

_Static_assert(sizeof(struct sta__map_head) <= STA__MAP_HEAD_SIZE, "it has to fit");

#endif
