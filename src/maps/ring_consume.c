/* SPDX-License-Identifier: MIT */
/* The consumer of ring buffers: see ring.h and sta/map.h. */
#include <errno.h>
#include <linux/futex.h>
#include <time.h>

#include <sta/map.h>

#include "base/clock.h"
#include "base/gate.h"
#include "maps/ring.h"
#include "maps/shared.h"

/* How long is slept before it is looked whether a producer is gone. */
#define LOOK_NS     100000000
#define NS_PER_MS   UINT64_C(1000000)
#define RECORD_FLAG (STA__RING_BUSY | STA__RING_DISCARD)

static int consume(struct sta_map *map, sta_ring_fn fn, void *data)
{
    struct sta__ring *ring = &map->ring;
    uint64_t at = atomic_load_explicit(ring->consumer, memory_order_relaxed);
    int count = 0;

    for (;;) {
        /* Acquire, both: pair with the producer's releases. */
        uint64_t end = atomic_load_explicit(ring->producer, memory_order_acquire);
        struct sta__ring_header *header =
            (struct sta__ring_header *)(ring->data + (at & ring->mask));
        uint32_t length, size;
        int err = 0;

        if (at >= end)
            return count;
        length = (uint32_t)atomic_load_explicit(&header->word, memory_order_acquire);
        size = length & ~RECORD_FLAG;
        if (length & STA__RING_BUSY)
            return count;
        if (size + STA__RING_HEADER_SIZE > end - at ||
            size > ring->mask + 1 - STA__RING_HEADER_SIZE)
            return -EBADMSG; /* some other process wrote to it */
        if (!(length & STA__RING_DISCARD)) {
            err = fn(data, header + 1, size);
            count++;
        }
        at += ((uint64_t)size + STA__RING_HEADER_SIZE + 7) & ~UINT64_C(7);
        /* Sequentially consistent: before the next length is looked at; pairs with the producer's
         * exchange. */
        atomic_store_explicit(ring->consumer, at, memory_order_seq_cst);
        if (err < 0)
            return err;
    }
}

/* At most so long; returns when a producer says so. */
static void sleep_once(struct sta_map *map, uint32_t wakes, uint64_t ns)
{
    const struct timespec timeout = {.tv_nsec = (long)(ns < LOOK_NS ? ns : LOOK_NS)};

    STA__RAW4(SYS_futex, &map->head->wakes, FUTEX_WAIT, wakes, &timeout);
}

int sta_ring_consume(struct sta_map *map, sta_ring_fn fn, void *data)
{
    int count;

    if (!map || !fn || map->type != BPF_MAP_TYPE_RINGBUF)
        return -EINVAL;
    count = consume(map, fn, data);
    if (count == 0 && sta__ring_query(map, BPF_RB_AVAIL_DATA)) {
        sta__ring_discard_left(map);
        count = consume(map, fn, data);
    }
    return count;
}

int sta_ring_poll(struct sta_map *map, int timeout_ms, sta_ring_fn fn, void *data)
{
    uint64_t start = sta__clock_ns(CLOCK_MONOTONIC), passed = 0;
    uint64_t limit = timeout_ms < 0 ? UINT64_MAX : (uint64_t)timeout_ms * NS_PER_MS;
    int count;

    if (!map || !fn || map->type != BPF_MAP_TYPE_RINGBUF)
        return -EINVAL;
    for (;;) {
        uint32_t wakes;

        atomic_fetch_add(&map->head->waiting, 1);
        wakes = atomic_load(&map->head->wakes);
        count = sta_ring_consume(map, fn, data);
        if (count == 0 && passed < limit)
            sleep_once(map, wakes, limit - passed);
        atomic_fetch_sub(&map->head->waiting, 1);
        if (count != 0 || passed >= limit)
            return count;
        passed = sta__clock_ns(CLOCK_MONOTONIC) - start;
    }
}
