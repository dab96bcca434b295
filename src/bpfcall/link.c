/* SPDX-License-Identifier: MIT */
/* BPF_LINK_CREATE, _UPDATE, _DETACH, BPF_RAW_TRACEPOINT_OPEN. */
#include "bpfcall/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "bpfcall/command.h"
#include "bpfcall/perf.h"
#include "bpfcall/user.h"

#define RAW_COOKIE_AT 16  /* of BPF_RAW_TRACEPOINT_OPEN: newer than some headers */
#define NAME_SIZE     128 /* of a raw tracepoint, as in the kernel */

/* Nothing but its descriptors keeps a link: what was attached ends with them, before close(2)
 * returns, though another thread may be looking at the link. */
static void on_closed(struct sta__fd_object *object)
{
    struct sta__bpf_link *link = (struct sta__bpf_link *)object;

    if (link->event)
        sta__perf_clear_program(link->event);
    else if (link->attach_id)
        sta_detach(object->bpf->sta, link->attach_id);
}

static void on_free(struct sta__fd_object *object)
{
    struct sta__bpf_link *link = (struct sta__bpf_link *)object;

    if (link->event)
        sta__fds_put(&link->event->object);
    sta__fds_put(&link->program->object);
    free(link);
}

static const struct sta__fd_ops link_ops = {.closed = on_closed, .free = on_free};

/* Takes over the reference to the program. NULL: no memory, and it is put. */
static struct sta__bpf_link *new_link(struct sta__bpf_program *program, uint32_t type)
{
    struct sta__bpf_link *link = calloc(1, sizeof(*link));

    if (!link) {
        sta__fds_put(&program->object);
        return NULL;
    }
    link->object.kind = STA__FD_LINK;
    link->object.ops = &link_ops;
    link->object.bpf = program->object.bpf;
    link->program = program;
    link->type = type;
    return link;
}

/* Its descriptor, or the error it was attached with. */
static long finish(struct sta__command *command, struct sta__bpf_link *link, long err)
{
    if (err == 0)
        err = sta__fds_new(command->bpf, &link->object, O_RDWR);
    if (err < 0) {
        on_closed(&link->object);
        on_free(&link->object);
    }
    return err;
}

static int attach_raw(struct sta__bpf *bpf, struct sta__bpf_link *link, uint64_t cookie)
{
    const struct sta_attach_options options = {
        .size = sizeof(options),
        .target = {STA_ALL_SYSCALLS, link->is_enter},
        .cookie = cookie,
    };
    int id = sta_attach_program_with(bpf->sta, link->program->program, &options);

    if (id < 0)
        return id;
    link->attach_id = id;
    return 0;
}

static long link_raw(struct sta__command *command, struct sta__bpf_program *program, bool is_enter,
                     uint32_t type, uint64_t cookie)
{
    struct sta__bpf_link *link = new_link(program, type);

    if (!link)
        return -ENOMEM;
    link->is_enter = is_enter;
    return finish(command, link, attach_raw(command->bpf, link, cookie));
}

/* The event of a descriptor, got; -EBADF for all that is none, as in the kernel. */
static struct sta__perf_event *find_event(struct sta__command *command, int *err)
{
    struct sta__fd_object *object;

    object = sta__fds_get_kind(command->bpf, (int)command->attr.link_create.target_fd, STA__FD_PERF,
                               err);
    if (!object)
        *err = sta__command_refuse(command, -EBADF, "the target is no perf event of ours");
    return (struct sta__perf_event *)object;
}

static long link_event(struct sta__command *command, struct sta__bpf_program *program)
{
    struct sta__perf_event *event;
    struct sta__bpf_link *link;
    int err;

    if (command->attr.link_create.flags) {
        sta__fds_put(&program->object);
        return -EINVAL;
    }
    event = find_event(command, &err);
    if (!event) {
        sta__fds_put(&program->object);
        return err;
    }
    link = new_link(program, BPF_LINK_TYPE_PERF_EVENT);
    err = link ? sta__perf_set_program(event, program,
                                       command->attr.link_create.perf_event.bpf_cookie)
               : -ENOMEM;
    if (err == 0)
        link->event = event;
    else
        sta__fds_put(&event->object);
    return link ? finish(command, link, err) : err;
}

