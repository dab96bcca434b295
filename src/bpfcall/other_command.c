/* SPDX-License-Identifier: MIT */
/* BPF_PROG_BIND_MAP, BPF_ENABLE_STATS, and what is not offered: pins, iterators. */
#include <errno.h>
#include <sys/eventfd.h>

#include "base/gate.h"
#include "bpfcall/command.h"
#include "bpfcall/program_object.h"

long sta__command_prog_bind_map(struct sta__command *command)
{
    const union bpf_attr *attr = &command->attr;
    struct sta__bpf_program *program;
    struct sta__bpf_map *map;
    long result;

    if (attr->prog_bind_map.flags)
        return -EINVAL;
    program = sta__command_program(command, attr->prog_bind_map.prog_fd, &result);
    if (!program)
        return result;
    map = sta__command_map(command, attr->prog_bind_map.map_fd, &result);
    if (map) {
        result = sta__program_object_add_map(program, map);
        sta__fds_put(&map->object);
    }
    sta__fds_put(&program->object);
    return result == STA__NOT_OURS ? -EINVAL : result;
}

/* Runs are always counted. The descriptor is there to be closed. */
long sta__command_enable_stats(struct sta__command *command)
{
    if (command->attr.enable_stats.type != BPF_STATS_RUN_TIME)
        return -EINVAL;
    return (long)STA__RAW2(SYS_eventfd2, 0, EFD_CLOEXEC);
}

/* A file system for objects there is only in the kernel. */
long sta__command_pin(struct sta__command *command)
{
    struct sta__fd_object *object;
    int err;

    object = sta__fds_get_any(command->bpf, (int)command->attr.bpf_fd, &err);
    if (!object)
        return err == -EBADF ? err : STA__NOT_OURS;
    sta__fds_put(object);
    return sta__command_refuse(command, -EOPNOTSUPP, "objects here cannot be pinned");
}

/* No link here is an iterator's. */
long sta__command_iter_create(struct sta__command *command)
{
    struct sta__fd_object *link;
    int err;

    if (command->attr.iter_create.flags)
        return -EINVAL;
    link =
        sta__fds_get_kind(command->bpf, (int)command->attr.iter_create.link_fd, STA__FD_LINK, &err);
    if (!link)
        return err ? err : STA__NOT_OURS;
    sta__fds_put(link);
    return sta__command_refuse(command, -EINVAL, "iterators are not offered");
}
