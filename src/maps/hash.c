/* SPDX-License-Identifier: MIT */
/* Hash maps whose values are not per CPU: see hash.h. On the dispatch path. */
#include "maps/hash.h"

#include "base/clock.h"
#include "maps/map_none.h"
#include "maps/shared.h"

#define NONE        UINT32_MAX
#define SWEEP_EVERY 1024u /* times that no element was free, or as often as there are buckets */
#define READ_TRIES  8     /* before a reader takes the lock */

static struct sta__map_hint *hint_of_cpu(struct sta_map *map)
{
    return &map->head->hints[sta__cpu() % STA__HINTS];
}

static void set_free_bit(struct sta__hash *hash, uint32_t index)
{
    /* Relaxed: it is a hint. */
    atomic_fetch_or_explicit(&hash->free_bits[index / 64], UINT64_C(1) << index % 64,
                             memory_order_relaxed);
}

void sta__hash_begin(struct sta_map *map, uint32_t index)
{
    struct sta__elem *elem = sta__hash_elem(&map->hash, index);
    uint32_t version = atomic_load_explicit(&elem->version, memory_order_relaxed);

    /* Release, both: pairs with readers of the version and of the key, see sta__hash_is_settled().
     */
    atomic_store_explicit(&elem->next, STA__CHAIN_BUSY, memory_order_release);
    atomic_store_explicit(&elem->version, version + 2, memory_order_release);
    /* Before any of what follows. */
    sta__store_barrier();
    atomic_store_explicit(&elem->referenced, 0, memory_order_relaxed);
}

bool sta__hash_claim_this(struct sta_map *map, uint32_t bucket, uint32_t index)
{
    struct sta__hash *hash = &map->hash;
    struct sta__elem *elem = sta__hash_elem(hash, index);
    uint32_t nobody = 0;

    /* Acquire: pairs with the release of who gave it back. */
    if (!atomic_compare_exchange_strong_explicit(&elem->owner, &nobody, bucket + 1,
                                                 memory_order_acquire, memory_order_relaxed))
        return false;
    atomic_fetch_and_explicit(&hash->free_bits[index / 64], ~(UINT64_C(1) << index % 64),
                              memory_order_relaxed);
    sta__hash_begin(map, index);
    return true;
}

static uint32_t claim_free(struct sta_map *map, uint32_t bucket)
{
    struct sta__hash *hash = &map->hash;
    struct sta__map_hint *hint = hint_of_cpu(map);
    uint32_t word = atomic_load_explicit(&hint->word, memory_order_relaxed);

    for (uint32_t i = 0; i < hash->free_words; i++, word++) {
        uint64_t bits;

        if (word >= hash->free_words)
            word = 0;
        bits = atomic_load_explicit(&hash->free_bits[word], memory_order_relaxed);
        for (; bits; bits &= bits - 1) {
            uint32_t index = word * 64 + (uint32_t)__builtin_ctzll(bits);

            if (index < hash->capacity && sta__hash_claim_this(map, bucket, index)) {
                atomic_store_explicit(&hint->word, word, memory_order_relaxed);
                return index;
            }
        }
    }
    return NONE;
}

/* Elements may be lost to the locks of writers who died, until somebody wants these locks. */
static void sweep(struct sta_map *map, uint32_t except)
{
    struct sta__owner_guard guard;

    for (uint32_t bucket = 0; bucket <= map->hash.bucket_mask; bucket++) {
        sta__owner_word *lock = &map->hash.buckets[bucket].lock;
        uint64_t seen = atomic_load_explicit(lock, memory_order_relaxed);

        if (bucket == except || !sta__owner_is_gone(seen) ||
            !sta__owner_trylock(lock, seen, &guard))
            continue;
        sta__hash_repair(map, bucket);
        sta__owner_unlock(lock, &guard);
    }
}

/* How many elements were given back, and one. */
static uint64_t count_freed(struct sta_map *map)
{
    uint64_t count = 1;

    /* Acquire: what is counted here is free to who looks for it then. */
    for (uint32_t i = 0; i < STA__HINTS; i++)
        count += atomic_load_explicit(&map->head->hints[i].freed, memory_order_acquire);
    return count;
}

