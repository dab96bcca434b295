/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Programs that get registers: raw tracepoints, and those at the kernel's function of a call. */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct pt_regs {
    unsigned long di, si, dx, r10, r8, r9, ax, orig_ax;
};
#pragma clang attribute pop

#include <bpf/bpf_core_read.h>

#define __KERNEL__ 1 /* whose names pt_regs has */
#define __VMLINUX_H__
#include <bpf/bpf_tracing.h>

const volatile int target_pid;
const volatile int target_fd;

long raw_bytes, probe_bytes, probe_calls, return_value; /* of write(2) */

static int is_target(void)
{
    return (int)(bpf_get_current_pid_tgid() >> 32) == target_pid;
}

SEC("raw_tp/sys_enter")
int raw_enter(struct bpf_raw_tracepoint_args *ctx)
{
    const struct pt_regs *regs = (const void *)ctx->args[0];
    unsigned long fd = 0, bytes = 0;

    if (ctx->args[1] != 1 || !is_target())
        return 0;
    bpf_probe_read_kernel(&fd, sizeof(fd), &regs->di);
    bpf_probe_read_kernel(&bytes, sizeof(bytes), &regs->dx);
    if ((int)fd == target_fd)
        raw_bytes += bytes;
    return 0;
}

SEC("ksyscall/write")
int BPF_KSYSCALL(probe_enter, int fd, const void *data, unsigned long bytes)
{
    if (fd == target_fd && is_target()) {
        probe_calls++;
        probe_bytes += bytes;
    }
    return 0;
}

SEC("kretsyscall/write")
int BPF_KRETPROBE(probe_exit, long result)
{
    if (is_target())
        return_value = result;
    return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
