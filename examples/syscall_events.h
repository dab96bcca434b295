/* SPDX-License-Identifier: MIT */
/*
 * For programs in eBPF: the kernel's types that programs on system calls use, in place of a
 * vmlinux.h of a hundred thousand lines. CO-RE finds the fields where the running kernel has them,
 * so only those that are used have to be here.
 */
#ifndef SYSCALL_EVENTS_H
#define SYSCALL_EVENTS_H

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct trace_entry {
    unsigned short type;
    unsigned char flags;
    unsigned char preempt_count;
    int pid;
};

struct trace_event_raw_sys_enter {
    struct trace_entry ent;
    long id;
    unsigned long args[6];
};

struct trace_event_raw_sys_exit {
    struct trace_entry ent;
    long id;
    long ret;
};

#pragma clang attribute pop

#endif
