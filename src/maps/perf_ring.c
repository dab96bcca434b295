/* SPDX-License-Identifier: MIT */
/* On the dispatch path: see perf_ring.h. */
#include "maps/perf_ring.h"

#include <errno.h>
#include <linux/bpf.h>

#include "base/gate.h"
#include "base/memory.h"
#include "maps/lease.h"
#include "maps/map.h"
#include "maps/object_array.h"

#define RECORD_MAX UINT16_MAX /* what the header's size can say */

struct lost_record {
    struct perf_event_header header;
    uint64_t id, lost;
};

struct sample_record {
    struct perf_event_header header;
    uint32_t size;
};

/* Writes at a position, around the end of the data if need be. */
static void write_at(struct sta__perf_ring *ring, uint64_t at, const void *from, uint64_t size)
{
    uint64_t offset = at & (ring->data_size - 1);
    uint64_t first = size < ring->data_size - offset ? size : ring->data_size - offset;

    sta__memory_copy(ring->data + offset, from, first);
    sta__memory_copy(ring->data, (const char *)from + first, size - first);
}

static uint64_t room_at(const struct sta__perf_ring *ring, uint64_t at)
{
    /* Acquire: the consumer is through with what is written over. */
    uint64_t used = at - __atomic_load_n(&ring->page->data_tail, __ATOMIC_ACQUIRE);

    /* The page is the application's, too: what it writes there is not to be relied on. */
    return used < ring->data_size ? ring->data_size - used : 0;
}

/* Returns where the next record goes. */
static uint64_t write_lost(struct sta__perf_ring *ring, uint64_t at)
{
    struct lost_record record;

    record.header.type = PERF_RECORD_LOST;
    record.header.misc = 0;
    record.header.size = sizeof(record);
    record.id = 0;
    record.lost = ring->lost;
    write_at(ring, at, &record, sizeof(record));
    ring->lost = 0;
    return at + sizeof(record);
}

static long write_sample(struct sta__perf_ring *ring, const void *data, uint64_t size)
{
    uint64_t whole = (sizeof(struct sample_record) + size + 7) & ~UINT64_C(7);
    uint64_t at = __atomic_load_n(&ring->page->data_head, __ATOMIC_RELAXED);
    uint64_t needed = whole + (ring->lost ? sizeof(struct lost_record) : 0);
    const uint64_t zero = 0;
    struct sample_record record;

    if (whole > RECORD_MAX)
        return -E2BIG;
    if (needed > room_at(ring, at)) {
        ring->lost++;
        return -ENOSPC;
    }
    if (ring->lost)
        at = write_lost(ring, at);
    record.header.type = PERF_RECORD_SAMPLE;
    record.header.misc = 0;
    record.header.size = (uint16_t)whole;
    record.size = (uint32_t)(whole - sizeof(record)); /* with what fills it up, as in the kernel */
    write_at(ring, at, &record, sizeof(record));
    write_at(ring, at + sizeof(record), data, size);
    write_at(ring, at + sizeof(record) + size, &zero, whole - sizeof(record) - size);
    /* Release: the consumer that sees it sees the record. */
    __atomic_store_n(&ring->page->data_head, at + whole, __ATOMIC_RELEASE);
    return 0;
}

static void wake(const struct sta__perf_ring *ring)
{
    const uint64_t one = 1;

    if (ring->wake_fd >= 0)
        STA__RAW3(SYS_write, ring->wake_fd, &one, sizeof(one));
}

long sta__perf_output(struct sta_map *map, uint64_t flags, const void *data, uint64_t size)
{
    uint32_t cpu = sta__lease_cpu(), index = (uint32_t)flags;
    struct sta__perf_ring *ring;
    long err;

    if (flags & ~(uint64_t)BPF_F_INDEX_MASK)
        return -EINVAL;
    if (index == (uint32_t)BPF_F_CURRENT_CPU)
        index = cpu;
    if (index >= map->max_entries)
        return -E2BIG;
    ring = sta__objects_get(map, &index);
    if (!ring)
        return -ENOENT;
    if (ring->cpu != cpu)
        return -EOPNOTSUPP;
    err = write_sample(ring, data, size);
    if (err == 0)
        wake(ring);
    return err;
}
