/* SPDX-License-Identifier: MIT */
/*
 * See objects.h. A table with open addressing: an object is at the place that its number says, or
 * at one behind it before the next place that was never used. Objects that go leave their number
 * behind, so that those which were put behind them are found, until another one needs the place.
 *
 * On the dispatch path.
 */
#include "maps/objects.h"

#include <stdatomic.h>
#include <stddef.h>

#include "base/gate.h"
#include "base/lock.h"
#include "maps/map.h"
#include "maps/objects_held.h"

/*
 * A place gets another number first and then its object; readers read the object and then look at
 * the number (again): if they have seen the new object, they see that it is not the one they want.
 */
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
        uint32_t seen = atomic_load_explicit(&entries[place].id, memory_order_acquire);
        void *object;

        if (seen == 0)
            return NULL;
        if (seen != id)
            continue;
        /* Acquire: pairs with the release of who noted it. */
        object = atomic_load_explicit(&entries[place].object, memory_order_acquire);
        if (object && atomic_load_explicit(&entries[place].id, memory_order_relaxed) == id)
            return object;
    }
    return NULL;
}

static void *object_in(uint32_t place)
{
    return atomic_load_explicit(&entries[place].object, memory_order_relaxed);
}

static uint32_t id_in(uint32_t place)
{
    return atomic_load_explicit(&entries[place].id, memory_order_relaxed);
}

static uint32_t find_object(const void *object)
{
    for (uint32_t i = 0; i < STA__OBJECTS_MAX; i++) {
        if (object_in(i) == object)
            return id_in(i);
    }
    return 0;
}

/* Under the lock. */
static uint32_t put(void *object, uint32_t id)
{
    uint32_t free_place = STA__OBJECTS_MAX;

    for (uint32_t i = 0; i < STA__OBJECTS_MAX; i++) {
        uint32_t place = place_of(id, i);

        if (object_in(place)) {
            if (id_in(place) == id)
                return 0;
            continue;
        }
        if (free_place == STA__OBJECTS_MAX)
            free_place = place;
        if (id_in(place) == 0)
            break;
    }
    if (free_place == STA__OBJECTS_MAX)
        return 0;
    atomic_store_explicit(&entries[free_place].id, id, memory_order_release);
    /* Release: who finds it sees what was done to it, and the number. */
    atomic_store_explicit(&entries[free_place].object, object, memory_order_release);
    return id;
}

static uint32_t random_number(enum sta__object_class class)
{
    uint32_t number = 0;

    STA__RAW3(SYS_getrandom, &number, sizeof(number), 0);
    if (class == STA__OBJECT_MAP)
        return number & INT32_MAX;
    number &= (UINT32_C(1) << 30) - 1;
    return number | (class == STA__OBJECT_PROGRAM ? UINT32_C(2) : UINT32_C(3)) << 30;
}

uint32_t sta__object_note(void *object, enum sta__object_class class, uint32_t id)
{
    struct sta__lock_state saved;
    uint32_t noted = 0;

    if (id && sta__object_class_of(id) != class)
        return 0;
    sta__lock(&lock, &saved);
    if (id == 0)
        noted = find_object(object);
    for (int tries = 0; noted == 0 && tries < (id ? 1 : 8); tries++) {
        uint32_t number = id ? id : random_number(class);

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
        if (object_in(i) == object)
            atomic_store_explicit(&entries[i].object, NULL, memory_order_relaxed);
    }
    sta__unlock(&lock, &saved);
}

static struct sta__held *find_held(struct sta_map *map, uint32_t id)
{
    struct sta__held *held = map->objects_held;

    while (held && held->id != id)
        held = held->next;
    return held;
}

struct sta__held *sta__held_fill(struct sta_map *map, struct sta__held *room,
                                 const struct sta__held *what)
{
    struct sta__lock_state saved;
    struct sta__held *held;

    sta__lock(&map->objects_lock, &saved);
    held = find_held(map, 0);
    if (held) {
        held->object = what->object;
        held->kind = what->kind;
        held->id = what->id;
    } else {
        *room = *what;
        room->next = map->objects_held;
        map->objects_held = room;
        room = NULL;
    }
    sta__unlock(&map->objects_lock, &saved);
    return room;
}

void sta__held_put(struct sta_map *map, uint32_t id)
{
    struct sta__held found = {.id = 0}, *held;
    struct sta__lock_state saved;

    if (id == 0)
        return;
    sta__lock(&map->objects_lock, &saved);
    held = find_held(map, id);
    if (held) {
        found = *held;
        held->id = 0;
    }
    sta__unlock(&map->objects_lock, &saved);
    if (found.id)
        found.kind->put(found.object);
}
