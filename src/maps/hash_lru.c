/* SPDX-License-Identifier: MIT */
/*
 * Which element of an LRU map has to make room. A hand goes around over all elements: one that was
 * looked up since it last passed is passed over once more, one that was not is taken. That is not
 * the order in which the kernel evicts, which is its own business on each CPU; what both promise is
 * that what is used stays longer than what is not.
 *
 * On the dispatch path.
 */
#include "maps/hash.h"
#include "maps/shared.h"

#define NONE     UINT32_MAX
#define SPARED   64  /* used elements that are passed over before one of them is taken */
#define ATTEMPTS 512 /* elements that others are busy with */

/* Takes the element out of a chain whose lock is held. False: it is not in it (any more). */
static bool unlink_from(struct sta__hash *hash, uint32_t bucket, uint32_t index)
{
    _Atomic uint32_t *link = &hash->buckets[bucket].first;

    for (;;) {
        uint32_t seen = atomic_load_explicit(link, memory_order_relaxed);
        struct sta__elem *elem;

        if (seen >= hash->capacity)
            return false;
        elem = sta__hash_elem(hash, seen);
        if (seen == index) {
            /* Release: see sta__hash_remove_locked(). */
            atomic_store_explicit(link, atomic_load_explicit(&elem->next, memory_order_relaxed),
                                  memory_order_release);
            return true;
        }
        link = &elem->next;
    }
}

/* From another bucket. Two locks are held then, the second without waiting for it. Whoever is
 * killed here leaves an element that is one bucket's or the other's, and both locks. */
static bool take_from(struct sta_map *map, uint32_t from, uint32_t bucket, uint32_t index)
{
    struct sta__hash *hash = &map->hash;
    struct sta__owner_guard guard;
    uint64_t seen = atomic_load_explicit(&hash->buckets[from].lock, memory_order_relaxed);
    bool is_taken;

    /* Whether its holder is gone is not asked here: see sta__hash_claim(). */
    if (seen && seen != STA__OWNER_GONE)
        return false;
    if (!sta__owner_trylock(&hash->buckets[from].lock, seen, &guard))
        return false;
    if (seen)
        sta__hash_repair(map, from);
    is_taken = unlink_from(hash, from, index);
    if (is_taken) /* Relaxed: changed under both locks only. */
        atomic_store_explicit(&sta__hash_elem(hash, index)->owner, bucket + 1,
                              memory_order_relaxed);
    sta__owner_unlock(&hash->buckets[from].lock, &guard);
    return is_taken;
}

uint32_t sta__hash_evict(struct sta_map *map, uint32_t bucket)
{
    struct sta__hash *hash = &map->hash;
    uint32_t index = sta__hash_claim(map, bucket);
    unsigned spared = 0;

    if (index != NONE)
        return index;
    for (uint32_t i = 0; i < ATTEMPTS + SPARED; i++) {
        struct sta__elem *elem;
        uint32_t owner;

        index =
            atomic_fetch_add_explicit(&map->head->hand, 1, memory_order_relaxed) % hash->capacity;
        elem = sta__hash_elem(hash, index);
        owner = atomic_load_explicit(&elem->owner, memory_order_relaxed);
        if (owner == 0) {
            if (sta__hash_claim_this(map, bucket, index))
                return index;
            continue;
        }
        if (spared < SPARED && atomic_load_explicit(&elem->referenced, memory_order_relaxed)) {
            atomic_store_explicit(&elem->referenced, 0, memory_order_relaxed);
            spared++;
            continue;
        }
        if (owner - 1 > hash->bucket_mask)
            continue; /* some other process wrote to it */
        if (owner - 1 == bucket ? unlink_from(hash, bucket, index)
                                : take_from(map, owner - 1, bucket, index)) {
            sta__hash_begin(map, index);
            return index;
        }
    }
    return NONE;
}
