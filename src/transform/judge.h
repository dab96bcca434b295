/* SPDX-License-Identifier: MIT */
/*
 * Whether the bytes of a system call are one: they may be a part of another instruction, or data
 * that lies in the code. Shared between the files that find sites.
 */
#ifndef STA_TRANSFORM_JUDGE_H
#define STA_TRANSFORM_JUDGE_H

#include "transform/code_map.h"

/* Why the bytes at `address`, in a span that was decoded, are left alone; STA_REASON_NONE: they are
 * a system call, for all that can be said without knowing the branches. */
enum sta_site_reason sta__judge_code(const struct sta__code_map *map, const struct sta__span *span,
                                     uintptr_t address);

/* After all branches are known: whether a thread may come to a site at all that no number is known
 * of (one that is loaded for the call tells that it is code). What lies behind an instruction that
 * does not go on, and has no branch into it, is data; or a jump table leads there, or it is a
 * function without unwind data. The latter are told by how they begin and end. */
bool sta__judge_is_reached(const struct sta__code_map *map, const struct sta__site *site);

#endif
