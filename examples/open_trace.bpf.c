/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Which files one process opens: what openat(2) was given at its entry, with the result that it has
 * at its exit, as records in a ring buffer. */
#include "syscall_events.h"

#include "open_trace.h"

const volatile int target_pid; /* set by the host before loading */

int opens; /* the host reads it through mapped memory */

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, int); /* thread */
    __type(value, const char *);
} paths SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 64 * 1024);
} events SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_openat")
int enter_openat(struct trace_event_raw_sys_enter *ctx)
{
    __u64 pid_tgid = bpf_get_current_pid_tgid();
    const char *path = (const char *)ctx->args[1];
    int tid = (int)pid_tgid;

    if ((int)(pid_tgid >> 32) != target_pid)
        return 0;
    bpf_map_update_elem(&paths, &tid, &path, BPF_ANY);
    return 0;
}

SEC("tracepoint/syscalls/sys_exit_openat")
int exit_openat(struct trace_event_raw_sys_exit *ctx)
{
    int tid = (int)bpf_get_current_pid_tgid();
    const char **path = bpf_map_lookup_elem(&paths, &tid);
    struct open_event *event;

    if (!path)
        return 0;
    event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
    if (event) {
        event->tid = tid;
        event->result = (int)ctx->ret;
        bpf_get_current_comm(event->comm, sizeof(event->comm));
        bpf_probe_read_user_str(event->path, sizeof(event->path), *path);
        bpf_ringbuf_submit(event, 0);
        __sync_fetch_and_add(&opens, 1);
    }
    bpf_map_delete_elem(&paths, &tid);
    return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
