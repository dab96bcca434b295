/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* One program that can be attached here, and some that cannot. */
#include "syscall_events.h"

long entered;

SEC("tp/syscalls/sys_enter_getppid")
int good(struct trace_event_raw_sys_enter *ctx)
{
    __sync_fetch_and_add(&entered, 1);
    return 0;
}

SEC("kprobe/vfs_read")
int probe_of_a_function(void *ctx)
{
    return 0;
}

SEC("tp/sched/sched_switch")
int another_tracepoint(void *ctx)
{
    return 0;
}

SEC("xdp")
int packets(void *ctx)
{
    return 1;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
