/* SPDX-License-Identifier: MIT */
/*
 * The calls that are measured, each in a loop of its own, which is the same whatever happens to the
 * calls.
 */
#ifndef TESTS_BENCH_CALLS_H
#define TESTS_BENCH_CALLS_H

#include <stdbool.h>
#include <stdint.h>

enum { CALL_COUNT = 5 };

struct call {
    const char *name;
    int sys_nr;
    /* Makes the call `n` times. Returns the sum of the results. */
    int64_t (*loop)(uint64_t n);
    int64_t result; /* what each returns, as the kernel says it */
    int64_t seen;   /* ... and as the loop sees it */
    /* Tracepoints of the kernel: those of the call, or those of all if the call has none. */
    const char *enter_event, *exit_event;
};

extern struct call calls[CALL_COUNT];

/* Opens what the calls read and write. */
void calls_init(void);

/* Makes the call `n` times, with the upper halves of the vector registers in use or not; dies if a
 * result is not what it should be, or the vector registers have changed. Returns the CPU time of
 * one call, in ns. */
double time_calls(const struct call *call, uint64_t n, bool with_vectors);

/* Whether this processor has vector registers with upper halves. */
bool has_vectors(void);

#endif
