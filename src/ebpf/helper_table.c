/* SPDX-License-Identifier: MIT */
/*
 * The table of helpers, by the kernel's numbers: what each takes and returns, and its function, for
 * all that the kernel lets tracing programs call. One without a function is refused once the
 * verifier comes to a call of it.
 */
#include "ebpf/helper.h"

#include <linux/bpf.h>
#include <stddef.h>

#include "ebpf/helpers.h"

#define NO_KERNEL_OBJECT   NULL, "programs here have no objects of the kernel"
#define NO_KERNEL_FUNCTION NULL, "no function of the kernel is entered here"
#define NO_TIMER           NULL, "nothing calls back later"
#define NO_OBJECT_IN_VALUE NULL, "values hold no objects of the kernel"
#define NO_COUNTER         NULL, "counters of the processor are not read"
#define NO_NET_CLS         NULL, "net_cls control groups are not asked"
#define NO_TYPES           NULL, "nothing of the kernel's types is printed"
#define NO_VARIABLE        NULL, "variables of the kernel are not here"
#define NO_CGROUP          NULL, "control groups keep nothing here"
#define NO_SLEEP           NULL, "helper call might sleep in a non-sleepable prog"
#define NO_USER_RING       NULL, "ring buffers that hosts fill are not offered"

/* Short names, so that each helper is a line or two. */
#define ARG(name) STA__ARG_##name
#define HAS(name) sta__helper_##name, NULL

