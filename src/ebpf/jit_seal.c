/* SPDX-License-Identifier: MIT */
/*
 * Memory for code. It is writable until it is sealed and executable from then on, never both at any
 * moment.
 *
 * Near to the library, which is wherever the host or the loader put it, helpers are called in five
 * bytes, so the system is asked for memory there; what it gives instead is as good otherwise.
 */
#include <stdatomic.h>

#include "base/pages.h"
#include "ebpf/jit_work.h"

/* How far from the library memory is asked for: below it, where no heap grows, or above if there
 * is little below. */
#define WINDOW   ((uintptr_t)512 << 20)
#define DISTANCE ((uintptr_t)64 << 20)
#define ATTEMPTS 3

/* Bytes that were asked for, in all: programs lie one below the other. */
static _Atomic uintptr_t asked;

static uintptr_t place_for(size_t size)
{
    uintptr_t library = sta__page_of((uintptr_t)sta__tail_next);
    uintptr_t offset = atomic_fetch_add_explicit(&asked, size, memory_order_relaxed) % WINDOW;

    if (library > 2 * WINDOW)
        return library - DISTANCE - offset - size;
    return library + WINDOW + offset;
}

static bool is_near(uintptr_t address)
{
    uintptr_t library = (uintptr_t)sta__tail_next;
    uintptr_t distance = address < library ? library - address : address - library;

    return distance < ((uintptr_t)1 << 30);
}

static int64_t map(uintptr_t place, size_t size)
{
    return STA__RAW6(SYS_mmap, place, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
}

int sta__jit_memory_alloc(struct sta__jit_memory *out, size_t size)
{
    size_t whole = sta__page_up(size);

    for (int attempt = 1;; attempt++) {
        int64_t got = map(place_for(whole), whole);

        if (sta__is_error(got))
            return (int)got;
        if (attempt == ATTEMPTS || is_near((uintptr_t)got)) {
            *out = (struct sta__jit_memory){(void *)got, whole};
            return 0;
        }
        sta__pages_free((void *)got, whole);
    }
}

int sta__jit_memory_seal(const struct sta__jit_memory *memory)
{
    return (int)STA__RAW3(SYS_mprotect, memory->start, memory->size, PROT_READ | PROT_EXEC);
}

void sta__jit_memory_free(const struct sta__jit_memory *memory)
{
    if (memory->size)
        sta__pages_free(memory->start, memory->size);
}
