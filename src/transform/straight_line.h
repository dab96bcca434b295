/* SPDX-License-Identifier: MIT */
/*
 * Going back from a system call over the instructions that every thread executes, one after the
 * other, that arrives there. Shared between the files that find sites.
 */
#ifndef STA_TRANSFORM_STRAIGHT_LINE_H
#define STA_TRANSFORM_STRAIGHT_LINE_H

#include "transform/code_map.h"

/* A place in the line: the next instruction back ends at `at`. */
struct sta__line {
    const struct sta__code_map *map;
    uintptr_t at;
    struct sta__instruction instruction; /* the one at `at`, after the first step */
};

/* Goes back by one instruction. False, and the line ends, if something may land at `at` or in the
 * middle of that instruction, or if that one does not just go on behind itself: calls and all that
 * jumps count as such, but for conditional jumps, which go on if they do not jump. */
bool sta__line_back(struct sta__line *line);

/* The number that a system call at `site` is made with, or STA__NR_UNKNOWN. */
int32_t sta__line_number(const struct sta__code_map *map, uintptr_t site);

/* Numbers of registers, as instructions have them. */
#define STA__RAX 0
#define STA__RDX 2
#define STA__RSP 4

/* Whether an instruction may write register `reg`, which is not rsp. Knows the usual ones; of
 * others it says yes. */
bool sta__may_write(const struct sta__instruction *instruction, unsigned reg);

/* Whether the instruction does the same at another address, once its displacement is corrected: see
 * sta__relocate(). */
bool sta__is_movable(const struct sta__instruction *instruction);

/* Whether the system call at `site` is the one that the C library's cancellation points make: a
 * thread that was interrupted in there is recognised by its program counter. */
bool sta__is_cancellation_point(const struct sta__code_map *map, uintptr_t site);

#endif
