/* SPDX-License-Identifier: MIT */
/*
 * Finding system call instructions in the code of an ELF file, and choosing how each can be
 * intercepted (enum sta_site_method). Analysis only: nothing is changed.
 *
 * The choice keeps one rule: each change is one of a single instruction, or of padding that does
 * nothing. A thread can then be at any instruction at any moment.
 *
 *      mov      mov $nr,%eax          ─►  jmp stub              syscall stays as it is
 *      short    syscall               ─►  jmp pad     pad: jmp stub, or jmp another pad
 *      detour   an earlier one of 5+  ─►  jmp stub              the rest stays as it is
 *      trap     syscall               ─►  ud2
 *
 * Where execution may come from need not be known in full: jump tables are not read. Who comes to
 * an instruction between a mov or detour and its system call makes the call as ever, and unseen.
 * Only padding must not be reached at all (see padding.c), and what is in the middle of the
 * instruction that changes; nothing but hand-written code ever jumps there, by direct branches, and
 * those count.
 *
 * This runs inside system calls of the application that map code: no libc, no malloc, general
 * registers only.
 */
#ifndef STA_TRANSFORM_SITE_H
#define STA_TRANSFORM_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sta/transform.h>

#include "transform/unwind.h"

/* eax at a site is not a constant that could be found out. */
#define STA__NR_UNKNOWN (-1)

#define STA__NEAR_JUMP_SIZE  5 /* e9 rel32 */
#define STA__SHORT_JUMP_SIZE 2 /* eb rel8 */

/* Short jumps between that of a site and its landing, at most. */
#define STA__HOP_MAX 2

/* What was found. All addresses are those of the memory that was analysed. */
struct sta__site {
    uintptr_t address;  /* of the system call instruction */
    uintptr_t patch_at; /* the instruction that changes: the mov, the earlier one, or the call */
    /* SHORT: STA__NEAR_JUMP_SIZE bytes of padding; else 0. They are never executed, or they are the
     * unused operand of a nop that is, whatever they hold. In any order, by halves, they can be
     * written at any time before `address` is, and not restored while a thread may be on its way.
     */
    uintptr_t landing;
    /* SHORT: where the short jump leads, if not to `landing` at once: padding for more short jumps,
     * in the order in which they are made; the last one leads to `landing`. The rest are 0. */
    uintptr_t hops[STA__HOP_MAX];
    /* SHORT: an instruction that is moved to the stubs, too, so that there is room for hops or the
     * landing behind the near jump in its place; else 0. All its bytes have to change at once. */
    uintptr_t displaced;
    int32_t nr;             /* eax, if all known ways to the call agree; else STA__NR_UNKNOWN */
    uint8_t method;         /* enum sta_site_method */
    uint8_t reason;         /* enum sta_site_reason */
    uint8_t patch_size;     /* bytes that the instruction at `patch_at` has */
    uint8_t displaced_size; /* and that at `displaced` */
};

/* Some code. All of it must be readable. */
struct sta__code {
    uintptr_t start, end;
    const struct sta__unwind *unwind; /* NULL: none */
};

typedef void (*sta__site_found)(const struct sta__site *site, void *data);

/* Calls `found` for each place in the code that has the bytes 0f 05, in the order of addresses. The
 * sites' paddings do not overlap. Returns their number, or -ENOMEM. */
int sta__sites_find(const struct sta__code *code, sta__site_found found, void *data);

/*
 * Copies the instructions between `from` and `end` (analysed memory) to `out`, so that they do the
 * same when run at `out_address` as the originals did at `from + delta`: displacements relative to
 * the instruction pointer are changed. Returns the number of bytes, at most `size`; -ERANGE, a
 * displacement does not reach; -ENOSPC; -EILSEQ, an instruction that cannot be moved.
 */
int sta__relocate(uint8_t *out, size_t size, uintptr_t out_address, uintptr_t from, uintptr_t end,
                  intptr_t delta);

#endif
