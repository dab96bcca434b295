/* SPDX-License-Identifier: MIT */
/* On the dispatch path: no libc, no lock. The system calls are made once in a thread's life. */
#include "base/private_stack.h"

#include <signal.h>
#include <sys/mman.h>

#include "base/gate.h"

#define GUARD_SIZE 4096
/* In place of an address: none could be made. A child of fork need not try again either. */
#define UNAVAILABLE 1

/* Returns the lowest address above the guard page, or UNAVAILABLE. */
static uintptr_t make_stack(void)
{
    int64_t address =
        STA__RAW6(SYS_mmap, 0, GUARD_SIZE + STA__PRIVATE_STACK_SIZE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

    if (address < 0 && address > -4096)
        return UNAVAILABLE;
    if (STA__RAW3(SYS_mprotect, address, GUARD_SIZE, PROT_NONE) < 0) {
        STA__RAW2(SYS_munmap, address, GUARD_SIZE + STA__PRIVATE_STACK_SIZE);
        return UNAVAILABLE;
    }
    return (uintptr_t)address + GUARD_SIZE;
}

void sta__alt_stack_find(void)
{
    stack_t now;

    if (STA__RAW2(SYS_sigaltstack, 0, &now) == 0)
        sta__alt_stack_note(&now);
}

static STA__NOINLINE void prepare(void)
{
    sta__self.private_stack = make_stack();
    sta__alt_stack_find(); /* later changes are seen as the application makes them */
}

uintptr_t sta__private_stack_top(const void *here)
{
    if (sta__unlikely(!sta__self.private_stack))
        prepare();
    if (sta__unlikely(sta__self.private_stack == UNAVAILABLE || sta__on_alt_stack((uintptr_t)here)))
        return 0;
    return sta__self.private_stack + STA__PRIVATE_STACK_SIZE;
}

void sta__private_stack_release(const void *here)
{
    uintptr_t low = sta__self.private_stack;

    /* Not by a callback that ends its thread, nor by a child that such a callback created without
     * thread-local storage of its own. */
    if (low <= UNAVAILABLE || sta__on_private_stack((uintptr_t)here) ||
        atomic_load_explicit(&sta__self.reader->state, memory_order_relaxed) != 0)
        return;
    sta__self.private_stack = 0;
    atomic_signal_fence(memory_order_seq_cst); /* a handler makes another one */
    STA__RAW2(SYS_munmap, low - GUARD_SIZE, GUARD_SIZE + STA__PRIVATE_STACK_SIZE);
}
