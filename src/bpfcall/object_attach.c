/* SPDX-License-Identifier: MIT */
/* Attaching an object's programs: all of them or none. */
#include <errno.h>
#include <string.h>

#include "bpfcall/object.h"

/* The program that libbpf loaded, got; NULL: it was not loaded. */
static struct sta__bpf_program *get_program(const struct sta_object *object,
                                            const struct bpf_program *program)
{
    int fd = bpf_program__fd(program), err;

    return fd < 0 ? NULL
                  : STA__OBJECT_OF(sta__bpf_program,
                                   sta__fds_get_kind(object->bpf, fd, STA__FD_PROGRAM, &err));
}

static int attach_one(struct sta_object *object, const struct bpf_program *file_program)
{
    const char *section = bpf_program__section_name(file_program);
    struct sta__bpf_program *program;
    struct sta_target target;
    int id;

    if (!bpf_program__autoload(file_program) ||
        sta__section_parse(section, &target) == STA__SECTION_UNSUPPORTED)
        return 0;
    program = get_program(object, file_program);
    if (!program)
        return -ENOENT;
    id = sta_attach_program(object->sta, &target, program->program);
    if (id < 0) {
        sta__log(&object->log, STA_LOG_ERROR,
                 "object '%s': program '%s' cannot be attached to '%s': %s", object->name,
                 bpf_program__name(file_program), section, strerror(-id));
        sta__fds_put(&program->object);
        return id;
    }
    object->attached[object->attached_count++] = (struct sta__attached){program, id};
    return 0;
}

int sta_object_attach(struct sta_object *object)
{
    struct bpf_program *program;
    int err;

    if (!object)
        return -EINVAL;
    if (object->is_attached)
        return -EALREADY;
    err = object->bpf ? 0 : sta_object_load(object);
    if (err < 0 || object->has_failed)
        return err < 0 ? err : -EINVAL;
    object->is_attached = true;
    bpf_object__for_each_program(program, object->file)
    {
        err = attach_one(object, program);
        if (err < 0) {
            sta_object_detach(object);
            return err;
        }
    }
    return (int)object->attached_count;
}

int sta_object_detach(struct sta_object *object)
{
    int err = 0;

    if (!object)
        return -EINVAL;
    if (!object->is_attached)
        return -ENOENT;
    while (object->attached_count > 0) {
        struct sta__attached *last = &object->attached[--object->attached_count];
        int one = sta_detach(object->sta, last->attach_id);

        if (one == -EINPROGRESS) /* two callbacks detach each other: it may run still */
            err = one;
        sta__fds_put(&last->program->object);
    }
    object->is_attached = false;
    return err;
}
