/* SPDX-License-Identifier: MIT */
/*
 * The readers' slow paths; see quiesce.h. On the dispatch path: no libc, no lock, no system call.
 */
#include "base/quiesce.h"

#include "base/stripe.h"

#define OWNER_CLAIMS_MASK UINT64_C(63)

/* What a thread's record is until it claims one: it never matches the thread's owner word. */
static struct sta__reader unclaimed = {.owner = UINT64_MAX};

STA__THREAD_LOCAL struct sta__reader_self sta__self = {.reader = &unclaimed};
_Atomic(struct sta__reader_pool *) sta__readers;
_Atomic uint64_t sta__epoch;

static struct sta__section *section_of(uint64_t state)
{
    return (struct sta__section *)(uintptr_t)(state >> STA__EPOCH_BITS << 4);
}

/* By an instruction that sanitizers do not see: the section may be gone, and its memory be another
 * function's. */
STA__INLINE uint64_t token_of(const struct sta__section *section)
{
    uint64_t token;

    __asm__ volatile("mov %1, %0" : "=r"(token) : "m"(section->token));
    return token;
}

/*
 * Whether the section in `state` still runs, judged at `here`, an address in the current stack
 * frame.
 *
 * longjmp goes up the stack, so a section that is not above us on our stack was left by one. From
 * the alternate signal stack to another one there is no way but leaving it; but the stack for
 * callbacks is below all others, and no section is on it. What is above us was
 * perhaps left long ago and its memory used again: then the token is gone. (It could survive in a
 * hole that nobody wrote to; then calls count as missed until something does.)
 */
STA__INLINE bool section_is_live(uint64_t state, uintptr_t here)
{
    struct sta__section *section = section_of(state);
    bool section_on_alt = sta__on_alt_stack((uintptr_t)section);
    bool here_on_alt;

    /* First what is nearly always so. */
    if (here < (uintptr_t)section && !section_on_alt)
        return token_of(section) == state;
    if (!section)
        return false;
    if (sta__on_private_stack(here))
        return token_of(section) == state;
    here_on_alt = sta__on_alt_stack(here);
    if (section_on_alt && !here_on_alt)
        return false;
    if (section_on_alt == here_on_alt && here >= (uintptr_t)section)
        return false;
    return token_of(section) == state;
}

void sta__alt_stack_note(const stack_t *stack)
{
    bool is_there = !(stack->ss_flags & SS_DISABLE);

    sta__self.alt_stack_low = is_there ? (uintptr_t)stack->ss_sp : 0;
    sta__self.alt_stack_high = is_there ? (uintptr_t)stack->ss_sp + stack->ss_size : 0;
}

static void take(struct sta__reader *reader, uint32_t index, uint64_t owner)
{
    reader->stripe = sta__stripe_of(index);
    atomic_store_explicit(&reader->tid, 0, memory_order_relaxed);
    atomic_store_explicit(&reader->waits_for, NULL, memory_order_relaxed);
    atomic_store_explicit(&reader->state, 0, memory_order_release);
    sta__self_forget_ids();
    sta__self.owner = owner;
    sta__self.reader = reader;
}

/* Changes the owner word from one value to another; acquire: what the previous owner wrote is done.
 */
static bool change_owner(struct sta__reader *reader, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(&reader->owner, &from, to, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

/* The record that a thread with our thread pointer had: an earlier thread that ended unseen, or
 * ourselves, interrupted by a signal while claiming or releasing. */
static bool claim_own(struct sta__reader_pool *pool, uint32_t count, uint64_t self)
{
    for (uint32_t i = 0; i < count; i++) {
        struct sta__reader *reader = &pool->readers[i];
        uint64_t owner = atomic_load_explicit(&reader->owner, memory_order_relaxed);
        uint64_t next = self | ((owner + 1) & OWNER_CLAIMS_MASK);

        if ((owner & ~OWNER_CLAIMS_MASK) == self && change_owner(reader, owner, next)) {
            take(reader, i, next);
            return true;
        }
    }
    return false;
}

static bool claim_free(struct sta__reader_pool *pool, uint32_t count, uint64_t self)
{
    for (uint32_t i = 0; i < count; i++) {
        struct sta__reader *reader = &pool->readers[i];

        if (atomic_load_explicit(&reader->owner, memory_order_relaxed) == 0 &&
            change_owner(reader, 0, self)) {
            take(reader, i, self);
            return true;
        }
    }
    return false;
}

/* Finds this thread a record; false if there are too many threads. */
static bool claim(void)
{
    struct sta__reader_pool *pool = atomic_load_explicit(&sta__readers, memory_order_acquire);
    uint64_t self = sta__thread_pointer();
    uint32_t count;

    if (!pool)
        return false;
    count = atomic_load_explicit(&pool->count, memory_order_acquire);
    if (claim_own(pool, count, self))
        return true;
    for (;;) {
        if (claim_free(pool, count, self))
            return true;
        if (count == STA__READER_MAX)
            return false;
        /* Others may do this at the same time; whoever gets there first has the new record. */
        if (atomic_compare_exchange_strong_explicit(&pool->count, &count, count + 1,
                                                    memory_order_acq_rel, memory_order_acquire))
            count++;
    }
}

static bool has_record(void)
{
    return atomic_load_explicit(&sta__self.reader->owner, memory_order_relaxed) == sta__self.owner;
}

STA__NOINLINE struct sta__reader *sta__section_enter_slow(const struct sta__section *section)
{
    uint64_t state;

    if (!has_record())
        return claim() ? sta__self.reader : NULL;
    state = atomic_load_explicit(&sta__self.reader->state, memory_order_relaxed);
    return section_is_live(state, (uintptr_t)section) ? NULL : sta__self.reader;
}

STA__NOINLINE void sta__section_leave_slow(const struct sta__section *section)
{
    struct sta__reader *reader = sta__self.reader;

    if (atomic_load_explicit(&reader->state, memory_order_relaxed) == section->token)
        atomic_store_explicit(&reader->state, 0, memory_order_release);
}

struct sta__section *sta__section_current(const void *stack_address)
{
    uint64_t state;

    if (!has_record())
        return NULL;
    state = atomic_load_explicit(&sta__self.reader->state, memory_order_relaxed);
    return section_is_live(state, (uintptr_t)stack_address) ? section_of(state) : NULL;
}

void sta__section_restore(const struct sta__section *section)
{
    if (!has_record() && claim())
        atomic_store_explicit(&sta__self.reader->state, section->token, memory_order_release);
}

void sta__reader_release(void)
{
    struct sta__reader *reader = sta__self.reader;
    uint64_t owner = sta__self.owner;

    if (!has_record())
        return;
    /* A signal may come between any two of these, and its handler may claim the record again: then
     * the owner word has changed, and the record stays claimed. */
    sta__self.reader = &unclaimed;
    atomic_store_explicit(&reader->state, 0, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
    change_owner(reader, owner, 0);
}
