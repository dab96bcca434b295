/* SPDX-License-Identifier: MIT */
/* bpf(2): what is the same for all commands. See bpfcall.h. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/after_grace.h"
#include "base/pages.h"
#include "bpfcall/command.h"
#include "bpfcall/user.h"

/* How many bytes of the attributes a command has: what is set behind is -EINVAL. */
#define END(field) (offsetof(union bpf_attr, field) + sizeof(((union bpf_attr *)0)->field))

/* Fields newer than some headers. */
#define END_LOG_TRUE_SIZE     144
#define END_FD_ARRAY_CNT      152
#define END_BTF_LOG_TRUE_SIZE 32
#define END_RAW_COOKIE        24
#define END_PATH_FD           20
#define END_LINK_CREATE       64

static const struct {
    sta__command_fn fn;
    const char *name;
    size_t end;
} commands[] = {
    [BPF_MAP_CREATE] = {sta__command_map_create, "MAP_CREATE", END(map_extra)},
    [BPF_MAP_LOOKUP_ELEM] = {sta__command_map_lookup, "MAP_LOOKUP_ELEM", END(flags)},
    [BPF_MAP_UPDATE_ELEM] = {sta__command_map_update, "MAP_UPDATE_ELEM", END(flags)},
    [BPF_MAP_DELETE_ELEM] = {sta__command_map_delete, "MAP_DELETE_ELEM", END(key)},
    [BPF_MAP_GET_NEXT_KEY] = {sta__command_map_next_key, "MAP_GET_NEXT_KEY", END(next_key)},
    [BPF_PROG_LOAD] = {sta__command_prog_load, "PROG_LOAD", END_FD_ARRAY_CNT},
    [BPF_OBJ_PIN] = {sta__command_pin, "OBJ_PIN", END_PATH_FD},
    [BPF_PROG_TEST_RUN] = {sta__command_prog_test_run, "PROG_TEST_RUN", END(test.batch_size)},
    [BPF_PROG_GET_NEXT_ID] = {sta__command_next_id, "PROG_GET_NEXT_ID", END(next_id)},
    [BPF_MAP_GET_NEXT_ID] = {sta__command_next_id, "MAP_GET_NEXT_ID", END(next_id)},
    [BPF_PROG_GET_FD_BY_ID] = {sta__command_fd_by_id, "PROG_GET_FD_BY_ID", END(prog_id)},
    [BPF_MAP_GET_FD_BY_ID] = {sta__command_fd_by_id, "MAP_GET_FD_BY_ID", END(open_flags)},
    [BPF_OBJ_GET_INFO_BY_FD] = {sta__command_info, "OBJ_GET_INFO_BY_FD", END(info)},
    [BPF_RAW_TRACEPOINT_OPEN] = {sta__command_raw_tracepoint_open, "RAW_TRACEPOINT_OPEN",
                                 END_RAW_COOKIE},
    [BPF_BTF_LOAD] = {sta__command_btf_load, "BTF_LOAD", END_BTF_LOG_TRUE_SIZE},
    [BPF_BTF_GET_FD_BY_ID] = {sta__command_fd_by_id, "BTF_GET_FD_BY_ID", END(btf_id)},
    [BPF_MAP_LOOKUP_AND_DELETE_ELEM] = {sta__command_map_take, "MAP_LOOKUP_AND_DELETE_ELEM",
                                        END(flags)},
    [BPF_MAP_FREEZE] = {sta__command_map_freeze, "MAP_FREEZE", END(map_fd)},
    [BPF_BTF_GET_NEXT_ID] = {sta__command_next_id, "BTF_GET_NEXT_ID", END(next_id)},
    [BPF_MAP_LOOKUP_BATCH] = {sta__command_map_batch, "MAP_LOOKUP_BATCH", END(batch)},
    [BPF_MAP_LOOKUP_AND_DELETE_BATCH] = {sta__command_map_batch, "MAP_LOOKUP_AND_DELETE_BATCH",
                                         END(batch)},
    [BPF_MAP_UPDATE_BATCH] = {sta__command_map_batch, "MAP_UPDATE_BATCH", END(batch)},
    [BPF_MAP_DELETE_BATCH] = {sta__command_map_batch, "MAP_DELETE_BATCH", END(batch)},
    [BPF_LINK_CREATE] = {sta__command_link_create, "LINK_CREATE", END_LINK_CREATE},
    [BPF_LINK_UPDATE] = {sta__command_link_update, "LINK_UPDATE", END(link_update)},
    [BPF_LINK_GET_FD_BY_ID] = {sta__command_fd_by_id, "LINK_GET_FD_BY_ID", END(link_id)},
    [BPF_LINK_GET_NEXT_ID] = {sta__command_next_id, "LINK_GET_NEXT_ID", END(next_id)},
    [BPF_ENABLE_STATS] = {sta__command_enable_stats, "ENABLE_STATS", END(enable_stats)},
    [BPF_ITER_CREATE] = {sta__command_iter_create, "ITER_CREATE", END(iter_create)},
    [BPF_LINK_DETACH] = {sta__command_link_detach, "LINK_DETACH", END(link_detach)},
    [BPF_PROG_BIND_MAP] = {sta__command_prog_bind_map, "PROG_BIND_MAP", END(prog_bind_map)},
};

