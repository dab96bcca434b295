/* SPDX-License-Identifier: MIT */
/* See perf_ring.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/gate.h"
#include "base/pages.h"
#include "maps/objects.h"
#include "maps/perf_ring.h"

#define PAGES_MAX (1u << 20)

static void end(struct sta__after_grace *what)
{
    struct sta__perf_ring *ring =
        (struct sta__perf_ring *)((char *)what - offsetof(struct sta__perf_ring, after_grace));

    if (ring->page)
        STA__RAW2(SYS_munmap, ring->page, ring->data_size + STA__PAGE_SIZE);
    if (ring->fd >= 0)
        STA__RAW1(SYS_close, ring->fd);
    free(ring);
}

static int map_ring(struct sta__perf_ring *ring, uint64_t size)
{
    int64_t at, err = STA__RAW2(SYS_memfd_create, "sta-perf", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (err < 0)
        return (int)err;
    ring->fd = (int)err;
    err = STA__RAW2(SYS_ftruncate, ring->fd, size);
    if (err >= 0)
        err =
            STA__RAW3(SYS_fcntl, ring->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    if (err < 0)
        return (int)err;
    at = STA__RAW6(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
    if (sta__is_error(at))
        return (int)at;
    ring->page = (struct perf_event_mmap_page *)at;
    return 0;
}

int sta__perf_ring_create(struct sta__perf_ring **out, uint32_t pages, uint32_t cpu)
{
    struct sta__perf_ring *ring;
    int err;

    if (pages == 0 || pages & (pages - 1) || pages > PAGES_MAX)
        return -EINVAL;
    ring = calloc(1, sizeof(*ring));
    if (!ring)
        return -ENOMEM;
    ring->fd = ring->wake_fd = -1;
    ring->cpu = cpu;
    ring->data_size = pages * STA__PAGE_SIZE;
    err = map_ring(ring, ring->data_size + STA__PAGE_SIZE);
    if (err < 0) {
        sta__perf_ring_free(ring);
        return err;
    }
    ring->data = (char *)ring->page + STA__PAGE_SIZE;
    ring->page->data_offset = STA__PAGE_SIZE;
    ring->page->data_size = ring->data_size;
    *out = ring;
    return 0;
}

void sta__perf_ring_free(struct sta__perf_ring *ring)
{
    if (!ring)
        return;
    sta__object_forget(ring);
    sta__after_grace(&ring->after_grace, end);
}
