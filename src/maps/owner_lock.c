/* SPDX-License-Identifier: MIT */
/* On the dispatch path: see owner_lock.h. */
#include "maps/owner_lock.h"

#include <poll.h>
#include <stddef.h>
#include <time.h>

#include "base/clock.h"
#include "base/gate.h"
#include "base/ids.h"

STA__THREAD_LOCAL struct sta__owner_holds sta__owner_holds;

#define SPINS        40                       /* before others are let run */
#define SPIN_LOG_MAX 6                        /* pauses between two looks: up to 2^6 */
#define LOOK_EVERY   16                       /* rounds between looks at the holder */
#define PATIENCE_NS  UINT64_C(1000000000)     /* for a holder that lives but does not run */
#define PROCESS(ids) ((int64_t)((ids) >> 32)) /* of a lock's word */
#define THREAD(ids)  ((int64_t)(uint32_t)(ids))

/* A thread without a record would ask the kernel who it is each time: it claims one. */
STA__NOINLINE uint64_t sta__owner_self_slow(void)
{
    struct sta__section section = {0};
    struct sta__reader *reader;

    if (atomic_load_explicit(&sta__readers, memory_order_acquire)) {
        reader = sta__section_enter(&section);
        if (reader)
            sta__section_leave(&section, reader);
    }
    return sta__pid_tgid();
}

/* Whether all of a process has ended; it may not have been waited for. */
static bool process_ended(int64_t pid)
{
    struct pollfd poll = {.events = POLLIN};
    const struct timespec now = {0, 0};
    int64_t fd = STA__RAW2(SYS_pidfd_open, pid, 0);
    int64_t ready;

    if (fd < 0)
        return fd == -ESRCH;
    poll.fd = (int)fd;
    ready = STA__RAW4(SYS_ppoll, &poll, 1, &now, 0);
    STA__RAW1(SYS_close, fd);
    return ready == 1 && (poll.revents & POLLIN);
}

bool sta__owner_exists(uint64_t owner)
{
    return STA__RAW3(SYS_tgkill, PROCESS(owner), THREAD(owner), 0) != -ESRCH &&
           !process_ended(PROCESS(owner));
}

/* A thread's number alone: only the first thread of a process stays as one that was not waited for.
 */
bool sta__owner_thread_exists(uint32_t thread)
{
    return STA__RAW2(SYS_tkill, thread, 0) != -ESRCH && !process_ended(thread);
}

/*
 * Whether the frame that took a lock is gone. Its mark is on the stack until it unlocks: one that
 * was written over belongs to nobody, nor does one where the caller's own frame is now. What is
 * neither is taken for living, as nobody knows which stacks there are.
 */
__attribute__((no_sanitize("address"))) static bool is_left(const struct sta__owner_hold *hold,
                                                            const struct sta__owner_guard *guard)
{
    return hold->mark == &guard->mark || *hold->mark != ~(uint64_t)(uintptr_t)hold->word;
}

STA__NOINLINE bool sta__owner_forget_left(const struct sta__owner_guard *guard)
{
    struct sta__owner_holds *holds = sta__owner_own_holds();
    uint64_t self = sta__owner_self();

    while (holds->depth && is_left(&holds->holds[holds->depth - 1], guard)) {
        uint64_t seen = self;

        /* It may have been left before it was taken, or behind the unlocking store. */
        atomic_compare_exchange_strong_explicit(holds->holds[holds->depth - 1].word, &seen,
                                                STA__OWNER_GONE, memory_order_release,
                                                memory_order_relaxed);
        holds->depth--;
    }
    return holds->depth < STA__OWNER_DEPTH;
}

static bool change(sta__owner_word *word, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(word, &from, to, memory_order_acquire,
                                                   memory_order_relaxed);
}

/* Whether a word that was read is one's own, of a frame that is gone: by exec, or by a thread of
 * the same number before. */
static bool is_own_and_left(const sta__owner_word *word)
{
    const struct sta__owner_holds *holds = sta__owner_own_holds();

    for (uint32_t i = 0; i + 1 < holds->depth; i++) {
        if (holds->holds[i].word == word)
            return false;
    }
    return true;
}

STA__NOINLINE int sta__owner_wait(sta__owner_word *word, uint64_t self)
{
    bool is_nested = sta__owner_holds.depth > 1;
    uint64_t start = 0;

    for (unsigned round = 0;; round++) {
        uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);

        if (seen == 0 || seen == STA__OWNER_GONE) {
            if (change(word, seen, self))
                return seen ? STA__OWNER_TAKEN_OVER : STA__OWNER_LOCKED;
            continue;
        }
        if (seen == self)
            return is_own_and_left(word) ? STA__OWNER_TAKEN_OVER : -EBUSY;
        if (round < SPINS) {
            /* Ever more seldom: the word's cache line is what the holder works with. */
            for (unsigned i = 0; i < 1u << (round < SPIN_LOG_MAX ? round : SPIN_LOG_MAX); i++)
                __builtin_ia32_pause();
            continue;
        }
        if (round % LOOK_EVERY == 0) {
            uint64_t now = sta__clock_ns(CLOCK_MONOTONIC);

            if (!sta__owner_exists(seen)) {
                if (change(word, seen, self))
                    return STA__OWNER_TAKEN_OVER;
                continue;
            }
            if (start == 0)
                start = now;
            if (is_nested || now - start > PATIENCE_NS)
                return -EBUSY;
        }
        STA__RAW0(SYS_sched_yield);
    }
}

bool sta__owner_trylock(sta__owner_word *word, uint64_t from, struct sta__owner_guard *guard)
{
    struct sta__owner_holds *holds = sta__owner_own_holds();
    uint32_t depth = holds->depth;

    if (depth >= STA__OWNER_DEPTH)
        return false;
    *(volatile uint64_t *)&guard->mark = ~(uint64_t)(uintptr_t)word;
    holds->holds[depth].word = word;
    holds->holds[depth].mark = &guard->mark;
    atomic_signal_fence(memory_order_seq_cst);
    holds->depth = depth + 1;
    atomic_signal_fence(memory_order_seq_cst);
    if (change(word, from, sta__owner_self()))
        return true;
    holds->depth = depth;
    *(volatile uint64_t *)&guard->mark = 0;
    return false;
}

bool sta__owner_is_gone(uint64_t seen)
{
    return seen != 0 && (seen == STA__OWNER_GONE || !sta__owner_exists(seen));
}
