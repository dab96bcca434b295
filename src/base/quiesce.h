/* SPDX-License-Identifier: MIT */
/*
 * Quiescence, the readers' side: sections in which a thread reads what writers publish and runs
 * callbacks. The writers' side, which waits until nobody is in an older section, is grace.h.
 *
 * Each thread has a record in a process-wide pool. One word of it, `state`, says everything, so
 * that a signal handler or another thread never sees half of it:
 *
 *      63                                 11 10             0
 *     +-------------------------------------+----------------+
 *     | address of the running section / 16 | epoch at entry |      0: in no section
 *     +-------------------------------------+----------------+
 *
 * Entering is a store of this word, leaving is another. The section is a struct on the thread's
 * stack which repeats the word as its token. The epoch counts grace periods: by it a writer tells a
 * section that it waits for from the thread's next one at the same address.
 *
 * The same word is the recursion guard: a thread that is in a section runs no second one. A longjmp
 * may leave a section without a trace, so a section found in `state` is believed only while its
 * frame can still be there: below it on the same stack, or on the stack for callbacks, with its
 * token intact (see section_is_live).
 *
 * Ordering. A reader stores `state` and then loads what was published; a writer publishes and then
 * loads `state`. Each must see the other's store, which takes a full barrier on both sides. The
 * writer pays for both: membarrier(2) runs one on every thread. Where membarrier is missing,
 * STA__EPOCH_FENCE makes each reader run its own.
 */
#ifndef STA_BASE_QUIESCE_H
#define STA_BASE_QUIESCE_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define STA__EPOCH_BITS 11
/* The top bit of the epoch: readers run a barrier of their own. The others count. */
#define STA__EPOCH_FENCE      (UINT64_C(1) << (STA__EPOCH_BITS - 1))
#define STA__EPOCH_COUNT_MASK (STA__EPOCH_FENCE - 1)

/* Threads that can be in sections at the same time; those past it run unseen. */
#define STA__READER_MAX 65536

struct sta__reader {
    _Atomic uint64_t state;
    /* Thread pointer of the owner, 0 if free. Thread control blocks are 64-byte aligned; the low
     * bits count how often the owner claimed the record again. */
    _Atomic uint64_t owner;
    _Atomic(struct sta__reader *) waits_for; /* whom its owner waits for in a section, or NULL */
    _Atomic int tid;                         /* of the owner; 0 while nobody needed to know it */
    uint32_t stripe;                         /* which counters are its own, see sta__count() */
} __attribute__((aligned(STA__CACHE_LINE)));

/* One anonymous mapping. It is marked MADV_WIPEONFORK: in a forked child all records are zero,
 * which is right, since the threads they stand for do not exist there; the forking thread claims
 * again. */
struct sta__reader_pool {
    _Atomic uint32_t count; /* records ever claimed */
    /* The process that this memory belongs to; 0 in a forked child until somebody asks. A vfork
     * child is another process in its parent's memory. */
    _Atomic int pid;
    struct sta__reader readers[STA__READER_MAX];
};

/* What a thread knows of its own record. */
struct sta__reader_self {
    struct sta__reader *reader;
    uint64_t owner;
    uintptr_t alt_stack_low, alt_stack_high; /* its sigaltstack(2), where known; else both 0 */
    uintptr_t private_stack;                 /* its stack for callbacks, see private_stack.h */
    uint64_t pid_tgid;                       /* see ids.h; 0: nobody asked */
    uint64_t pid_namespace;                  /* likewise; 0: nobody asked */
    uint64_t pid_namespace_dev;              /* beside it */
    uint64_t random;                         /* state of bpf_get_prandom_u32(); 0: none yet */
    uint32_t changes;                        /* counts sta__self_forget_ids() */
};

/* Lives on the stack for as long as the section runs; the first member of what the section's owner
 * keeps there. */
struct sta__section {
    uint64_t token;
} __attribute__((aligned(16)));

