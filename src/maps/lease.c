/* SPDX-License-Identifier: MIT */
/* Taking and waiting. On the dispatch path: see lease.h. */
#include "maps/lease.h"

#include <time.h>

#include "base/gate.h"

_Atomic(struct sta__lease_set *) sta__leases;
uint32_t sta__lease_slots;
STA__THREAD_LOCAL const struct sta__lease *sta__lease_current;

#define SPINS       100
#define LOOK_EVERY  16
#define PATIENCE_NS UINT64_C(1000000000)

/* Gives up the leases that runs left by longjmp: as in owner_lock.c, a frame that was written over,
 * or is where the caller's own is, is gone. */
__attribute__((no_sanitize("address"))) static void forget_left(const struct sta__lease *own,
                                                                struct sta__lease_set *set)
{
    uint64_t self = sta__owner_self();

    while (sta__lease_current &&
           (sta__lease_current == own ||
            sta__lease_current->mark != ~(uint64_t)(uintptr_t)sta__lease_current)) {
        /* Which lease that was, and which it was in, went with the frame. Those of runs further
         * out, if any, are given up as well: nothing of theirs is known any more. */
        for (uint32_t i = 0; i < sta__lease_slots; i++) {
            uint64_t seen = self;

            atomic_compare_exchange_strong_explicit(&set->slots[i].holder, &seen, 0,
                                                    memory_order_release, memory_order_relaxed);
        }
        sta__lease_current = NULL;
    }
}

/* Whether the CPU could be had. A holder that is gone is looked for when `look`: its values are
 * words that count, and as good as any other moment's. */
static bool take(struct sta__lease *lease, struct sta__lease_slot *slot, bool look)
{
    uint64_t seen = atomic_load_explicit(&slot->holder, memory_order_relaxed);

    if (seen && (!look || !sta__owner_is_gone(seen)))
        return false;
    if (!atomic_compare_exchange_strong_explicit(&slot->holder, &seen, sta__owner_self(),
                                                 memory_order_acquire, memory_order_relaxed))
        return false;
    lease->holder = &slot->holder;
    return true;
}

static bool take_any(struct sta__lease *lease, struct sta__lease_set *set, bool look)
{
    uint32_t cpu = sta__cpu();

    for (uint32_t i = 0; i < sta__lease_slots; i++, cpu++) {
        if (cpu >= sta__lease_slots)
            cpu = 0;
        if (take(lease, &set->slots[cpu], look)) {
            lease->cpu = cpu;
            return true;
        }
    }
    return false;
}

STA__NOINLINE int sta__lease_enter_slow(struct sta__lease *lease, struct sta__lease_set *set)
{
    uint64_t start = 0;

    lease->holder = NULL;
    if (sta__lease_current)
        forget_left(lease, set);
    for (unsigned round = 0; !take_any(lease, set, round >= SPINS && round % LOOK_EVERY == 0);
         round++) {
        uint64_t now;

        if (round < SPINS) {
            __builtin_ia32_pause();
            continue;
        }
        if (round % LOOK_EVERY == 0) {
            now = sta__clock_ns(CLOCK_MONOTONIC);
            if (start == 0)
                start = now;
            if (now - start > PATIENCE_NS)
                return -EBUSY;
        }
        STA__RAW0(SYS_sched_yield);
    }
    lease->outer = sta__lease_current;
    *(volatile uint64_t *)&lease->mark = ~(uint64_t)(uintptr_t)lease;
    atomic_signal_fence(memory_order_seq_cst);
    sta__lease_current = lease;
    atomic_signal_fence(memory_order_seq_cst);
    return 0;
}
