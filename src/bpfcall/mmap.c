/* SPDX-License-Identifier: MIT */
/*
 * mmap(2) of our descriptors. What is mapped is the memfd of the map or ring; where its parts lie
 * differs from what the kernel shows:
 *
 *      kernel, ring     │ consumer │ producer │ data │ data again │
 *      our memfd │ head │ consumer │ producer │ data │
 *      kernel, array    │ values │
 *      our memfd │ head │ values │
 *
 * Refusals are the kernel's (bpf_map_mmap and perf_mmap).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>

#include <linux/bpf.h>

#include <sta/map.h>

#include "base/gate.h"
#include "base/pages.h"
#include "bpfcall/hooks.h"
#include "bpfcall/perf.h"
#include "maps/map.h"
#include "maps/perf_ring.h"
#include "maps/shared.h"

#ifndef ENOTSUPP
#    define ENOTSUPP 524
#endif

struct mapping {
    unsigned long address, length; /* length: whole pages */
    int prot, flags;
    uint64_t offset;
};

static uint64_t whole_pages(uint64_t size)
{
    return (size + STA__PAGE_SIZE - 1) & ~(uint64_t)(STA__PAGE_SIZE - 1);
}

static int64_t map_at(const struct mapping *mapping, int fd, uint64_t offset)
{
    return STA__RAW6(SYS_mmap, mapping->address, mapping->length, mapping->prot, mapping->flags, fd,
                     offset);
}

/* The part of a mapping that shows the data of a ring for the second time. */
static int64_t map_again(const struct mapping *mapping, int64_t address, const struct sta_map *map,
                         uint64_t first_end)
{
    uint64_t data_size = map->ring.mask + 1, data_at = map->size - data_size;
    uint64_t begin = mapping->offset > first_end ? mapping->offset : first_end;
    struct mapping again = *mapping;
    int64_t result;

    again.address = (unsigned long)address + (begin - mapping->offset);
    again.length = mapping->offset + mapping->length - begin;
    again.flags = (mapping->flags & ~MAP_FIXED_NOREPLACE) | MAP_FIXED;
    result = map_at(&again, map->fd, data_at + (begin - first_end));
    if (sta__is_error(result)) {
        STA__RAW2(SYS_munmap, address, mapping->length);
        return result;
    }
    return address;
}

/* The consumer's position is all that may be written. */
static int64_t map_ring(const struct mapping *mapping, const struct sta_map *map)
{
    uint64_t data_size = map->ring.mask + 1, end = mapping->offset + mapping->length;
    uint64_t first_end = 2 * STA__PAGE_SIZE + data_size;
    int64_t address;

    if (mapping->prot & PROT_WRITE && (mapping->offset != 0 || mapping->length != STA__PAGE_SIZE))
        return -EPERM;
    if (end < mapping->offset || end > first_end + data_size)
        return -EINVAL;
    /* All of it first, so that the place is ours. */
    address = map_at(mapping, map->fd, mapping->offset + STA__MAP_HEAD_SIZE);
    if (sta__is_error(address) || end <= first_end)
        return address;
    return map_again(mapping, address, map, first_end);
}

static int64_t map_array(const struct mapping *mapping, struct sta_map *map)
{
    uint64_t size = whole_pages((uint64_t)map->max_entries * map->value_stride);
    uint64_t end = mapping->offset + mapping->length;
    struct sta_map_info info = {.size = sizeof(info)};

    if (!(map->flags & BPF_F_MMAPABLE) || end < mapping->offset || end > size)
        return -EINVAL;
    sta_map_info(map, &info);
    return map_at(mapping, map->fd, info.values_at + mapping->offset);
}

/* What the descriptor allows. The kernel takes a shared mapping of what cannot be written for a
 * private one, and maps are not mapped privately. */
static int check_access(const struct mapping *mapping, int fd)
{
    int access = (int)STA__RAW2(SYS_fcntl, fd, F_GETFL) & O_ACCMODE;

    if (access == O_WRONLY)
        return -EACCES;
    if (access == O_RDONLY && mapping->flags & MAP_SHARED)
        return mapping->prot & PROT_WRITE ? -EACCES : -EINVAL;
    return 0;
}

static int64_t map_map(const struct mapping *mapping, struct sta_map *map, int fd)
{
    struct sta_map_info info = {.size = sizeof(info)};
    int err = check_access(mapping, fd);

    if (err < 0)
        return err;
    if (map->type != BPF_MAP_TYPE_RINGBUF && map->type != BPF_MAP_TYPE_ARRAY)
        return -ENOTSUPP;
    if (!(mapping->flags & MAP_SHARED)) /* a bit of MAP_SHARED_VALIDATE, too */
        return -EINVAL;
    sta_map_info(map, &info);
    if (mapping->prot & PROT_WRITE && info.is_frozen)
        return -EPERM;
    if (mapping->prot & PROT_WRITE && map->flags & BPF_F_RDONLY_PROG)
        return -EACCES;
    return map->type == BPF_MAP_TYPE_RINGBUF ? map_ring(mapping, map) : map_array(mapping, map);
}

/* Makes the ring, of the size that the first mapping has. */
static int64_t map_event(const struct mapping *mapping, struct sta__perf_event *event)
{
    uint64_t pages = mapping->length / STA__PAGE_SIZE - 1;
    struct sta__perf_ring *ring = atomic_load(&event->ring), *none = NULL;
    int err;

    if (!(mapping->flags & MAP_SHARED) || event->program_type != BPF_PROG_TYPE_UNSPEC ||
        mapping->offset != 0)
        return -EINVAL;
    if (!ring) {
        err = sta__perf_ring_create(&ring, (uint32_t)pages, event->cpu);
        if (err < 0)
            return err;
        ring->wake_fd = event->object.poll_fd;
        if (!atomic_compare_exchange_strong(&event->ring, &none, ring)) {
            sta__perf_ring_free(ring);
            ring = none;
        }
    }
    if (ring->data_size != pages * STA__PAGE_SIZE)
        return -EINVAL;
    return map_at(mapping, ring->fd, 0);
}

long sta__hook_mmap(struct sta__bpf *bpf, const unsigned long *args)
{
    const struct mapping mapping = {args[0], whole_pages(args[1]), (int)args[2], (int)args[3],
                                    args[5]};
    struct sta__fd_object *object;
    long result = STA__NOT_OURS;

    /* Most are malloc's, and may be made in the middle of it. */
    if (mapping.flags & MAP_ANONYMOUS || !sta__fds_any(bpf))
        return STA__NOT_OURS;
    object = sta__fds_get(bpf, (int)args[4]);
    if (!object)
        return STA__NOT_OURS;
    if (args[1] == 0 || mapping.length == 0 || mapping.offset % STA__PAGE_SIZE)
        result = -EINVAL;
    else if (object->kind == STA__FD_MAP)
        result = map_map(&mapping, STA__OBJECT_OF(sta__bpf_map, object)->map, (int)args[4]);
    else if (object->kind == STA__FD_PERF)
        result = map_event(&mapping, (struct sta__perf_event *)object);
    else
        result = -ENODEV;
    sta__fds_put(object);
    return result;
}
