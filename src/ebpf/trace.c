/* SPDX-License-Identifier: MIT */
/* Printing: on the dispatch path, see trace.h. */
#include "ebpf/trace.h"

#include <linux/prctl.h>
#include <time.h>

#include "base/clock.h"
#include "base/gate.h"
#include "base/ids.h"
#include "maps/lease.h"
#include "maps/ring.h"
#include "maps/shared.h"

_Atomic(struct sta_map *) sta__trace_ring;

static void put_line(struct sta_map *ring, struct sta__trace_record *record)
{
    uint64_t ids = sta__pid_tgid();

    record->time_ns = sta__clock_ns(CLOCK_MONOTONIC);
    record->tgid = (uint32_t)(ids >> 32);
    record->pid = (uint32_t)ids;
    record->cpu = sta__lease_cpu();
    if (STA__RAW2(SYS_prctl, PR_GET_NAME, record->comm) < 0)
        record->comm[0] = 0;
    if (sta__ring_output(ring, record, STA__TRACE_RECORD_HEAD + record->length + 1, 0) < 0)
        /* Relaxed: a count. */
        atomic_fetch_add_explicit(&ring->head->exhausted, 1, memory_order_relaxed);
}

uint64_t sta__trace_print(const char *format, const struct sta__format_args *args)
{
    /* Acquire: pairs with the release of who made it. */
    struct sta_map *ring = atomic_load_explicit(&sta__trace_ring, memory_order_acquire);
    struct sta__trace_record record;
    size_t length = sta__format_print(record.text, sizeof(record.text), format, args);

    record.length = (uint32_t)(length < sizeof(record.text) ? length : sizeof(record.text) - 1);
    if (ring)
        put_line(ring, &record);
    return length;
}
