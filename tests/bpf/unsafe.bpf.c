/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The first program is safe, the second is not. */
#include "syscall_events.h"

long entered;

SEC("tp/syscalls/sys_enter_getppid")
int safe(struct trace_event_raw_sys_enter *ctx)
{
    __sync_fetch_and_add(&entered, 1);
    return 0;
}

SEC("tp/syscalls/sys_exit_getppid")
int nosy(struct trace_event_raw_sys_exit *ctx)
{
    return *(volatile int *)((char *)ctx + 9000);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