/*
 * Beside others it means nothing that no element was found: one may have become free behind the
 * look and another been taken before it. But if none was given back from the beginning of a look to
 * its end, then none was free at its end, and none is until the next one is given back.
 */
static STA__NOINLINE uint32_t claim_or_prove(struct sta_map *map, uint32_t bucket)
{
    uint64_t count = count_freed(map);

    for (;;) {
        uint32_t index = claim_free(map, bucket);
        uint64_t before = count;

        if (index != NONE)
            return index;
        count = count_freed(map);
        if (count == before) {
            atomic_store_explicit(&map->head->full_at, count, memory_order_relaxed);
            return NONE;
        }
    }
}

static bool is_known_full(struct sta_map *map)
{
    /* Relaxed: it is a number to be compared. */
    uint64_t full_at = atomic_load_explicit(&map->head->full_at, memory_order_relaxed);

    if (sta__likely(full_at == 0))
        return false;
    if (full_at == count_freed(map))
        return true;
    atomic_store_explicit(&map->head->full_at, 0, memory_order_relaxed);
    return false;
}

/* At first, and then seldom enough for it to cost little each time. */
static bool is_time_to_sweep(struct sta_map *map)
{
    uint32_t often = map->hash.bucket_mask | (SWEEP_EVERY - 1);

    return (atomic_fetch_add_explicit(&map->head->exhausted, 1, memory_order_relaxed) & often) == 0;
}

uint32_t sta__hash_claim(struct sta_map *map, uint32_t bucket)
{
    uint32_t index = NONE;

    if (sta__likely(!is_known_full(map))) {
        index = claim_free(map, bucket);
        if (sta__likely(index != NONE))
            return index;
        index = claim_or_prove(map, bucket);
    }
    if (index == NONE && is_time_to_sweep(map)) {
        sweep(map, bucket);
        index = claim_or_prove(map, bucket);
    }
    return index;
}

/* Release: who counts it finds the element free. */
static void note_freed(struct sta__map_hint *hint)
{
    atomic_fetch_add_explicit(&hint->freed, 1, memory_order_release);
}

static void give_back(struct sta_map *map, uint32_t index)
{
    struct sta__hash *hash = &map->hash;
    struct sta__map_hint *hint = hint_of_cpu(map);

    set_free_bit(hash, index);
    atomic_store_explicit(&hint->word, index / 64, memory_order_relaxed);
    /* Release: whoever has it next comes after all that was done to it. */
    atomic_store_explicit(&sta__hash_elem(hash, index)->owner, 0, memory_order_release);
    note_freed(hint);
}

void sta__hash_publish(struct sta_map *map, uint32_t bucket, uint32_t index, const void *key)
{
    struct sta__hash *hash = &map->hash;
    struct sta__elem *elem = sta__hash_elem(hash, index);
    uint32_t first = atomic_load_explicit(&hash->buckets[bucket].first, memory_order_relaxed);

    sta__words_write(elem->key, key, map->key_size);
    /* Release, both: whoever comes to the element, from its bucket or as one who was on it before,
     * sees its key. */
    atomic_store_explicit(&elem->next, first, memory_order_release);
    atomic_store_explicit(&hash->buckets[bucket].first, index, memory_order_release);
}

void sta__hash_remove_locked(struct sta_map *map, const struct sta__hash_place *place)
{
    uint32_t next = atomic_load_explicit(&place->elem->next, memory_order_relaxed);

    /* Release: what `next` leads to is seen by who comes there without having seen this element. */
    atomic_store_explicit(place->link, next, memory_order_release);
    give_back(map, place->index);
}

static bool is_in_chain(const struct sta__hash *hash, uint32_t bucket, uint32_t index)
{
    uint32_t link = atomic_load_explicit(&hash->buckets[bucket].first, memory_order_relaxed);

    while (link < hash->capacity && link != index)
        link = atomic_load_explicit(&sta__hash_elem(hash, link)->next, memory_order_relaxed);
    return link == index;
}

