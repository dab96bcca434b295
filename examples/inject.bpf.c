/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The disk is full from the third write to a descriptor on. In the kernel no program on a
 * tracepoint may call bpf_override_return(); here it is what injection is made of. */
#include "syscall_events.h"

#define ENOSPC 28

const volatile int target_fd; /* set by the host before loading */
const volatile int room = 2;  /* how many writes go through */

int writes; /* seen */

SEC("tracepoint/syscalls/sys_enter_write")
int fill_disk(struct trace_event_raw_sys_enter *ctx)
{
    if ((int)ctx->args[0] != target_fd)
        return 0;
    if (__sync_fetch_and_add(&writes, 1) >= room)
        bpf_override_return((struct pt_regs *)ctx, -ENOSPC);
    return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
