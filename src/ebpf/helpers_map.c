/* SPDX-License-Identifier: MIT */
/* Helpers of maps that are more than a table: queues, rings, walks. On the dispatch path. */
#include <errno.h>

#include "ebpf/helpers.h"
#include "maps/map.h"
#include "maps/perf_ring.h"
#include "maps/ring.h"
#include "maps/value_lock.h"

static void *pointer(uint64_t reg)
{
    return (void *)(uintptr_t)reg;
}

static uint64_t number(int64_t value)
{
    return (uint64_t)value;
}

STA__HELPER_FUNCTION(map_push_elem)
{
    struct sta_map *map = pointer(r1);

    (void)r4, (void)r5;
    return number(map->ops->push(map, pointer(r2), r3));
}

STA__HELPER_FUNCTION(map_pop_elem)
{
    struct sta_map *map = pointer(r1);

    (void)r3, (void)r4, (void)r5;
    return number(map->ops->pop(map, pointer(r2)));
}

STA__HELPER_FUNCTION(map_peek_elem)
{
    struct sta_map *map = pointer(r1);

    (void)r3, (void)r4, (void)r5;
    return number(map->ops->peek(map, pointer(r2)));
}

STA__HELPER_FUNCTION(map_lookup_percpu_elem)
{
    struct sta_map *map = pointer(r1);

    (void)r4, (void)r5;
    return (uintptr_t)map->ops->lookup_percpu(map, pointer(r2), (uint32_t)r3);
}

/* What a walk hands on to a program's subprogram. */
struct visit {
    const struct sta__callback *callback;
    uint64_t ctx;
};

static long visit_element(struct sta_map *map, const void *key, void *value, void *data)
{
    const struct visit *visit = data;

    return (long)visit->callback->run(visit->callback, (uintptr_t)map, (uintptr_t)key,
                                      (uintptr_t)value, visit->ctx, 0);
}

STA__HELPER_FUNCTION(for_each_map_elem)
{
    struct sta_map *map = pointer(r1);
    struct visit visit;

    (void)r5;
    if (r4 != 0)
        return number(-EINVAL);
    visit.callback = pointer(r2);
    visit.ctx = r3;
    return number(map->ops->for_each(map, visit_element, &visit));
}

STA__HELPER_FUNCTION(spin_lock)
{
    (void)r2, (void)r3, (void)r4, (void)r5;
    sta__value_lock(pointer(r1));
    return 0;
}

STA__HELPER_FUNCTION(spin_unlock)
{
    (void)r2, (void)r3, (void)r4, (void)r5;
    sta__value_unlock(pointer(r1));
    return 0;
}

STA__HELPER_FUNCTION(perf_event_output)
{
    (void)r1;
    return number(sta__perf_output(pointer(r2), r3, pointer(r4), r5));
}

STA__HELPER_FUNCTION(ringbuf_output)
{
    (void)r5;
    return number(sta__ring_output(pointer(r1), pointer(r2), r3, r4));
}

STA__HELPER_FUNCTION(ringbuf_reserve)
{
    (void)r4, (void)r5;
    return r3 ? 0 : (uintptr_t)sta__ring_reserve(pointer(r1), r2);
}

STA__HELPER_FUNCTION(ringbuf_submit)
{
    (void)r3, (void)r4, (void)r5;
    sta__ring_commit(pointer(r1), r2, false);
    return 0;
}

STA__HELPER_FUNCTION(ringbuf_discard)
{
    (void)r3, (void)r4, (void)r5;
    sta__ring_commit(pointer(r1), r2, true);
    return 0;
}

STA__HELPER_FUNCTION(ringbuf_query)
{
    (void)r3, (void)r4, (void)r5;
    return sta__ring_query(pointer(r1), r2);
}
