/* SPDX-License-Identifier: MIT */
/*
 * The interpreter: the reference for what programs do. It runs whatever the JIT runs, on any
 * machine; it was written to be right first, though its loop is short.
 *
 * A program is translated once into operations, an array in which each has its own number, full
 * immediate and distance to jump (see interpret_ops.h), and then run any number of times, by any
 * number of threads.
 */
#ifndef STA_EBPF_INTERPRET_H
#define STA_EBPF_INTERPRET_H

#include "base/log.h"
#include "ebpf/code.h"
#include "ebpf/tail.h"

struct sta__interpreted;

/* Returns 0, -ENOMEM, or -EINVAL: it calls a helper that is not offered. The code is not needed
 * afterwards. */
int sta__interpreted_new(struct sta__interpreted **out, const struct sta__code *code,
                         const struct sta__log *log);

void sta__interpreted_free(struct sta__interpreted *program);

/* Runs the program; returns r0. No limit but the program's own: what loops for ever, which only
 * trusted code can, does so here. Async-signal-safe. */
uint64_t sta__interpret(const struct sta__interpreted *program, void *ctx,
                        struct sta__tail_run *run);

#endif