long sta__command_link_create(struct sta__command *command)
{
    const union bpf_attr *attr = &command->attr;
    struct sta__bpf_program *program;
    long result;

    program = sta__command_program(command, attr->link_create.prog_fd, &result);
    if (!program)
        return result;
    if (program->is_tracing && attr->link_create.attach_type == BPF_TRACE_RAW_TP)
        return link_raw(command, program, program->is_enter, BPF_LINK_TYPE_TRACING,
                        attr->link_create.tracing.cookie);
    if ((program->type == BPF_PROG_TYPE_TRACEPOINT || program->type == BPF_PROG_TYPE_KPROBE) &&
        attr->link_create.attach_type == BPF_PERF_EVENT)
        return link_event(command, program);
    sta__fds_put(&program->object);
    return sta__command_refuse(command, -EINVAL, "the program cannot be attached so");
}

static long open_named(struct sta__command *command, struct sta__bpf_program *program)
{
    char name[NAME_SIZE];
    bool is_enter, is_exit;

    if (sta__user_read_string(name, command->attr.raw_tracepoint.name, sizeof(name)) < 0) {
        sta__fds_put(&program->object);
        return -EFAULT;
    }
    is_enter = strcmp(name, "sys_enter") == 0;
    is_exit = strcmp(name, "sys_exit") == 0;
    if (is_enter || is_exit)
        return link_raw(command, program, is_enter, BPF_LINK_TYPE_RAW_TRACEPOINT,
                        command->longs[RAW_COOKIE_AT / 8]);
    sta__fds_put(&program->object);
    return sta__command_refuse(command, -ENOENT, "raw tracepoints here are sys_enter and sys_exit");
}

long sta__command_raw_tracepoint_open(struct sta__command *command)
{
    struct sta__bpf_program *program;
    long result;

    program = sta__command_program(command, command->attr.raw_tracepoint.prog_fd, &result);
    if (!program)
        return result;
    if (program->is_tracing && !command->attr.raw_tracepoint.name)
        return link_raw(command, program, program->is_enter, BPF_LINK_TYPE_TRACING,
                        command->longs[RAW_COOKIE_AT / 8]);
    if (program->type == BPF_PROG_TYPE_RAW_TRACEPOINT ||
        program->type == BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE)
        return open_named(command, program);
    sta__fds_put(&program->object);
    return -EINVAL;
}

static struct sta__fd_object *find_link(struct sta__command *command, uint32_t fd, long *result)
{
    struct sta__fd_object *link;
    int err;

    link = sta__fds_get_kind(command->bpf, (int)fd, STA__FD_LINK, &err);
    *result = err ? err : STA__NOT_OURS;
    return link;
}

/* No link of these types can be made to lead to another program, in the kernel as here. */
long sta__command_link_update(struct sta__command *command)
{
    const union bpf_attr *attr = &command->attr;
    struct sta__bpf_program *program;
    struct sta__fd_object *link;
    long result;

    if (attr->link_update.flags & ~BPF_F_REPLACE)
        return -EINVAL;
    link = find_link(command, attr->link_update.link_fd, &result);
    if (!link)
        return result;
    program = sta__command_program(command, attr->link_update.new_prog_fd, &result);
    if (program)
        sta__fds_put(&program->object);
    sta__fds_put(link);
    return program || result == STA__NOT_OURS ? -EINVAL : result;
}

/* Nor can they be detached but by their end. */
long sta__command_link_detach(struct sta__command *command)
{
    long result;
    struct sta__fd_object *link = find_link(command, command->attr.link_detach.link_fd, &result);

    if (!link)
        return result;
    sta__fds_put(link);
    return -EOPNOTSUPP;
}
