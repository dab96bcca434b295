/* SPDX-License-Identifier: MIT */
/*
 * struct bpf_spin_lock in a map's value: four bytes, with the number of the thread that holds it;
 * 0: nobody does. Programs take it by bpf_spin_lock, BPF_F_LOCK while a value is copied.
 *
 * It keeps values whole, and nothing depends on it that has to be in order: so nobody has to be
 * refused, and nobody waits for ever. A holder that is gone, or that lives and did not run for a
 * second, loses it to who waits. So does one that is the waiting thread itself: that left it by
 * longjmp, or is interrupted by a signal handler. All that they can spoil is the value.
 *
 * On the dispatch path.
 */
#ifndef STA_MAPS_VALUE_LOCK_H
#define STA_MAPS_VALUE_LOCK_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/compiler.h"
#include "maps/map.h"
#include "maps/owner_lock.h"
#include "maps/words.h"

typedef _Atomic uint32_t sta__value_word;

void sta__value_lock_slow(sta__value_word *word);

STA__INLINE void sta__value_lock(sta__value_word *word)
{
    uint32_t nobody = 0;

    /* Acquire: what the previous holder wrote is seen. */
    if (sta__unlikely(
            !atomic_compare_exchange_strong_explicit(word, &nobody, (uint32_t)sta__owner_self(),
                                                     memory_order_acquire, memory_order_relaxed)))
        sta__value_lock_slow(word);
}

STA__INLINE void sta__value_unlock(sta__value_word *word)
{
    /* Release: pairs with the acquire of the next holder. Who lost it leaves it alone. */
    if (sta__likely(atomic_load_explicit(word, memory_order_relaxed) ==
                    (uint32_t)sta__owner_self()))
        atomic_store_explicit(word, 0, memory_order_release);
}

/* The lock of a value, at its address. */
STA__INLINE sta__value_word *sta__value_lock_in(const struct sta_map *map, void *value)
{
    return (sta__value_word *)((char *)value + map->lock_at);
}

void sta__value_write_around(void *to, const void *from, uint32_t size, uint32_t lock_at);

/* Values in and out, of maps whose values may have a lock: it is left alone, and read as 0. */
STA__INLINE void sta__value_write(const struct sta_map *map, void *to, const void *from)
{
    if (sta__unlikely(map->has_lock))
        sta__value_write_around(to, from, map->value_size, map->lock_at);
    else
        sta__words_write(to, from, map->value_size);
}

STA__INLINE void sta__value_read(const struct sta_map *map, void *to, const void *from)
{
    sta__words_read(to, from, map->value_size);
    if (sta__unlikely(map->has_lock))
        *(sta__half_anywhere *)((char *)to + map->lock_at) = 0;
}

/* Under the lock. */
STA__INLINE void sta__value_write_locked(const struct sta_map *map, void *to, const void *from)
{
    sta__value_lock(sta__value_lock_in(map, to));
    sta__value_write(map, to, from);
    sta__value_unlock(sta__value_lock_in(map, to));
}

STA__INLINE void sta__value_read_locked(const struct sta_map *map, void *to, void *from)
{
    sta__value_lock(sta__value_lock_in(map, from));
    sta__value_read(map, to, from);
    sta__value_unlock(sta__value_lock_in(map, from));
}

/* Whether these flags of an update are the kernel's: BPF_F_LOCK needs a lock. */
STA__INLINE bool sta__value_flags_are_valid(const struct sta_map *map, uint64_t flags)
{
    if (sta__unlikely(flags & BPF_F_LOCK))
        return map->has_lock && (flags & ~(uint64_t)BPF_F_LOCK) <= BPF_EXIST;
    return flags <= BPF_EXIST;
}

#endif
