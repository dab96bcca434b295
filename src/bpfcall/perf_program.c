/* SPDX-License-Identifier: MIT */
/* Programs on perf events: see perf.h. */
#include <errno.h>

#include "bpfcall/perf.h"

/* The place is taken first, so that two do not attach. */
static int take_place(struct sta__perf_event *event, struct sta__bpf_program *program)
{
    struct sta__bpf *bpf = event->object.bpf;
    struct sta__lock_state saved;
    int err = 0;

    sta__lock(&bpf->lock, &saved);
    if (event->program)
        err = -EEXIST;
    else
        event->program = program;
    sta__unlock(&bpf->lock, &saved);
    return err;
}

static struct sta__bpf_program *leave_place(struct sta__perf_event *event, int *attach_id)
{
    struct sta__bpf *bpf = event->object.bpf;
    struct sta__bpf_program *program;
    struct sta__lock_state saved;

    sta__lock(&bpf->lock, &saved);
    program = event->program;
    *attach_id = event->attach_id;
    event->program = NULL;
    event->attach_id = 0;
    sta__unlock(&bpf->lock, &saved);
    return program;
}

int sta__perf_set_program(struct sta__perf_event *event, struct sta__bpf_program *program,
                          uint64_t cookie)
{
    int id, err;

    (void)cookie;
    if (!event->is_tracepoint || program->type != BPF_PROG_TYPE_TRACEPOINT)
        return -EINVAL;
    err = take_place(event, program);
    if (err < 0)
        return err;
    sta__fds_hold(&program->object);
    id = sta_attach_program(event->object.bpf->sta, &event->target, program->program);
    if (id < 0) {
        leave_place(event, &err);
        sta__fds_put(&program->object);
        return id;
    }
    event->attach_id = id;
    return 0;
}

void sta__perf_clear_program(struct sta__perf_event *event)
{
    struct sta__bpf_program *program;
    int id;

    program = leave_place(event, &id);
    if (!program)
        return;
    sta__bpf_detach(program, id);
    sta__fds_put(&program->object);
}
