/* SPDX-License-Identifier: MIT */
/* Producers. On the dispatch path: see ring.h. */
#include "maps/ring.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>

#include "base/gate.h"
#include "base/memory.h"
#include "base/pages.h"
#include "maps/map_none.h"
#include "maps/owner_lock.h"
#include "maps/shared.h"
#include "maps/words.h"

#define SAMPLE_MAX  (UINT_MAX / 4) /* the kernel's limit */
#define RINGS_MAX   256            /* of a process */
#define LOOKS_A_LAP 8              /* times that it is looked for producers who are gone */

/* Where samples of which map are. */
static struct {
    _Atomic uintptr_t start, end;
    _Atomic(struct sta_map *) map;
} rings[RINGS_MAX];
static _Atomic uint32_t rings_end; /* entries that were ever in use */

static struct sta__ring_header *header_at(const struct sta_map *map, uint64_t position)
{
    return (struct sta__ring_header *)(map->ring.data + (position & map->ring.mask));
}

static uint64_t whole_size(uint64_t sample_size)
{
    return (sample_size + STA__RING_HEADER_SIZE + 7) & ~UINT64_C(7);
}

/* Of a record that is submitted. */
static uint64_t word_of(const struct sta_map *map, const struct sta__ring_header *header,
                        uint32_t length)
{
    uint64_t offset = (uint64_t)((const char *)header - map->ring.data) & map->ring.mask;
    uint64_t page = ((uintptr_t)map->ring.data - (uintptr_t)map->head + offset) / STA__PAGE_SIZE;

    return page << 32 | length;
}

void sta__ring_discard_left(struct sta_map *map)
{
    struct sta__ring *ring = &map->ring;
    uint64_t at = atomic_load_explicit(ring->consumer, memory_order_acquire);
    uint64_t end = atomic_load_explicit(ring->producer, memory_order_acquire);

    while (at < end && end - at <= ring->mask) {
        struct sta__ring_header *header = header_at(map, at);
        uint64_t word = atomic_load_explicit(&header->word, memory_order_acquire);
        uint32_t size = (uint32_t)word & ~(STA__RING_BUSY | STA__RING_DISCARD);

        if (!(word & STA__RING_BUSY) || sta__owner_thread_exists((uint32_t)(word >> 32)))
            return; /* one that the consumer gets past, or waits for rightly */
        /* Release: for the consumer's acquire. If it fails, the thread submitted it and ended. */
        atomic_compare_exchange_strong_explicit(&header->word, &word,
                                                word_of(map, header, size | STA__RING_DISCARD),
                                                memory_order_release, memory_order_relaxed);
        at += whole_size(size);
    }
}

/* Under the lock. NULL: no room. */
STA__INLINE void *reserve_locked(struct sta_map *map, uint64_t size, uint64_t whole)
{
    struct sta__ring *ring = &map->ring;
    /* Relaxed: the lock orders it. */
    uint64_t at = atomic_load_explicit(ring->producer, memory_order_relaxed);
    struct sta__ring_header *header = header_at(map, at);

    /* Acquire: pairs with the consumer's release; it is through with what is overwritten now. */
    if (sta__unlikely(at + whole - atomic_load_explicit(ring->consumer, memory_order_acquire) >
                      ring->mask))
        return NULL;
    atomic_store_explicit(&header->word,
                          (uint64_t)(uint32_t)sta__owner_self() << 32 | STA__RING_BUSY | size,
                          memory_order_relaxed);
    /* Release: the consumer that sees the position sees the header. */
    atomic_store_explicit(ring->producer, at + whole, memory_order_release);
    return header + 1;
}

void *sta__ring_reserve(struct sta_map *map, uint64_t size)
{
    uint64_t whole = whole_size(size), slice = (map->ring.mask + 1) / LOOKS_A_LAP;
    struct sta__owner_guard guard;
    uint64_t end;
    sta__owner_word *lock = (sta__owner_word *)(map->ring.producer + 1);
    void *sample;

    if (size > SAMPLE_MAX || whole > map->ring.mask + 1)
        return NULL;
    /* Whoever died with the lock left at most a header behind the position: nothing to repair. */
    if (sta__owner_lock(lock, &guard) < 0)
        return NULL;
    sample = reserve_locked(map, size, whole);
    if (sta__unlikely(!sample)) {
        sta__ring_discard_left(map);
        sample = reserve_locked(map, size, whole);
    }
    /* Relaxed: this thread's own store, under the lock. */
    end = atomic_load_explicit(map->ring.producer, memory_order_relaxed);
    if (sta__unlikely(((end - whole) ^ end) & ~(slice - 1)))
        sta__ring_discard_left(map);
    sta__owner_unlock(lock, &guard);
    return sample;
}

STA__INLINE struct sta_map *map_of(const void *sample)
{
    uint32_t end = atomic_load_explicit(&rings_end, memory_order_acquire);

    for (uint32_t i = 0; i < end; i++) {
        if ((uintptr_t)sample >= atomic_load_explicit(&rings[i].start, memory_order_acquire) &&
            (uintptr_t)sample < atomic_load_explicit(&rings[i].end, memory_order_relaxed))
            return atomic_load_explicit(&rings[i].map, memory_order_relaxed);
    }
    return NULL;
}

