/* SPDX-License-Identifier: MIT */
/* BPF_BTF_LOAD, and what maps ask of BTF. */
#include "bpfcall/btf.h"

#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpfcall/command.h"
#include "bpfcall/user.h"
#include "maps/map.h"
#include "maps/types.h"

#define LOG_TRUE_SIZE_AT 28 /* btf_log_true_size */

static void on_free(struct sta__fd_object *object)
{
    struct sta__bpf_btf *btf = (struct sta__bpf_btf *)object;

    btf__free(btf->btf);
    free(btf->data);
    free(btf);
}

static const struct sta__fd_ops btf_ops = {.free = on_free};

/* As for programs: with room for it a level is given, and the other way round. */
static bool is_log_right(const union bpf_attr *attr)
{
    return !attr->btf_log_level == !attr->btf_log_buf && (!attr->btf_log_buf || attr->btf_log_size);
}

/* The reason of a refusal, into the application's log. 0, -ENOSPC: there is no room for all of it.
 */
static int write_log(const struct sta__command *command, const char *why)
{
    const union bpf_attr *attr = &command->attr;
    char text[128];
    uint32_t size = (uint32_t)snprintf(text, sizeof(text), "%s\n", why) + 1;

    if (!attr->btf_log_level)
        return 0;
    if (size > attr->btf_log_size) {
        text[attr->btf_log_size - 1] = '\0';
        sta__user_write(attr->btf_log_buf, text, attr->btf_log_size);
        return -ENOSPC;
    }
    if (sta__user_write(attr->btf_log_buf, text, size) < 0)
        return -EFAULT;
    return 0;
}

static struct sta__bpf_btf *load(struct sta__command *command, int *error)
{
    const union bpf_attr *attr = &command->attr;
    struct sta__bpf_btf *btf = calloc(1, sizeof(*btf));
    const char *why = "no memory";

    *error = -ENOMEM;
    if (!btf)
        return NULL;
    btf->object.kind = STA__FD_BTF;
    btf->object.ops = &btf_ops;
    btf->size = attr->btf_size;
    btf->data = sta__user_copy(attr->btf, attr->btf_size, error);
    if (btf->data)
        *error = sta__btf_check(btf->data, btf->size, &why);
    if (*error == 0) {
        btf->btf = btf__new(btf->data, btf->size);
        if (!btf->btf)
            *error = -errno;
    }
    if (*error == 0)
        return btf;
    if (btf->data) {
        int log_error = write_log(command, why);

        *error = log_error ? log_error : *error;
        sta__command_refuse(command, *error, why);
    }
    on_free(&btf->object);
    return NULL;
}

long sta__command_btf_load(struct sta__command *command)
{
    struct sta__bpf_btf *btf;
    int fd;

    if (command->attr.btf_size > STA__BTF_SIZE_MAX)
        return sta__command_refuse(command, -E2BIG, "too large");
    if (!is_log_right(&command->attr))
        return sta__command_refuse(command, -EINVAL, "a log without room, or room without a log");
    btf = load(command, &fd);
    if (!btf)
        return fd;
    fd = sta__fds_new(command->bpf, &btf->object, O_RDWR);
    if (fd < 0)
        on_free(&btf->object);
    return fd;
}

static bool is_lock(const struct btf *btf, uint32_t id)
{
    const struct btf_type *type = btf__type_by_id(btf, id);
    const char *name = type ? btf__name_by_offset(btf, type->name_off) : NULL;

    return name && btf_is_struct(type) && strcmp(name, "bpf_spin_lock") == 0;
}

/* Members of the struct itself, as the kernel has it. */
int sta__btf_spin_lock(const struct sta__bpf_btf *btf, uint32_t value_type_id)
{
    const struct btf_type *value = btf__type_by_id(btf->btf, value_type_id);
    int found = -ENOENT;

    if (!value || !btf_is_struct(value))
        return -ENOENT;
    for (uint16_t i = 0; i < btf_vlen(value); i++) {
        const struct btf_member *member = &btf_members(value)[i];
        uint32_t bit = btf_member_bit_offset(value, i);

        if (!is_lock(btf->btf, member->type))
            continue;
        if (found >= 0)
            return -E2BIG;
        if (bit % 32 || btf__type_by_id(btf->btf, member->type)->size != 4)
            return -EINVAL;
        found = (int)(bit / 8);
    }
    return found;
}

/* Global data: no key, one element, and a section for a value. */
static bool is_data_section(const struct sta__bpf_map *map, const struct btf_type *value)
{
    return map->map->type == BPF_MAP_TYPE_ARRAY && map->map->max_entries == 1 &&
           btf_is_datasec(value);
}

static bool is_index(const struct btf *btf, uint32_t id)
{
    const struct btf_type *type = btf__type_by_id(btf, (uint32_t)btf__resolve_type(btf, id));

    return type && btf_is_int(type) && btf_int_bits(type) == 32 && btf_int_offset(type) == 0;
}

static bool is_array(const struct sta_map *map)
{
    return map->type == BPF_MAP_TYPE_ARRAY || map->type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

/* Types of maps whose elements have no BTF. */
static bool has_no_btf(const struct sta_map *map)
{
    return map->type == BPF_MAP_TYPE_STACK_TRACE || map->type == BPF_MAP_TYPE_PROG_ARRAY ||
           map->type == BPF_MAP_TYPE_PERF_EVENT_ARRAY || map->type == BPF_MAP_TYPE_CGROUP_ARRAY ||
           map->type == BPF_MAP_TYPE_ARRAY_OF_MAPS || map->type == BPF_MAP_TYPE_HASH_OF_MAPS;
}

int sta__btf_check_map(const struct sta__bpf_map *map)
{
    const struct btf *btf = map->btf->btf;
    const struct btf_type *value = btf__type_by_id(btf, map->btf_value_type_id);
    int64_t size;

    if (!value)
        return -EINVAL;
    if (map->btf_key_type_id) {
        size = btf__resolve_size(btf, map->btf_key_type_id);
        if (size < 0 || (uint64_t)size != map->map->key_size)
            return -EINVAL;
    }
    size = btf_is_datasec(value) ? value->size : btf__resolve_size(btf, map->btf_value_type_id);
    if (size < 0 || (uint64_t)size != map->map->value_size)
        return -EINVAL;
    if (has_no_btf(map->map))
        return -STA__ENOTSUPP;
    if (map->btf_key_type_id == 0)
        return is_data_section(map, value) ? 0 : -EINVAL;
    if (is_array(map->map) && !is_index(btf, map->btf_key_type_id))
        return -EINVAL;
    return 0;
}
