/* SPDX-License-Identifier: MIT */
/*
 * The table of helpers, by the kernel's numbers: what each takes and returns, and its function.
 */
#include "ebpf/helper.h"

#include <linux/bpf.h>
#include <stddef.h>

#include "ebpf/helpers.h"

static const struct sta__helper helpers[] = {
    [BPF_FUNC_map_lookup_elem] = {.name = "map_lookup_elem",
                                  .fn = sta__helper_map_lookup_elem,
                                  .ret = STA__RET_MAP_VALUE_OR_NULL,
                                  .args = {STA__ARG_MAP, STA__ARG_MAP_KEY}},
    [BPF_FUNC_map_update_elem] = {.name = "map_update_elem",
                                  .fn = sta__helper_map_update_elem,
                                  .args = {STA__ARG_MAP, STA__ARG_MAP_KEY, STA__ARG_MAP_VALUE,
                                           STA__ARG_ANYTHING}},
    [BPF_FUNC_map_delete_elem] = {.name = "map_delete_elem",
                                  .fn = sta__helper_map_delete_elem,
                                  .args = {STA__ARG_MAP, STA__ARG_MAP_KEY}},
    [BPF_FUNC_ktime_get_ns] = {.name = "ktime_get_ns", .fn = sta__helper_ktime_get_ns},
    [BPF_FUNC_get_prandom_u32] = {.name = "get_prandom_u32", .fn = sta__helper_get_prandom_u32},
    [BPF_FUNC_get_smp_processor_id] = {.name = "get_smp_processor_id",
                                       .fn = sta__helper_get_smp_processor_id},
    [BPF_FUNC_tail_call] = {.name = "tail_call",
                            .fn = sta__helper_tail_call,
                            .ret = STA__RET_VOID,
                            .args = {STA__ARG_CTX, STA__ARG_MAP, STA__ARG_ANYTHING}},
    [BPF_FUNC_get_current_pid_tgid] = {.name = "get_current_pid_tgid",
                                       .fn = sta__helper_get_current_pid_tgid},
    [BPF_FUNC_get_current_uid_gid] = {.name = "get_current_uid_gid",
                                      .fn = sta__helper_get_current_uid_gid},
    [BPF_FUNC_override_return] = {.name = "override_return",
                                  .fn = sta__helper_override_return,
                                  .args = {STA__ARG_CTX, STA__ARG_ANYTHING}},
    [BPF_FUNC_ktime_get_boot_ns] = {.name = "ktime_get_boot_ns",
                                    .fn = sta__helper_ktime_get_boot_ns},
    [BPF_FUNC_ktime_get_coarse_ns] = {.name = "ktime_get_coarse_ns",
                                      .fn = sta__helper_ktime_get_coarse_ns},
    [BPF_FUNC_loop] = {.name = "loop",
                       .fn = sta__helper_loop,
                       .args = {STA__ARG_ANYTHING, STA__ARG_FUNC, STA__ARG_STACK_OR_NULL,
                                STA__ARG_ANYTHING}},
    [BPF_FUNC_ktime_get_tai_ns] = {.name = "ktime_get_tai_ns", .fn = sta__helper_ktime_get_tai_ns},
};

const struct sta__helper *sta__helper_find(int32_t id)
{
    if (id < 0 || (size_t)id >= sizeof(helpers) / sizeof(helpers[0]) || !helpers[id].name)
        return NULL;
    return &helpers[id];
}
