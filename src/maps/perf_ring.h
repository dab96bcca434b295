/* SPDX-License-Identifier: MIT */
/*
 * Rings of perf events, which bpf_perf_event_output writes to: in the layout of perf_event_open(2),
 * so that what reads the kernel's reads ours. They are elements of perf event arrays, see
 * object_array.h.
 *
 *      struct perf_event_mmap_page, a page │ data, a power of two of pages
 *
 *      record:  | struct perf_event_header | size, 4 bytes | data .. | to a multiple of 8
 *
 * One ring is one CPU's. Who writes to it runs under a lease of that CPU (lease.h), so that there
 * is one producer at a time; one that is killed has not moved data_head, and leaves nothing. What
 * finds no room is counted, and a PERF_RECORD_LOST says so as soon as there is some.
 */
#ifndef STA_MAPS_PERF_RING_H
#define STA_MAPS_PERF_RING_H

#include <linux/perf_event.h>
#include <stddef.h>
#include <stdint.h>

#include "base/after_grace.h"

struct sta_map;

struct sta__perf_ring {
    struct perf_event_mmap_page *page;
    char *data;
    uint64_t data_size;
    uint64_t lost; /* since the last record that says so */
    uint32_t cpu;
    int fd;      /* the memfd */
    int wake_fd; /* an eventfd that is written for each record; -1: none */
    struct sta__after_grace after_grace;
};

/* `pages`: of data, a power of two. 0 or -errno. Not on the dispatch path. */
int sta__perf_ring_create(struct sta__perf_ring **out, uint32_t pages, uint32_t cpu);
/* Takes it out of all arrays; it goes when no program writes to it any more. By then other threads
 * do not write to wake_fd either. */
void sta__perf_ring_free(struct sta__perf_ring *ring);

/* bpf_perf_event_output: 0, -EINVAL (flags), -E2BIG (no such element), -ENOENT (it is empty),
 * -EOPNOTSUPP (it is another CPU's), -ENOSPC. On the dispatch path. */
long sta__perf_output(struct sta_map *map, uint64_t flags, const void *data, uint64_t size);

#endif
