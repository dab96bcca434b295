/* SPDX-License-Identifier: MIT */
/*
 * CPUs for programs. In the kernel a program is alone on its CPU, so that what is per CPU is its
 * own while it runs. In user space a thread may be preempted at any instruction; so each run that
 * uses such maps leases a CPU's number: that of the CPU it runs on, or, when another run that was
 * preempted holds it, any that is free. No two runs have the same one at the same time.
 *
 *      run ─► sta__lease_enter(&lease) ─► .. sta__lease_cpu() .. ─► sta__lease_leave(&lease)
 *
 * All maps of a process share one set of leases, which forked children share with it: a memfd with
 * one word for each CPU, the lock of owner_lock.h. A process that opens a map per CPU by its file
 * descriptor has to have joined the map's set before.
 *
 * On the dispatch path, but for what makes and joins sets.
 */
#ifndef STA_MAPS_LEASE_H
#define STA_MAPS_LEASE_H

#include <stdint.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "maps/owner_lock.h"

#define STA__CPUS_MAX 1024

struct sta__lease_slot {
    sta__owner_word holder;
} __attribute__((aligned(STA__CACHE_LINE)));

struct sta__lease_set {
    uint64_t magic;
    uint32_t version;
    uint32_t cpus;
    uint64_t id; /* of the set: maps name it */
    struct sta__lease_slot slots[];
};

/* Lives on the stack of the run. */
struct sta__lease {
    sta__owner_word *holder; /* NULL: there are no maps per CPU */
    uint64_t mark;
    uint32_t cpu;
    const struct sta__lease *outer;
};

extern STA__HIDDEN _Atomic(struct sta__lease_set *) sta__leases; /* NULL: nobody needed one */
/* How many slots it has: in memory of this process's own, unlike `cpus`. */
extern STA__HIDDEN uint32_t sta__lease_slots;
extern STA__HIDDEN STA__THREAD_LOCAL const struct sta__lease *sta__lease_current;

int sta__lease_enter_slow(struct sta__lease *lease, struct sta__lease_set *set);

/* Begins a run. 0, or -EBUSY: no CPU came free in time; then nothing may run that uses maps per
 * CPU. Runs may be nested, as one in a signal handler is: each has a CPU of its own. */
STA__INLINE int sta__lease_enter(struct sta__lease *lease)
{
    struct sta__lease_set *set = atomic_load_explicit(&sta__leases, memory_order_acquire);
    uint64_t nobody = 0;
    uint32_t cpu;

    lease->holder = NULL;
    if (!set)
        return 0;
    cpu = sta__cpu();
    if (sta__unlikely(sta__lease_current || cpu >= sta__lease_slots))
        return sta__lease_enter_slow(lease, set);
    /* Acquire: what the CPU's previous holder did to its values is seen. */
    if (sta__unlikely(!atomic_compare_exchange_strong_explicit(
            &set->slots[cpu].holder, &nobody, sta__owner_self(), memory_order_acquire,
            memory_order_relaxed)))
        return sta__lease_enter_slow(lease, set);
    lease->holder = &set->slots[cpu].holder;
    lease->cpu = cpu;
    lease->outer = NULL;
    *(volatile uint64_t *)&lease->mark = ~(uint64_t)(uintptr_t)lease;
    atomic_signal_fence(memory_order_seq_cst);
    sta__lease_current = lease;
    atomic_signal_fence(memory_order_seq_cst);
    return 0;
}

STA__INLINE void sta__lease_leave(struct sta__lease *lease)
{
    if (!lease->holder)
        return;
    sta__lease_current = lease->outer;
    atomic_signal_fence(memory_order_seq_cst);
    *(volatile uint64_t *)&lease->mark = 0;
    /* Release: pairs with the acquire of the next holder. */
    atomic_store_explicit(lease->holder, 0, memory_order_release);
}

/* bpf_get_smp_processor_id: the run's CPU; outside of runs, the processor. Less than the number of
 * possible CPUs. */
STA__INLINE uint32_t sta__lease_cpu(void)
{
    const struct sta__lease *lease = sta__lease_current;

    return lease ? lease->cpu : sta__cpu();
}

/* Makes this process's set, if it has none. Its id in *id; -errno. */
int sta__lease_prepare(uint64_t *id, const struct sta__log *log);
/* The set's memfd, for other processes; -ENOENT: there is none. */
int sta__lease_fd(void);
/* Makes the set behind `fd` this process's own. -EBUSY: it has another one; -EINVAL: it is none. */
int sta__lease_join(int fd, const struct sta__log *log);
/* How many CPUs there can be: values of each key of maps per CPU, as libbpf counts them. */
uint32_t sta__lease_cpus(void);

#endif
