/* SPDX-License-Identifier: MIT */
/* Arrays of things, maps of maps, stack traces: attributes and memory. */
#include <errno.h>

#include "base/pages.h"
#include "maps/cgroup_array.h"
#include "maps/hash.h"
#include "maps/object_array.h"
#include "maps/stack_trace.h"
#include "maps/types.h"

static int check(const struct sta__map_attributes *attributes, const char **why)
{
    if (attributes->key_size != 4 || attributes->value_size != 4 || attributes->max_entries == 0) {
        *why = "key_size and value_size have to be 4, max_entries must not be 0";
        return -EINVAL;
    }
    if (attributes->flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)) {
        *why = "programs cannot be kept from it";
        return -EINVAL;
    }
    return 0;
}

static void place(struct sta_map *map, const struct sta__map_attributes *attributes,
                  struct sta__placer *placer)
{
    map->objects.ids = sta__place(placer, attributes->max_entries, 8, STA__CACHE_LINE);
    map->ops = attributes->type == BPF_MAP_TYPE_PROG_ARRAY      ? &sta__prog_array_ops
               : attributes->type == BPF_MAP_TYPE_ARRAY_OF_MAPS ? &sta__array_of_maps_ops
               : attributes->type == BPF_MAP_TYPE_CGROUP_ARRAY  ? &sta__cgroup_array_ops
                                                                : &sta__perf_event_array_ops;
}

const struct sta__map_type sta__type_prog_array = {
    .name = "prog_array",
    .is_leased = true, /* nobody knows what the programs that it leads to use */
    .flags = BPF_F_NUMA_NODE | STA__FLAGS_ACCESS,
    .check = check,
    .place = place,
};

const struct sta__map_type sta__type_perf_event_array = {
    .name = "perf_event_array",
    .is_leased = true, /* an event has one producer */
    .flags = BPF_F_NUMA_NODE | STA__FLAGS_ACCESS | BPF_F_PRESERVE_ELEMS,
    .check = check,
    .place = place,
};

/* Maps of maps. */

static int check_inner(const struct sta__map_attributes *attributes, const char **why)
{
    if (attributes->inner_type == BPF_MAP_TYPE_UNSPEC) {
        *why = "what its maps are like has to be said";
        return -EBADF; /* in the kernel an inner map's descriptor is missing */
    }
    if (attributes->inner_type == BPF_MAP_TYPE_ARRAY_OF_MAPS ||
        attributes->inner_type == BPF_MAP_TYPE_HASH_OF_MAPS ||
        attributes->inner_type == BPF_MAP_TYPE_PROG_ARRAY) {
        *why = "its maps cannot be of this type";
        return attributes->inner_type == BPF_MAP_TYPE_PROG_ARRAY ? -STA__ENOTSUPP : -EINVAL;
    }
    return 0;
}

static int check_array_of_maps(const struct sta__map_attributes *attributes, const char **why)
{
    int err = check(attributes, why);

    return err ? err : check_inner(attributes, why);
}

static int check_hash_of_maps(const struct sta__map_attributes *attributes, const char **why)
{
    int err;

    if (attributes->value_size != 4) {
        *why = "value_size has to be 4";
        return -EINVAL;
    }
    err = sta__type_hash.check(attributes, why);
    return err ? err : check_inner(attributes, why);
}

static void place_hash_of_maps(struct sta_map *map, const struct sta__map_attributes *attributes,
                               struct sta__placer *placer)
{
    sta__type_hash.place(map, attributes, placer);
    map->ops = &sta__hash_of_maps_ops;
}

static void init_hash_of_maps(struct sta_map *map)
{
    sta__type_hash.init(map);
}

const struct sta__map_type sta__type_array_of_maps = {
    .name = "array_of_maps",
    .flags = BPF_F_NUMA_NODE | STA__FLAGS_ACCESS,
    .check = check_array_of_maps,
    .place = place,
};

const struct sta__map_type sta__type_hash_of_maps = {
    .name = "hash_of_maps",
    .flags = BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | STA__FLAGS_ACCESS | BPF_F_ZERO_SEED,
    .check = check_hash_of_maps,
    .place = place_hash_of_maps,
    .init = init_hash_of_maps,
};

/* Stack traces. */

#define DEPTH_MAX 127 /* kernel.perf_event_max_stack, as it is unless somebody changed it */

static int check_stack_trace(const struct sta__map_attributes *attributes, const char **why)
{
    if (attributes->flags & BPF_F_STACK_BUILD_ID) {
        *why = "traces of build ids are not offered";
        return -EINVAL;
    }
    if (attributes->key_size != 4 || attributes->value_size < 8 || attributes->value_size % 8 ||
        attributes->value_size / 8 > DEPTH_MAX || attributes->max_entries == 0) {
        *why = "key_size has to be 4, value_size 8 to 1016 in steps of 8, max_entries not 0";
        return -EINVAL;
    }
    if (attributes->max_entries > UINT32_C(1) << 31) {
        *why = "max_entries is too large";
        return -E2BIG;
    }
    return 0;
}

static void place_stack_trace(struct sta_map *map, const struct sta__map_attributes *attributes,
                              struct sta__placer *placer)
{
    uint32_t count = 1;

    while (count < attributes->max_entries)
        count *= 2;
    map->stacks.count = count;
    map->stacks.seed = attributes->seed;
    map->stacks.stride = (uint32_t)sizeof(struct sta__stack_slot) + attributes->value_size;
    map->stacks.slots = sta__place(placer, count, map->stacks.stride, STA__CACHE_LINE);
    map->ops = &sta__stack_trace_ops;
}

const struct sta__map_type sta__type_stack_trace = {
    .name = "stack_trace",
    .flags = BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_STACK_BUILD_ID,
    .check = check_stack_trace,
    .place = place_stack_trace,
};
