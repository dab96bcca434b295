/* SPDX-License-Identifier: MIT */
/* See program_object.h. */
#include "bpfcall/program_object.h"

#include <errno.h>
#include <stdlib.h>

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

/* Under the lock. 1: it is there already. */
static int add_locked(struct sta__bpf_program *program, struct sta__bpf_map *map)
{
    struct sta__bpf_map **maps;

    for (uint32_t i = 0; i < program->map_count; i++) {
        if (program->maps[i] == map)
            return 1;
    }
    maps = realloc(program->maps, (program->map_count + 1) * sizeof(struct sta__bpf_map *));
    if (!maps)
        return -ENOMEM;
    program->maps = maps;
    maps[program->map_count++] = map;
    return 0;
}

int sta__program_object_add_map(struct sta__bpf_program *program, struct sta__bpf_map *map)
{
    struct sta__lock_state saved;
    int err;

    sta__fds_hold(&map->object);
    sta__lock(&map->object.bpf->lock, &saved);
    err = add_locked(program, map);
    sta__unlock(&map->object.bpf->lock, &saved);
    if (err != 0)
        sta__fds_put(&map->object);
    return err < 0 ? err : 0;
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
