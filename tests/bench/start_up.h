/* SPDX-License-Identifier: MIT */
/* What interception adds to the start of a small program, in time and in memory. */
#ifndef TESTS_BENCH_START_UP_H
#define TESTS_BENCH_START_UP_H

/* Measures and prints. */
void measure_start_up(unsigned rounds);

#endif
