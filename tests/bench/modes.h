/* SPDX-License-Identifier: MIT */
/*
 * The modes in which calls are measured: how they are seen, and by what.
 */
#ifndef TESTS_BENCH_MODES_H
#define TESTS_BENCH_MODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sta.h>

#include "bench.h"
#include "calls.h"
#include "kernel_probe.h"

#define MODE_CALLBACKS 8 /* at most, at one event */
#define MODE_PROBES    2 /* programs of the kernel's, at most */

struct mode;

/* A way to see calls. */
struct technique {
    bool is_slow; /* attaching takes tens of milliseconds */
    /* Once a round. 0, or -errno with the reason in mode->why_not: it cannot be measured here. */
    int (*begin)(struct mode *mode);
    void (*attach)(struct mode *mode, const struct call *call);
    /* Proves that `n` calls were seen. */
    void (*detach)(struct mode *mode, const struct call *call, uint64_t n);
    void (*end)(struct mode *mode);
};

/* The figures of one call in one mode: one of each round, in ns. */
struct cell {
    uint64_t n; /* calls in a sample */
    double native[BENCH_ROUNDS_MAX], with[BENCH_ROUNDS_MAX];
    double added[BENCH_ROUNDS_MAX], ratio[BENCH_ROUNDS_MAX];
};

/* A line of each table. */
struct mode {
    const char *name;
    const struct technique *technique; /* NULL: a heading */
    double goal;                       /* added ns, at most; 0: none was set */
    bool with_vectors;                 /* upper halves of vector registers in use */

    /* Of libsta: */
    enum sta_transform_method method;
    unsigned flags;    /* STA_TRANSFORM_* */
    int enters, exits; /* callbacks */
    bool is_plain;     /* they are not declared STA_CALLBACK_GENERAL_REGS */
    bool answers;      /* the callback gives the result; `goal` is of the whole call */
    struct sta *sta;
    int ids[MODE_CALLBACKS];

    /* Of the kernel: */
    enum probe_type type;
    bool is_other; /* another call's event */
    int probes;    /* 1: enter; 2: and exit */
    int program;
    int events[MODE_PROBES];
    bool is_proved[CALL_COUNT];

    char why_not[128]; /* why it cannot be measured; empty: it can */
    unsigned rounds;   /* measured so far */
    struct cell cells[CALL_COUNT];
};

extern struct mode modes[];
extern const size_t mode_count;

#endif
