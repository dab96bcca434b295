/* SPDX-License-Identifier: MIT */
/*
 * Tracing programs as people write them, for the verifier: what the compiler makes of them has to
 * be accepted. Each is a section of its own. Maps are named by symbols (see compiled.c).
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

extern char map_hash, map_array, map_ring, map_perf, map_percpu, map_stacks;

#define PROGRAM(name) __attribute__((section("prog/" #name), used)) int name

struct enter {
    unsigned long long common;
    long id;
    unsigned long args[6];
};

struct leave {
    unsigned long long common;
    long id;
    long ret;
};

struct value { /* of map_hash */
    unsigned long long count, total, last;
    unsigned long long slots[3];
};

PROGRAM(tp_count)(struct enter *ctx)
{
    unsigned long long key = ctx->id;
    struct value zero = {0}, *value = bpf_map_lookup_elem(&map_hash, &key);

    if (!value) {
        bpf_map_update_elem(&map_hash, &key, &zero, BPF_NOEXIST);
        value = bpf_map_lookup_elem(&map_hash, &key);
        if (!value)
            return 0;
    }
    __sync_fetch_and_add(&value->count, 1);
    return 0;
}

PROGRAM(tp_latency)(struct leave *ctx)
{
    unsigned long long key = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns(), delta;
    struct value *value = bpf_map_lookup_elem(&map_hash, &key);
    int slot = 0;

    if (!value || ctx->ret < 0)
        return 0;
    delta = now - value->last;
    if (delta > 1000000)
        slot = 2;
    else if (delta > 1000)
        slot = 1;
    value->slots[slot]++;
    value->total += delta;
    bpf_map_delete_elem(&map_hash, &key);
    return 0;
}

/* log2 of a number, as an index. */
static __attribute__((always_inline)) unsigned log2l(unsigned long long n)
{
    unsigned r = 0;

    if (n >> 32) {
        n >>= 32;
        r += 32;
    }
    if (n >> 16) {
        n >>= 16;
        r += 16;
    }
    if (n >> 8) {
        n >>= 8;
        r += 8;
    }
    if (n >> 4) {
        n >>= 4;
        r += 4;
    }
    if (n >> 2) {
        n >>= 2;
        r += 2;
    }
    return r + (n >> 1);
}

PROGRAM(tp_histogram)(struct leave *ctx)
{
    unsigned key = 0, slot = log2l(ctx->ret);
    unsigned char *slots = bpf_map_lookup_elem(&map_array, &key);

    if (!slots)
        return 0;
    if (slot >= 64)
        slot = 63;
    __sync_fetch_and_add((unsigned *)(slots + (slot & ~3u)), 1);
    return 0;
}

struct event {
    unsigned long long time;
    unsigned pid, uid;
    int ret, flags;
    char comm[16];
    char path[128];
};

/* As opensnoop: an event on the stack, a string read into it. */
PROGRAM(tp_open)(struct enter *ctx)
{
    struct event event = {0};

    event.time = bpf_ktime_get_ns();
    event.pid = bpf_get_current_pid_tgid() >> 32;
    event.uid = bpf_get_current_uid_gid();
    event.flags = (int)ctx->args[2];
    bpf_get_current_comm(event.comm, sizeof(event.comm));
    bpf_probe_read_user_str(event.path, sizeof(event.path), (void *)ctx->args[1]);
    bpf_perf_event_output(ctx, &map_perf, BPF_F_CURRENT_CPU, &event, sizeof(event));
    return 0;
}

PROGRAM(tp_ring)(struct enter *ctx)
{
    struct event *event = bpf_ringbuf_reserve(&map_ring, sizeof(*event), 0);
    long length;

    if (!event)
        return 0;
    event->time = bpf_ktime_get_ns();
    event->pid = bpf_get_current_pid_tgid() >> 32;
    event->ret = 0;
    bpf_get_current_comm(event->comm, sizeof(event->comm));
    length = bpf_probe_read_user_str(event->path, sizeof(event->path), (void *)ctx->args[0]);
    if (length < 0) {
        bpf_ringbuf_discard(event, 0);
        return 0;
    }
    if (length > 0 && length <= (long)sizeof(event->path))
        event->path[length - 1] = '!';
    bpf_ringbuf_submit(event, 0);
    return 0;
}

