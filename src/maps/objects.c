/* SPDX-License-Identifier: MIT */
/* See objects.h. A table with open addressing; entries are only ever cleared by their object's
 * end, and then used again for the same or other numbers. On the dispatch path. */
#include "maps/objects.h"

#include <stdatomic.h>
#include <stddef.h>

#include "base/gate.h"
#include "base/lock.h"

/* The number of an entry stays when its object goes, so that those which were put behind it are
 * found. */
static struct {
    _Atomic uint32_t id; /* 0: never used */
    _Atomic(void *) object;
} entries[STA__OBJECTS_MAX];

static struct sta__lock lock; /* of writers */

static uint32_t place_of(uint32_t id, uint32_t step)
{
    return ((id ^ id >> 16) + step) % STA__OBJECTS_MAX;
}

void *sta__object_find(uint32_t id)
{
    if (id == 0)
        return NULL;
    for (uint32_t i = 0; i < STA__OBJECTS_MAX; i++) {
        uint32_t place = place_of(id, i);
        /* Acquire: pairs with the release of who noted it. */
        uint32_t seen = atomic_load_explicit(&entries[place].id, memory_order_acquire);

        if (seen == id)
            return atomic_load_explicit(&entries[place].object, memory_order_acquire);
        if (seen == 0)
            return NULL;
    }
    return NULL;
}

static uint32_t find_object(const void *object)
{
    for (uint32_t i = 0; i < STA__OBJECTS_MAX; i++) {
        if (atomic_load_explicit(&entries[i].object, memory_order_relaxed) == object)
            return atomic_load_explicit(&entries[i].id, memory_order_relaxed);
    }
    return 0;
}

/* Under the lock. */
static uint32_t put(void *object, uint32_t id)
{
    for (uint32_t i = 0; i < STA__OBJECTS_MAX; i++) {
        uint32_t place = place_of(id, i);
        uint32_t seen = atomic_load_explicit(&entries[place].id, memory_order_relaxed);

        if (seen != 0 && seen != id)
            continue;
        if (seen == id && atomic_load_explicit(&entries[place].object, memory_order_relaxed))
            return 0;
        atomic_store_explicit(&entries[place].object, object, memory_order_release);
        atomic_store_explicit(&entries[place].id, id, memory_order_release);
        return id;
    }
    return 0;
}

uint32_t sta__object_note(void *object, uint32_t id)
{
    struct sta__lock_state saved;
    uint32_t noted = 0;

    sta__lock(&lock, &saved);
    if (id == 0)
        noted = find_object(object);
    for (int tries = 0; noted == 0 && tries < (id ? 1 : 8); tries++) {
        uint32_t number = id;

        if (id == 0)
            STA__RAW3(SYS_getrandom, &number, sizeof(number), 0);
        if (number)
            noted = put(object, number);
    }
    sta__unlock(&lock, &saved);
    return noted;
}

void sta__object_forget(const void *object)
{
    struct sta__lock_state saved;

    sta__lock(&lock, &saved);
    for (uint32_t i = 0; i < STA__OBJECTS_MAX; i++) {
        if (atomic_load_explicit(&entries[i].object, memory_order_relaxed) == object)
            atomic_store_explicit(&entries[i].object, NULL, memory_order_release);
    }
    sta__unlock(&lock, &saved);
}
