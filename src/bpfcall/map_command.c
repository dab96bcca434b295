/* SPDX-License-Identifier: MIT */
/* BPF_MAP_CREATE, BPF_MAP_FREEZE. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sta/map.h>

#include "bpfcall/btf.h"
#include "bpfcall/element.h"
#include "bpfcall/map_object.h"
#include "maps/map.h"
#include "maps/shared.h"

#define NO_NODE      UINT32_MAX
#define ACCESS_FLAGS ((uint32_t)(BPF_F_RDONLY | BPF_F_WRONLY))

/* A map that is being created. */
struct creating {
    struct sta__command *command;
    char name[sizeof(((union bpf_attr *)0)->map_name) + 1];
    struct sta__bpf_map *inner; /* maps of maps: what they are to be like */
    long inner_error;           /* told when the attributes are right */
    struct sta__bpf_btf *btf;   /* what it says of keys and values; may be NULL */
    long btf_error;             /* told when the kernel does: when all else is right */
    int lock_at;                /* of a struct bpf_spin_lock in each value; -ENOENT: nowhere */
    struct sta__bpf_map *made;
};

static bool is_node(uint32_t node)
{
    char path[64];

    snprintf(path, sizeof(path), "/sys/devices/system/node/node%u", node);
    return node == 0 || node == NO_NODE || access(path, F_OK) == 0;
}

/* What the kernel looks at before it knows the type. */
static int check_attr(const struct creating *creating)
{
    const union bpf_attr *attr = &creating->command->attr;

    if (attr->btf_vmlinux_value_type_id)
        return sta__command_refuse(creating->command, -EINVAL, "there are no kernel structs here");
    if (attr->btf_key_type_id && !attr->btf_value_type_id)
        return sta__command_refuse(creating->command, -EINVAL, "a key of BTF without a value");
    if ((attr->map_flags & BPF_F_NUMA_NODE) && !is_node(attr->numa_node))
        return sta__command_refuse(creating->command, -EINVAL, "there is no such NUMA node");
    if (attr->map_ifindex)
        return sta__command_refuse(creating->command, -EINVAL, "there are no maps on devices here");
    return 0;
}

static bool holds_maps(uint32_t type)
{
    return type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS;
}

static void find_inner(struct creating *creating)
{
    struct sta__command *command = creating->command;

    if (!holds_maps(command->attr.map_type))
        return;
    creating->inner = sta__command_map(command, command->attr.inner_map_fd, &creating->inner_error);
    if (creating->inner_error == STA__NOT_OURS)
        creating->inner_error = -EINVAL;
}

static int create(struct creating *creating)
{
    const union bpf_attr *attr = &creating->command->attr;
    const struct sta_map_options options = {
        .size = sizeof(options),
        .type = attr->map_type,
        .key_size = attr->key_size,
        .value_size = attr->value_size,
        .max_entries = attr->max_entries,
        .map_flags = attr->map_flags,
        .map_extra = attr->map_extra,
        .name = creating->name,
        .inner = creating->inner ? creating->inner->map : NULL,
        .has_spin_lock = creating->lock_at >= 0,
        .spin_lock_at = creating->lock_at >= 0 ? (uint32_t)creating->lock_at : 0,
        .log = creating->command->bpf->log.fn,
        .log_data = creating->command->bpf->log.data,
    };
    struct sta_map *map;
    int err = sta_map_create(&map, &options);

    if (err == -EBADF && creating->inner_error)
        return (int)creating->inner_error;
    if (err < 0)
        return err;
    /* These are the first descriptor's, and other ones may have other access. */
    map->flags &= ~ACCESS_FLAGS;
    map->head->attributes.flags &= ~ACCESS_FLAGS;
    creating->made = sta__map_object_make(map);
    if (creating->made)
        return sta__map_object_add_eventfd(creating->made);
    sta_map_close(map);
    return -ENOMEM;
}

static void find_btf(struct creating *creating)
{
    const union bpf_attr *attr = &creating->command->attr;

    creating->lock_at = -ENOENT;
    if (!attr->btf_key_type_id && !attr->btf_value_type_id)
        return;
    creating->btf = sta__command_btf(creating->command, attr->btf_fd, &creating->btf_error);
    if (creating->btf)
        creating->lock_at = sta__btf_spin_lock(creating->btf, attr->btf_value_type_id);
}

static int add_btf(struct creating *creating)
{
    const union bpf_attr *attr = &creating->command->attr;
    struct sta__bpf_map *made = creating->made;
    int err;

    if (!creating->btf)
        return (int)creating->btf_error;
    made->btf = creating->btf;
    creating->btf = NULL;
    made->btf_key_type_id = attr->btf_key_type_id;
    made->btf_value_type_id = attr->btf_value_type_id;
    err = sta__btf_check_map(made);
    if (err == 0 && creating->lock_at < 0 && creating->lock_at != -ENOENT)
        err = creating->lock_at;
    return err ? sta__command_refuse(creating->command, err, "its BTF does not fit") : 0;
}

/* Access of the first descriptor. */
static int access_of(uint32_t map_flags)
{
    return map_flags & BPF_F_RDONLY ? O_RDONLY : map_flags & BPF_F_WRONLY ? O_WRONLY : O_RDWR;
}

long sta__command_map_create(struct sta__command *command)
{
    struct creating creating = {.command = command};
    int fd = check_attr(&creating);

    /* The name is looked at behind the attributes, as in the kernel. */
    memcpy(creating.name, command->attr.map_name, sizeof(command->attr.map_name));
    if (fd == 0)
        find_inner(&creating);
    if (fd == 0)
        find_btf(&creating);
    if (fd == 0)
        fd = create(&creating);
    if (fd == 0)
        fd = add_btf(&creating);
    if (fd == 0)
        fd = sta__fds_new(command->bpf, &creating.made->object, access_of(command->attr.map_flags));
    if (fd < 0 && creating.made)
        sta__map_object_drop(creating.made);
    if (creating.inner)
        sta__fds_put(&creating.inner->object);
    if (creating.btf)
        sta__fds_put(&creating.btf->object);
    return fd;
}

long sta__command_map_freeze(struct sta__command *command)
{
    long result;
    struct sta__bpf_map *map = sta__command_map(command, command->attr.map_fd, &result);

    if (!map)
        return result;
    result = sta__element_access(map, command->attr.map_fd, false, true);
    if (result == 0)
        result = sta_map_freeze(map->map);
    sta__fds_put(&map->object);
    return result;
}
