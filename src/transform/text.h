/* SPDX-License-Identifier: MIT */
/*
 * Changing code that may be running.
 *
 * While nobody else can execute it, bytes are written in place (/proc/self/mem, which does not mind
 * that the page is read-only; mprotect(2) where that is refused).
 *
 * Else whole pages change places: a private copy of them is made elsewhere, mapped from the same
 * file, the bytes are changed there, and mremap(2) puts it where the old pages are. The kernel does
 * that in one step: a thread that runs there meanwhile takes a page fault that waits for the end of
 * it, and finds all of the new bytes or, before, all of the old ones. The interrupt by which the
 * kernel makes other processors forget the old pages serialises them, too. So there is no moment
 * with a half-written instruction, a breakpoint, or a page that can be written and executed; no
 * signal is needed, which a thread could block; and a child that is forked at any moment has code
 * that is whole.
 *
 * No libc. The caller sees to it that there is one change at a time.
 */
#ifndef STA_TRANSFORM_TEXT_H
#define STA_TRANSFORM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STA__CHANGE_MAX 15 /* an instruction */

/* Bytes that are to become others. */
struct sta__change {
    uintptr_t at;
    uint8_t size;
    uint8_t from[STA__CHANGE_MAX]; /* if it is not these that are there, the change is left out */
    uint8_t to[STA__CHANGE_MAX];
};

/* The mapping in which they are. */
struct sta__text {
    uintptr_t start, end; /* of whole pages */
    uint64_t inode, offset;
    const char *path; /* by which the file can be opened; "" or another file's: it cannot */
    bool is_special;  /* the kernel's own (the vDSO), which cannot be split */
    bool is_writable; /* by who mapped it, and perhaps at any moment: there is no exchange then */
    bool is_guest;    /* of no ELF file, and perhaps about to be changed by who made it */
};

/* Whether the calling thread is the only one of its process. */
bool sta__text_is_alone(void);

/* Whether nobody else can be executing this memory, be it a thread or another process. */
bool sta__text_is_unshared(void);

/* Makes the changes, which are sorted by address and do not overlap. 0, or the first -errno
 * (-EBUSY, it is writable, and somebody else may execute it); then the changes of some pages may
 * have been made, those of others not. */
int sta__text_change(const struct sta__text *text, const struct sta__change *changes, size_t count);

/* Writes to memory of our own that is mapped for reading and executing, and not run yet. 0 or
 * -errno. */
int sta__text_fill(uintptr_t at, const void *bytes, size_t size);

#endif
