/* SPDX-License-Identifier: MIT */
/*
 * The kernel's own way, to compare with: an eBPF program at a system call tracepoint. It takes
 * root and tracefs. All functions return -errno on failure.
 */
#ifndef TESTS_BENCH_KERNEL_PROBE_H
#define TESTS_BENCH_KERNEL_PROBE_H

#include <stdint.h>

enum probe_type {
    PROBE_TRACEPOINT, /* through perf_event_open: what the sections "tracepoint/..." get */
    PROBE_RAW,        /* "raw_tracepoint/sys_enter": without the layout of the event's format */
};

/* Loads a program that does nothing. Returns its descriptor. */
int probe_load_empty(enum probe_type type);

/* Loads one that counts the calls with this number that this process makes. Returns its descriptor,
 * and in *map that of the map that the count is in. */
int probe_load_counting(enum probe_type type, int sys_nr, int *map);

int probe_read_count(int map, uint64_t *count);

/* Attaches a program to an event ("syscalls:sys_enter_read"); the raw type: to the entry of all
 * calls, whatever the event. It is attached until the descriptor that is returned is closed. */
int probe_attach(enum probe_type type, int program, const char *event);

#endif