int sta__command_put(const struct sta__command *command, size_t offset, const void *value,
                     size_t size)
{
    return sta__user_write(command->user_attr + offset, value, size);
}

int sta__command_refuse(const struct sta__command *command, int error, const char *why)
{
    sta__log(&command->bpf->log, STA_LOG_ERROR, "bpf(%s): %s", commands[command->cmd].name, why);
    return error;
}

static struct sta__fd_object *object_of(const struct sta__command *command, uint32_t fd,
                                        enum sta__fd_kind kind, long *result)
{
    static const char *const names[STA__FD_KINDS] = {"map", "program", "BTF", "link", "perf event"};
    struct sta__fd_object *object;
    int error;

    object = sta__fds_get_kind(command->bpf, (int)fd, kind, &error);
    if (object)
        return object;
    *result = error ? error : STA__NOT_OURS;
    if (error)
        sta__log(&command->bpf->log, STA_LOG_ERROR, "bpf(%s): descriptor %d is %s%s",
                 commands[command->cmd].name, (int)fd,
                 error == -EBADF ? "not open" : "no descriptor of a ",
                 error == -EBADF ? "" : names[kind]);
    return NULL;
}

struct sta__bpf_map *sta__command_map(const struct sta__command *command, uint32_t fd, long *result)
{
    return (struct sta__bpf_map *)object_of(command, fd, STA__FD_MAP, result);
}

struct sta__bpf_program *sta__command_program(const struct sta__command *command, uint32_t fd,
                                              long *result)
{
    return (struct sta__bpf_program *)object_of(command, fd, STA__FD_PROGRAM, result);
}

struct sta__bpf_btf *sta__command_btf(const struct sta__command *command, uint32_t fd, long *result)
{
    struct sta__fd_object *btf = object_of(command, fd, STA__FD_BTF, result);

    if (!btf && *result == STA__NOT_OURS)
        *result = -EINVAL;
    return (struct sta__bpf_btf *)btf;
}

int sta__command_name(char to[16], const char from[16])
{
    const char *end = memchr(from, '\0', 16);

    if (!end)
        return -EINVAL;
    for (const char *at = from; at < end; at++) {
        if (!isalnum((unsigned char)*at) && *at != '_' && *at != '.')
            return -EINVAL;
    }
    memset(to, 0, 16);
    memcpy(to, from, (size_t)(end - from));
    return 0;
}

/* The kernel's rules for attributes of another version: -E2BIG where more is set than it knows. */
static int read_attr(struct sta__command *command, uint64_t from, uint32_t size)
{
    unsigned char more[STA__PAGE_SIZE];

    memset(command->bytes, 0, sizeof(command->bytes));
    if (size > STA__PAGE_SIZE)
        return -E2BIG;
    if (sta__user_read(more, from, size) < 0)
        return -EFAULT;
    for (uint32_t i = STA__ATTR_SIZE; i < size; i++) {
        if (more[i])
            return -E2BIG;
    }
    memcpy(command->bytes, more, size < STA__ATTR_SIZE ? size : STA__ATTR_SIZE);
    return 0;
}

static bool is_clear_behind(const struct sta__command *command, size_t end)
{
    for (size_t i = end; i < STA__ATTR_SIZE; i++) {
        if (command->bytes[i])
            return false;
    }
    return true;
}

long sta__bpf_call(struct sta__bpf *bpf, int cmd, void *attr, unsigned size)
{
    struct sta__command command = {
        .bpf = bpf, .cmd = (uint32_t)cmd, .user_attr = (uintptr_t)attr, .user_size = size};
    int err;

    if (command.cmd >= sizeof(commands) / sizeof(commands[0]) || !commands[command.cmd].fn)
        return STA__NOT_OURS;
    err = read_attr(&command, command.user_attr, size);
    if (err == 0 && !is_clear_behind(&command, commands[cmd].end))
        err = sta__command_refuse(&command, -EINVAL, "attributes are set that it does not have");
    return err ? err : commands[cmd].fn(&command);
}

long sta__hook_bpf(struct sta__bpf *bpf, const unsigned long *args)
{
    sta__fds_ask_again(bpf);
    sta__after_grace_rest();
    return sta__bpf_call(bpf, (int)args[0], (void *)args[1], (unsigned)args[2]);
}
