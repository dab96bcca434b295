/* SPDX-License-Identifier: MIT */
/* Layout and size of the save area: Intel SDM volume 1, chapter 13 (XSAVE), CPUID leaf 0DH. */
#include "base/vectors.h"

#include <cpuid.h>
#include <stdatomic.h>
#include <stdbool.h>

#define XSAVE_LEAF 0x0d

/* x87, SSE, AVX, opmask, upper halves of zmm0-15, zmm16-31 */
#define COMPONENTS        0xe7u
#define LEGACY_AND_HEADER 576

/* Read by vectors.S. Every registry sets them, always to the same values. */
_Atomic uint32_t sta__vectors_mask; /* 0: only fxsave is there */
_Atomic uint32_t sta__vectors_compact;
_Atomic uint64_t sta__vectors_size = 512;

static uint32_t enabled_components(void)
{
    uint32_t eax, edx;

    __asm__("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    return eax & COMPONENTS;
}

/* Bytes that a save area needs for the components in `mask`. */
static uint32_t area_size(uint32_t mask, bool compact)
{
    uint32_t size = LEGACY_AND_HEADER;

    for (unsigned i = 2; i < 32; i++) {
        uint32_t bytes, offset, flags, unused;

        if (!(mask & (1u << i)))
            continue;
        __cpuid_count(XSAVE_LEAF, i, bytes, offset, flags, unused);
        if (!compact)
            size = offset + bytes > size ? offset + bytes : size;
        else
            size = ((flags & 2) ? (size + 63) & ~63u : size) + bytes;
    }
    return size;
}

void sta__vectors_init(void)
{
    uint32_t eax, ebx, ecx, edx, mask;
    bool compact;

    __cpuid(1, eax, ebx, ecx, edx);
    if (!(ecx & bit_OSXSAVE))
        return;
    __cpuid_count(XSAVE_LEAF, 1, eax, ebx, ecx, edx);
    mask = enabled_components();
    compact = (eax & 2) != 0; /* XSAVEC */
    atomic_store_explicit(&sta__vectors_compact, compact, memory_order_relaxed);
    atomic_store_explicit(&sta__vectors_size, area_size(mask, compact), memory_order_relaxed);
    atomic_store_explicit(&sta__vectors_mask, mask, memory_order_release);
}
