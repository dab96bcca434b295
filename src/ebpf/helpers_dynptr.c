/* SPDX-License-Identifier: MIT */
/* Helpers of dynptrs. On the dispatch path: see dynptr.h. */
#include <errno.h>
#include <stdbool.h>

#include "base/memory.h"
#include "ebpf/dynptr.h"
#include "ebpf/helpers.h"
#include "maps/ring.h"

static void *pointer(uint64_t reg)
{
    return (void *)(uintptr_t)reg;
}

static uint64_t number(int64_t value)
{
    return (uint64_t)value;
}

static int64_t set(struct sta__dynptr *dynptr, uint64_t data, uint32_t size, int64_t err)
{
    dynptr->data = err ? 0 : data;
    dynptr->size = err ? 0 : size;
    dynptr->unused = 0;
    return err;
}

/* 0, -EINVAL: it has no memory, -E2BIG: these bytes are not all in it. */
static int64_t check(const struct sta__dynptr *dynptr, uint32_t offset, uint32_t size)
{
    if (!dynptr->data)
        return -EINVAL;
    return size > dynptr->size || offset > dynptr->size - size ? -E2BIG : 0;
}

/* They may overlap: both may be of one value. */
static void move(char *to, const char *from, uint64_t size)
{
    if (to <= from || to >= from + size) {
        sta__memory_copy(to, from, size);
        return;
    }
    while (size--)
        ((volatile char *)to)[size] = from[size];
}

STA__HELPER_FUNCTION(dynptr_from_mem)
{
    uint32_t size = (uint32_t)r2;
    int64_t err = size > STA__DYNPTR_MEM_SIZE ? -E2BIG : r3 ? -EINVAL : 0;

    (void)r5;
    return number(set(pointer(r4), r1, size, err));
}

STA__HELPER_FUNCTION(dynptr_read)
{
    const struct sta__dynptr *dynptr = pointer(r3);
    uint32_t size = (uint32_t)r2, offset = (uint32_t)r4;
    int64_t err = r5 ? -EINVAL : check(dynptr, offset, size);

    if (err == 0)
        move(pointer(r1), pointer(dynptr->data + offset), size);
    return number(err);
}

STA__HELPER_FUNCTION(dynptr_write)
{
    const struct sta__dynptr *dynptr = pointer(r1);
    uint32_t offset = (uint32_t)r2, size = (uint32_t)r4;
    int64_t err = check(dynptr, offset, size);

    if (err == 0 && r5)
        err = -EINVAL; /* after the size, other than in dynptr_read */
    if (err == 0)
        move(pointer(dynptr->data + offset), pointer(r3), size);
    return number(err);
}

STA__HELPER_FUNCTION(dynptr_data)
{
    const struct sta__dynptr *dynptr = pointer(r1);
    uint32_t offset = (uint32_t)r2, size = (uint32_t)r3;

    (void)r4, (void)r5;
    return check(dynptr, offset, size) ? 0 : dynptr->data + offset;
}

STA__HELPER_FUNCTION(ringbuf_reserve_dynptr)
{
    uint32_t size = (uint32_t)r2;
    int64_t err = r3 ? -EINVAL : size > STA__DYNPTR_MEM_SIZE ? -E2BIG : 0;
    void *sample = err ? NULL : sta__ring_reserve(pointer(r1), size);

    (void)r5;
    if (!err && !sample)
        err = -EINVAL;
    return number(set(pointer(r4), (uintptr_t)sample, size, err));
}

static void commit(struct sta__dynptr *dynptr, uint64_t flags, bool discard)
{
    if (dynptr->data)
        sta__ring_commit(pointer(dynptr->data), flags, discard);
    set(dynptr, 0, 0, 0);
}

STA__HELPER_FUNCTION(ringbuf_submit_dynptr)
{
    (void)r3, (void)r4, (void)r5;
    commit(pointer(r1), r2, false);
    return 0;
}

STA__HELPER_FUNCTION(ringbuf_discard_dynptr)
{
    (void)r3, (void)r4, (void)r5;
    commit(pointer(r1), r2, true);
    return 0;
}
