/* SPDX-License-Identifier: MIT */
/*
 * The JIT: native code for a program, once it is decoded and, unless it is trusted, verified.
 *
 * The code touches general registers only, and everything that it has on the stack lies where
 * signal handlers leave it alone. Where it calls out it can be walked by frame pointers. It keeps
 * no state: a longjmp out of it is nothing to it.
 */
#ifndef STA_EBPF_JIT_H
#define STA_EBPF_JIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sta/attach.h>

#include "base/log.h"
#include "ebpf/code.h"
#include "ebpf/tail.h"

struct sta__jit_options {
    const char *name;    /* for profilers; NULL: "" */
    bool writes_map;     /* adds to /tmp/perf-PID.map */
    bool without_shiftx; /* does without BMI2 even if the processor has it: for tests */
};

/* Native code. */
struct sta__jit {
    /* Runs the program: r1 = ctx, r2 = ctx_size, *ret = r0; returns 0. The dispatcher calls it as
     * it is. */
    sta_callback run;
    /* Goes on in the program after a tail call: see tail.h. `self` is not looked at. */
    uint64_t (*enter)(void *ctx, struct sta__tail_run *run, const struct sta__tail_target *self);
    size_t size;   /* bytes of code, from `run` on */
    size_t mapped; /* bytes of memory that it takes */
};

/*
 * Compiles. `code` is not needed afterwards, the maps that it names are.
 *
 * Returns 0, -EINVAL (it calls a helper that there is not), -E2BIG (its code would be too large),
 * -ENOMEM, or what the system said to executable memory.
 */
int sta__jit_compile(struct sta__jit *out, const struct sta__code *code,
                     const struct sta__jit_options *options, const struct sta__log *log);

/* Gives the code back. It must run on no thread. Empty is allowed. */
void sta__jit_free(struct sta__jit *jit);

#endif
