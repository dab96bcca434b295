/* SPDX-License-Identifier: MIT */
/* Which helpers take which maps. */
#include <errno.h>

#include "ebpf/verify/verifier.h"

/* Maps of these types are for these helpers only. */
static const struct {
    uint32_t type;
    int32_t helpers[6];
} special_maps[] = {
    {BPF_MAP_TYPE_PROG_ARRAY, {BPF_FUNC_tail_call}},
    {BPF_MAP_TYPE_PERF_EVENT_ARRAY,
     {BPF_FUNC_perf_event_read, BPF_FUNC_perf_event_output, BPF_FUNC_perf_event_read_value}},
    {BPF_MAP_TYPE_RINGBUF,
     {BPF_FUNC_ringbuf_output, BPF_FUNC_ringbuf_reserve, BPF_FUNC_ringbuf_query,
      BPF_FUNC_ringbuf_reserve_dynptr, BPF_FUNC_ringbuf_submit_dynptr,
      BPF_FUNC_ringbuf_discard_dynptr}},
    {BPF_MAP_TYPE_USER_RINGBUF, {BPF_FUNC_user_ringbuf_drain}},
    {BPF_MAP_TYPE_STACK_TRACE, {BPF_FUNC_get_stackid}},
    {BPF_MAP_TYPE_CGROUP_ARRAY, {BPF_FUNC_current_task_under_cgroup}},
    {BPF_MAP_TYPE_QUEUE, {BPF_FUNC_map_push_elem, BPF_FUNC_map_pop_elem, BPF_FUNC_map_peek_elem}},
    {BPF_MAP_TYPE_STACK, {BPF_FUNC_map_push_elem, BPF_FUNC_map_pop_elem, BPF_FUNC_map_peek_elem}},
    {BPF_MAP_TYPE_BLOOM_FILTER, {BPF_FUNC_map_push_elem, BPF_FUNC_map_peek_elem}},
    {BPF_MAP_TYPE_TASK_STORAGE, {BPF_FUNC_task_storage_get, BPF_FUNC_task_storage_delete}},
};

static bool is_listed(const int32_t *helpers, int32_t id)
{
    for (int i = 0; i < 6 && helpers[i]; i++) {
        if (helpers[i] == id)
            return true;
    }
    return false;
}

static bool map_fits(uint32_t type, int32_t id)
{
    bool is_special = false, is_for_helper = false;

    for (size_t i = 0; i < sizeof(special_maps) / sizeof(special_maps[0]); i++) {
        if (special_maps[i].type == type) {
            is_special = true;
            is_for_helper = is_listed(special_maps[i].helpers, id);
        } else if (is_listed(special_maps[i].helpers, id) && !is_for_helper) {
            is_special = true; /* the helper is for another type */
        }
    }
    if (type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS)
        return id == BPF_FUNC_map_lookup_elem;
    if (id == BPF_FUNC_map_lookup_percpu_elem)
        return type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH ||
               type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
    if (id == BPF_FUNC_for_each_map_elem)
        return type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_ARRAY ||
               type == BPF_MAP_TYPE_LRU_HASH || type == BPF_MAP_TYPE_PERCPU_HASH ||
               type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY;
    return !is_special || is_for_helper;
}

static bool changes_map(int32_t id)
{
    return id == BPF_FUNC_map_update_elem || id == BPF_FUNC_map_delete_elem ||
           id == BPF_FUNC_map_push_elem || id == BPF_FUNC_map_pop_elem;
}

int sta__check_helper_map(struct sta__verifier *v, const struct sta__helper *helper, int32_t id,
                          const struct sta_map *map)
{
    if (!map)
        return 0;
    if (!map_fits(map->type, id))
        return sta__deny(v, -EINVAL, "cannot pass map_type %u into func %s#%d", map->type,
                         helper->name, id);
    if (changes_map(id) && (map->flags & BPF_F_RDONLY_PROG))
        return sta__deny(v, -EACCES, "write into map forbidden");
    return 0;
}
