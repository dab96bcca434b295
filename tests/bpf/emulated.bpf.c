/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Maps and programs of all sorts in one object, for a host that is written for the kernel. */
#include "syscall_events.h"

#include <bpf/bpf_core_read.h>

#include "emulated.h"

const volatile int target_pid;
long counted;  /* .bss */
long step = 3; /* .data */

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16);
    __type(key, __u32);
    __type(value, __u64);
} by_number SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, __u64);
} per_cpu SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} ring SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(__u32));
} perf SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 2);
    __uint(key_size, sizeof(__u32));
    __array(values, int(void *));
} tails SEC(".maps");

struct inner {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} inner SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 2);
    __type(key, __u32);
    __array(values, struct inner);
} outer SEC(".maps") = {.values = {&inner}};

static int is_target(void)
{
    return (int)(bpf_get_current_pid_tgid() >> 32) == target_pid;
}

static void send(void *ctx, __u32 kind, __u64 value)
{
    struct emulated_event event = {.kind = kind, .value = value};

    bpf_ringbuf_output(&ring, &event, sizeof(event), 0);
    bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, &event, sizeof(event));
}

static void add(void *map, __u32 key, __u64 by)
{
    __u64 *value = bpf_map_lookup_elem(map, &key);

    if (value)
        __sync_fetch_and_add(value, by);
}

SEC("tp/syscalls/sys_enter_getpgid")
int on_enter(struct trace_event_raw_sys_enter *ctx)
{
    __u32 key = 0;
    __u64 zero = 0;
    void *map;

    if (!is_target())
        return 0;
    counted += step;
    key = (__u32)ctx->args[0];
    bpf_map_update_elem(&by_number, &key, &zero, BPF_NOEXIST);
    add(&by_number, key, 1);
    add(&per_cpu, 1, 10);
    key = 0;
    map = bpf_map_lookup_elem(&outer, &key);
    if (map)
        add(map, 0, 100);
    send(ctx, EMULATED_ENTER, ctx->args[0]);
    bpf_tail_call(ctx, &tails, 1);
    counted = -1; /* not reached */
    return 0;
}

SEC("tp/syscalls/sys_enter_getpgid")
int on_tail(struct trace_event_raw_sys_enter *ctx)
{
    if (is_target())
        send(ctx, EMULATED_TAIL, bpf_get_attach_cookie(ctx));
    return 0;
}

SEC("tp/syscalls/sys_exit_getpgid")
int on_exit(struct trace_event_raw_sys_exit *ctx)
{
    if (is_target())
        send(ctx, EMULATED_EXIT, (__u64)ctx->ret);
    return 0;
}

SEC("raw_tp/sys_enter")
int on_raw(struct bpf_raw_tracepoint_args *ctx)
{
    if (is_target() && ctx->args[1] == EMULATED_NR_GETPGID)
        send(ctx, EMULATED_RAW, ctx->args[1]);
    return 0;
}

char LICENSE[] SEC("license") = "GPL";
