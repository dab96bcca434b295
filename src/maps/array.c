/* SPDX-License-Identifier: MIT */
/* On the dispatch path: see array.h. */
#include "maps/array.h"

#include <errno.h>

#include "maps/lease.h"
#include "maps/map_none.h"
#include "maps/value_lock.h"
#include "maps/words.h"

STA__INLINE char *element(struct sta_map *map, uint32_t index)
{
    return (char *)map->values + (size_t)index * map->value_stride;
}

static void *lookup(struct sta_map *map, const void *key)
{
    uint32_t index = sta__array_index(key);

    return sta__likely(index < map->max_entries) ? element(map, index) : NULL;
}

static long check_update(struct sta_map *map, uint32_t index, uint64_t flags)
{
    if ((flags & ~(uint64_t)BPF_F_LOCK) > BPF_EXIST)
        return -EINVAL;
    if (index >= map->max_entries)
        return -E2BIG;
    if (flags & BPF_NOEXIST)
        return -EEXIST;
    return flags & BPF_F_LOCK && !map->has_lock ? -EINVAL : 0;
}

static long update(struct sta_map *map, const void *key, const void *value, uint64_t flags)
{
    uint32_t index = sta__array_index(key);
    long err = check_update(map, index, flags);

    if (sta__unlikely(err != 0))
        return err;
    if (sta__unlikely(flags & BPF_F_LOCK))
        sta__value_write_locked(map, element(map, index), value);
    else
        sta__value_write(map, element(map, index), value);
    return 0;
}

static long remove_none(struct sta_map *map, const void *key)
{
    (void)map, (void)key;
    return -EINVAL;
}

static long read_value(struct sta_map *map, const void *key, void *value)
{
    const void *found = lookup(map, key);

    if (!found)
        return -ENOENT;
    sta__value_read(map, value, found);
    return 0;
}

static long read_locked(struct sta_map *map, const void *key, void *value)
{
    void *found = lookup(map, key);

    if (!found)
        return -ENOENT;
    sta__value_read_locked(map, value, found);
    return 0;
}

long sta__array_next_key(struct sta_map *map, const void *key, void *next)
{
    uint32_t index = key ? sta__array_index(key) : UINT32_MAX;

    if (index == map->max_entries - 1)
        return -ENOENT;
    index = index >= map->max_entries ? 0 : index + 1;
    *(sta__half_anywhere *)next = index;
    return 0;
}

static long for_each(struct sta_map *map, sta__map_visit visit, void *data)
{
    for (uint32_t i = 0; i < map->max_entries; i++) {
        if (visit(map, &i, map->ops->lookup(map, &i), data))
            return i + 1;
    }
    return map->max_entries;
}

const struct sta__map_ops sta__array_ops = {
    .lookup = lookup,
    .update = update,
    .remove = remove_none,
    .for_each = for_each,
    .read = read_value,
    .read_locked = read_locked,
    .write = update,
    .next_key = sta__array_next_key,
    STA__NO_PERCPU,
    STA__NO_TAIL,
    STA__NO_QUEUE,
    STA__NO_TAKE,
};

/* Per CPU. */

STA__INLINE char *element_of(struct sta_map *map, uint32_t index, uint32_t cpu)
{
    return (char *)map->head + map->array.values_at + cpu * map->array.cpu_stride +
           (size_t)index * map->value_stride;
}

static void *lookup_percpu(struct sta_map *map, const void *key, uint32_t cpu)
{
    uint32_t index = sta__array_index(key);

    return index < map->max_entries && cpu < map->cpus ? element_of(map, index, cpu) : NULL;
}

static void *lookup_own(struct sta_map *map, const void *key)
{
    return lookup_percpu(map, key, sta__lease_cpu());
}

static long update_own(struct sta_map *map, const void *key, const void *value, uint64_t flags)
{
    uint32_t index = sta__array_index(key);
    long err = check_update(map, index, flags);

    if (err == 0)
        sta__words_write(element_of(map, index, sta__lease_cpu() % map->cpus), value,
                         map->value_size);
    return err;
}

static long write_all(struct sta_map *map, const void *key, const void *value, uint64_t flags)
{
    uint32_t index = sta__array_index(key);
    long err = check_update(map, index, flags);

    for (uint32_t cpu = 0; err == 0 && cpu < map->cpus; cpu++)
        sta__words_write(element_of(map, index, cpu),
                         (const char *)value + (size_t)cpu * map->value_stride, map->value_size);
    return err;
}

static long read_all(struct sta_map *map, const void *key, void *value)
{
    uint32_t index = sta__array_index(key);

    if (index >= map->max_entries)
        return -ENOENT;
    for (uint32_t cpu = 0; cpu < map->cpus; cpu++)
        sta__words_read((char *)value + (size_t)cpu * map->value_stride,
                        element_of(map, index, cpu), map->value_stride);
    return 0;
}

const struct sta__map_ops sta__percpu_array_ops = {
    .lookup = lookup_own,
    .update = update_own,
    .remove = remove_none,
    .lookup_percpu = lookup_percpu,
    .for_each = for_each,
    .read = read_all,
    .write = write_all,
    .next_key = sta__array_next_key,
    STA__NO_TAIL,
    STA__NO_QUEUE,
    STA__NO_TAKE,
};
