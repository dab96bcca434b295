/* SPDX-License-Identifier: MIT */
/*
 * The verifier: proves that a program can do no harm, by walking all of its paths with what is
 * known of each register and stack slot, as the kernel's verifier does. Its rules, its precision
 * and its words are the kernel's for programs that root loads.
 *
 *     verify.c            the walk, instruction by instruction
 *     verify/tnum.c         known and unknown bits of a number
 *     verify/range.c        bounds of a number, and what follows from one bound for another
 *     verify/alu.c          arithmetic on numbers
 *     verify/refine.c       what a comparison's result says of the numbers compared
 *     verify/pointer.c      arithmetic instructions: numbers, pointers, moves
 *     verify/jump.c         conditional jumps
 *     verify/stack.c        spills, fills, bytes of the stack
 *     verify/access.c       loads, stores and atomics through any pointer
 *     verify/helper_call.c  helper calls and their arguments; helper_map.c: which take which maps;
 *                           helper_result.c: what they leave behind
 *     verify/dynptr.c       dynptrs in the stack; spin_lock.c: locks in values
 *     verify/calls.c        subprograms, callbacks, exits
 *     verify/values.c       which numbers the proof depends on (the kernel's "precision")
 *     verify/state.c        states: copying, storing, forgetting
 *     verify/prune.c        whether a state is covered by one that was walked before
 *     verify/control_flow.c  reachability, live registers, stack of call chains
 *     verify/verifier_log.c, disasm.c  the text
 */
#ifndef STA_EBPF_VERIFY_H
#define STA_EBPF_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "ebpf/code.h"

struct sta__verify_options {
    uint32_t type;           /* BPF_PROG_TYPE_TRACEPOINT, _RAW_TRACEPOINT or _KPROBE */
    uint32_t context_limit;  /* bytes of the context that may be read; 0: as many as the type has */
    uint32_t complexity_max; /* instructions to be walked at most; 0: as many as in the kernel */
    /* Helpers that are known but not offered may be called: to compare with the kernel. */
    bool allow_missing_helpers;
    bool is_not_gpl; /* helpers for GPL programs may not be called */
    /* Text in many lines, always ended by a zero; cut off at its beginning if there is more. */
    char *log_buf;
    size_t log_size;
    uint32_t log_level; /* STA_VERIFIER_LOG_* */
};

struct sta__verify_result {
    uint32_t processed;    /* instructions walked */
    uint32_t context_size; /* highest byte of the context that can be read, and one */
    uint32_t states;       /* stored for pruning */
    bool log_is_cut;       /* the text did not fit */
};

/*
 * Proves the program safe. Fills marks (DEAD, ALWAYS, NEVER) and the subprograms' stack_depth and
 * is_callback.
 *
 * Returns 0, -EACCES, -EINVAL, -E2BIG, -EPERM (unsafe, with the kernel's choice) or -ENOMEM. The
 * reason of a refusal goes to `log` as one line and to the text. *result is filled in any case.
 */
int sta__verify(struct sta__code *code, const struct sta__verify_options *options,
                struct sta__verify_result *result, const struct sta__log *log);

#endif
