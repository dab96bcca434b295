/* SPDX-License-Identifier: MIT */
/* Programs in program arrays. Not on the dispatch path. */
#include <errno.h>

#include "ebpf/program.h"
#include "maps/map.h"
#include "maps/object_array.h"
#include "maps/shared.h"

static struct sta_program *program_of(void *tail)
{
    return tail; /* its first member */
}

static void get(void *tail)
{
    sta__program_get(program_of(tail));
}

static void put(void *tail)
{
    sta__program_put(program_of(tail));
}

static const struct sta__object_kind kind = {get, put};

int sta__program_fits(const struct sta_program *program, struct sta_map *map)
{
    uint32_t type = 0;

    if (map->type != BPF_MAP_TYPE_PROG_ARRAY ||
        atomic_compare_exchange_strong(&map->objects.program_type, &type, program->type))
        return 0;
    return type == program->type ? 0 : -EINVAL;
}

int sta_map_set_program(struct sta_map *map, uint32_t index, struct sta_program *program)
{
    if (!map || !program || map->type != BPF_MAP_TYPE_PROG_ARRAY)
        return -EINVAL;
    if (map->flags & BPF_F_RDONLY || atomic_load(&map->head->is_frozen))
        return -EPERM;
    if (index < map->max_entries && sta__program_fits(program, map) < 0)
        return -EINVAL;
    return sta__objects_set_held(map, &index, &program->tail, &kind, BPF_ANY);
}
