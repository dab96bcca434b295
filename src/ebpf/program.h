/* SPDX-License-Identifier: MIT */
/*
 * A loaded program: load.c makes it, run.c runs it, attach_program.c attaches it.
 */
#ifndef STA_EBPF_PROGRAM_H
#define STA_EBPF_PROGRAM_H

#include <sta/program.h>

#include "base/after_grace.h"
#include "base/compiler.h"
#include "base/log.h"
#include "ebpf/interpret.h"
#include "ebpf/jit.h"
#include "ebpf/tail.h"

#define STA__PROGRAM_NAME_SIZE 32

struct sta_program {
    struct sta__tail_target tail; /* first: where program arrays lead to */
    /* What the dispatcher calls, with the program as `user_data`. */
    sta_callback run;
    sta_callback run_leased;              /* NULL: it needs no lease of a CPU, and `run` is all */
    struct sta__interpreted *interpreted; /* NULL: it is native */
    struct sta__jit jit;                  /* empty: it is interpreted */
    uint32_t type;
    size_t insns, processed_insns;
    size_t context_size;   /* bytes from the context's beginning that have to be there */
    struct sta_map **maps; /* that it uses, each once; it holds them */
    uint32_t map_count;
    _Atomic uint32_t references;
    struct sta__after_grace after_grace;
    char name[STA__PROGRAM_NAME_SIZE];
};

/*
 * Who has a program holds a reference to it: the one that loaded it, each of its attachments,
 * program arrays that lead to it, file descriptors and links of bpf(2). It goes with the last one,
 * when it runs nowhere any more. From any thread, also inside callbacks; not in signal handlers
 * that may interrupt malloc. The latter may wait for callbacks on other threads.
 */
void sta__program_get(struct sta_program *program);
void sta__program_put(struct sta_program *program);

/* `run` of programs that use what is per CPU: `run_leased` under a lease, maps/lease.h. -EBUSY: no
 * CPU came free, and the program did not run. */
int sta__program_run_on_cpu(void *ctx, size_t ctx_size, uint64_t *ret, void *program);

/* `run` and `tail` of programs that are interpreted. */
int sta__program_run_interpreted(void *ctx, size_t ctx_size, uint64_t *ret, void *program);
uint64_t sta__program_enter_interpreted(void *ctx, struct sta__tail_run *run,
                                        const struct sta__tail_target *self);

/*
 * What the dispatcher calls for a raw tracepoint's program, with the program as `user_data`. Such a
 * program does not get the event's struct but the tracepoint's arguments, STA__RAW_CONTEXT_SIZE
 * bytes: a struct pt_regs, and the call's number or its result.
 */
int sta__program_run_raw(void *ctx, size_t ctx_size, uint64_t *ret, void *program);

#define STA__RAW_CONTEXT_SIZE 16

/* The same for programs of the type kprobe, which are attached to one call: they get a struct
 * pt_regs. */
int sta__program_run_probe(void *ctx, size_t ctx_size, uint64_t *ret, void *program);

struct pt_regs;

/* The registers to which the context of the program that runs on this thread leads; NULL: it has
 * none. To programs they are memory of the kernel. */
extern STA__HIDDEN STA__THREAD_LOCAL const struct pt_regs *sta__program_registers;

/*
 * How many bytes of the context of this event a program may read, by the kernel's rule: to the end
 * of the last field that the event's format lists. Where there is no format to be read, all of what
 * the event's struct has.
 */
size_t sta__program_context_limit(const struct sta_target *target);

/* Whether a program may be put into, or use, this program array: its context is handed on to what
 * it calls, so both have to be of one type. The first one decides. 0 or -EINVAL; other maps are for
 * all. */
int sta__program_fits(const struct sta_program *program, struct sta_map *map);

#endif
