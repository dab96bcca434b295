/* SPDX-License-Identifier: MIT */
/*
 * Where functions begin and end, from the unwind data that every ELF file with a PT_GNU_EH_FRAME
 * segment brings along, stripped or not: the table in .eh_frame_hdr, sorted by address, and the
 * frame descriptions in .eh_frame that it points to.
 *
 * Layouts: Linux Standard Base Core, "Exception Frames" and ".eh_frame_hdr"; DWARF 4, 6.4.1.
 *
 * The data is the application's and may be damaged. Nothing outside the given range is read, and
 * what makes no sense is as good as absent. No libc, no state: from any thread, async-signal-safe.
 */
#ifndef STA_TRANSFORM_UNWIND_H
#define STA_TRANSFORM_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The unwind data of one ELF file in memory. */
struct sta__unwind {
    uintptr_t low, high; /* readable memory; .eh_frame is in it, too */
    uintptr_t header;    /* of .eh_frame_hdr */
    uintptr_t table;     /* of its sorted pairs of offsets: function, frame description */
    size_t count;
};

/* A range of code that one frame description covers: a function or, where the compiler split it, a
 * part of one. */
struct sta__function {
    uintptr_t start, end;
};

/*
 * Reads .eh_frame_hdr at `header`. Everything between `low` and `high` must be readable.
 * 0; -EINVAL, it is damaged; -ENOTSUP, it has no sorted table of the usual encoding.
 */
int sta__unwind_open(struct sta__unwind *out, uintptr_t header, uintptr_t low, uintptr_t high);

/* The function that `address` lies in. False if no description covers it. */
bool sta__unwind_find(const struct sta__unwind *unwind, uintptr_t address,
                      struct sta__function *out);

/* How many entries of the table begin at `address` or before it. */
size_t sta__unwind_index(const struct sta__unwind *unwind, uintptr_t address);

/* The table's entry number `index` (0 to count - 1), in the order of addresses. False if its
 * description is damaged. */
bool sta__unwind_function(const struct sta__unwind *unwind, size_t index,
                          struct sta__function *out);

#endif
