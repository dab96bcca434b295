/* SPDX-License-Identifier: MIT */
/* BPF_MAP_LOOKUP_BATCH, _LOOKUP_AND_DELETE_BATCH, _UPDATE_BATCH, _DELETE_BATCH: see sta/map.h for
 * what they do. Elements go through memory of our own. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sta/map.h>

#include "bpfcall/element.h"
#include "bpfcall/user.h"
#include "maps/types.h"

static int write_count(const struct sta__command *command, uint32_t count)
{
    return STA__COMMAND_PUT(command, batch.count, &count);
}

/* Where a batch goes on: a bucket's number or a key. */
static size_t position_size(const struct sta_map *map)
{
    return map->key_size > sizeof(uint32_t) ? map->key_size : sizeof(uint32_t);
}

static bool is_by_bucket(const struct sta_map *map)
{
    return map->type == BPF_MAP_TYPE_HASH || map->type == BPF_MAP_TYPE_LRU_HASH ||
           map->type == BPF_MAP_TYPE_PERCPU_HASH || map->type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

/* What is read in one go. */
struct reading {
    void *in, *out, *keys, *values;
    uint32_t room; /* elements: no more than the map can have */
};

static int make_room(struct reading *reading, const struct sta_map *map, const union bpf_attr *attr)
{
    size_t value_size = sta__element_value_size(map);
    int err = 0;

    /* One more than there can be: that there is none tells the end. */
    reading->room = map->max_entries < UINT32_MAX ? map->max_entries + 1 : UINT32_MAX;
    if (reading->room > attr->batch.count)
        reading->room = attr->batch.count;
    if (attr->batch.in_batch) {
        /* A bucket's number, or a key; what is behind it may not be there. */
        size_t size = is_by_bucket(map) ? sizeof(uint32_t) : map->key_size;

        reading->in = sta__user_copy(attr->batch.in_batch, size, &err);
        if (!reading->in)
            return err;
    }
    reading->out = malloc(position_size(map));
    reading->keys = calloc(reading->room + 1ul, map->key_size);
    reading->values = calloc(reading->room + 1ul, value_size);
    if (!reading->out || !reading->keys || !reading->values)
        return -ENOMEM;
    memset(reading->out, 0xff, position_size(map));
    return 0;
}

static void free_room(struct reading *reading)
{
    free(reading->in);
    free(reading->out);
    free(reading->keys);
    free(reading->values);
}

static int write_out(const struct sta__command *command, const struct sta_map *map,
                     const struct reading *reading, uint32_t count)
{
    const union bpf_attr *attr = &command->attr;
    size_t size = is_by_bucket(map) ? sizeof(uint32_t) : map->key_size;
    uint32_t bucket;
    int err = sta__user_write(attr->batch.keys, reading->keys, (size_t)count * map->key_size);

    memcpy(&bucket, reading->out, sizeof(bucket));
    if (err == 0)
        err = sta__user_write(attr->batch.values, reading->values,
                              count * sta__element_value_size(map));
    if (err == 0 && (is_by_bucket(map) ? bucket != UINT32_MAX : count > 0))
        err = sta__user_write(attr->batch.out_batch, reading->out, size);
    return err ? err : write_count(command, count);
}

/* What may be done is asked of the map with a batch of none. */
static int check_reading(const struct sta__command *command, struct sta_map *map, bool removes)
{
    uint64_t flags = command->attr.batch.elem_flags;
    uint32_t none = 0;
    char nothing;

    if (command->attr.batch.flags && is_by_bucket(map))
        return -EINVAL;
    return (removes ? sta_map_lookup_and_delete_batch
                    : sta_map_lookup_batch)(map, NULL, &nothing, &nothing, &nothing, &none, flags);
}

static long read_batch(const struct sta__command *command, struct sta_map *map)
{
    const union bpf_attr *attr = &command->attr;
    bool removes = command->cmd == BPF_MAP_LOOKUP_AND_DELETE_BATCH;
    struct reading reading = {.in = NULL};
    uint32_t count;
    long result = -EFAULT;
    int err;

    err = check_reading(command, map, removes);
    if (err < 0 || attr->batch.count == 0)
        return err;
    if (write_count(command, 0) < 0)
        return -EFAULT;
    err = make_room(&reading, map, attr);
    if (err == 0) {
        count = reading.room;
        result = (removes ? sta_map_lookup_and_delete_batch
                          : sta_map_lookup_batch)(map, reading.in, reading.out, reading.keys,
                                                  reading.values, &count, attr->batch.elem_flags);
        err = result == -EINVAL || result == -EFAULT ? 0 : write_out(command, map, &reading, count);
    }
    free_room(&reading);
    return err ? err : result;
}

static int check_change(const struct sta__command *command, struct sta_map *map)
{
    uint64_t flags = command->attr.batch.elem_flags;
    uint32_t none = 0;

    if (map->type == BPF_MAP_TYPE_ARRAY_OF_MAPS)
        return flags ? -EINVAL : 0;
    return command->cmd == BPF_MAP_DELETE_BATCH
               ? sta_map_delete_batch(map, NULL, &none, flags)
               : sta_map_update_batch(map, NULL, NULL, &none, flags);
}

static long change_one(const struct sta__command *command, struct sta__bpf_map *map, uint32_t index,
                       void *key, void *value)
{
    const union bpf_attr *attr = &command->attr;
    size_t key_size = map->map->key_size, value_size = sta__element_value_size(map->map);
    int err = sta__user_read(key, attr->batch.keys + (uint64_t)index * key_size, key_size);

    if (err == 0 && command->cmd == BPF_MAP_DELETE_BATCH)
        return sta__element_delete(map, key);
    if (err == 0)
        err = sta__user_read(value, attr->batch.values + (uint64_t)index * value_size, value_size);
    return err ? err
               : sta__element_update(command, map, key, value, command->attr.batch.elem_flags);
}

static long change_batch(const struct sta__command *command, struct sta__bpf_map *map)
{
    long err = check_change(command, map->map);
    uint32_t done = 0;
    void *key, *value;

    if (err < 0 || command->attr.batch.count == 0)
        return err;
    key = malloc(map->map->key_size + 1);
    value = malloc(sta__element_value_size(map->map) + 1);
    if (!key || !value)
        err = -ENOMEM;
    while (err == 0 && done < command->attr.batch.count) {
        err = change_one(command, map, done, key, value);
        done += err == 0;
    }
    free(key);
    free(value);
    return write_count(command, done) < 0 ? -EFAULT : err;
}

/* By type, before anything else is looked at. */
static bool is_offered(const struct sta_map *map, uint32_t cmd)
{
    bool is_array = map->type == BPF_MAP_TYPE_ARRAY || map->type == BPF_MAP_TYPE_PERCPU_ARRAY ||
                    map->type == BPF_MAP_TYPE_ARRAY_OF_MAPS;

    if (is_by_bucket(map))
        return true;
    return cmd != BPF_MAP_LOOKUP_AND_DELETE_BATCH && !(is_array && cmd == BPF_MAP_DELETE_BATCH);
}

long sta__command_map_batch(struct sta__command *command)
{
    bool reads =
        command->cmd == BPF_MAP_LOOKUP_BATCH || command->cmd == BPF_MAP_LOOKUP_AND_DELETE_BATCH;
    bool writes = command->cmd != BPF_MAP_LOOKUP_BATCH;
    long result;
    struct sta__bpf_map *map = sta__command_map(command, command->attr.batch.map_fd, &result);

    if (!map)
        return result;
    result = sta__element_access(map, command->attr.batch.map_fd, reads, writes);
    if (result == 0 && !is_offered(map->map, command->cmd))
        result = -STA__ENOTSUPP;
    if (result == 0)
        result = reads ? read_batch(command, map->map) : change_batch(command, map);
    sta__fds_put(&map->object);
    return result;
}
