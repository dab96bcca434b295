/* SPDX-License-Identifier: MIT */
/*
 * Hash maps: buckets with chains of elements, all of them allocated with the map.
 *
 *      buckets                     elements
 *     +--------------+            +-------+-------+-----+-----+-------+-------------+
 *     | lock | first ├──────────► | next  | owner | ..  | key | value | other value |
 *     +--------------+            +---┬---+-------+-----+-----+-------+-------------+
 *     | ..           |                └──► the next element, or END | number of the bucket
 *     +--------------+
 *
 * Readers take no lock. An element that is removed may be used again at once, so that a reader
 * which is on it may find itself in another chain; it notices by the end of that chain, which names
 * its bucket, and begins again. New elements go to the head of a chain: whoever is led back into
 * the right chain by a new element sees all that was in it before.
 *
 * Writers hold the bucket's lock, and each change takes effect with one store, so that a writer may
 * be killed between any two of them:
 *
 *   insert  owner = bucket + 1   by exchange with 0: the element is this bucket's
 *           free bit cleared
 *           next = BUSY, version + 2: who has read half of its key sees that from now on
 *           value, key, next
 *           first = element      release: now it is in the map
 *   update  other value, then    release: each element has two values, of which an odd or even
 *           version + 1          count selects one
 *   remove  previous next =      release: now it is out of the map
 *           its next
 *           free bit set
 *           owner = 0            now it can be had
 *
 * Values of up to eight bytes are one word beside the version, and changed without the lock: word
 * and version are compared and exchanged together, so that nothing is written to an element that
 * has become another key's. (One that was removed meanwhile and is nobody's may be written to:
 * the update came before the removal, then.)
 *
 * What is lost when a writer dies is at most an element which has an owner and is in no chain.
 * Whoever takes over the bucket's lock gives it back (sta__hash_repair).
 *
 * Free bits are where to look: they may be set for elements that are not free, for a moment, and
 * what counts is the owner.
 */
#ifndef STA_MAPS_HASH_H
#define STA_MAPS_HASH_H

#include "maps/map.h"
#include "maps/owner_lock.h"
#include "maps/value_lock.h"
#include "maps/words.h"

struct sta__bucket {
    sta__owner_word lock;
    _Atomic uint32_t first;
    uint32_t unused;
};

struct sta__elem {
    sta__word word;              /* the value, if it has up to eight bytes and is not per CPU */
    _Atomic uint32_t version;    /* which of two values counts: version & 1 */
    _Atomic uint32_t referenced; /* LRU: it was looked up since the hand passed */
    _Atomic uint32_t next;
    _Atomic uint32_t owner; /* bucket + 1; 0: free */
    char key[];
};

/* What an update without the lock replaces with one instruction. */
_Static_assert(offsetof(struct sta__elem, version) == 8, "the word and the version are neighbours");

#define STA__CHAIN_END UINT32_C(0x80000000)
/* `next` of an element whose key is being written. */
#define STA__CHAIN_BUSY UINT32_MAX

/* What a walk found. */
struct sta__hash_place {
    _Atomic uint32_t *link; /* what leads to it */
    struct sta__elem *elem;
    uint32_t index;
};

/* Any; values of one word, by the size of the keys: what is read of the map's description is not
 * waited for then. */
extern const struct sta__map_ops sta__hash_ops, sta__hash4_word_ops, sta__hash8_word_ops,
    sta__hash16_word_ops;
extern const struct sta__map_ops sta__lru_hash_ops;
extern const struct sta__map_ops sta__percpu_hash_ops; /* LRU, too */

/* Bytes from one element to the next, if it is this much. Small ones do not straddle cache lines,
 * and sta__hash_set_word() wants multiples of 16. */
STA__INLINE uint32_t sta__hash_elem_size(uint32_t size)
{
    if (size <= 32)
        return 32;
    return size <= 64 ? 64 : (size + 15) & ~15u;
}

/* That of elements with keys of this size and values of one word. */
STA__INLINE uint32_t sta__hash_word_elem_size(uint32_t key_size)
{
    return sta__hash_elem_size((uint32_t)sizeof(struct sta__elem) + sta__words_round(key_size));
}

STA__INLINE struct sta__elem *sta__hash_elem(const struct sta__hash *hash, uint32_t index)
{
    return (struct sta__elem *)(hash->elems + (size_t)index * hash->elem_size);
}

STA__INLINE uint32_t sta__hash_bucket_of(const struct sta__hash *hash, const void *key,
                                         uint32_t key_size)
{
    return (uint32_t)sta__words_hash(key, key_size, hash->seed) & hash->bucket_mask;
}

