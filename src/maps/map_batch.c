/* SPDX-License-Identifier: MIT */
/*
 * Many elements at once: see sta/map.h. Hash maps are read bucket by bucket, and what a batch ends
 * with is the number of the next one; arrays and tries are read key by key, and it is the last key.
 */
#include <errno.h>
#include <string.h>

#include <sta/map.h>

#include "maps/hash.h"
#include "maps/shared.h"
#include "maps/types.h"

static bool is_by_bucket(const struct sta_map *map)
{
    return map->type == BPF_MAP_TYPE_HASH || map->type == BPF_MAP_TYPE_LRU_HASH ||
           map->type == BPF_MAP_TYPE_PERCPU_HASH || map->type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

static bool is_by_key(const struct sta_map *map)
{
    return map->type == BPF_MAP_TYPE_ARRAY || map->type == BPF_MAP_TYPE_PERCPU_ARRAY ||
           map->type == BPF_MAP_TYPE_LPM_TRIE || map->type == BPF_MAP_TYPE_HASH_OF_MAPS;
}

/* Bytes from one value to the next in an array of them. */
static size_t value_bytes(const struct sta_map *map)
{
    return sta__map_type(map->type)->is_percpu ? (size_t)map->cpus * ((map->value_size + 7) & ~7u)
                                               : map->value_size;
}

static int check(struct sta_map *map, const uint32_t *count, uint64_t flags, bool reads,
                 bool writes)
{
    if (!map || !count)
        return -EINVAL;
    if (reads && map->flags & BPF_F_WRONLY)
        return -EPERM;
    if (writes && (map->flags & BPF_F_RDONLY ||
                   atomic_load_explicit(&map->head->is_frozen, memory_order_relaxed)))
        return -EPERM;
    if (!is_by_bucket(map) && !is_by_key(map))
        return -STA__ENOTSUPP;
    return flags & ~(uint64_t)BPF_F_LOCK || (flags & BPF_F_LOCK && !map->has_lock) ? -EINVAL : 0;
}

/* `to` becomes what is left of it. */
static int read_buckets(struct sta_map *map, const void *in_batch, void *out_batch,
                        struct sta__hash_batch *to, uint32_t *count)
{
    uint32_t done = 0, bucket = 0;
    int err = 0;

    to->room = *count;
    *count = 0;
    if (to->room == 0)
        return 0;
    if (in_batch)
        memcpy(&bucket, in_batch, sizeof(bucket));
    if (bucket > map->hash.bucket_mask)
        return -ENOENT;
    while (err == 0) {
        long got = sta__hash_read_bucket(map, bucket, to);

        if (got < 0) {
            err = (int)got;
        } else if (got > (long)to->room) {
            err = done ? 0 : -ENOSPC;
            break;
        } else {
            done += (uint32_t)got;
            to->room -= (uint32_t)got;
            to->keys = (char *)to->keys + (size_t)got * map->key_size;
            to->values = (char *)to->values + (size_t)got * value_bytes(map);
            if (++bucket > map->hash.bucket_mask)
                err = -ENOENT;
        }
    }
    memcpy(out_batch, &bucket, sizeof(bucket));
    *count = done;
    return err;
}

static int read_keys(struct sta_map *map, const void *in_batch, void *out_batch,
                     const struct sta__hash_batch *to, uint32_t *count)
{
    long (*read)(struct sta_map *, const void *, void *) =
        to->with_lock ? map->ops->read_locked : map->ops->read;
    uint32_t room = *count, done = 0;
    const void *previous = in_batch;
    int err = 0;

    *count = 0;
    while (done < room) {
        char *key = (char *)to->keys + (size_t)done * map->key_size;

        err = (int)map->ops->next_key(map, previous, key);
        if (err == 0)
            err = (int)read(map, key, (char *)to->values + done * value_bytes(map));
        if (err < 0)
            break;
        previous = key;
        done++;
    }
    if (done)
        memcpy(out_batch, previous, map->key_size);
    *count = done;
    return err;
}

int sta_map_lookup_batch(struct sta_map *map, const void *in_batch, void *out_batch, void *keys,
                         void *values, uint32_t *count, uint64_t flags)
{
    struct sta__hash_batch to = {keys, values, 0, false, flags & BPF_F_LOCK};
    int err = check(map, count, flags, true, false);

    if (err)
        return err;
    if (!out_batch || !keys || !values)
        return -EFAULT;
    if (is_by_bucket(map))
        return read_buckets(map, in_batch, out_batch, &to, count);
    return read_keys(map, in_batch, out_batch, &to, count);
}

int sta_map_lookup_and_delete_batch(struct sta_map *map, const void *in_batch, void *out_batch,
                                    void *keys, void *values, uint32_t *count, uint64_t flags)
{
    struct sta__hash_batch to = {keys, values, 0, true, flags & BPF_F_LOCK};
    int err = check(map, count, flags, true, true);

    if (err)
        return err;
    if (!is_by_bucket(map))
        return -STA__ENOTSUPP;
    if (!out_batch || !keys || !values)
        return -EFAULT;
    return read_buckets(map, in_batch, out_batch, &to, count);
}

int sta_map_update_batch(struct sta_map *map, const void *keys, const void *values, uint32_t *count,
                         uint64_t flags)
{
    int err = check(map, count, flags, false, true);
    uint32_t done = 0;

    if (err == 0 && *count && (!keys || !values))
        err = -EFAULT;
    if (err)
        return err;
    while (done < *count && err == 0) {
        err = (int)map->ops->write(map, (const char *)keys + (size_t)done * map->key_size,
                                   (const char *)values + done * value_bytes(map), flags);
        done += err == 0;
    }
    *count = done;
    return err;
}

int sta_map_delete_batch(struct sta_map *map, const void *keys, uint32_t *count, uint64_t flags)
{
    int err = check(map, count, flags, false, true);
    uint32_t done = 0;

    if (err)
        return err;
    if (map->type == BPF_MAP_TYPE_ARRAY || map->type == BPF_MAP_TYPE_PERCPU_ARRAY)
        return -STA__ENOTSUPP;
    if (*count && !keys)
        return -EFAULT;
    while (done < *count && err == 0) {
        err = (int)map->ops->remove(map, (const char *)keys + (size_t)done * map->key_size);
        done += err == 0;
    }
    *count = done;
    return err;
}
