/* SPDX-License-Identifier: MIT */
/*
 * One ELF file in memory: its executable segments and its unwind data.
 *
 * The memory need not be where the code runs: a file that is just being mapped by a loader is
 * looked at in a mapping of our own. No libc: from any thread, in any state.
 */
#ifndef STA_TRANSFORM_OBJECT_H
#define STA_TRANSFORM_OBJECT_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pages.h"
#include "transform/unwind.h"

#define STA__OBJECT_RANGE_MAX 16

struct sta__object {
    /* To be filled in by the caller: where the ELF header is, and what of the file is readable, in
     * the order of addresses, without gaps within a range. */
    uintptr_t header;
    struct sta__range readable[STA__OBJECT_RANGE_MAX];
    unsigned readable_count;

    /* By sta__object_open(). */
    uintptr_t bias; /* memory address = bias + address in the file */
    const Elf64_Phdr *segments;
    unsigned segment_count;
    struct sta__unwind unwind;
    bool has_unwind;
};

/* Adds readable memory, directly behind the last range or not. What does not fit is forgotten. */
void sta__object_add_readable(struct sta__object *object, uintptr_t start, uintptr_t end);

/* Reads the headers. 0; -ENOEXEC, this is no ELF file for x86-64 or a damaged one. */
int sta__object_open(struct sta__object *object);

/* The code of the executable segment that contains `address` in memory, as far as it is readable.
 * False: there is none. */
bool sta__object_code_at(const struct sta__object *object, uintptr_t address,
                         struct sta__range *out);

/*
 * Maps the file behind `fd` in the way that a loader would, but for reading only and at any
 * address, and opens it. `*mapping` is what sta__object_unmap() gives back. 0 or -errno.
 */
int sta__object_map(struct sta__object *object, int fd, struct sta__range *mapping);
void sta__object_unmap(const struct sta__range *mapping);

#endif
