/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Text as tools make it: bpf_printk, with few and many arguments, BPF_SNPRINTF, numbers, records of
 * any size. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} records SEC(".maps");

char text[64];
long text_length, number, number_length, compared;
int target_pid;

static void send_record(void)
{
    struct bpf_dynptr record;
    int answer = 42;

    if (bpf_ringbuf_reserve_dynptr(&records, 12, 0, &record) == 0)
        bpf_dynptr_write(&record, 8, &answer, sizeof(answer), 0);
    bpf_ringbuf_submit_dynptr(&record, 0);
}

SEC("tracepoint/syscalls/sys_enter_getppid")
int at_getppid(void *ctx)
{
    char comm[16], digits[] = " -0x2a;";

    if (bpf_get_current_pid_tgid() >> 32 != target_pid)
        return 0;
    bpf_get_current_comm(comm, sizeof(comm));
    bpf_printk("hello from %s, %d", comm, 7);
    bpf_printk("%d %d %d %d %s", 1, 2, 3, 4, comm);
    text_length = BPF_SNPRINTF(text, sizeof(text), "%s:%05d:%x", comm, -12, 255);
    number_length = bpf_strtol(digits, sizeof(digits), 0, &number);
    compared = bpf_strncmp(comm, sizeof(comm), "printer");
    send_record();
    return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