STA__NOINLINE void sta__hash_repair(struct sta_map *map, uint32_t bucket)
{
    struct sta__hash *hash = &map->hash;

    for (uint32_t i = 0; i < hash->capacity; i++) {
        /* Relaxed: what is this bucket's can change only under the lock that the caller has. */
        if (atomic_load_explicit(&sta__hash_elem(hash, i)->owner, memory_order_relaxed) ==
                bucket + 1 &&
            !is_in_chain(hash, bucket, i))
            give_back(map, i);
    }
    note_freed(hint_of_cpu(map)); /* what was perhaps given back, and not counted any more */
}

/* The element's last key may have left them. */
static void clear_locks(struct sta_map *map, uint32_t index)
{
    const struct sta__hash *hash = &map->hash;
    char *value = (char *)sta__hash_elem(hash, index) + hash->value_at;

    atomic_store_explicit(sta__value_lock_in(map, value), 0, memory_order_relaxed);
    atomic_store_explicit(sta__value_lock_in(map, value + hash->other_value), 0,
                          memory_order_relaxed);
}

static long insert(struct sta_map *map, uint32_t bucket, const void *key, const void *value)
{
    uint32_t index = map->hash.is_lru ? sta__hash_evict(map, bucket) : sta__hash_claim(map, bucket);

    if (index == NONE)
        return map->hash.is_lru ? -ENOMEM : -E2BIG;
    if (sta__unlikely(map->has_lock))
        clear_locks(map, index);
    sta__hash_set_value(map, sta__hash_elem(&map->hash, index), value);
    sta__hash_publish(map, bucket, index, key);
    return 0;
}

static STA__NOINLINE long update_locked(struct sta_map *map, const void *key, const void *value,
                                        uint64_t flags)
{
    uint32_t bucket = sta__hash_bucket_of(&map->hash, key, map->key_size);
    struct sta__hash_place place;
    struct sta__owner_guard guard;
    long err = sta__hash_lock(map, bucket, &guard);

    if (sta__unlikely(err != 0))
        return err;
    if (!sta__hash_find_place(&map->hash, bucket, key, map->key_size, &place))
        err = flags & BPF_EXIST ? -ENOENT : insert(map, bucket, key, value);
    else if (flags & BPF_NOEXIST)
        err = -EEXIST;
    else if (flags & BPF_F_LOCK) /* in place: programs that have its address add to it */
        sta__value_write_locked(map, sta__hash_value(&map->hash, place.elem), value);
    else
        sta__hash_set_value(map, place.elem, value);
    sta__hash_unlock(map, bucket, &guard);
    return err;
}

static void *lookup(struct sta_map *map, const void *key)
{
    struct sta__elem *elem = sta__hash_find(&map->hash, key, map->key_size);

    return elem ? sta__hash_value(&map->hash, elem) : NULL;
}

STA__INLINE struct sta__elem *find_word(const struct sta_map *map, const void *key,
                                        uint32_t key_size, uint32_t *version)
{
    return sta__hash_find_sized(&map->hash, key, key_size, sta__hash_word_elem_size(key_size),
                                version);
}

/* The value is at the element's beginning. */
STA__INLINE void *lookup_word(const struct sta_map *map, const void *key, uint32_t key_size)
{
    return find_word(map, key, key_size, NULL);
}

/* `elem`: that has the key, with its version, or NULL. */
STA__INLINE long update_word_in(struct sta_map *map, struct sta__elem *elem, uint32_t version,
                                const void *key, const void *value, uint64_t flags)
{
    if (sta__likely(elem && flags != BPF_NOEXIST) &&
        sta__hash_set_word(elem, version, sta__word_of(value, map->value_size)))
        return 0;
    return update_locked(map, key, value, flags);
}

STA__INLINE long update_word(struct sta_map *map, const void *key, uint32_t key_size,
                             const void *value, uint64_t flags)
{
    struct sta__elem *elem;
    uint32_t version = 0;

    if (sta__unlikely(flags > BPF_EXIST))
        return -EINVAL;
    elem = find_word(map, key, key_size, &version);
    return update_word_in(map, elem, version, key, value, flags);
}

static long update(struct sta_map *map, const void *key, const void *value, uint64_t flags)
{
    struct sta__elem *elem;
    uint32_t version = 0;

    if (sta__unlikely(!sta__value_flags_are_valid(map, flags)))
        return -EINVAL;
    if (map->hash.other_value)
        return update_locked(map, key, value, flags);
    elem = sta__hash_find_version(&map->hash, key, map->key_size, &version);
    return update_word_in(map, elem, version, key, value, flags);
}

