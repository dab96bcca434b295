/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Raw tracepoints with types: they need the kernel's BTF, or ours. */
#include "syscall_events.h"

#include <bpf/bpf_tracing.h>

#include "sections.h"

const volatile int target_pid;
long entered, left;

SEC("tp_btf/sys_enter")
int BPF_PROG(typed_enter, void *regs, long id)
{
    if (id == NR_GETPPID && (int)(bpf_get_current_pid_tgid() >> 32) == target_pid)
        entered++;
    return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(typed_exit, void *regs, long ret)
{
    if ((int)(bpf_get_current_pid_tgid() >> 32) == target_pid)
        left++;
    return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
