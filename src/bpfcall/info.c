/* SPDX-License-Identifier: MIT */
/*
 * BPF_OBJ_GET_INFO_BY_FD. What is not known here reads as 0: of programs, their instructions as the
 * kernel would have changed them, time that they took, and what goes with func_info and line_info.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sta/map.h>

#include "base/pages.h"
#include "bpfcall/command.h"
#include "bpfcall/link.h"
#include "bpfcall/perf.h"
#include "bpfcall/program_object.h"
#include "bpfcall/user.h"
#include "maps/map.h"

/* The struct as the application gave it; it may be of another version. */
static int read_info(const struct sta__command *command, void *info, size_t size)
{
    const union bpf_attr *attr = &command->attr;
    unsigned char given[STA__PAGE_SIZE];

    memset(info, 0, size);
    if (attr->info.info_len > sizeof(given))
        return -E2BIG;
    if (sta__user_read(given, attr->info.info, attr->info.info_len) < 0)
        return -EFAULT;
    for (size_t i = size; i < attr->info.info_len; i++) {
        if (given[i])
            return -E2BIG;
    }
    memcpy(info, given, attr->info.info_len < size ? attr->info.info_len : size);
    return 0;
}

static int write_info(const struct sta__command *command, const void *info, size_t size)
{
    uint32_t length = command->attr.info.info_len;

    if (length > size)
        length = (uint32_t)size;
    if (sta__user_write(command->attr.info.info, info, length) < 0)
        return -EFAULT;
    return STA__COMMAND_PUT(command, info.info_len, &length);
}

static long map_info(const struct sta__command *command, const struct sta__bpf_map *map)
{
    struct sta_map_info known = {.size = sizeof(known)};
    struct bpf_map_info info;
    int err = read_info(command, &info, sizeof(info));

    if (err < 0)
        return err;
    sta_map_info(map->map, &known);
    memset(&info, 0, sizeof(info));
    info.type = known.type;
    info.id = map->object.id;
    info.key_size = known.key_size;
    info.value_size = known.value_size;
    info.max_entries = known.max_entries;
    info.map_flags = known.map_flags;
    info.map_extra = known.map_extra;
    memcpy(info.name, known.name, sizeof(info.name));
    if (map->btf) {
        info.btf_id = map->btf->object.id;
        info.btf_key_type_id = map->btf_key_type_id;
        info.btf_value_type_id = map->btf_value_type_id;
    }
    return write_info(command, &info, sizeof(info));
}

/* How often a program ran where it is attached. */
static void add_runs(struct sta *sta, int attach_id, struct bpf_prog_info *info)
{
    struct sta_attach_info attached = {.size = sizeof(attached)};

    if (attach_id == 0 || sta_attach_info(sta, attach_id, &attached) < 0)
        return;
    info->run_cnt += attached.runs;
    info->recursion_misses += attached.missed;
}

static void count_runs(struct sta__bpf_program *program, struct bpf_prog_info *info)
{
    struct sta__bpf *bpf = program->object.bpf;
    uint32_t id = 0;

    info->run_cnt = atomic_load(&program->runs);
    while ((id = sta__fds_next_id(bpf, STA__FD_LINK, id)) != 0) {
        struct sta__fd_object *object = sta__fds_get_id(bpf, STA__FD_LINK, id);
        struct sta__bpf_link *link = (struct sta__bpf_link *)object;

        if (link && link->program == program && !link->event)
            add_runs(bpf->sta, link->attach_id, info);
        sta__fds_put(object);
    }
    id = 0;
    while ((id = sta__fds_next_id(bpf, STA__FD_PERF, id)) != 0) {
        struct sta__fd_object *object = sta__fds_get_id(bpf, STA__FD_PERF, id);
        struct sta__perf_event *event = (struct sta__perf_event *)object;

        if (event && event->program == program)
            add_runs(bpf->sta, event->attach_id, info);
        sta__fds_put(object);
    }
}

static int write_map_ids(struct sta__bpf_program *program, struct bpf_prog_info *info, uint64_t to,
                         uint32_t room)
{
    uint32_t ids[64]; /* a program has no more, unless some were bound to it */
    uint32_t count = sta__program_object_map_ids(program, ids, 64);

    info->nr_map_ids = count;
    count = count < room ? count : room;
    count = count < 64 ? count : 64;
    return count ? sta__user_write(to, ids, count * sizeof(ids[0])) : 0;
}

