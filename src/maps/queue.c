/* SPDX-License-Identifier: MIT */
/*
 * Queues and stacks. `first` and `last` in the map's head count: a queue's elements ever taken and
 * ever put; a stack's bottom and top. Element n is in slot n modulo the number of slots.
 *
 * Under the map's lock; each change takes effect with one store to `first` or `last`, so that
 * whoever is killed has done all or nothing, but for a push that makes room by dropping the oldest:
 * then the oldest may be gone and the new one not there. On the dispatch path.
 */
#include "maps/queue.h"

#include <errno.h>

#include "maps/map_none.h"
#include "maps/shared.h"
#include "maps/words.h"

static char *slot(struct sta_map *map, uint64_t number)
{
    return map->queue.values + number % map->max_entries * map->queue.stride;
}

static uint64_t load(_Atomic uint64_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed); /* the lock orders it */
}

static void store(_Atomic uint64_t *count, uint64_t value)
{
    /* Release: whoever takes the lock over from a writer that was killed sees the slot. */
    atomic_store_explicit(count, value, memory_order_release);
}

static long push(struct sta_map *map, const void *value, uint64_t flags)
{
    struct sta__map_head *head = map->head;
    struct sta__owner_guard guard;
    long err = 0;

    if (flags != BPF_ANY && flags != BPF_EXIST)
        return -EINVAL;
    if (sta__owner_lock(&head->lock, &guard) < 0)
        return -EBUSY;
    if (load(&head->last) - load(&head->first) >= map->max_entries) {
        if (flags == BPF_EXIST)
            store(&head->first, load(&head->first) + 1);
        else
            err = -E2BIG;
    }
    if (err == 0) {
        sta__words_write(slot(map, load(&head->last)), value, map->value_size);
        store(&head->last, load(&head->last) + 1);
    }
    sta__owner_unlock(&head->lock, &guard);
    return err;
}

static long get(struct sta_map *map, void *value, bool is_stack, bool and_remove)
{
    struct sta__map_head *head = map->head;
    struct sta__owner_guard guard;
    long err = 0;

    if (sta__owner_lock(&head->lock, &guard) < 0)
        return -EBUSY;
    if (load(&head->last) == load(&head->first)) {
        for (uint32_t i = 0; i < map->value_size; i++)
            ((volatile char *)value)[i] = 0;
        err = -ENOENT;
    } else {
        sta__words_read(value, slot(map, is_stack ? load(&head->last) - 1 : load(&head->first)),
                        map->value_size);
        if (and_remove && is_stack)
            store(&head->last, load(&head->last) - 1);
        else if (and_remove)
            store(&head->first, load(&head->first) + 1);
    }
    sta__owner_unlock(&head->lock, &guard);
    return err;
}

static long pop_queue(struct sta_map *map, void *value)
{
    return get(map, value, false, true);
}

static long peek_queue(struct sta_map *map, void *value)
{
    return get(map, value, false, false);
}

static long pop_stack(struct sta_map *map, void *value)
{
    return get(map, value, true, true);
}

static long peek_stack(struct sta_map *map, void *value)
{
    return get(map, value, true, false);
}

/* As hosts say it. */
static long write_value(struct sta_map *map, const void *key, const void *value, uint64_t flags)
{
    (void)key;
    return push(map, value, flags);
}

static long read_value(struct sta_map *map, const void *key, void *value)
{
    (void)key;
    return map->ops->peek(map, value);
}

static long take(struct sta_map *map, const void *key, void *value)
{
    (void)key;
    return map->ops->pop(map, value);
}

#define OPS(pop_fn, peek_fn)                                                          \
    {                                                                                 \
        .push = push, .pop = (pop_fn), .peek = (peek_fn), .write = write_value,       \
        .read = read_value, .take = take, .update = sta__none_update, STA__NO_LOOKUP, \
        STA__NO_REMOVE, STA__NO_PERCPU, STA__NO_TAIL, STA__NO_EACH, STA__NO_NEXT_KEY, \
    }

const struct sta__map_ops sta__queue_ops = OPS(pop_queue, peek_queue);
const struct sta__map_ops sta__stack_ops = OPS(pop_stack, peek_stack);
