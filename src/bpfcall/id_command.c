/* SPDX-License-Identifier: MIT */
/* BPF_*_GET_NEXT_ID, BPF_*_GET_FD_BY_ID: what this process made, and nothing of the kernel's. */
#include <errno.h>
#include <fcntl.h>

#include "bpfcall/command.h"

static enum sta__fd_kind kind_of(uint32_t cmd)
{
    switch (cmd) {
    case BPF_MAP_GET_NEXT_ID:
    case BPF_MAP_GET_FD_BY_ID:
        return STA__FD_MAP;
    case BPF_PROG_GET_NEXT_ID:
    case BPF_PROG_GET_FD_BY_ID:
        return STA__FD_PROGRAM;
    case BPF_BTF_GET_NEXT_ID:
    case BPF_BTF_GET_FD_BY_ID:
        return STA__FD_BTF;
    default:
        return STA__FD_LINK;
    }
}

long sta__command_next_id(struct sta__command *command)
{
    uint32_t start = command->attr.start_id, next;

    if (start >= INT32_MAX) /* the kernel's ids are below */
        return -EINVAL;
    next = sta__fds_next_id(command->bpf, kind_of(command->cmd), start);
    if (next == 0)
        return -ENOENT;
    return STA__COMMAND_PUT(command, next_id, &next);
}

static int access_of(uint32_t open_flags)
{
    switch (open_flags) {
    case 0:
        return O_RDWR;
    case BPF_F_RDONLY:
        return O_RDONLY;
    case BPF_F_WRONLY:
        return O_WRONLY;
    default:
        return -EINVAL;
    }
}

long sta__command_fd_by_id(struct sta__command *command)
{
    int access = access_of(command->attr.open_flags);
    struct sta__fd_object *object;
    long fd;

    if (access < 0)
        return access;
    object = sta__fds_get_id(command->bpf, kind_of(command->cmd), command->attr.start_id);
    if (!object)
        return -ENOENT;
    fd = sta__fds_open(object, access);
    sta__fds_put(object);
    return fd;
}
