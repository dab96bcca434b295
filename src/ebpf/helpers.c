/* SPDX-License-Identifier: MIT */
/* On the dispatch path: see helpers.h. */
#include "ebpf/helpers.h"

#include <errno.h>
#include <time.h>

#include <sta/context.h>

#include "base/clock.h"
#include "base/gate.h"
#include "base/ids.h"
#include "base/quiesce.h"
#include "maps/lease.h"
#include "maps/map.h"

/* Arguments that a helper does not have. */
#define UNUSED1 ((void)r1)
#define UNUSED2 ((void)r2)
#define UNUSED3 ((void)r3)
#define UNUSED4 ((void)r4)
#define UNUSED5 ((void)r5)
#define FROM5   UNUSED5
#define FROM4   (UNUSED4, FROM5)
#define FROM3   (UNUSED3, FROM4)
#define FROM2   (UNUSED2, FROM3)
#define FROM1   (UNUSED1, FROM2)

static void *pointer(uint64_t reg)
{
    return (void *)(uintptr_t)reg;
}

/* An error, or another number below zero, as programs see it. */
static uint64_t number(int64_t value)
{
    return (uint64_t)value;
}

STA__HELPER_FUNCTION(map_lookup_elem)
{
    struct sta_map *map = pointer(r1);

    FROM3;
    return (uintptr_t)map->ops->lookup(map, pointer(r2));
}

STA__HELPER_FUNCTION(map_update_elem)
{
    struct sta_map *map = pointer(r1);

    FROM5;
    return number(map->ops->update(map, pointer(r2), pointer(r3), r4));
}

STA__HELPER_FUNCTION(map_delete_elem)
{
    struct sta_map *map = pointer(r1);

    FROM3;
    return number(map->ops->remove(map, pointer(r2)));
}

STA__HELPER_FUNCTION(ktime_get_ns)
{
    FROM1;
    return sta__clock_ns(CLOCK_MONOTONIC);
}

STA__HELPER_FUNCTION(ktime_get_boot_ns)
{
    FROM1;
    return sta__clock_ns(CLOCK_BOOTTIME);
}

STA__HELPER_FUNCTION(ktime_get_coarse_ns)
{
    FROM1;
    return sta__clock_ns(CLOCK_MONOTONIC_COARSE);
}

STA__HELPER_FUNCTION(ktime_get_tai_ns)
{
    FROM1;
    return sta__clock_ns(CLOCK_TAI);
}

STA__HELPER_FUNCTION(get_current_pid_tgid)
{
    FROM1;
    return sta__pid_tgid();
}

STA__HELPER_FUNCTION(get_current_uid_gid)
{
    FROM1;
    return (uint64_t)STA__RAW0(SYS_getgid) << 32 | (uint32_t)STA__RAW0(SYS_getuid);
}

STA__HELPER_FUNCTION(get_smp_processor_id)
{
    FROM1;
    return sta__lease_cpu();
}

/* No two threads begin alike, nor the same one in a forked child. */
static STA__NOINLINE uint64_t random_seed(void)
{
    return __builtin_ia32_rdtsc() ^ sta__pid_tgid() << 20 ^ sta__thread_pointer();
}

/* The generator splitmix64: a counter, its bits mixed. */
STA__HELPER_FUNCTION(get_prandom_u32)
{
    uint64_t state = sta__self.random;

    FROM1;
    if (sta__unlikely(state == 0))
        state = random_seed();
    state += UINT64_C(0x9e3779b97f4a7c15);
    sta__self.random = state;
    state = (state ^ state >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    state = (state ^ state >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(state ^ state >> 31);
}

STA__HELPER_FUNCTION(override_return)
{
    UNUSED1, FROM3;
    return number(sta_override_return((int64_t)r2));
}

#define LOOPS_MAX (1u << 23) /* BPF_MAX_LOOPS */

/* The kernel puts a loop in the place of nearly all calls of this helper, and that is what is done
 * here: all 64 bits of the count count, and -E2BIG comes back as 32 bits, zero-extended. */
STA__HELPER_FUNCTION(loop)
{
    const struct sta__callback *callback = pointer(r2);

    FROM5;
    if (r4 != 0)
        return number(-EINVAL);
    if (r1 > LOOPS_MAX)
        return (uint32_t)-E2BIG;
    for (uint64_t i = 0; i < r1; i++) {
        if (callback->run(callback, i, r3, 0, 0, 0))
            return i + 1;
    }
    return r1;
}

STA__HELPER_FUNCTION(tail_call)
{
    FROM1;
    return number(-EINVAL);
}
