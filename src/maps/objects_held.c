/* SPDX-License-Identifier: MIT */
/* What allocates and frees: see objects_held.h. */
#include "maps/objects_held.h"

#include <errno.h>
#include <stdlib.h>

#include "maps/map.h"

int sta__held_get(struct sta_map *map, uint32_t id, void *object,
                  const struct sta__object_kind *kind)
{
    const struct sta__held held = {.id = id, .object = object, .kind = kind};
    struct sta__held *room = malloc(sizeof(*room));

    if (!room)
        return -ENOMEM;
    kind->get(object);
    free(sta__held_fill(map, room, &held));
    return 0;
}

void sta__held_put_all(struct sta_map *map)
{
    /* Entries stay where they are, and new ones come before them: nothing is missed. */
    for (struct sta__held *held = map->objects_held; held; held = held->next) {
        if (held->id)
            sta__held_put(map, held->id);
    }
}

void sta__held_free(struct sta_map *map)
{
    while (map->objects_held) {
        struct sta__held *next = map->objects_held->next;

        free(map->objects_held);
        map->objects_held = next;
    }
}
