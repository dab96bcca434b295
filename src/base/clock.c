/* SPDX-License-Identifier: MIT */
/* On the dispatch path: see clock.h. */
#include "base/clock.h"

#include "base/clock_state.h"
#include "base/gate.h"

_Atomic(sta__clock_gettime_fn) sta__vdso_clock_gettime;
_Atomic bool sta__has_rdpid;

#define NS_PER_S UINT64_C(1000000000)

uint64_t sta__clock_ns(int clock)
{
    sta__clock_gettime_fn fn = atomic_load_explicit(&sta__vdso_clock_gettime, memory_order_relaxed);
    struct timespec time;
    int64_t err;

    err = fn ? fn(clock, &time) : STA__RAW2(SYS_clock_gettime, clock, &time);
    if (sta__unlikely(err != 0))
        return 0;
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

/*
 * The kernel keeps the processor's number, below the NUMA node's, where user space reaches it: in
 * IA32_TSC_AUX, which rdpid reads, and as the limit of a segment (arch/x86: __CPUNODE_SEG).
 */
#define CPUNODE_SELECTOR 0x7b
#define CPUNODE_CPU_MASK 0xfff
#define CPUNODE_CPU_BITS 12

STA__INLINE uint32_t cpu_and_node(void)
{
    uint64_t value;

    if (sta__likely(atomic_load_explicit(&sta__has_rdpid, memory_order_relaxed)))
        __asm__ volatile("rdpid %0" : "=r"(value));
    else
        __asm__ volatile("lsl %1, %0" : "=r"(value) : "r"((uint64_t)CPUNODE_SELECTOR) : "cc");
    return (uint32_t)value;
}

uint32_t sta__cpu(void)
{
    return cpu_and_node() & CPUNODE_CPU_MASK;
}

uint32_t sta__numa_node(void)
{
    return cpu_and_node() >> CPUNODE_CPU_BITS;
}
