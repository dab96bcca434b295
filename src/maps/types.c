/* SPDX-License-Identifier: MIT */
#include "maps/types.h"

void *sta__place(struct sta__placer *placer, uint64_t count, uint64_t size, uint32_t align)
{
    uint64_t at = (placer->at + align - 1) / align * align;
    uint64_t bytes;

    if (at < placer->at || __builtin_mul_overflow(count, size, &bytes) ||
        __builtin_add_overflow(at, bytes, &placer->at)) {
        placer->at = UINT64_MAX;
        return NULL;
    }
    return placer->base ? (void *)(placer->base + at) : NULL;
}

static const struct sta__map_type *const types[] = {
    [BPF_MAP_TYPE_HASH] = &sta__type_hash,
    [BPF_MAP_TYPE_ARRAY] = &sta__type_array,
    [BPF_MAP_TYPE_PERCPU_HASH] = &sta__type_percpu_hash,
    [BPF_MAP_TYPE_PERCPU_ARRAY] = &sta__type_percpu_array,
    [BPF_MAP_TYPE_LRU_HASH] = &sta__type_lru_hash,
    [BPF_MAP_TYPE_LRU_PERCPU_HASH] = &sta__type_lru_percpu_hash,
    [BPF_MAP_TYPE_PROG_ARRAY] = &sta__type_prog_array,
    [BPF_MAP_TYPE_PERF_EVENT_ARRAY] = &sta__type_perf_event_array,
    [BPF_MAP_TYPE_CGROUP_ARRAY] = &sta__type_prog_array,
    [BPF_MAP_TYPE_STACK_TRACE] = &sta__type_stack_trace,
    [BPF_MAP_TYPE_ARRAY_OF_MAPS] = &sta__type_array_of_maps,
    [BPF_MAP_TYPE_HASH_OF_MAPS] = &sta__type_hash_of_maps,
    [BPF_MAP_TYPE_LPM_TRIE] = &sta__type_lpm_trie,
    [BPF_MAP_TYPE_QUEUE] = &sta__type_queue,
    [BPF_MAP_TYPE_STACK] = &sta__type_queue,
    [BPF_MAP_TYPE_RINGBUF] = &sta__type_ringbuf,
    [BPF_MAP_TYPE_BLOOM_FILTER] = &sta__type_bloom_filter,
};

const struct sta__map_type *sta__map_type(uint32_t type)
{
    return type < sizeof(types) / sizeof(types[0]) ? types[type] : NULL;
}