long sta__hash_remove(struct sta_map *map, const void *key)
{
    uint32_t bucket = sta__hash_bucket_of(&map->hash, key, map->key_size);
    struct sta__hash_place place;
    struct sta__owner_guard guard;
    long err = sta__hash_lock(map, bucket, &guard);

    if (err != 0)
        return err;
    if (sta__hash_find_place(&map->hash, bucket, key, map->key_size, &place))
        sta__hash_remove_locked(map, &place);
    else
        err = -ENOENT;
    sta__hash_unlock(map, bucket, &guard);
    return err;
}

/* Reads and, perhaps, removes, while nobody else can change it but programs. */
static long read_in_bucket(struct sta_map *map, const void *key, void *value, bool and_remove)
{
    uint32_t bucket = sta__hash_bucket_of(&map->hash, key, map->key_size);
    struct sta__hash_place place;
    struct sta__owner_guard guard;
    long err = sta__hash_lock(map, bucket, &guard);

    if (err != 0)
        return err;
    if (sta__hash_find_place(&map->hash, bucket, key, map->key_size, &place)) {
        sta__hash_copy_value(map, place.elem, value, map->has_lock);
        if (and_remove)
            sta__hash_remove_locked(map, &place);
    } else {
        err = -ENOENT;
    }
    sta__hash_unlock(map, bucket, &guard);
    return err;
}

static long take(struct sta_map *map, const void *key, void *value)
{
    return read_in_bucket(map, key, value, true);
}

static long read_locked(struct sta_map *map, const void *key, void *value)
{
    return read_in_bucket(map, key, value, false);
}

/* The value as one update left it: if it changed meanwhile, or the element did, it is read again.
 */
static long read_value(struct sta_map *map, const void *key, void *value)
{
    for (unsigned i = 0; i < READ_TRIES; i++) {
        uint32_t version = 0;
        struct sta__elem *elem = sta__hash_find_version(&map->hash, key, map->key_size, &version);

        if (!elem)
            return -ENOENT;
        sta__value_read(map, value,
                        (char *)elem + map->hash.value_at + (version & 1) * map->hash.other_value);
        if (sta__hash_is_settled(elem, version))
            return 0;
    }
    return read_in_bucket(map, key, value, false);
}

/* Tables differ in how they look up and update. */
#define OPS(lookup_fn, update_fn)                                                               \
    {                                                                                           \
        .lookup = (lookup_fn), .update = (update_fn), .write = (update_fn), .read = read_value, \
        .read_locked = read_locked, .take = take, .remove = sta__hash_remove,                   \
        .for_each = sta__hash_for_each, .next_key = sta__hash_next_key, STA__NO_PERCPU,         \
        STA__NO_TAIL, STA__NO_QUEUE,                                                            \
    }

const struct sta__map_ops sta__hash_ops = OPS(lookup, update);

/* Values of one word, by the size of the keys. */
#define WORD_OPS(size)                                                                       \
    static void *lookup##size##_word(struct sta_map *map, const void *key)                   \
    {                                                                                        \
        return lookup_word(map, key, size);                                                  \
    }                                                                                        \
    static long update##size##_word(struct sta_map *map, const void *key, const void *value, \
                                    uint64_t flags)                                          \
    {                                                                                        \
        return update_word(map, key, size, value, flags);                                    \
    }                                                                                        \
    const struct sta__map_ops sta__hash##size##_word_ops =                                   \
        OPS(lookup##size##_word, update##size##_word)

WORD_OPS(4);
WORD_OPS(8);
WORD_OPS(16);

/* LRU: looking up is using, for programs; hosts may look without that counting. */
static void *lookup_lru(struct sta_map *map, const void *key)
{
    struct sta__elem *elem = sta__hash_find(&map->hash, key, map->key_size);

    if (!elem)
        return NULL;
    if (!atomic_load_explicit(&elem->referenced, memory_order_relaxed))
        atomic_store_explicit(&elem->referenced, 1, memory_order_relaxed);
    return sta__hash_value(&map->hash, elem);
}

const struct sta__map_ops sta__lru_hash_ops = OPS(lookup_lru, update);
