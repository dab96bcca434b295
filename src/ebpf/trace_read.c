/* SPDX-License-Identifier: MIT */
/* The host's side of printed lines: see sta/trace.h. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include <sta/map.h>

#include "base/gate.h"
#include "ebpf/trace.h"
#include "maps/shared.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of making things */

static struct sta_map *ring_of(void)
{
    /* Acquire: pairs with make_ring(). */
    return atomic_load_explicit(&sta__trace_ring, memory_order_acquire);
}

/* Under the lock. */
static int make_ring(size_t size, const struct sta__log *log)
{
    const struct sta_map_options options = {.size = sizeof(options),
                                            .type = BPF_MAP_TYPE_RINGBUF,
                                            .max_entries = (uint32_t)size,
                                            .name = "trace",
                                            .log = log ? log->fn : NULL,
                                            .log_data = log ? log->data : NULL};
    struct sta_map *ring;
    int err = size > UINT32_MAX ? -E2BIG : sta_map_create(&ring, &options);

    if (err < 0)
        return err;
    ring->ring.wake_fd = (int)STA__RAW2(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* Release: who prints finds a ring that is ready. */
    atomic_store_explicit(&sta__trace_ring, ring, memory_order_release);
    return 0;
}

int sta__trace_prepare(const struct sta__log *log)
{
    int err;

    pthread_mutex_lock(&lock);
    err = ring_of() ? 0 : make_ring(STA_TRACE_SIZE_DEFAULT, log);
    pthread_mutex_unlock(&lock);
    return err;
}

int sta_trace_open(size_t size)
{
    int err;

    pthread_mutex_lock(&lock);
    err = ring_of() ? -EALREADY : make_ring(size, NULL);
    pthread_mutex_unlock(&lock);
    return err;
}

struct reading {
    sta_trace_fn fn;
    void *data;
};

static int read_record(void *data, const void *bytes, size_t size)
{
    const struct reading *reading = data;
    struct sta__trace_record record;
    struct sta_trace_line line;

    /* Another process may write what it likes, and when it likes. */
    if (size <= STA__TRACE_RECORD_HEAD || size > sizeof(record))
        return -EBADMSG;
    memcpy(&record, bytes, size);
    if (size - STA__TRACE_RECORD_HEAD <= record.length || record.text[record.length])
        return -EBADMSG;
    line = (struct sta_trace_line){.time_ns = record.time_ns,
                                   .tgid = record.tgid,
                                   .pid = record.pid,
                                   .cpu = record.cpu,
                                   .text = record.text,
                                   .length = record.length};
    memcpy(line.comm, record.comm, sizeof(line.comm));
    line.comm[sizeof(line.comm) - 1] = 0;
    return reading->fn(reading->data, &line);
}

int sta_trace_read(sta_trace_fn fn, void *data)
{
    struct reading reading = {fn, data};
    struct sta_map *ring = ring_of();
    uint64_t count;

    if (!fn)
        return -EINVAL;
    if (!ring)
        return 0;
    /* First: what is printed from now on makes it readable again. */
    if (ring->ring.wake_fd >= 0)
        STA__RAW3(SYS_read, ring->ring.wake_fd, &count, sizeof(count));
    return sta_ring_consume(ring, read_record, &reading);
}

int sta_trace_poll(int timeout_ms, sta_trace_fn fn, void *data)
{
    struct reading reading = {fn, data};
    struct sta_map *ring = ring_of();
    int count;

    if (!fn)
        return -EINVAL;
    if (!ring)
        return -ENOENT;
    count = sta_trace_read(fn, data);
    return count ? count : sta_ring_poll(ring, timeout_ms, read_record, &reading);
}

int sta_trace_fd(void)
{
    const struct sta_map *ring = ring_of();

    return ring ? ring->ring.wake_fd : -ENOENT;
}

uint64_t sta_trace_lost(void)
{
    struct sta_map *ring = ring_of();

    /* Relaxed: a count. */
    return ring ? atomic_load_explicit(&ring->head->exhausted, memory_order_relaxed) : 0;
}

size_t sta_trace_format(char *to, size_t size, const struct sta_trace_line *line)
{
    int length =
        snprintf(to, size, "%16s-%-7u [%03u] ..... %5llu.%06llu: bpf_trace_printk: %s\n",
                 line->comm, line->pid, line->cpu, (unsigned long long)(line->time_ns / 1000000000),
                 (unsigned long long)(line->time_ns / 1000 % 1000000), line->text);

    if (size && (size_t)length >= size)
        length = (int)(size - 1);
    return (size_t)length;
}
