/* SPDX-License-Identifier: MIT */
/*
 * Tail calls: bpf_tail_call(ctx, map, index) leaves the program for the one in a program array's
 * element, whoever runs either of them.
 *
 *      native or interpreted program ─► sta__tail_next(map, index, run) ─► target
 *                                       its own frame is given up          │
 *                                       r0 = target->enter(ctx, run, target)
 *
 * It is like a jump: what the target returns is what the subprogram returns that made the call.
 * Where there is no target the program goes on behind the call; r1 to r5 are then as after any
 * call, and r0 means nothing.
 */
#ifndef STA_EBPF_TAIL_H
#define STA_EBPF_TAIL_H

#include <stdint.h>

#include "maps/map.h"

#define STA__TAIL_CALL_MAX 33 /* MAX_TAIL_CALL_CNT: of one run, all programs together */

/* What the programs of one run share; whoever starts the first one makes it. */
struct sta__tail_run {
    uint64_t ctx_size; /* what a program that is entered finds in r2 */
    uint32_t count;    /* tail calls that were made */
};

/* What an element of a program array leads to. Every program has one. */
struct sta__tail_target {
    uint64_t (*enter)(void *ctx, struct sta__tail_run *run, const struct sta__tail_target *self);
    uint64_t context_size; /* bytes from the context's beginning that have to be there */
};

/* Where a tail call leads, and counts it. NULL: nowhere, as `index` (its low 32 bits count) is past
 * the end, the element is empty, there were too many, the target reads more of the context than
 * this run has, or `map` is no program array. `run` may be NULL: callbacks make no tail calls. */
const struct sta__tail_target *sta__tail_next(struct sta_map *map, uint64_t index,
                                              struct sta__tail_run *run);

#endif
