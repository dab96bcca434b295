/* SPDX-License-Identifier: MIT */
/* Programs in program arrays. Not on the dispatch path. */
#include <errno.h>

#include "ebpf/program.h"
#include "maps/map.h"
#include "maps/object_array.h"
#include "maps/shared.h"

int sta_map_set_program(struct sta_map *map, uint32_t index, struct sta_program *program)
{
    if (!map || !program || map->type != BPF_MAP_TYPE_PROG_ARRAY)
        return -EINVAL;
    if (map->flags & BPF_F_RDONLY || atomic_load(&map->head->is_frozen))
        return -EPERM;
    return sta__objects_set(map, &index, &program->tail, BPF_ANY);
}
