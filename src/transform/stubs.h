/* SPDX-License-Identifier: MIT */
/*
 * Stubs: where the rewritten sites of one mapping jump to, within 2 GiB of them.
 *
 * One that knows the number does what the moved instructions did and goes to the entry:
 *
 *      mov $nr,%eax, or what else was moved
 *      lea resume(%rip),%rcx
 *      jmp *entry
 *
 * Where the number is not known, it looks whether anybody is interested, in a table by the number's
 * low byte, without touching the flags:
 *
 *      movzbl %al,%ecx
 *      mov interest,%r11
 *      movzbl (%r11,%rcx),%ecx
 *      jrcxz native
 *      lea resume(%rip),%rcx
 *      jmp *entry
 *  native:
 *      lea resume(%rip),%rcx
 *      jmp *native
 *
 * Of a displaced instruction:
 *
 *      it
 *      jmp behind it
 *
 * No call is made in a stub. Unwinders do not know stubs, so one that comes by a signal ends in one
 * if the signal came at one of these few instructions; nobody is ever asleep there.
 *
 * Stubs are never given back: a thread may have been preempted in one.
 * For a mapping that comes again at the same place with the same code they are used again.
 * No libc. The caller sees to it that there is one change at a time.
 */
#ifndef STA_TRANSFORM_STUBS_H
#define STA_TRANSFORM_STUBS_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "transform/site.h"

/* Whether a call with this low byte of its number is to go to the entry. Relaxed: a call that is
 * made while something is being attached may or may not be seen. */
extern STA__HIDDEN _Atomic uint8_t sta__interest[256];

/* One site's stub, and that of the instruction that is displaced for it, which goes on behind it. 0
 * if it has none. */
struct sta__stub {
    uintptr_t address;
    uintptr_t displaced;
};

/* The sites of one mapping, at their live addresses; `analysed` is what has to be added to a live
 * address to get to readable memory with the code as it was before any change. */
struct sta__stubs_order {
    uintptr_t start, end; /* of the code */
    const struct sta__site *sites;
    size_t count;
    intptr_t analysed;
};

/* Makes a stub for each site that needs one; `stubs[i]` is that of site i. 0; -ERANGE, there is no
 * free memory near enough; another -errno. */
int sta__stubs_make(const struct sta__stubs_order *order, struct sta__stub *stubs);

#endif
