/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Both load; the second reads more than its event has, which is found when it is attached. */
#include "syscall_events.h"

long entered;

SEC("tp/syscalls/sys_enter_getppid")
int fits(struct trace_event_raw_sys_enter *ctx)
{
    __sync_fetch_and_add(&entered, 1);
    return 0;
}

SEC("tp/syscalls/sys_exit_getppid")
int does_not_fit(struct trace_event_raw_sys_enter *ctx)
{
    return (int)ctx->args[5];
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
