/* SPDX-License-Identifier: MIT */
/*
 * The kernel's count of timer ticks, bpf_jiffies64(). No system call tells it, but times(2) tells
 * it in hundredths of a second. A few looks at when these change tell it to the tick, and from then
 * on the coarse clock, which the same ticks move, says how many there were.
 */
#ifndef STA_EBPF_JIFFIES_H
#define STA_EBPF_JIFFIES_H

#include <stdint.h>

/* 0 before it was prepared. On the dispatch path. */
uint64_t sta__jiffies(void);

/* Takes some 10 ms, once. Any number of times, from any thread. */
void sta__jiffies_prepare(void);

#endif