/* The value that counts: the element's own. Not of maps per CPU. */
STA__INLINE char *sta__hash_value(const struct sta__hash *hash, struct sta__elem *elem)
{
    /* Acquire: pairs with the update's release, whose value it is. */
    uint32_t version = atomic_load_explicit(&elem->version, memory_order_acquire);

    return (char *)elem + hash->value_at + (version & 1) * hash->other_value;
}

STA__INLINE char *sta__hash_cpu_value(const struct sta__hash *hash, uint32_t index, uint32_t cpu)
{
    return hash->cpu_values + cpu * hash->cpu_stride + (size_t)index * hash->cpu_value_size;
}

/* Whether what was read of an element since `version` was is of one key. x86 keeps loads in order;
 * the compiler has to. */
STA__INLINE bool sta__hash_is_settled(const struct sta__elem *elem, uint32_t version)
{
    atomic_signal_fence(memory_order_acquire);
    return atomic_load_explicit(&elem->next, memory_order_relaxed) != STA__CHAIN_BUSY &&
           atomic_load_explicit(&elem->version, memory_order_relaxed) == version;
}

/*
 * Whether it has this key. `version`, unless it is NULL, gets what goes with it, for
 * sta__hash_set_word(): whoever begins to write another key sets `next`, then the version, then the
 * key, so that reading them in the order version, next, key finds out about it.
 */
STA__INLINE bool sta__hash_key_is(const struct sta__elem *elem, const void *key, uint32_t key_size,
                                  uint32_t *version)
{
    uint32_t seen;

    if (key_size <= 8 && !version) /* read in one piece */
        return sta__words_are(elem->key, key, key_size);
    do {
        /* Acquire, both: pair with sta__hash_begin() and sta__hash_publish(). */
        seen = atomic_load_explicit(&elem->version, memory_order_acquire);
        if (atomic_load_explicit(&elem->next, memory_order_acquire) == STA__CHAIN_BUSY ||
            !sta__words_are(elem->key, key, key_size))
            return false;
    } while (key_size > 8 && !sta__hash_is_settled(elem, seen));
    if (version)
        *version = seen;
    return true;
}

/* Without a lock. The sizes are constants where they are known. */
STA__INLINE struct sta__elem *sta__hash_find_sized(const struct sta__hash *hash, const void *key,
                                                   uint32_t key_size, uint32_t elem_size,
                                                   uint32_t *version)
{
    uint32_t bucket = sta__hash_bucket_of(hash, key, key_size);

    for (;;) {
        /* Acquire, here and below: pairs with the store that put the element there; its key is
         * seen. */
        uint32_t link = atomic_load_explicit(&hash->buckets[bucket].first, memory_order_acquire);

        while (link < hash->capacity) {
            struct sta__elem *elem = (struct sta__elem *)(hash->elems + (size_t)link * elem_size);

            if (sta__hash_key_is(elem, key, key_size, version))
                return elem;
            link = atomic_load_explicit(&elem->next, memory_order_acquire);
        }
        if (sta__likely(link == (STA__CHAIN_END | bucket)))
            return NULL;
    }
}

STA__INLINE struct sta__elem *sta__hash_find_version(const struct sta__hash *hash, const void *key,
                                                     uint32_t key_size, uint32_t *version)
{
    return sta__hash_find_sized(hash, key, key_size, hash->elem_size, version);
}

STA__INLINE struct sta__elem *sta__hash_find(const struct sta__hash *hash, const void *key,
                                             uint32_t key_size)
{
    return sta__hash_find_version(hash, key, key_size, NULL);
}

/* Under the bucket's lock. False: it is not there. */
STA__INLINE bool sta__hash_find_place(const struct sta__hash *hash, uint32_t bucket,
                                      const void *key, uint32_t key_size,
                                      struct sta__hash_place *place)
{
    place->link = &hash->buckets[bucket].first;
    for (;;) {
        /* Relaxed: the lock orders it. */
        place->index = atomic_load_explicit(place->link, memory_order_relaxed);
        if (place->index >= hash->capacity)
            return false;
        place->elem = sta__hash_elem(hash, place->index);
        if (sta__words_are(place->elem->key, key, key_size))
            return true;
        place->link = &place->elem->next;
    }
}

/* Puts in order what a writer left that was killed. Under the bucket's lock. */
void sta__hash_repair(struct sta_map *map, uint32_t bucket);