extern STA__HIDDEN STA__THREAD_LOCAL struct sta__reader_self sta__self;
extern STA__HIDDEN _Atomic(struct sta__reader_pool *)
    sta__readers;                               /* NULL until sta__readers_init() */
extern STA__HIDDEN _Atomic uint64_t sta__epoch; /* counted up by writers; STA__EPOCH_BITS wide */

#define STA__PRIVATE_STACK_SIZE 65536

/* Whether an address is on this thread's alternate signal stack, or on its stack for callbacks. */
STA__INLINE bool sta__on_alt_stack(uintptr_t address)
{
    return address >= sta__self.alt_stack_low && address < sta__self.alt_stack_high;
}

STA__INLINE bool sta__on_private_stack(uintptr_t address)
{
    return address - sta__self.private_stack < STA__PRIVATE_STACK_SIZE;
}

/* Whoever runs on this thread may be another process or thread than before, or be in other
 * namespaces: to be called on both sides of what creates one, and behind what changes them. */
STA__INLINE void sta__self_forget_ids(void)
{
    sta__self.changes++;
    sta__self.pid_tgid = 0;
    sta__self.pid_namespace = 0;
    sta__self.random = 0;
}

/* This thread's alternate signal stack is this one now. */
void sta__alt_stack_note(const stack_t *stack);

/* The slow part of entering: claims a record, or finds out whether the section that `state` tells
 * of is still there. Returns the record, or NULL: the thread is in a section, or no record is free.
 */
struct sta__reader *sta__section_enter_slow(const struct sta__section *section);

/*
 * Enters a section. Returns the thread's record, or NULL if this thread is in a section already (or
 * there are STA__READER_MAX threads): then nothing was entered. Async-signal-safe.
 */
STA__INLINE struct sta__reader *sta__section_enter(struct sta__section *section)
{
    struct sta__reader *reader = sta__self.reader;
    uint64_t epoch, token;

    if (sta__unlikely(atomic_load_explicit(&reader->owner, memory_order_relaxed) !=
                          sta__self.owner ||
                      atomic_load_explicit(&reader->state, memory_order_relaxed) != 0)) {
        reader = sta__section_enter_slow(section);
        if (!reader)
            return NULL;
    } else if (!reader) {
        __builtin_unreachable(); /* who has no record has a place-holder, which never matches */
    }
    epoch = atomic_load_explicit(&sta__epoch, memory_order_relaxed);
    token = (uint64_t)(uintptr_t)section << (STA__EPOCH_BITS - 4) | epoch;
    section->token = token;
    /* Release: who reads `state` reads the token too. */
    atomic_store_explicit(&reader->state, token, memory_order_release);
    /* Nothing of the section moves up before the store: pairs with the writer's membarrier. */
    atomic_signal_fence(memory_order_seq_cst);
    if (sta__unlikely(epoch & STA__EPOCH_FENCE))
        sta__full_barrier();
    return reader;
}

/* The slow part of leaving: see there. */
void sta__section_leave_slow(const struct sta__section *section);

/*
 * Leaves the section, entered with this record. If that is not in the section any more, the record
 * is looked up anew: a callback may have forked, and in the child it is another one or none.
 */
STA__INLINE void sta__section_leave(const struct sta__section *section, struct sta__reader *reader)
{
    if (sta__likely(atomic_load_explicit(&reader->state, memory_order_relaxed) == section->token))
        /* Release: all that the section did is done before a writer sees it gone. */
        atomic_store_explicit(&reader->state, 0, memory_order_release);
    else
        sta__section_leave_slow(section);
}

/* The section that this thread is in, judged from the address of something on the current stack;
 * NULL if none. Async-signal-safe. */
struct sta__section *sta__section_current(const void *stack_address);

/* To be called after a system call made inside a section: in a child that was forked there, the
 * record of `section` is gone, and this gives the thread a new one that is in the section. */
void sta__section_restore(const struct sta__section *section);

/* Gives back this thread's record: the thread is about to exit. */
void sta__reader_release(void);

#endif
