/* SPDX-License-Identifier: MIT */
/* Running loaded programs. On the dispatch path. */
#include "ebpf/program.h"

#include <errno.h>

int sta__program_run_interpreted(void *ctx, size_t ctx_size, uint64_t *ret, void *program)
{
    const struct sta_program *self = program;
    struct sta__tail_run run;

    run.ctx_size = ctx_size;
    run.count = 0;
    *ret = sta__interpret(self->interpreted, ctx, &run);
    return 0;
}

uint64_t sta__program_enter_interpreted(void *ctx, struct sta__tail_run *run,
                                        const struct sta__tail_target *self)
{
    return sta__interpret(((const struct sta_program *)self)->interpreted, ctx, run);
}

int sta_program_run(struct sta_program *program, void *ctx, size_t ctx_size, uint64_t *ret)
{
    if (!program || !ret || ctx_size < program->context_size)
        return -EINVAL;
    return program->run(ctx, ctx_size, ret, program);
}