/* 0 or -EBUSY. */
STA__INLINE int sta__hash_lock(struct sta_map *map, uint32_t bucket, struct sta__owner_guard *guard)
{
    int locked = sta__owner_lock(&map->hash.buckets[bucket].lock, guard);

    if (sta__unlikely(locked != STA__OWNER_LOCKED)) {
        if (locked < 0)
            return locked;
        sta__hash_repair(map, bucket);
    }
    return 0;
}

STA__INLINE void sta__hash_unlock(struct sta_map *map, uint32_t bucket,
                                  struct sta__owner_guard *guard)
{
    sta__owner_unlock(&map->hash.buckets[bucket].lock, guard);
}

/* All under the lock of `bucket`. An element for it, in no chain yet: any that is free; UINT32_MAX:
 * at some moment since the call none was. */
uint32_t sta__hash_claim(struct sta_map *map, uint32_t bucket);
/* LRU: one that was not used lately, if none is free. */
uint32_t sta__hash_evict(struct sta_map *map, uint32_t bucket);
/* Takes a free element by its number; false: it is not free. */
bool sta__hash_claim_this(struct sta_map *map, uint32_t bucket, uint32_t index);
/* Its key and value are about to be written. */
void sta__hash_begin(struct sta_map *map, uint32_t index);
/* Writes the key and makes the element part of the map. Its value is there already. */
void sta__hash_publish(struct sta_map *map, uint32_t bucket, uint32_t index, const void *key);
void sta__hash_remove_locked(struct sta_map *map, const struct sta__hash_place *place);

/* Writes the value of an element whose lock is held; sees that no reader gets half of it. */
STA__INLINE void sta__hash_set_value(const struct sta_map *map, struct sta__elem *elem,
                                     const void *value)
{
    const struct sta__hash *hash = &map->hash;
    uint32_t version;

    if (hash->other_value == 0) {
        atomic_store_explicit((sta__word *)((char *)elem + hash->value_at),
                              sta__word_of(value, map->value_size), memory_order_relaxed);
        return;
    }
    version = atomic_load_explicit(&elem->version, memory_order_relaxed);
    sta__value_write(map, (char *)elem + hash->value_at + (~version & 1) * hash->other_value,
                     value);
    /* Release: pairs with sta__hash_value(). */
    atomic_store_explicit(&elem->version, version + 1, memory_order_release);
}

/* The value as hosts get it, under the bucket's lock. */
STA__INLINE void sta__hash_copy_value(const struct sta_map *map, struct sta__elem *elem, void *to,
                                      bool with_lock)
{
    char *value = sta__hash_value(&map->hash, elem);

    if (sta__unlikely(with_lock))
        sta__value_read_locked(map, to, value);
    else
        sta__value_read(map, to, value);
}

/* Writes a value of one word without the lock. False: by now the element is another key's. */
STA__INLINE bool sta__hash_set_word(struct sta__elem *elem, uint32_t version, uint64_t word)
{
    uint64_t old_word = atomic_load_explicit(&elem->word, memory_order_relaxed);
    uint64_t old_tag =
        version | (uint64_t)atomic_load_explicit(&elem->referenced, memory_order_relaxed) << 32;
    bool is_done;

    do {
        uint64_t new_tag = old_tag;

        /* A locked instruction: orders all, as any update by exchange. */
        __asm__ volatile("lock cmpxchg16b %1"
                         : "=@ccz"(is_done), "+m"(*(unsigned __int128 *)elem), "+a"(old_word),
                           "+d"(old_tag)
                         : "b"(word), "c"(new_tag)
                         : "memory");
    } while (sta__unlikely(!is_done) && (uint32_t)old_tag == version);
    return is_done;
}

/* What all hash maps have in common. */
long sta__hash_remove(struct sta_map *map, const void *key);
long sta__hash_next_key(struct sta_map *map, const void *key, void *next);
long sta__hash_for_each(struct sta_map *map, sta__map_visit visit, void *data);
/* Per CPU: all values of an element, as hosts see them. */
void sta__hash_read_cpus(struct sta_map *map, uint32_t index, void *values);

/* Where the elements of a bucket go. */
struct sta__hash_batch {
    void *keys, *values;
    uint32_t room;
    bool and_remove, with_lock; /* BPF_F_LOCK */
};

/* How many elements of the bucket there are, and if they are not more than there is room for, also
 * their keys and values, one after the other; -EBUSY. */
long sta__hash_read_bucket(struct sta_map *map, uint32_t bucket, const struct sta__hash_batch *to);

#endif
