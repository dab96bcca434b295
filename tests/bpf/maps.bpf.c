/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Maps of many types, functions, constants, strings: much to be relocated. */
#include "syscall_events.h"

const volatile int limit = 10;
const volatile char label[16] = "calls";
int sum, calls;
static int hidden = 3;

struct key {
    int number;
    char name[12];
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 128);
    __type(key, struct key);
    __type(value, long);
} by_key SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 4);
    __type(key, int);
    __type(value, long);
} per_cpu SEC(".maps");

struct inner {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 2);
    __type(key, int);
    __type(value, int);
} inner_one SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 2);
    __type(key, int);
    __array(values, struct inner);
} outer SEC(".maps") = {.values = {&inner_one}};

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} events SEC(".maps");

static __noinline int add(int number)
{
    hidden += number;
    return number < limit ? number : limit;
}

static long count(void *map, int *key, long *value, void *data)
{
    calls += *key;
    return 0;
}

SEC("tp/raw_syscalls/sys_enter")
int enter(struct trace_event_raw_sys_enter *ctx)
{
    struct key key = {.number = (int)ctx->id};
    long one = 1, *value;
    int index = 0;

    __builtin_memcpy(key.name, (const void *)label, 8);
    sum += add((int)ctx->args[0]);
    value = bpf_map_lookup_elem(&by_key, &key);
    if (value)
        *value += hidden;
    else
        bpf_map_update_elem(&by_key, &key, &one, BPF_ANY);
    value = bpf_map_lookup_elem(&per_cpu, &index);
    if (value)
        *value += 1;
    bpf_for_each_map_elem(&per_cpu, count, NULL, 0);
    bpf_ringbuf_output(&events, &key, sizeof(key), 0);
    return 0;
}

SEC("tp/raw_syscalls/sys_exit")
int leave(struct trace_event_raw_sys_exit *ctx)
{
    int index = 0, *found;
    void *inside = bpf_map_lookup_elem(&outer, &index);

    if (inside) {
        found = bpf_map_lookup_elem(inside, &index);
        if (found)
            *found += 1;
    }
    return add((int)ctx->ret);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
