/* SPDX-License-Identifier: MIT */
/* A program at a tracepoint's or a probe's event. */
#include <errno.h>

#include "bpfcall/perf.h"

/* Who has `program` swapped from or to NULL owns `attach_id`. BUSY: somebody is at it. */
#define BUSY ((struct sta__bpf_program *)-1)

static int attach(struct sta__perf_event *event, struct sta__bpf_program *program, uint64_t cookie)
{
    struct sta_attach_options options = {
        .size = sizeof(options), .target = event->target, .cookie = cookie};
    int id;

    if (program->type != event->program_type)
        return -EINVAL;
    id = sta_attach_program_with(event->object.bpf->sta, program->program, &options);
    if (id < 0)
        return id;
    event->attach_id = id;
    return 0;
}

/* A program that is to be attached, where, and whether it is so already. */
struct place {
    const struct sta__bpf_program *program;
    const struct sta__perf_event *event;
    bool is_taken;
};

static void compare(const struct sta__fd_object *object, void *data)
{
    const struct sta__perf_event *other = (const void *)object;
    struct place *place = data;

    if (object->kind == STA__FD_PERF && atomic_load(&other->program) == place->program &&
        other->target.sys_nr == place->event->target.sys_nr &&
        other->target.is_enter == place->event->target.is_enter)
        place->is_taken = true;
}

/* The kernel has no program twice at one tracepoint. */
static bool is_there_already(const struct sta__perf_event *event,
                             const struct sta__bpf_program *program)
{
    struct place place = {.program = program, .event = event};

    sta__fds_each(event->object.bpf, compare, &place);
    return place.is_taken;
}

int sta__perf_set_program(struct sta__perf_event *event, struct sta__bpf_program *program,
                          uint64_t cookie)
{
    struct sta__bpf_program *none = NULL;
    int err;

    if (event->program_type == BPF_PROG_TYPE_UNSPEC)
        return -EINVAL;
    if (is_there_already(event, program) ||
        !atomic_compare_exchange_strong(&event->program, &none, BUSY))
        return -EEXIST;
    err = attach(event, program, cookie);
    if (err == 0)
        sta__fds_hold(&program->object);
    /* Release, as all are that say nothing: whoever takes the program out sees its attach id. */
    atomic_store(&event->program, err == 0 ? program : NULL);
    return err;
}

void sta__perf_clear_program(struct sta__perf_event *event)
{
    struct sta__bpf_program *program = atomic_load(&event->program);

    if (!program || program == BUSY ||
        !atomic_compare_exchange_strong(&event->program, &program, BUSY))
        return;
    sta_detach(event->object.bpf->sta, event->attach_id);
    sta__fds_put(&program->object);
    atomic_store(&event->program, NULL);
}
