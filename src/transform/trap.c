/* SPDX-License-Identifier: MIT */
#include "transform/trap.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <ucontext.h>

#include "transform/entry.h"
#include "transform/signals.h"
#include "transform/text.h"

/* Addresses, by hash, with linear probing. Read by the handler at any moment. */
#define SLOT_COUNT 1024u
#define SLOT_FREE  ((uintptr_t)0)
#define SLOT_LEFT  ((uintptr_t)1) /* free again, but others may lie behind it */

static _Atomic uintptr_t slots[SLOT_COUNT];
static unsigned used; /* slots with an address */
static bool is_reserved;
static bool is_unblocked; /* SIGILL, in the mask of the thread that reserved it */

static unsigned first_slot(uintptr_t address)
{
    return (unsigned)(address * UINT64_C(0x9e3779b97f4a7c15) >> 32) % SLOT_COUNT;
}

/* Where the address is; NULL: nowhere. In the worst case all slots were left some time. Acquire:
 * pairs with claim. */
static _Atomic uintptr_t *slot_of(uintptr_t address)
{
    unsigned at = first_slot(address);

    for (unsigned i = 0; i < SLOT_COUNT; i++, at = (at + 1) % SLOT_COUNT) {
        uintptr_t found = atomic_load_explicit(&slots[at], memory_order_acquire);

        if (found == address)
            return &slots[at];
        if (found == SLOT_FREE)
            break;
    }
    return NULL;
}

static bool is_trap(uintptr_t address)
{
    return address > SLOT_LEFT && slot_of(address);
}

static void on_sigill(int signal, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

    if (info->si_code <= 0 || !is_trap((uintptr_t)regs[REG_RIP])) {
        sta__signals_chain(signal, info, context);
        return;
    }
    regs[REG_RCX] = regs[REG_RIP] + 2;
    regs[REG_RIP] = (greg_t)sta__entry_by_jump;
}

/* A new thread inherits a mask without SIGILL, and does not know that it is one. */
static void on_began(void)
{
    sta__signals_unblock(NULL);
}

static void nothing(void)
{
}

/* Other threads may trap while this one executes another program. */
static bool on_pause(void)
{
    return true;
}

static const struct sta__thread_hooks hooks = {
    .began = on_began,
    .forked = on_began,
    .forked_vm = nothing,
    .ends = nothing,
    .untraceable = nothing,
    .pause = on_pause,
    .resume = nothing,
};

static bool reserve(void)
{
    if (!sta__text_is_alone() || sta__signals_reserve(SIGILL, on_sigill) < 0)
        return false;
    /* Release: pairs with entry.c. Syscall User Dispatch replaces them by its own, which do as
     * much. */
    if (!atomic_load_explicit(&sta__thread_hooks, memory_order_relaxed))
        atomic_store_explicit(&sta__thread_hooks, &hooks, memory_order_release);
    is_reserved = true;
    return true;
}

/* Where a new address can go: what was left on its way is used again. That changes nothing for who
 * looks for another one meanwhile. */
static _Atomic uintptr_t *place_for(uintptr_t address)
{
    unsigned at = first_slot(address);

    /* Relaxed: only the holder of the lock changes them. */
    while (atomic_load_explicit(&slots[at], memory_order_relaxed) > SLOT_LEFT)
        at = (at + 1) % SLOT_COUNT;
    return &slots[at];
}

bool sta__trap_claim(uintptr_t address)
{
    if (used > SLOT_COUNT / 2 || (!is_reserved && !reserve()))
        return false;
    if (is_trap(address))
        return true;
    used++;
    /* Release: the handler is there. */
    atomic_store_explicit(place_for(address), address, memory_order_release);
    return true;
}

void sta__trap_release(uintptr_t address)
{
    _Atomic uintptr_t *slot = slot_of(address);

    if (!slot)
        return;
    used--;
    atomic_store_explicit(slot, SLOT_LEFT, memory_order_release);
}

/* Other threads go on without SIGILL in their masks, even if they believe they block it: harmless,
 * unless somebody sends it. */
void sta__trap_end(void)
{
    if (!is_reserved)
        return;
    is_reserved = false;
    if (atomic_load_explicit(&sta__thread_hooks, memory_order_relaxed) == &hooks)
        atomic_store_explicit(&sta__thread_hooks, NULL, memory_order_release);
    sta__signals_release(SIGILL);
    for (unsigned i = 0; i < SLOT_COUNT; i++)
        atomic_store_explicit(&slots[i], SLOT_FREE, memory_order_relaxed);
    used = 0;
}

/* Only a thread that is alone reserves the signal, so no other one is between the two. */
void sta__trap_unblock(void)
{
    if (!is_reserved || is_unblocked)
        return;
    is_unblocked = true;
    sta__signals_unblock(NULL);
}

void sta__trap_block_again(void)
{
    if (!is_unblocked || is_reserved)
        return;
    is_unblocked = false;
    sta__signals_block_again(NULL);
}
