/* SPDX-License-Identifier: MIT */
/* Layout and size of the save area: Intel SDM volume 1, chapter 13 (XSAVE), CPUID leaf 0DH. */
#include "base/vectors.h"

#include <cpuid.h>
#include <stdbool.h>

#define XSAVE_LEAF    0x0d
#define XSAVE_XSAVEC  (1u << 1)
#define XSAVE_XGETBV1 (1u << 2)

#define LEGACY_AND_HEADER 576

_Atomic uint32_t sta__vectors_tracked;
_Atomic uint32_t sta__vectors_mask;
_Atomic uint32_t sta__vectors_compact;
_Atomic uint64_t sta__vectors_size = 512;

static uint32_t enabled_components(void)
{
    uint32_t eax, edx;

    __asm__("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    return eax & STA__VECTORS_ALL;
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

/* Whether plain stores and loads reach all of `mask`: k registers of 64 bits, which take one
 * instruction to store, are AVX512BW. */
static bool is_plain(uint32_t mask)
{
    uint32_t eax, ebx, ecx, edx;

    if (!(mask & STA__VECTORS_AVX512))
        return true;
    return (mask & STA__VECTORS_AVX512) == STA__VECTORS_AVX512 && (mask & STA__VECTORS_AVX) &&
           __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & bit_AVX512BW);
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
    compact = (eax & XSAVE_XSAVEC) != 0;
    atomic_store_explicit(&sta__vectors_compact, compact, memory_order_relaxed);
    atomic_store_explicit(&sta__vectors_size, area_size(mask, compact), memory_order_relaxed);
    atomic_store_explicit(&sta__vectors_mask, mask, memory_order_release);
    if ((eax & XSAVE_XGETBV1) && is_plain(mask))
        atomic_store_explicit(&sta__vectors_tracked, mask, memory_order_release);
}

void sta__vectors_need(void)
{
    static atomic_bool is_done;

    /* Acquire, release: who finds it done finds what was found out. */
    if (atomic_load_explicit(&is_done, memory_order_acquire))
        return;
    sta__vectors_init();
    atomic_store_explicit(&is_done, true, memory_order_release);
}
