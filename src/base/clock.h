/* SPDX-License-Identifier: MIT */
/*
 * Clocks and the processor's number, without libc and, where the machine allows it, without a
 * system call.
 */
#ifndef STA_BASE_CLOCK_H
#define STA_BASE_CLOCK_H

#include <stdint.h>

/* A clock of clock_gettime(2) in ns; 0 if there is no such clock. Asks the vDSO once it was
 * prepared. The vDSO's clock_gettime touches general registers only, as the kernel's C does: a test
 * reads its code. Async-signal-safe. */
uint64_t sta__clock_ns(int clock);

/* The processor on which the caller just ran. Async-signal-safe. */
uint32_t sta__cpu(void);

/* The NUMA node of it. */
uint32_t sta__numa_node(void);

/* Finds out what this machine has. Called before the others are of interest; they work without,
 * more slowly. Any number of times, from any thread. */
void sta__clock_prepare(void);

#endif
