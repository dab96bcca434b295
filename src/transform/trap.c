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
static unsigned used; /* slots that are not free; those that were left count */
static bool is_reserved;
static bool is_unblocked; /* SIGILL, in the mask of the thread that reserved it */

static unsigned first_slot(uintptr_t address)
{
    return (unsigned)(address * UINT64_C(0x9e3779b97f4a7c15) >> 32) % SLOT_COUNT;
}

/* Where the address is, else where the probing ended: at a free slot. Acquire: pairs with claim. */
static _Atomic uintptr_t *slot_of(uintptr_t address)
{
    unsigned at = first_slot(address);

    for (;; at = (at + 1) % SLOT_COUNT) {
        uintptr_t found = atomic_load_explicit(&slots[at], memory_order_acquire);

        if (found == address || found == SLOT_FREE)
            return &slots[at];
    }
}

static bool is_trap(uintptr_t address)
{
    return address > SLOT_LEFT &&
           atomic_load_explicit(slot_of(address), memory_order_acquire) == address;
}

static void on_sigill(int signal, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

    if (info->si_code <= 0 || !is_trap((uintptr_t)regs[REG_RIP])) {
        sta__signals_chain(signal, info, context);
        return;
    }
    regs[REG_RCX] = regs[REG_RIP] + 2;
    regs[REG_RIP] = (greg_t)sta__entry;
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

bool sta__trap_claim(uintptr_t address)
{
    if (used > SLOT_COUNT / 2 || (!is_reserved && !reserve()))
        return false;
    used++;
    /* Release: the handler is there. */
    atomic_store_explicit(slot_of(address), address, memory_order_release);
    return true;
}

void sta__trap_release(uintptr_t address)
{
    if (is_trap(address))
        atomic_store_explicit(slot_of(address), SLOT_LEFT, memory_order_release);
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