static int write_native(const struct sta_program_info *known, struct bpf_prog_info *info,
                        uint64_t to, uint32_t room)
{
    info->jited_prog_len = (uint32_t)known->native_size;
    if (room > info->jited_prog_len)
        room = info->jited_prog_len;
    return room ? sta__user_write(to, known->native, room) : 0;
}

static long program_info(const struct sta__command *command, struct sta__bpf_program *program)
{
    struct sta_program_info known = {.size = sizeof(known)};
    struct bpf_prog_info given, info;
    int err = read_info(command, &given, sizeof(given));

    if (err < 0)
        return err;
    sta_program_info(program->program, &known);
    memset(&info, 0, sizeof(info));
    info.type = program->type;
    info.id = program->object.id;
    memcpy(info.tag, program->tag, sizeof(info.tag));
    info.load_time = program->load_time_ns;
    info.created_by_uid = program->created_by_uid;
    info.gpl_compatible = program->is_gpl;
    memcpy(info.name, program->name, sizeof(info.name));
    info.btf_id = program->btf ? program->btf->object.id : 0;
    info.verified_insns = (uint32_t)known.processed_insns;
    info.map_ids = given.map_ids;
    info.jited_prog_insns = given.jited_prog_insns;
    count_runs(program, &info);
    err = write_map_ids(program, &info, given.map_ids, given.nr_map_ids);
    if (err == 0)
        err = write_native(&known, &info, given.jited_prog_insns, given.jited_prog_len);
    return err ? err : write_info(command, &info, sizeof(info));
}

static long btf_info(const struct sta__command *command, const struct sta__bpf_btf *btf)
{
    struct bpf_btf_info given, info;
    uint32_t size;
    int err = read_info(command, &given, sizeof(given));

    if (err < 0)
        return err;
    if (!given.name != !given.name_len)
        return -EINVAL;
    info = given;
    info.id = btf->object.id;
    info.kernel_btf = 0;
    info.name_len = 0; /* only the kernel's has a name */
    size = given.btf_size < btf->size ? given.btf_size : btf->size;
    if (sta__user_write(given.btf, btf->data, size) < 0 ||
        (given.name && sta__user_write(given.name, "", 1) < 0))
        return -EFAULT;
    info.btf_size = btf->size;
    return write_info(command, &info, sizeof(info));
}

/* The tracepoint's name; -ENOSPC: cut off. */
static int write_name(struct bpf_link_info *info, const char *name, uint64_t to, uint32_t room)
{
    uint32_t size = (uint32_t)strlen(name) + 1;

    info->raw_tracepoint.tp_name = to;
    info->raw_tracepoint.tp_name_len = size;
    if (!to != !room)
        return -EINVAL;
    if (!to)
        return 0;
    if (sta__user_write(to, name, size <= room ? size : room - 1) < 0)
        return -EFAULT;
    if (size <= room)
        return 0;
    return sta__user_write(to + room - 1, "", 1) < 0 ? -EFAULT : -ENOSPC;
}

static long link_info(const struct sta__command *command, const struct sta__bpf_link *link)
{
    struct bpf_link_info given, info;
    int err = read_info(command, &given, sizeof(given));

    if (err < 0)
        return err;
    memset(&info, 0, sizeof(info));
    info.type = link->type;
    info.id = link->object.id;
    info.prog_id = link->program->object.id;
    if (link->type == BPF_LINK_TYPE_RAW_TRACEPOINT)
        err = write_name(&info, link->is_enter ? "sys_enter" : "sys_exit",
                         given.raw_tracepoint.tp_name, given.raw_tracepoint.tp_name_len);
    else if (link->type == BPF_LINK_TYPE_TRACING)
        info.tracing.attach_type = BPF_TRACE_RAW_TP;
    return err ? err : write_info(command, &info, sizeof(info));
}

static long info_of(const struct sta__command *command, struct sta__fd_object *object)
{
    switch (object->kind) {
    case STA__FD_MAP:
        return map_info(command, (struct sta__bpf_map *)object);
    case STA__FD_PROGRAM:
        return program_info(command, (struct sta__bpf_program *)object);
    case STA__FD_BTF:
        return btf_info(command, (struct sta__bpf_btf *)object);
    case STA__FD_LINK:
        return link_info(command, (struct sta__bpf_link *)object);
    default:
        return -EINVAL;
    }
}

long sta__command_info(struct sta__command *command)
{
    struct sta__fd_object *object;
    long result;
    int err;

    object = sta__fds_get_any(command->bpf, (int)command->attr.info.bpf_fd, &err);
    if (!object)
        return err == -EBADF ? -EBADFD : err ? err : STA__NOT_OURS;
    result = info_of(command, object);
    sta__fds_put(object);
    return result;
}
