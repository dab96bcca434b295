/* SPDX-License-Identifier: MIT */
/* Arrays: attributes and memory. */
#include <errno.h>
#include <limits.h>

#include "base/pages.h"
#include "maps/array.h"
#include "maps/types.h"
#include "maps/words.h"

#define ENTRIES_MAX (UINT32_C(1) << 31) /* the kernel rounds up to a power of two */

static int check(const struct sta__map_attributes *attributes, const char **why)
{
    if (attributes->key_size != 4 || attributes->value_size == 0 || attributes->max_entries == 0) {
        *why = "key_size has to be 4, value_size and max_entries must not be 0";
        return -EINVAL;
    }
    if (attributes->value_size > INT_MAX || attributes->max_entries > ENTRIES_MAX) {
        *why = "too large";
        return -E2BIG;
    }
    return 0;
}

static int check_percpu(const struct sta__map_attributes *attributes, const char **why)
{
    int err = check(attributes, why);

    if (err == 0 && sta__words_round(attributes->value_size) > STA__PERCPU_MAX) {
        *why = "the value is too large to be per CPU";
        err = -E2BIG;
    }
    return err;
}

/* From a page's beginning, so that they can be mapped alone (BPF_F_MMAPABLE). */
static void place(struct sta_map *map, const struct sta__map_attributes *attributes,
                  struct sta__placer *placer)
{
    map->value_stride = sta__words_round(attributes->value_size);
    map->values = sta__place(placer, attributes->max_entries, map->value_stride, STA__PAGE_SIZE);
    map->ops = &sta__array_ops;
}

static void place_percpu(struct sta_map *map, const struct sta__map_attributes *attributes,
                         struct sta__placer *placer)
{
    char *values;

    map->value_stride = sta__words_round(attributes->value_size);
    map->array.cpu_stride =
        ((size_t)attributes->max_entries * map->value_stride + STA__CACHE_LINE - 1) /
        STA__CACHE_LINE * STA__CACHE_LINE;
    values = sta__place(placer, attributes->cpus, map->array.cpu_stride, STA__CACHE_LINE);
    map->array.values_at = (uintptr_t)values - placer->base;
    map->ops = &sta__percpu_array_ops;
}

const struct sta__map_type sta__type_array = {
    .name = "array",
    .flags = BPF_F_NUMA_NODE | BPF_F_MMAPABLE | STA__FLAGS_ACCESS | BPF_F_INNER_MAP,
    .may_have_lock = true,
    .check = check,
    .place = place,
};

const struct sta__map_type sta__type_percpu_array = {
    .name = "percpu_array",
    .flags = STA__FLAGS_ACCESS,
    .is_percpu = true,
    .check = check_percpu,
    .place = place_percpu,
};
