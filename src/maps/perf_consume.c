/* SPDX-License-Identifier: MIT */
/* The consumer of perf rings: see perf_ring.h and sta/map.h. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include <sta/map.h>

#include "base/clock.h"
#include "base/gate.h"
#include "maps/map.h"
#include "maps/object_array.h"
#include "maps/perf_ring.h"

#define RECORD_MAX UINT16_MAX
#define NS_PER_MS  UINT64_C(1000000)

struct sta_perf {
    struct sta__perf_ring **rings; /* by CPU; the first `count` are there */
    uint32_t count;
    int wake_fd;
    char record[RECORD_MAX + 1]; /* a copy of one that goes over the end of its ring */
};

/* The record at a position, in one piece; NULL: what is there is none. */
static const struct perf_event_header *
record_at(struct sta_perf *perf, const struct sta__perf_ring *ring, uint64_t at, uint64_t end)
{
    uint64_t offset = at & (ring->data_size - 1), first;
    /* Records begin at multiples of 8: the header is in one piece. */
    const struct perf_event_header *header = (const void *)(ring->data + offset);
    uint16_t size = header->size;

    if (size < sizeof(*header) || size % 8 || size > end - at)
        return NULL;
    if (size <= ring->data_size - offset)
        return header;
    first = ring->data_size - offset;
    memcpy(perf->record, header, first);
    memcpy(perf->record + first, ring->data, size - first);
    return (const void *)perf->record;
}

/* What `fn` returned, or -EBADMSG. */
static int give(const struct sta__perf_ring *ring, const struct perf_event_header *header,
                sta_perf_fn fn, void *data)
{
    const char *record = (const char *)header;
    uint64_t lost;
    uint32_t size;

    if (header->type == PERF_RECORD_LOST && header->size >= 24) {
        memcpy(&lost, record + 16, sizeof(lost));
        return fn(data, ring->cpu, NULL, lost);
    }
    if (header->type != PERF_RECORD_SAMPLE || header->size < 12)
        return -EBADMSG;
    memcpy(&size, record + 8, sizeof(size));
    if (size > header->size - 12u)
        return -EBADMSG;
    return fn(data, ring->cpu, record + 12, size);
}

/* How many, or what ended it. */
static int consume(struct sta_perf *perf, struct sta__perf_ring *ring, sta_perf_fn fn, void *data)
{
    /* Acquire: pairs with the release that publishes a record. */
    uint64_t end = __atomic_load_n(&ring->page->data_head, __ATOMIC_ACQUIRE);
    uint64_t at = __atomic_load_n(&ring->page->data_tail, __ATOMIC_RELAXED);
    int count = 0, err = 0;

    if (end - at > ring->data_size || at % 8)
        return -EBADMSG;
    while (at != end && err >= 0) {
        const struct perf_event_header *header = record_at(perf, ring, at, end);

        if (!header)
            return -EBADMSG;
        at += header->size;
        err = give(ring, header, fn, data);
        count++;
        /* Release: the producer that sees it may write over the record. */
        __atomic_store_n(&ring->page->data_tail, at, __ATOMIC_RELEASE);
    }
    return err < 0 ? err : count;
}

int sta_perf_consume(struct sta_perf *perf, sta_perf_fn fn, void *data)
{
    int count = 0;

    if (!perf || !fn)
        return -EINVAL;
    for (uint32_t i = 0; i < perf->count; i++) {
        int result = consume(perf, perf->rings[i], fn, data);

        if (result < 0)
            return result;
        count += result;
    }
    return count;
}

static void sleep_once(const struct sta_perf *perf, uint64_t ns)
{
    struct pollfd fd = {.fd = perf->wake_fd, .events = POLLIN};
    const struct timespec timeout = {.tv_sec = (time_t)(ns / 1000000000),
                                     .tv_nsec = (long)(ns % 1000000000)};

    sta__raw_syscall(SYS_ppoll, (int64_t)&fd, 1, (int64_t)(ns == UINT64_MAX ? NULL : &timeout), 0,
                     0, 0);
}

int sta_perf_poll(struct sta_perf *perf, int timeout_ms, sta_perf_fn fn, void *data)
{
    uint64_t start = sta__clock_ns(CLOCK_MONOTONIC), passed = 0, writes;
    uint64_t limit = timeout_ms < 0 ? UINT64_MAX : (uint64_t)timeout_ms * NS_PER_MS;

    if (!perf || !fn)
        return -EINVAL;
    for (;;) {
        int count;

        /* Before the look: whoever writes later is noticed. */
        STA__RAW3(SYS_read, perf->wake_fd, &writes, sizeof(writes));
        count = sta_perf_consume(perf, fn, data);
        if (count != 0 || passed >= limit)
            return count;
        sleep_once(perf, limit == UINT64_MAX ? limit : limit - passed);
        passed = sta__clock_ns(CLOCK_MONOTONIC) - start;
    }
}

static int add_ring(struct sta_perf *perf, struct sta_map *map, uint32_t pages)
{
    struct sta__perf_ring *ring;
    int err = sta__perf_ring_create(&ring, pages, perf->count);

    if (err < 0)
        return err;
    ring->wake_fd = perf->wake_fd;
    err = sta__objects_set(map, &ring->cpu, ring, BPF_ANY);
    if (err < 0)
        sta__perf_ring_free(ring);
    else
        perf->rings[perf->count++] = ring;
    return err;
}

int sta_perf_open(struct sta_perf **out, struct sta_map *map, uint32_t pages)
{
    struct sta_perf *perf;
    int err = 0;

    if (!out || !map || map->type != BPF_MAP_TYPE_PERF_EVENT_ARRAY)
        return -EINVAL;
    perf = calloc(1, sizeof(*perf));
    if (!perf)
        return -ENOMEM;
    perf->wake_fd = (int)STA__RAW2(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
    perf->rings = calloc(sta_map_cpus(), sizeof(struct sta__perf_ring *));
    if (perf->wake_fd < 0 || !perf->rings)
        err = perf->wake_fd < 0 ? perf->wake_fd : -ENOMEM;
    for (uint32_t cpu = 0; cpu < sta_map_cpus() && err == 0; cpu++)
        err = add_ring(perf, map, pages);
    if (err < 0)
        sta_perf_close(perf);
    else
        *out = perf;
    return err;
}

void sta_perf_close(struct sta_perf *perf)
{
    if (!perf)
        return;
    for (uint32_t i = 0; i < perf->count; i++)
        sta__perf_ring_free(perf->rings[i]);
    if (perf->wake_fd >= 0)
        STA__RAW1(SYS_close, perf->wake_fd);
    free(perf->rings);
    free(perf);
}