/* The only system calls of all this, when somebody sleeps. */
static STA__NOINLINE void wake(struct sta_map *map)
{
    const uint64_t one = 1;

    atomic_fetch_add_explicit(&map->head->wakes, 1, memory_order_release);
    if (atomic_load_explicit(&map->head->waiting, memory_order_relaxed))
        STA__RAW3(SYS_futex, &map->head->wakes, FUTEX_WAKE, INT_MAX);
    if (map->ring.wake_fd >= 0)
        STA__RAW3(SYS_write, map->ring.wake_fd, &one, sizeof(one));
}

STA__INLINE void commit(struct sta_map *map, struct sta__ring_header *header, uint64_t flags,
                        bool discard)
{
    struct sta__ring *ring = &map->ring;
    uint64_t offset = (uint64_t)((char *)header - ring->data) & ring->mask;
    uint32_t length = (uint32_t)atomic_load_explicit(&header->word, memory_order_relaxed);

    length = (length & ~STA__RING_BUSY) | (discard ? STA__RING_DISCARD : 0);
    if (flags & BPF_RB_NO_WAKEUP && !(flags & BPF_RB_FORCE_WAKEUP)) {
        /* Release: whoever finds it submitted sees the sample. Nobody has to be looked for. */
        atomic_store_explicit(&header->word, word_of(map, header, length), memory_order_release);
        return;
    }
    /* Sequentially consistent: before the look at the consumer's position. The consumer stores its
     * position, and looks at the length then. */
    atomic_exchange_explicit(&header->word, word_of(map, header, length), memory_order_seq_cst);
    if (flags & BPF_RB_FORCE_WAKEUP ||
        (atomic_load_explicit(ring->consumer, memory_order_acquire) & ring->mask) == offset)
        wake(map);
}

void sta__ring_commit(void *sample, uint64_t flags, bool discard)
{
    struct sta_map *map = map_of(sample);

    if (sta__likely(map))
        commit(map, (struct sta__ring_header *)sample - 1, flags, discard);
}

long sta__ring_output(struct sta_map *map, const void *data, uint64_t size, uint64_t flags)
{
    void *sample;

    if (flags & ~(uint64_t)(BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP))
        return -EINVAL;
    sample = sta__ring_reserve(map, size);
    if (!sample)
        return -EAGAIN;
    if (size <= 256)
        sta__words_write(sample, data, (uint32_t)size);
    else
        sta__memory_copy(sample, data, size);
    commit(map, (struct sta__ring_header *)sample - 1, flags, false);
    return 0;
}

uint64_t sta__ring_query(struct sta_map *map, uint64_t what)
{
    uint64_t consumer = atomic_load_explicit(map->ring.consumer, memory_order_acquire);
    uint64_t producer = atomic_load_explicit(map->ring.producer, memory_order_acquire);

    switch (what) {
    case BPF_RB_AVAIL_DATA:
        return producer - consumer;
    case BPF_RB_RING_SIZE:
        return map->ring.mask + 1;
    case BPF_RB_CONS_POS:
        return consumer;
    case BPF_RB_PROD_POS:
        return producer;
    default:
        return 0;
    }
}

int sta__ring_note(struct sta_map *map)
{
    for (uint32_t i = 0; i < RINGS_MAX; i++) {
        struct sta_map *nobody = NULL;
        uint32_t end = i;

        if (!atomic_compare_exchange_strong(&rings[i].map, &nobody, map))
            continue;
        atomic_store(&rings[i].end, (uintptr_t)map->ring.data + 2 * (map->ring.mask + 1));
        atomic_store(&rings[i].start, (uintptr_t)map->ring.data);
        while (end <= i && !atomic_compare_exchange_weak(&rings_end, &end, i + 1))
            ;
        return 0;
    }
    return -ENFILE;
}

void sta__ring_forget(struct sta_map *map)
{
    for (uint32_t i = 0; i < RINGS_MAX; i++) {
        if (atomic_load(&rings[i].map) != map)
            continue;
        atomic_store(&rings[i].start, UINTPTR_MAX);
        atomic_store(&rings[i].map, NULL);
    }
}

static long not_supported(struct sta_map *map, const void *key)
{
    return sta__none_read(map, key, NULL);
}

static long update_not_supported(struct sta_map *map, const void *key, const void *value,
                                 uint64_t flags)
{
    (void)value, (void)flags;
    return sta__none_read(map, key, NULL);
}

const struct sta__map_ops sta__ring_ops = {
    .update = update_not_supported,
    .write = update_not_supported,
    .remove = not_supported,
    .next_key = sta__none_read,
    STA__NO_LOOKUP,
    STA__NO_PERCPU,
    STA__NO_TAIL,
    STA__NO_QUEUE,
    STA__NO_EACH,
    STA__NO_READ,
    STA__NO_TAKE,
};
