/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* How often which system call was made: a hash map of counts. */
#include "syscall_events.h"

const volatile int target_pid; /* 0: whoever */

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, long);   /* number of the call */
    __type(value, long); /* how often */
} counts SEC(".maps");

SEC("tracepoint/raw_syscalls/sys_enter")
int count_call(struct trace_event_raw_sys_enter *ctx)
{
    const long one = 1;
    long nr = ctx->id, *count;

    if (target_pid && (int)(bpf_get_current_pid_tgid() >> 32) != target_pid)
        return 0;
    count = bpf_map_lookup_elem(&counts, &nr);
    if (count)
        __sync_fetch_and_add(count, 1);
    else
        bpf_map_update_elem(&counts, &nr, &one, BPF_NOEXIST);
    return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
