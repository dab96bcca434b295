/* SPDX-License-Identifier: MIT */
#include "base/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>

#include "base/gate.h"
#include "base/quiesce.h"

#define WAITERS UINT32_C(0x80000000)
#define SPINS   100

/* How long a waiter sleeps before it looks whether the owner still exists. */
static const struct timespec look_interval = {.tv_nsec = 20 * 1000 * 1000};

/* This thread's id, remembered in its record if it has one. */
static int thread_id(void)
{
    struct sta__reader *reader = sta__self.reader;
    int tid;

    if (atomic_load_explicit(&reader->owner, memory_order_relaxed) != sta__self.owner)
        return (int)STA__RAW0(SYS_gettid);
    tid = atomic_load_explicit(&reader->tid, memory_order_relaxed);
    if (tid == 0) {
        tid = (int)STA__RAW0(SYS_gettid);
        atomic_store_explicit(&reader->tid, tid, memory_order_relaxed);
    }
    return tid;
}

static void set_signal_mask(const uint64_t *mask, uint64_t *old)
{
    STA__RAW4(SYS_rt_sigprocmask, SIG_SETMASK, mask, old, sizeof(*mask));
}

/* The process whose threads use this memory: not a vfork child, which must not take its parent's
 * threads for dead. */
static int process_id(void)
{
    struct sta__reader_pool *pool = atomic_load_explicit(&sta__readers, memory_order_acquire);
    int pid = pool ? atomic_load_explicit(&pool->pid, memory_order_relaxed) : 0;

    if (pid == 0) {
        pid = (int)STA__RAW0(SYS_getpid);
        if (pool)
            atomic_store_explicit(&pool->pid, pid, memory_order_relaxed);
    }
    return pid;
}

static bool owner_exists(uint32_t tid)
{
    return STA__RAW3(SYS_tgkill, process_id(), tid, 0) != -ESRCH;
}

/* Acquire: what the previous holder did is seen. */
static bool change_owner(struct sta__lock *lock, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong_explicit(&lock->owner, &from, to, memory_order_acquire,
                                                   memory_order_relaxed);
}

static void lock_contended(struct sta__lock *lock, uint32_t self)
{
    for (unsigned round = 0;; round++) {
        uint32_t seen = atomic_load_explicit(&lock->owner, memory_order_relaxed);
        uint32_t owner = seen & ~WAITERS;

        if (owner == 0) {
            /* Keep the mark: others may sleep still, and we cannot know. */
            if (change_owner(lock, seen, self | WAITERS))
                return;
        } else if (round < SPINS) {
            __builtin_ia32_pause();
        } else if (!owner_exists(owner)) {
            if (change_owner(lock, seen, self | WAITERS))
                return;
        } else if ((seen & WAITERS) || change_owner(lock, seen, seen | WAITERS)) {
            STA__RAW4(SYS_futex, &lock->owner, FUTEX_WAIT_PRIVATE, owner | WAITERS, &look_interval);
        }
    }
}

void sta__lock(struct sta__lock *lock, struct sta__lock_state *saved)
{
    const uint64_t all = UINT64_MAX;
    uint32_t self;

    set_signal_mask(&all, &saved->signal_mask);
    self = (uint32_t)thread_id();
    if (!change_owner(lock, 0, self))
        lock_contended(lock, self);
}

void sta__unlock(struct sta__lock *lock, const struct sta__lock_state *saved)
{
    /* Release: what was done under the lock is seen by the next holder. */
    if (atomic_exchange_explicit(&lock->owner, 0, memory_order_release) & WAITERS)
        STA__RAW3(SYS_futex, &lock->owner, FUTEX_WAKE_PRIVATE, 1);
    set_signal_mask(&saved->signal_mask, NULL);
}
