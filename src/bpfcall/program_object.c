/* SPDX-License-Identifier: MIT */
/* See program_object.h. */
#include "bpfcall/program_object.h"

#include <errno.h>
#include <stdlib.h>

#include "maps/map.h"

static void on_free(struct sta__fd_object *object)
{
    struct sta__bpf_program *program = (struct sta__bpf_program *)object;

    sta_program_free(program->program);
    for (uint32_t i = 0; i < program->map_count; i++)
        sta__fds_put(&program->maps[i]->object);
    if (program->btf)
        sta__fds_put(&program->btf->object);
    free(program->maps);
    free(program);
}

const struct sta__fd_ops sta__program_object_ops = {.free = on_free};

/* Under the lock. Whether the map is there, or is put into `room`, which takes the place of the
 * program's array, of so many: what is no longer needed is left in *room. */
static bool add_locked(struct sta__bpf_program *program, struct sta__bpf_map *map,
                       struct sta__bpf_map ***room, uint32_t count, bool *is_there)
{
    struct sta__bpf_map **old = program->maps;

    *is_there = false;
    for (uint32_t i = 0; i < program->map_count && !*is_there; i++)
        *is_there = old[i] == map;
    if (*is_there)
        return true;
    if (program->map_count >= count)
        return false;
    for (uint32_t i = 0; i < program->map_count; i++)
        (*room)[i] = old[i];
    (*room)[program->map_count++] = map;
    program->maps = *room;
    *room = old;
    return true;
}

/* No memory is asked for, or given back, under the lock: it blocks all signals, and malloc may make
 * a call that is intercepted by one. */
int sta__program_object_add_map(struct sta__bpf_program *program, struct sta__bpf_map *map)
{
    struct sta__lock *lock = &map->object.bpf->lock;
    struct sta__lock_state saved;
    bool is_done = false, is_there = false;

    sta__fds_hold(&map->object);
    for (uint32_t count = 4; !is_done; count *= 2) {
        struct sta__bpf_map **room = calloc(count, sizeof(struct sta__bpf_map *));

        if (!room) {
            sta__fds_put(&map->object);
            return -ENOMEM;
        }
        sta__lock(lock, &saved);
        is_done = add_locked(program, map, &room, count, &is_there);
        sta__unlock(lock, &saved);
        free(room);
    }
    if (is_there)
        sta__fds_put(&map->object);
    return 0;
}

int sta__program_object_fits(const struct sta__bpf_program *program, struct sta__bpf_map *map)
{
    struct sta__lock_state saved;
    bool fits = true;

    if (map->map->type != BPF_MAP_TYPE_PROG_ARRAY)
        return 0;
    sta__lock(&map->object.bpf->lock, &saved);
    if (map->program_type == BPF_PROG_TYPE_UNSPEC)
        map->program_type = program->type;
    else
        fits = map->program_type == program->type;
    sta__unlock(&map->object.bpf->lock, &saved);
    return fits ? 0 : -EINVAL;
}

uint32_t sta__program_object_map_ids(struct sta__bpf_program *program, uint32_t *ids, uint32_t room)
{
    struct sta__lock_state saved;
    uint32_t count;

    sta__lock(&program->object.bpf->lock, &saved);
    count = program->map_count;
    for (uint32_t i = 0; i < count && i < room; i++)
        ids[i] = program->maps[i]->object.id;
    sta__unlock(&program->object.bpf->lock, &saved);
    return count;
}
