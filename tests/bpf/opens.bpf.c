/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* A tool of the usual size, for the bench: who opens which file, filtered, with two frames of the
 * stack, through perf rings. */
#include "syscall_events.h"

#define PATH_SIZE 255
#define FRAMES    3

const volatile int target_pid, target_tid;
const volatile unsigned target_uid = 0xffffffff;
const volatile _Bool only_failed, with_stack = 1;

int seen;

struct arguments {
    const char *path;
    int flags;
    unsigned mode;
};

struct event {
    __u64 time_ns;
    int pid;
    unsigned uid;
    int result;
    int flags;
    __u64 frames[2];
    char comm[16];
    char path[PATH_SIZE];
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 10240);
    __type(key, __u32);
    __type(value, struct arguments);
} started SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(__u32));
} events SEC(".maps");

static __always_inline _Bool is_wanted(__u32 tgid, __u32 pid)
{
    if (target_pid && target_pid != (int)tgid)
        return 0;
    if (target_tid && target_tid != (int)pid)
        return 0;
    return target_uid == 0xffffffff || target_uid == (unsigned)bpf_get_current_uid_gid();
}

static __always_inline int entered(const char *path, int flags, unsigned mode)
{
    __u64 id = bpf_get_current_pid_tgid();
    __u32 tgid = id >> 32, pid = (__u32)id;
    struct arguments arguments = {path, flags, mode};

    if (is_wanted(tgid, pid))
        bpf_map_update_elem(&started, &pid, &arguments, 0);
    return 0;
}

static __always_inline int left(struct trace_event_raw_sys_exit *ctx)
{
    __u32 pid = (__u32)bpf_get_current_pid_tgid();
    struct arguments *arguments = bpf_map_lookup_elem(&started, &pid);
    __u64 stack[FRAMES] = {0};
    struct event event = {0};

    if (!arguments)
        return 0;
    if (!only_failed || ctx->ret < 0) {
        event.time_ns = bpf_ktime_get_ns();
        event.pid = bpf_get_current_pid_tgid() >> 32;
        event.uid = (unsigned)bpf_get_current_uid_gid();
        event.result = (int)ctx->ret;
        event.flags = arguments->flags;
        bpf_get_current_comm(event.comm, sizeof(event.comm));
        bpf_probe_read_user_str(event.path, sizeof(event.path), arguments->path);
        if (with_stack) {
            bpf_get_stack(ctx, stack, sizeof(stack), BPF_F_USER_STACK);
            event.frames[0] = stack[1];
            event.frames[1] = stack[2];
        }
        __sync_fetch_and_add(&seen, 1);
        bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &event, sizeof(event));
    }
    bpf_map_delete_elem(&started, &pid);
    return 0;
}

SEC("tracepoint/syscalls/sys_enter_open")
int enter_open(struct trace_event_raw_sys_enter *ctx)
{
    return entered((const char *)ctx->args[0], (int)ctx->args[1], (unsigned)ctx->args[2]);
}

SEC("tracepoint/syscalls/sys_enter_openat")
int enter_openat(struct trace_event_raw_sys_enter *ctx)
{
    return entered((const char *)ctx->args[1], (int)ctx->args[2], (unsigned)ctx->args[3]);
}

SEC("tracepoint/syscalls/sys_exit_open")
int exit_open(struct trace_event_raw_sys_exit *ctx)
{
    return left(ctx);
}

SEC("tracepoint/syscalls/sys_exit_openat")
int exit_openat(struct trace_event_raw_sys_exit *ctx)
{
    return left(ctx);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
