/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* A program in each kind of section: what each sees of getppid(2) and of write(2). */
#include "syscall_events.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "sections.h"

const volatile int target_pid;

long seen[SEEN_COUNT];
long last_argument; /* of write: how many bytes, by each kind that sees it */
long last_result;
int answer = 42;

static int is_target(void)
{
    return (int)(bpf_get_current_pid_tgid() >> 32) == target_pid;
}

static void count(int index)
{
    if (is_target())
        __sync_fetch_and_add(&seen[index], 1);
}

SEC("tracepoint/syscalls/sys_enter_getppid")
int tp_enter(struct trace_event_raw_sys_enter *ctx)
{
    count(SEEN_TP_ENTER);
    return 0;
}

SEC("tp/syscalls/sys_exit_getppid")
int tp_exit(struct trace_event_raw_sys_exit *ctx)
{
    count(SEEN_TP_EXIT);
    if (is_target())
        last_result = ctx->ret;
    return 0;
}

SEC("tp/raw_syscalls/sys_enter")
int all_enter(struct trace_event_raw_sys_enter *ctx)
{
    if (ctx->id == NR_GETPPID)
        count(SEEN_ALL_ENTER);
    return 0;
}

SEC("tracepoint/raw_syscalls/sys_exit")
int all_exit(struct trace_event_raw_sys_exit *ctx)
{
    if (ctx->id == NR_GETPPID)
        count(SEEN_ALL_EXIT);
    return 0;
}

SEC("raw_tp/sys_enter")
int raw_enter(struct bpf_raw_tracepoint_args *ctx)
{
    if (ctx->args[1] == NR_GETPPID)
        count(SEEN_RAW_ENTER);
    return 0;
}

SEC("raw_tracepoint/sys_exit")
int raw_exit(struct bpf_raw_tracepoint_args *ctx)
{
    count(SEEN_RAW_EXIT);
    return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
