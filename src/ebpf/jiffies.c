/* SPDX-License-Identifier: MIT */
/* On the dispatch path: see jiffies.h. */
#include "ebpf/jiffies.h"

#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"
#include "base/gate.h"

#define NS_PER_CLOCK UINT64_C(10000000) /* of times(2): USER_HZ */
#define NAP_NS       500000
#define LOOKS_MAX    100

/* Who prepares at the same time as another thread finds out the same. */
static _Atomic uint64_t tick_ns; /* 0: not prepared */
static _Atomic int64_t zero_ns;  /* when the count would have been 0 */

uint64_t sta__jiffies(void)
{
    /* Acquire: zero_ns was stored before. */
    uint64_t tick = atomic_load_explicit(&tick_ns, memory_order_acquire);
    int64_t zero;

    if (sta__unlikely(!tick))
        return 0;
    zero = atomic_load_explicit(&zero_ns, memory_order_relaxed);
    /* To the nearest one: the clock is slewed a little. */
    return ((uint64_t)((int64_t)sta__clock_ns(CLOCK_MONOTONIC_COARSE) - zero) + tick / 2) / tick;
}

/* The first tick whose number times(2) tells as this one. */
static int64_t first_tick(int64_t clocks, int64_t tick)
{
    return (clocks * (int64_t)NS_PER_CLOCK + tick - 1) / tick;
}

/* Between which times the count was 0, narrowed by one look. */
static void look(int64_t tick, int64_t *low, int64_t *high)
{
    int64_t before = (int64_t)sta__clock_ns(CLOCK_MONOTONIC_COARSE);
    int64_t clocks = STA__RAW1(SYS_times, 0);
    int64_t after = (int64_t)sta__clock_ns(CLOCK_MONOTONIC_COARSE);
    int64_t late = before - (first_tick(clocks + 1, tick) - 1) * tick;
    int64_t early = after - first_tick(clocks, tick) * tick;

    if (before != after)
        return;
    if (late > *low)
        *low = late;
    if (early < *high)
        *high = early;
}

void sta__jiffies_prepare(void)
{
    const struct timespec nap = {.tv_nsec = NAP_NS};
    int64_t low = INT64_MIN, high = INT64_MAX, tick;
    struct timespec resolution;

    if (atomic_load_explicit(&tick_ns, memory_order_acquire) ||
        STA__RAW2(SYS_clock_getres, CLOCK_MONOTONIC_COARSE, &resolution) < 0)
        return;
    tick = resolution.tv_nsec; /* to the kernel: 1 s / HZ, an integer */
    for (int i = 0; i < LOOKS_MAX; i++) {
        look(tick, &low, &high);
        if (low != INT64_MIN && high != INT64_MAX && high - low < tick / 2)
            break;
        STA__RAW2(SYS_nanosleep, &nap, 0);
    }
    if (low == INT64_MIN || high == INT64_MAX)
        return;
    atomic_store_explicit(&zero_ns, low + (high - low) / 2, memory_order_relaxed);
    atomic_store_explicit(&tick_ns, (uint64_t)tick, memory_order_release);
}
