/* SPDX-License-Identifier: MIT */
/*
 * Perf events: what perf_event_open(2) gives. A tracepoint's leads to what a program is attached
 * to; a BPF output's is a ring.
 */
#ifndef STA_BPFCALL_PERF_H
#define STA_BPFCALL_PERF_H

#include <stdbool.h>
#include <stdint.h>

#include <sta/syscalls.h>

#include "bpfcall/bpfcall.h"

struct sta__perf_ring;

struct sta__perf_event {
    struct sta__fd_object object; /* kind STA__FD_PERF; its memfd is empty: a ring has its own */
    /* Of what type programs are that it can have, and where they run: a tracepoint's or a probe's.
     * BPF_PROG_TYPE_UNSPEC: it is neither. */
    uint32_t program_type;
    struct sta_target target;
    /* A BPF output's: made when it is mapped. */
    _Atomic(struct sta__perf_ring *) ring;
    uint32_t cpu;
    /* What is attached: see perf_program.c. */
    _Atomic(struct sta__bpf_program *) program;
    int attach_id;
};

/*
 * Attaches a program to a tracepoint's event, as PERF_EVENT_IOC_SET_BPF and links do: at most one.
 * It runs from now on, whether the event is enabled or not, as in the kernel. The event keeps the
 * program. 0, -EEXIST (there is one), -EINVAL (the event is no tracepoint's, or the program is of
 * another type), -EACCES (it reads more of the context than the event has), those of sta_attach().
 */
int sta__perf_set_program(struct sta__perf_event *event, struct sta__bpf_program *program,
                          uint64_t cookie);
/* Detaches it; nothing happens if there is none. */
void sta__perf_clear_program(struct sta__perf_event *event);

struct perf_event_attr;

/* The call whose function in the kernel is probed, its entry or return; false: something else. */
bool sta__perf_probe_target(const struct perf_event_attr *attr, struct sta_target *target);

/* What the kernel calls such events; and what we do if it says nothing. */
#define STA__PROBE_TYPE_PATH   "/sys/bus/event_source/devices/kprobe/type"
#define STA__PROBE_RETURN_PATH "/sys/bus/event_source/devices/kprobe/format/retprobe"
#define STA__PROBE_TYPE        4711u

#endif
