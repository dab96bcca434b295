/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What libbpf does besides: kconfig, tail calls that the source wires, programs that are not to be
 * loaded, functions of the object, a custom data section. */
#include "syscall_events.h"

extern int LINUX_KERNEL_VERSION __kconfig;

int kernel_version, tail_calls, numbers;
int custom SEC(".data.custom") = 7;

int after(void *ctx);

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 2);
    __uint(key_size, sizeof(__u32));
    __array(values, int(void *));
} next SEC(".maps") = {.values = {[1] = (void *)&after}};

__attribute__((noinline)) int add(int a, int b)
{
    return a + b * custom;
}

SEC("tp/syscalls/sys_enter_getppid")
int after(void *ctx)
{
    __sync_fetch_and_add(&tail_calls, 1);
    return 0;
}

SEC("tp/syscalls/sys_enter_getuid")
int first(void *ctx)
{
    kernel_version = LINUX_KERNEL_VERSION;
    numbers = add(numbers, 2);
    bpf_tail_call(ctx, &next, 1);
    return 0;
}

SEC("?kprobe/nothing")
int not_loaded(void *ctx)
{
    return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
