/* SPDX-License-Identifier: MIT */
#include "ebpf/tail.h"

#include <stddef.h>

const struct sta__tail_target *sta__tail_next(struct sta_map *map, uint64_t index,
                                              struct sta__tail_run *run)
{
    const struct sta__tail_target *target;

    if (!run || run->count >= STA__TAIL_CALL_MAX)
        return NULL;
    if (map->type != BPF_MAP_TYPE_PROG_ARRAY || (uint32_t)index >= map->max_entries)
        return NULL;
    target = map->ops->tail_target(map, (uint32_t)index);
    if (!target || target->context_size > run->ctx_size)
        return NULL;
    run->count++;
    return target;
}
