/* SPDX-License-Identifier: MIT */
/* On the dispatch path: see lpm.h. */
#include "maps/lpm.h"

#include <errno.h>

#include "maps/hash.h"
#include "maps/map_none.h"

struct prefix {
    uint32_t bits;
    uint8_t data[STA__LPM_DATA_MAX];
} __attribute__((aligned(8)));

static uint32_t bits_of(const void *key)
{
    return *(const sta__half_anywhere *)key;
}

/* Cuts a prefix off. */
static void cut(const struct sta_map *map, struct prefix *prefix, uint32_t bits)
{
    uint32_t bytes = map->key_size - (uint32_t)sizeof(prefix->bits);

    prefix->bits = bits;
    for (uint32_t i = (bits + 7) / 8; i < bytes; i++)
        ((volatile uint8_t *)prefix->data)[i] = 0;
    if (bits % 8)
        prefix->data[bits / 8] &= (uint8_t)(0xff00 >> bits % 8);
}

/* False: it has more bits than there are. */
static bool copy(const struct sta_map *map, struct prefix *prefix, const void *key)
{
    const char *from = key;
    uint32_t bits = bits_of(key);

    if (bits > map->trie.longest)
        return false;
    for (uint32_t i = 0; i < map->key_size; i++)
        ((volatile char *)prefix)[i] = from[i];
    cut(map, prefix, bits);
    return true;
}

static struct sta__elem *find_exact(struct sta_map *map, const struct prefix *prefix)
{
    return sta__hash_find(&map->hash, prefix, map->key_size);
}

static void *lookup(struct sta_map *map, const void *key)
{
    struct prefix prefix;

    if (!copy(map, &prefix, key))
        return NULL;
    for (int64_t bits = prefix.bits; bits >= 0; bits--) {
        struct sta__elem *elem;

        /* Acquire: pairs with the release in count(). */
        if (!atomic_load_explicit(&map->trie.lengths[bits], memory_order_acquire))
            continue;
        cut(map, &prefix, (uint32_t)bits);
        elem = find_exact(map, &prefix);
        if (elem)
            return sta__hash_value(&map->hash, elem);
    }
    return NULL;
}

static void count(struct sta_map *map, uint32_t bits, uint32_t difference)
{
    atomic_fetch_add_explicit(&map->trie.lengths[bits], difference, memory_order_release);
}

static long update(struct sta_map *map, const void *key, const void *value, uint64_t flags)
{
    struct prefix prefix;
    long err;

    if (flags > BPF_EXIST || !copy(map, &prefix, key))
        return -EINVAL;
    if (flags != BPF_NOEXIST) {
        err = sta__hash_ops.update(map, &prefix, value, BPF_EXIST);
        if (err != -ENOENT || flags == BPF_EXIST)
            return err;
    }
    count(map, prefix.bits, 1);
    err = sta__hash_ops.update(map, &prefix, value, BPF_NOEXIST);
    if (err != 0)
        count(map, prefix.bits, UINT32_MAX);
    if (err == -EEXIST && flags == BPF_ANY) /* somebody else put it there */
        return sta__hash_ops.update(map, &prefix, value, BPF_ANY);
    return err == -E2BIG ? -ENOSPC : err;
}

static long remove_prefix(struct sta_map *map, const void *key)
{
    struct prefix prefix;
    long err;

    if (!copy(map, &prefix, key))
        return -EINVAL;
    err = sta__hash_remove(map, &prefix);
    if (err == 0)
        count(map, prefix.bits, UINT32_MAX);
    return err;
}

static long read_value(struct sta_map *map, const void *key, void *value)
{
    struct prefix prefix;

    if (!copy(map, &prefix, key))
        return -ENOENT;
    for (int64_t bits = prefix.bits; bits >= 0; bits--) {
        if (!atomic_load_explicit(&map->trie.lengths[bits], memory_order_acquire))
            continue;
        cut(map, &prefix, (uint32_t)bits);
        if (sta__hash_ops.read(map, &prefix, value) == 0)
            return 0;
    }
    return -ENOENT;
}

/* From `from` on (NULL: the first) the next prefix of this length. */
static long next_of_length(struct sta_map *map, const struct prefix *from, uint32_t bits,
                           struct prefix *next)
{
    long err;

    while ((err = sta__hash_next_key(map, from, next)) == 0 && next->bits != bits)
        from = next;
    return err;
}

static long next_key(struct sta_map *map, const void *key, void *next)
{
    struct prefix prefix, found;
    int64_t bits = map->trie.longest;
    long err = -ENOENT;

    if (key && copy(map, &prefix, key) && find_exact(map, &prefix)) {
        bits = prefix.bits;
        err = next_of_length(map, &prefix, (uint32_t)bits, &found);
        bits--;
    }
    for (; err == -ENOENT && bits >= 0; bits--) {
        if (atomic_load_explicit(&map->trie.lengths[bits], memory_order_acquire))
            err = next_of_length(map, NULL, (uint32_t)bits, &found);
    }
    for (uint32_t i = 0; err == 0 && i < map->key_size; i++)
        ((volatile char *)next)[i] = ((const char *)&found)[i];
    return err;
}

const struct sta__map_ops sta__lpm_ops = {
    .lookup = lookup,
    .update = update,
    .write = update,
    .read = read_value,
    .remove = remove_prefix,
    .next_key = next_key,
    .for_each = sta__none_for_each,
    STA__NO_PERCPU,
    STA__NO_TAIL,
    STA__NO_QUEUE,
    STA__NO_TAKE,
};
