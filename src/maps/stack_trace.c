/* SPDX-License-Identifier: MIT */
/* On the dispatch path: see stack_trace.h. */
#include "maps/stack_trace.h"

#include <errno.h>

#include "maps/array.h"
#include "maps/map_none.h"
#include "maps/words.h"

static struct sta__stack_slot *slot_at(const struct sta_map *map, uint32_t index)
{
    return (struct sta__stack_slot *)(map->stacks.slots + (size_t)index * map->stacks.stride);
}

static bool is_same(const struct sta__stack_slot *slot, const uint64_t *addresses, uint32_t count,
                    uint32_t hash, uint64_t flags)
{
    if (atomic_load_explicit(&slot->hash, memory_order_relaxed) != hash)
        return false;
    if (flags & BPF_F_FAST_STACK_CMP)
        return true;
    return atomic_load_explicit(&slot->count, memory_order_relaxed) == count &&
           sta__words_are(slot->addresses, addresses, count * 8);
}

static void write_slot(struct sta__stack_slot *slot, const uint64_t *addresses, uint32_t count,
                       uint32_t hash)
{
    /* Release, both: who takes the lock over from a writer that was killed sees the slot empty
     * before it sees it changed, and full after. */
    atomic_store_explicit(&slot->count, 0, memory_order_release);
    sta__store_barrier();
    sta__words_write(slot->addresses, addresses, count * 8);
    atomic_store_explicit(&slot->hash, hash, memory_order_relaxed);
    atomic_store_explicit(&slot->count, count, memory_order_release);
}

long sta__stack_trace_put(struct sta_map *map, const uint64_t *addresses, uint32_t count,
                          uint64_t flags)
{
    struct sta__owner_guard guard;
    struct sta__stack_slot *slot;
    uint32_t hash, index;
    long result;

    if (count > map->value_size / 8)
        count = map->value_size / 8;
    if (count == 0)
        return -EFAULT;
    hash = (uint32_t)sta__words_hash(addresses, count * 8, map->stacks.seed);
    index = hash & (map->stacks.count - 1);
    slot = slot_at(map, index);
    if (sta__owner_lock(&slot->lock, &guard) < 0)
        return -EBUSY;
    result = index;
    if (!atomic_load_explicit(&slot->count, memory_order_relaxed))
        write_slot(slot, addresses, count, hash);
    else if (!is_same(slot, addresses, count, hash, flags)) {
        if (flags & BPF_F_REUSE_STACKID)
            write_slot(slot, addresses, count, hash);
        else
            result = -EEXIST;
    }
    sta__owner_unlock(&slot->lock, &guard);
    return result;
}

static long read_value(struct sta_map *map, const void *key, void *value)
{
    uint32_t index = sta__array_index(key), count;
    struct sta__owner_guard guard;
    struct sta__stack_slot *slot;

    if (index >= map->stacks.count)
        return -ENOENT;
    slot = slot_at(map, index);
    if (sta__owner_lock(&slot->lock, &guard) < 0)
        return -EBUSY;
    count = atomic_load_explicit(&slot->count, memory_order_relaxed);
    if (count > map->value_size / 8) /* some other process wrote to it */
        count = map->value_size / 8;
    if (count) {
        sta__words_read(value, slot->addresses, count * 8);
        for (uint32_t i = count * 8; i < map->value_size; i++)
            ((volatile char *)value)[i] = 0;
    }
    sta__owner_unlock(&slot->lock, &guard);
    return count ? 0 : -ENOENT;
}

static long remove_slot(struct sta_map *map, const void *key)
{
    uint32_t index = sta__array_index(key), count;
    struct sta__owner_guard guard;
    struct sta__stack_slot *slot;

    if (index >= map->stacks.count)
        return -E2BIG;
    slot = slot_at(map, index);
    if (sta__owner_lock(&slot->lock, &guard) < 0)
        return -EBUSY;
    count = atomic_load_explicit(&slot->count, memory_order_relaxed);
    atomic_store_explicit(&slot->count, 0, memory_order_release);
    sta__owner_unlock(&slot->lock, &guard);
    return count ? 0 : -ENOENT;
}

static bool is_used(const struct sta_map *map, uint32_t index)
{
    return atomic_load_explicit(&slot_at(map, index)->count, memory_order_acquire) != 0;
}

static long next_key(struct sta_map *map, const void *key, void *next)
{
    uint32_t index = key ? sta__array_index(key) : 0;

    if (key)
        index = index >= map->stacks.count || !is_used(map, index) ? 0 : index + 1;
    while (index < map->stacks.count && !is_used(map, index))
        index++;
    if (index >= map->stacks.count)
        return -ENOENT;
    *(sta__half_anywhere *)next = index;
    return 0;
}

const struct sta__map_ops sta__stack_trace_ops = {
    .read = read_value,
    .remove = remove_slot,
    .next_key = next_key,
    STA__NO_LOOKUP,
    STA__NO_UPDATE,
    STA__NO_PERCPU,
    STA__NO_TAIL,
    STA__NO_QUEUE,
    STA__NO_EACH,
    STA__NO_TAKE,
};
