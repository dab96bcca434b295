/* SPDX-License-Identifier: MIT */
/*
 * The executable mappings of ELF files in this process, and the sites in each with all that is
 * needed to rewrite them and to put them back. Whether a site is rewritten right now is nowhere but
 * in its bytes.
 *
 * All of it belongs to the holder of sta__images_lock. A forked child may take the lock over at any
 * moment, so each change takes effect with one store. No libc.
 */
#ifndef STA_TRANSFORM_IMAGES_H
#define STA_TRANSFORM_IMAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/lock.h"
#include "transform/site.h"
#include "transform/stubs.h"
#include "transform/text.h"

/* A site and the bytes that were there: of the instruction, and of the paddings. */
struct sta__image_site {
    struct sta__site site;
    struct sta__stub stub;
    uint8_t original[STA__NEAR_JUMP_SIZE];
    uint8_t landing_original[STA__NEAR_JUMP_SIZE];
    uint8_t displaced_original[STA__CHANGE_MAX];
    uint8_t hop_originals[STA__HOP_MAX][STA__SHORT_JUMP_SIZE];
};

struct sta__image {
    struct sta__image *next;
    struct sta__text text; /* the mapping; `path` is the one below */
    bool is_hidden;        /* it has been made unreadable, or is no code for now: leave it alone */
    size_t count, capacity;
    struct sta__image_site *sites; /* by address */
    char path[STA_MAPPING_PATH_SIZE];
};

extern STA__HIDDEN struct sta__lock sta__images_lock;
extern STA__HIDDEN struct sta__image *sta__images; /* NULL: none */

/* Adds all ELF files that are mapped between these addresses and not known yet. 0 or -errno. */
int sta__images_add_mapped(uintptr_t start, uintptr_t end);

/* Adds what has just been mapped at `start` for executing, from the file `fd` at `offset`: by a
 * loader that is not done with it. */
int sta__images_add_file(uintptr_t start, uintptr_t end, int fd, uint64_t offset);

/* Adds a single site in code of no ELF file, of which nothing is known but that a call with the
 * number `sys_nr` was just made at `address`. -ENOTSUP: it cannot be rewritten safely. */
int sta__images_add_guest(uintptr_t address, int64_t sys_nr);

/* See images_gone.c. */

/* Whether something is known there. */
bool sta__images_overlap(uintptr_t start, uintptr_t end);

/* Whether a site and its paddings lie on both sides of an end of this range: it has to be restored
 * before one side goes. */
bool sta__images_straddle(uintptr_t start, uintptr_t end);

/* Forgets what lies between these addresses: it has been unmapped, or another mapping is there now.
 * Of an image that does so in part, the rest stays. */
void sta__images_drop(uintptr_t start, uintptr_t end);

/* The same, but only for code of no ELF file. */
void sta__images_drop_guests(uintptr_t start, uintptr_t end);

/* Images there are about to be given this protection. */
void sta__images_protect(uintptr_t start, uintptr_t end, unsigned long protection);

/* Looks how all images are mapped by now, and forgets what is not. 0 or -errno. */
int sta__images_look_again(void);

static inline bool sta__image_overlaps(const struct sta__image *image, uintptr_t start,
                                       uintptr_t end)
{
    return image->text.start < end && image->text.end > start;
}

/* Of one that is not in the list (any more). */
void sta__image_free(struct sta__image *image);

#endif
