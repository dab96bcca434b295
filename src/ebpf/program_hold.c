/* SPDX-License-Identifier: MIT */
/* References to programs: see program.h. */
#include <stddef.h>
#include <stdlib.h>

#include "ebpf/program.h"
#include "maps/objects.h"

static void end(struct sta__after_grace *what)
{
    struct sta_program *program =
        (struct sta_program *)((char *)what - offsetof(struct sta_program, after_grace));

    for (uint32_t i = 0; i < program->map_count; i++)
        sta__map_put(program->maps[i]);
    free(program->maps);
    sta__interpreted_free(program->interpreted);
    sta__jit_free(&program->jit);
    free(program);
}

void sta__program_get(struct sta_program *program)
{
    /* Relaxed: the caller has the program by a reference already. */
    atomic_fetch_add_explicit(&program->references, 1, memory_order_relaxed);
}

void sta__program_put(struct sta_program *program)
{
    /* Both ways: what all others did with it comes before its end. */
    if (atomic_fetch_sub_explicit(&program->references, 1, memory_order_acq_rel) != 1)
        return;
    sta__object_forget(&program->tail); /* what an array of another process's leads to */
    sta__after_grace(&program->after_grace, end);
}

void sta_program_free(struct sta_program *program)
{
    if (program)
        sta__program_put(program);
}