/* clang-format off */
static const struct sta__helper helpers[] = {
    [BPF_FUNC_map_lookup_elem] = {
        "map_lookup_elem", HAS(map_lookup_elem), STA__RET_MAP_VALUE_OR_NULL,
        {ARG(MAP), ARG(MAP_KEY)}},
    [BPF_FUNC_map_update_elem] = {"map_update_elem", HAS(map_update_elem), STA__RET_INTEGER,
        {ARG(MAP), ARG(MAP_KEY), ARG(MAP_VALUE), ARG(ANYTHING)}},
    [BPF_FUNC_map_delete_elem] = {"map_delete_elem", HAS(map_delete_elem), STA__RET_INTEGER,
        {ARG(MAP), ARG(MAP_KEY)}},
    [BPF_FUNC_probe_read] = {"probe_read", HAS(probe_read), STA__RET_INTEGER,
        {ARG(UNINIT_MEM), ARG(SIZE_OR_ZERO), ARG(ANYTHING)}},
    [BPF_FUNC_ktime_get_ns] = {"ktime_get_ns", HAS(ktime_get_ns), STA__RET_INTEGER, {ARG(NONE)}},
    /* What it prints may be anything: the kernel does not look at r3 to r5. */
    [BPF_FUNC_trace_printk] = {"trace_printk", HAS(trace_printk), STA__RET_INTEGER,
        {ARG(MEM), ARG(SIZE)}},
    [BPF_FUNC_get_prandom_u32] = {"get_prandom_u32", HAS(get_prandom_u32), STA__RET_INTEGER,
        {ARG(NONE)}},
    [BPF_FUNC_get_smp_processor_id] = {
        "get_smp_processor_id", HAS(get_smp_processor_id), STA__RET_INTEGER,
        {ARG(NONE)}},
    [BPF_FUNC_tail_call] = {"tail_call", HAS(tail_call), STA__RET_VOID,
        {ARG(CTX), ARG(MAP), ARG(ANYTHING)}},
    [BPF_FUNC_get_current_pid_tgid] = {
        "get_current_pid_tgid", HAS(get_current_pid_tgid), STA__RET_INTEGER,
        {ARG(NONE)}},
    [BPF_FUNC_get_current_uid_gid] = {
        "get_current_uid_gid", HAS(get_current_uid_gid), STA__RET_INTEGER,
        {ARG(NONE)}},
    [BPF_FUNC_get_current_comm] = {"get_current_comm", HAS(get_current_comm), STA__RET_INTEGER,
        {ARG(UNINIT_MEM), ARG(SIZE)}},
    [BPF_FUNC_perf_event_read] = {"perf_event_read", NO_COUNTER, STA__RET_INTEGER,
        {ARG(MAP), ARG(ANYTHING)}},
    [BPF_FUNC_perf_event_output] = {"perf_event_output", HAS(perf_event_output), STA__RET_INTEGER,
        {ARG(CTX), ARG(MAP), ARG(ANYTHING), ARG(MEM), ARG(SIZE_OR_ZERO)}},
    [BPF_FUNC_get_stackid] = {"get_stackid", HAS(get_stackid), STA__RET_INTEGER,
        {ARG(CTX), ARG(MAP), ARG(ANYTHING)}},
    [BPF_FUNC_get_current_task] = {"get_current_task", HAS(get_current_task), STA__RET_INTEGER, {ARG(NONE)}},
    [BPF_FUNC_probe_write_user] = {"probe_write_user", HAS(probe_write_user), STA__RET_INTEGER,
        {ARG(ANYTHING), ARG(MEM), ARG(SIZE)}},
    [BPF_FUNC_current_task_under_cgroup] = {
        "current_task_under_cgroup", HAS(current_task_under_cgroup), STA__RET_INTEGER,
        {ARG(MAP), ARG(ANYTHING)}},
    [BPF_FUNC_get_numa_node_id] = {"get_numa_node_id", HAS(get_numa_node_id), STA__RET_INTEGER, {ARG(NONE)}},
    [BPF_FUNC_probe_read_str] = {"probe_read_str", HAS(probe_read_str), STA__RET_INTEGER,
        {ARG(UNINIT_MEM), ARG(SIZE_OR_ZERO), ARG(ANYTHING)}},
    [BPF_FUNC_perf_event_read_value] = {"perf_event_read_value", NO_COUNTER, STA__RET_INTEGER,
        {ARG(MAP), ARG(ANYTHING), ARG(UNINIT_MEM), ARG(SIZE)}},
    [BPF_FUNC_override_return] = {"override_return", HAS(override_return), STA__RET_INTEGER,
        {ARG(CTX), ARG(ANYTHING)}},
    [BPF_FUNC_get_stack] = {"get_stack", HAS(get_stack), STA__RET_INTEGER,
        {ARG(CTX), ARG(UNINIT_MEM), ARG(SIZE_OR_ZERO), ARG(ANYTHING)}},
    [BPF_FUNC_get_current_cgroup_id] = {"get_current_cgroup_id", HAS(get_current_cgroup_id), STA__RET_INTEGER,
        {ARG(NONE)}},
    [BPF_FUNC_get_cgroup_classid] = {"get_cgroup_classid", NO_NET_CLS, STA__RET_INTEGER,
        {ARG(NONE)}},
    [BPF_FUNC_map_push_elem] = {"map_push_elem", HAS(map_push_elem), STA__RET_INTEGER,
        {ARG(MAP), ARG(MAP_VALUE), ARG(ANYTHING)}},
    [BPF_FUNC_map_pop_elem] = {"map_pop_elem", HAS(map_pop_elem), STA__RET_INTEGER,
        {ARG(MAP), ARG(UNINIT_MAP_VALUE)}},
    [BPF_FUNC_map_peek_elem] = {"map_peek_elem", HAS(map_peek_elem), STA__RET_INTEGER,
        {ARG(MAP), ARG(UNINIT_MAP_VALUE)}},
    [BPF_FUNC_spin_lock] = {"spin_lock", HAS(spin_lock), STA__RET_VOID, {ARG(SPIN_LOCK)}},
    [BPF_FUNC_spin_unlock] = {"spin_unlock", HAS(spin_unlock), STA__RET_VOID, {ARG(SPIN_LOCK)}},
    [BPF_FUNC_strtol] = {"strtol", HAS(strtol), STA__RET_INTEGER,
        {ARG(MEM), ARG(SIZE), ARG(ANYTHING), ARG(LONG_OUT)}},
    [BPF_FUNC_strtoul] = {"strtoul", HAS(strtoul), STA__RET_INTEGER,
        {ARG(MEM), ARG(SIZE), ARG(ANYTHING), ARG(LONG_OUT)}},
    [BPF_FUNC_send_signal] = {"send_signal", HAS(send_signal), STA__RET_INTEGER, {ARG(ANYTHING)}},
    [BPF_FUNC_probe_read_user] = {"probe_read_user", HAS(probe_read_user), STA__RET_INTEGER,
        {ARG(UNINIT_MEM), ARG(SIZE_OR_ZERO), ARG(ANYTHING)}},
    [BPF_FUNC_probe_read_kernel] = {"probe_read_kernel", HAS(probe_read_kernel), STA__RET_INTEGER,
        {ARG(UNINIT_MEM), ARG(SIZE_OR_ZERO), ARG(ANYTHING)}},
    [BPF_FUNC_probe_read_user_str] = {"probe_read_user_str", HAS(probe_read_user_str), STA__RET_INTEGER,
        {ARG(UNINIT_MEM), ARG(SIZE_OR_ZERO), ARG(ANYTHING)}},
    [BPF_FUNC_probe_read_kernel_str] = {"probe_read_kernel_str", HAS(probe_read_kernel_str), STA__RET_INTEGER,
        {ARG(UNINIT_MEM), ARG(SIZE_OR_ZERO), ARG(ANYTHING)}},
    [BPF_FUNC_send_signal_thread] = {"send_signal_thread", HAS(send_signal_thread), STA__RET_INTEGER,
        {ARG(ANYTHING)}},
    [BPF_FUNC_jiffies64] = {"jiffies64", HAS(jiffies64), STA__RET_INTEGER, {ARG(NONE)}},
    [BPF_FUNC_get_ns_current_pid_tgid] = {"get_ns_current_pid_tgid", HAS(get_ns_current_pid_tgid), STA__RET_INTEGER,
        {ARG(ANYTHING), ARG(ANYTHING), ARG(UNINIT_MEM), ARG(SIZE)}},
    [BPF_FUNC_get_current_ancestor_cgroup_id] = {
        "get_current_ancestor_cgroup_id", HAS(get_current_ancestor_cgroup_id), STA__RET_INTEGER,
        {ARG(ANYTHING)}},
    [BPF_FUNC_ktime_get_boot_ns] = {"ktime_get_boot_ns", HAS(ktime_get_boot_ns), STA__RET_INTEGER,
        {ARG(NONE)}},
    [BPF_FUNC_ringbuf_output] = {"ringbuf_output", HAS(ringbuf_output), STA__RET_INTEGER,
        {ARG(MAP), ARG(MEM), ARG(SIZE_OR_ZERO), ARG(ANYTHING)}},
    [BPF_FUNC_ringbuf_reserve] = {"ringbuf_reserve", HAS(ringbuf_reserve), STA__RET_RECORD_OR_NULL,
        {ARG(MAP), ARG(CONST_ALLOC_SIZE), ARG(ANYTHING)}},
    [BPF_FUNC_ringbuf_submit] = {"ringbuf_submit", HAS(ringbuf_submit), STA__RET_VOID,
        {ARG(RECORD), ARG(ANYTHING)}},
    [BPF_FUNC_ringbuf_discard] = {"ringbuf_discard", HAS(ringbuf_discard), STA__RET_VOID,
        {ARG(RECORD), ARG(ANYTHING)}},
    [BPF_FUNC_ringbuf_query] = {"ringbuf_query", HAS(ringbuf_query), STA__RET_INTEGER,
        {ARG(MAP), ARG(ANYTHING)}},
    [BPF_FUNC_get_task_stack] = {"get_task_stack", NO_KERNEL_OBJECT, STA__RET_INTEGER,
        {ARG(KERNEL), ARG(UNINIT_MEM), ARG(SIZE_OR_ZERO), ARG(ANYTHING)}},
    [BPF_FUNC_copy_from_user] = {"copy_from_user", NO_SLEEP, STA__RET_INTEGER,
        {ARG(UNINIT_MEM), ARG(SIZE_OR_ZERO), ARG(ANYTHING)}},
    [BPF_FUNC_snprintf_btf] = {"snprintf_btf", NO_TYPES, STA__RET_INTEGER,
        {ARG(WRITABLE_MEM), ARG(SIZE), ARG(MEM), ARG(SIZE), ARG(ANYTHING)}},
    [BPF_FUNC_per_cpu_ptr] = {"per_cpu_ptr", NO_VARIABLE, STA__RET_INTEGER,
        {ARG(KERNEL), ARG(ANYTHING)}},
    [BPF_FUNC_this_cpu_ptr] = {"this_cpu_ptr", NO_VARIABLE, STA__RET_INTEGER, {ARG(KERNEL)}},
    [BPF_FUNC_task_storage_get] = {"task_storage_get", NO_KERNEL_OBJECT, STA__RET_MAP_VALUE_OR_NULL,
        {ARG(MAP), ARG(KERNEL), ARG(ANYTHING), ARG(ANYTHING)}},
    [BPF_FUNC_task_storage_delete] = {"task_storage_delete", NO_KERNEL_OBJECT, STA__RET_INTEGER,
        {ARG(MAP), ARG(KERNEL)}},
    [BPF_FUNC_get_current_task_btf] = {"get_current_task_btf", NO_KERNEL_OBJECT, STA__RET_INTEGER,
        {ARG(NONE)}},
    [BPF_FUNC_ktime_get_coarse_ns] = {
        "ktime_get_coarse_ns", HAS(ktime_get_coarse_ns), STA__RET_INTEGER,
        {ARG(NONE)}},
    [BPF_FUNC_for_each_map_elem] = {"for_each_map_elem", HAS(for_each_map_elem), STA__RET_INTEGER,
        {ARG(MAP), ARG(FUNC), ARG(STACK_OR_NULL), ARG(ANYTHING)}},
    [BPF_FUNC_snprintf] = {"snprintf", HAS(snprintf), STA__RET_INTEGER,
        {ARG(WRITABLE_MEM_OR_NULL), ARG(SIZE_OR_ZERO), ARG(CONST_STR), ARG(MEM_OR_NULL),
         ARG(SIZE_OR_ZERO)}},
    [BPF_FUNC_timer_init] = {"timer_init", NO_TIMER, STA__RET_INTEGER,
        {ARG(KERNEL), ARG(MAP), ARG(ANYTHING)}},
    [BPF_FUNC_timer_set_callback] = {"timer_set_callback", NO_TIMER, STA__RET_INTEGER,
        {ARG(KERNEL), ARG(FUNC)}},
    [BPF_FUNC_timer_start] = {"timer_start", NO_TIMER, STA__RET_INTEGER,
        {ARG(KERNEL), ARG(ANYTHING), ARG(ANYTHING)}},
    [BPF_FUNC_timer_cancel] = {"timer_cancel", NO_TIMER, STA__RET_INTEGER, {ARG(KERNEL)}},
    [BPF_FUNC_get_func_ip] = {"get_func_ip", NO_KERNEL_FUNCTION, STA__RET_INTEGER, {ARG(CTX)}},
    [BPF_FUNC_get_attach_cookie] = {"get_attach_cookie", HAS(get_attach_cookie), STA__RET_INTEGER,
        {ARG(CTX)}},
    [BPF_FUNC_task_pt_regs] = {"task_pt_regs", NO_KERNEL_OBJECT, STA__RET_INTEGER, {ARG(KERNEL)}},
    [BPF_FUNC_get_branch_snapshot] = {"get_branch_snapshot", HAS(get_branch_snapshot), STA__RET_INTEGER,
        {ARG(UNINIT_MEM), ARG(SIZE_OR_ZERO), ARG(ANYTHING)}},
    [BPF_FUNC_trace_vprintk] = {"trace_vprintk", HAS(trace_vprintk), STA__RET_INTEGER,
        {ARG(MEM), ARG(SIZE), ARG(MEM_OR_NULL), ARG(SIZE_OR_ZERO)}},
    [BPF_FUNC_find_vma] = {"find_vma", NO_KERNEL_OBJECT, STA__RET_INTEGER,
        {ARG(KERNEL), ARG(ANYTHING), ARG(FUNC), ARG(STACK_OR_NULL), ARG(ANYTHING)}},
    [BPF_FUNC_loop] = {"loop", HAS(loop), STA__RET_INTEGER,
        {ARG(ANYTHING), ARG(FUNC), ARG(STACK_OR_NULL), ARG(ANYTHING)}},
    [BPF_FUNC_strncmp] = {"strncmp", HAS(strncmp), STA__RET_INTEGER,
        {ARG(MEM), ARG(SIZE), ARG(CONST_STR)}},
    [BPF_FUNC_copy_from_user_task] = {"copy_from_user_task", NO_SLEEP, STA__RET_INTEGER,
        {ARG(UNINIT_MEM), ARG(SIZE_OR_ZERO), ARG(ANYTHING), ARG(KERNEL), ARG(ANYTHING)}},
    [BPF_FUNC_kptr_xchg] = {"kptr_xchg", NO_OBJECT_IN_VALUE, STA__RET_INTEGER,
        {ARG(KERNEL), ARG(KERNEL)}},
    [BPF_FUNC_map_lookup_percpu_elem] = {
        "map_lookup_percpu_elem", HAS(map_lookup_percpu_elem), STA__RET_MAP_VALUE_OR_NULL,
        {ARG(MAP), ARG(MAP_KEY), ARG(ANYTHING)}},
    [BPF_FUNC_dynptr_from_mem] = {"dynptr_from_mem", HAS(dynptr_from_mem), STA__RET_INTEGER,
        {ARG(UNINIT_MEM), ARG(SIZE_OR_ZERO), ARG(ANYTHING), ARG(UNINIT_DYNPTR)}},
    [BPF_FUNC_ringbuf_reserve_dynptr] = {
        "ringbuf_reserve_dynptr", HAS(ringbuf_reserve_dynptr), STA__RET_INTEGER,
        {ARG(MAP), ARG(ANYTHING), ARG(ANYTHING), ARG(UNINIT_DYNPTR)}},
    [BPF_FUNC_ringbuf_submit_dynptr] = {
        "ringbuf_submit_dynptr", HAS(ringbuf_submit_dynptr), STA__RET_VOID,
        {ARG(RING_DYNPTR), ARG(ANYTHING)}},
    [BPF_FUNC_ringbuf_discard_dynptr] = {
        "ringbuf_discard_dynptr", HAS(ringbuf_discard_dynptr), STA__RET_VOID,
        {ARG(RING_DYNPTR), ARG(ANYTHING)}},
    [BPF_FUNC_dynptr_read] = {"dynptr_read", HAS(dynptr_read), STA__RET_INTEGER,
        {ARG(UNINIT_MEM), ARG(SIZE_OR_ZERO), ARG(DYNPTR), ARG(ANYTHING), ARG(ANYTHING)}},
    [BPF_FUNC_dynptr_write] = {"dynptr_write", HAS(dynptr_write), STA__RET_INTEGER,
        {ARG(DYNPTR), ARG(ANYTHING), ARG(MEM), ARG(SIZE_OR_ZERO), ARG(ANYTHING)}},
    [BPF_FUNC_dynptr_data] = {"dynptr_data", HAS(dynptr_data), STA__RET_MEM_OR_NULL,
        {ARG(DYNPTR), ARG(ANYTHING), ARG(CONST_ALLOC_SIZE)}},
    [BPF_FUNC_ktime_get_tai_ns] = {"ktime_get_tai_ns", HAS(ktime_get_tai_ns), STA__RET_INTEGER,
        {ARG(NONE)}},
    [BPF_FUNC_user_ringbuf_drain] = {"user_ringbuf_drain", NO_USER_RING, STA__RET_INTEGER,
        {ARG(MAP), ARG(FUNC), ARG(STACK_OR_NULL), ARG(ANYTHING)}},
    /* Newer than some headers. */
    [210] = {"cgrp_storage_get", NO_CGROUP, STA__RET_MAP_VALUE_OR_NULL,
        {ARG(MAP), ARG(KERNEL), ARG(ANYTHING), ARG(ANYTHING)}},
    [211] = {"cgrp_storage_delete", NO_CGROUP, STA__RET_INTEGER, {ARG(MAP), ARG(KERNEL)}},
};
/* clang-format on */

const struct sta__helper *sta__helper_find(int32_t id)
{
    if (id < 0 || (size_t)id >= sizeof(helpers) / sizeof(helpers[0]) || !helpers[id].name)
        return NULL;
    return &helpers[id];
}