/* As execsnoop: strings one behind the other in a buffer, with a mask. */
PROGRAM(tp_arguments)(struct enter *ctx)
{
    char **argv = (char **)ctx->args[1];
    char buffer[256 + 64];
    unsigned used = 0;

    __builtin_memset(buffer, 0, sizeof(buffer));
    for (int i = 0; i < 20; i++) {
        const char *argument = 0;
        long length;

        bpf_probe_read_user(&argument, sizeof(argument), &argv[i]);
        if (!argument)
            break;
        if (used > 255)
            break;
        length = bpf_probe_read_user_str(buffer + used, 64, argument);
        if (length <= 0 || length > 64)
            break;
        used += length;
    }
    bpf_perf_event_output(ctx, &map_perf, BPF_F_CURRENT_CPU, buffer, used & 255);
    return 0;
}

PROGRAM(tp_string)(struct enter *ctx)
{
    unsigned key = 1;
    char *text = bpf_map_lookup_elem(&map_array, &key), buffer[32];
    unsigned length = 0;

    if (!text)
        return 0;
    bpf_probe_read_user_str(buffer, sizeof(buffer), (void *)ctx->args[0]);
    for (int i = 0; i < 31 && buffer[i]; i++) {
        char c = buffer[i];

        if (c >= 'a' && c <= 'z')
            c -= 'a' - 'A';
        text[length++ & 63] = c;
    }
    text[length & 63] = 0;
    return 0;
}

PROGRAM(tp_arrays)(struct enter *ctx)
{
    unsigned long long values[6], sum = 0, largest = 0, first = ctx->args[0];
    unsigned key = 0;
    unsigned long long *out;

#pragma clang loop unroll(disable)
    for (int i = 0; i < 6; i++)
        values[i] = first * (i + 1);
#pragma clang loop unroll(disable)
    for (int i = 0; i < 6; i++) {
        sum += values[i];
        if (values[i] > largest)
            largest = values[i];
    }
    out = bpf_map_lookup_elem(&map_percpu, &key);
    if (!out)
        return 0;
    out[0] += sum;
    out[1] = largest;
    return 0;
}

PROGRAM(tp_stack)(struct enter *ctx)
{
    unsigned long long key = bpf_get_current_pid_tgid();
    struct value value = {0};
    long id = bpf_get_stackid(ctx, &map_stacks, BPF_F_USER_STACK);

    if (id < 0)
        return 0;
    value.last = id;
    bpf_map_update_elem(&map_hash, &key, &value, BPF_ANY);
    return 0;
}

struct sum {
    unsigned long long total;
};

static __attribute__((noinline, section("prog/tp_loop"))) long add_one(unsigned index, void *data)
{
    struct sum *sum = data;

    sum->total += index;
    return index > 1000;
}

PROGRAM(tp_loop)(struct enter *ctx)
{
    struct sum sum = {0};
    unsigned long long key = 0;
    struct value *value;

    bpf_loop(ctx->args[0] & 0xffff, add_one, &sum, 0);
    value = bpf_map_lookup_elem(&map_hash, &key);
    if (value)
        value->total = sum.total;
    return 0;
}

static __attribute__((noinline, section("prog/tp_each"))) long
clear_old(void *map, const void *key, struct value *value, void *data)
{
    unsigned long long *now = data;

    (void)map, (void)key;
    if (*now - value->last > 1000)
        value->count = 0;
    return 0;
}

PROGRAM(tp_each)(struct enter *ctx)
{
    unsigned long long now = bpf_ktime_get_ns();

    (void)ctx;
    bpf_for_each_map_elem(&map_hash, clear_old, &now, 0);
    return 0;
}

static __attribute__((noinline, section("prog/tp_subprogram"))) int classify(long nr,
                                                                             unsigned long size)
{
    if (nr == 0 || nr == 17)
        return size > 4096 ? 2 : 1;
    return nr == 1 ? 3 : 0;
}

PROGRAM(tp_subprogram)(struct enter *ctx)
{
    unsigned key = 0;
    int class = classify(ctx->id, ctx->args[2]);
    unsigned long long *counts = bpf_map_lookup_elem(&map_array, &key);

    if (!counts || class < 0 || class > 7)
        return 0;
    counts[class]++;
    return 0;
}

PROGRAM(raw_tp_count)(struct bpf_raw_tracepoint_args *ctx)
{
    unsigned long long key = ctx->args[1];
    struct value *value = bpf_map_lookup_elem(&map_hash, &key);

    if (value)
        __sync_fetch_and_add(&value->count, 1);
    return 0;
}
