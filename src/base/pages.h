/* SPDX-License-Identifier: MIT */
/* Pages from the system, through the gate. */
#ifndef STA_BASE_PAGES_H
#define STA_BASE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "base/compiler.h"
#include "base/gate.h"

#define STA__PAGE_SIZE ((uintptr_t)4096)

/* Addresses from `start` to before `end`. */
struct sta__range {
    uintptr_t start, end;
};

STA__INLINE uintptr_t sta__page_of(uintptr_t address)
{
    return address & ~(STA__PAGE_SIZE - 1);
}

STA__INLINE uintptr_t sta__page_up(uintptr_t address)
{
    return sta__page_of(address + STA__PAGE_SIZE - 1);
}

/* Whether a system call's result is -errno, and no address. */
STA__INLINE bool sta__is_error(int64_t result)
{
    return result < 0 && result >= -4095;
}

/* Zeroed memory for reading and writing; NULL if there is none. */
STA__INLINE void *sta__pages_alloc(size_t size)
{
    int64_t got =
        STA__RAW6(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return sta__is_error(got) ? NULL : (void *)got;
}

STA__INLINE void sta__pages_free(void *pages, size_t size)
{
    STA__RAW2(SYS_munmap, pages, size);
}

#endif
