/* SPDX-License-Identifier: MIT */
/* BPF_MAP_LOOKUP_ELEM, _UPDATE_ELEM, _DELETE_ELEM, _GET_NEXT_KEY, _LOOKUP_AND_DELETE_ELEM. Keys and
 * values are copied, as those of the application may not be there. */
#include <errno.h>
#include <stdlib.h>

#include <sta/map.h>

#include "bpfcall/element.h"
#include "bpfcall/user.h"
#include "maps/types.h"

/* An element that a command is about. */
struct element {
    struct sta__bpf_map *map;
    void *key;   /* NULL: the type has none */
    void *value; /* room for one */
};

static void put(struct element *element)
{
    free(element->key);
    free(element->value);
    if (element->map)
        sta__fds_put(&element->map->object);
}

static int read_key(struct element *element, uint64_t from)
{
    int err = 0;

    if (element->map->map->key_size == 0)
        return from ? -EINVAL : 0;
    element->key = sta__user_copy(from, element->map->map->key_size, &err);
    return err;
}

static bool has_flags(uint32_t cmd)
{
    return cmd != BPF_MAP_DELETE_ELEM && cmd != BPF_MAP_GET_NEXT_KEY;
}

/* The map, with what its descriptor allows, and the key. */
static long begin(struct element *element, struct sta__command *command, bool reads, bool writes)
{
    const union bpf_attr *attr = &command->attr;
    long result;

    element->map = sta__command_map(command, attr->map_fd, &result);
    if (!element->map)
        return result;
    result = sta__element_access(element->map, attr->map_fd, reads, writes);
    if (result == 0 && has_flags(command->cmd) && attr->flags & BPF_F_LOCK &&
        !element->map->map->has_lock)
        result = -EINVAL; /* before anything is copied */
    return result;
}

/* Room for a value; with what the application gave, where that is looked at. */
static int make_value(struct element *element, uint64_t from, bool is_given)
{
    size_t size = sta__element_value_size(element->map->map);
    int err = 0;

    if (is_given)
        element->value = sta__user_copy(from, size, &err);
    else
        element->value = calloc(1, size ? size : 1);
    return element->value ? 0 : err ? err : -ENOMEM;
}

static int write_value(const struct element *element, uint64_t to)
{
    return sta__user_write(to, element->value, sta__element_value_size(element->map->map));
}

long sta__command_map_lookup(struct sta__command *command)
{
    const union bpf_attr *attr = &command->attr;
    struct element element = {.map = NULL};
    long err;

    if (attr->flags & ~(uint64_t)BPF_F_LOCK)
        return -EINVAL;
    err = begin(&element, command, true, false);
    if (err == 0)
        err = read_key(&element, attr->key);
    if (err == 0)
        err =
            make_value(&element, attr->value, element.map->map->type == BPF_MAP_TYPE_BLOOM_FILTER);
    if (err == 0)
        err = sta_map_lookup(element.map->map, element.key, element.value, attr->flags);
    if (err == 0 && element.map->map->type != BPF_MAP_TYPE_BLOOM_FILTER)
        err = write_value(&element, attr->value);
    put(&element);
    return err;
}

long sta__command_map_update(struct sta__command *command)
{
    const union bpf_attr *attr = &command->attr;
    struct element element = {.map = NULL};
    long err = begin(&element, command, false, true);

    if (err == 0)
        err = read_key(&element, attr->key);
    if (err == 0)
        err = make_value(&element, attr->value, true);
    if (err == 0)
        err = sta__element_update(command, element.map, element.key, element.value, attr->flags);
    put(&element);
    return err;
}

long sta__command_map_delete(struct sta__command *command)
{
    struct element element = {.map = NULL};
    long err = begin(&element, command, false, true);

    if (err == 0)
        err = read_key(&element, command->attr.key);
    if (err == 0)
        err = sta__element_delete(element.map, element.key);
    put(&element);
    return err;
}

long sta__command_map_next_key(struct sta__command *command)
{
    const union bpf_attr *attr = &command->attr;
    struct element element = {.map = NULL};
    void *next = NULL;
    long err = begin(&element, command, true, false);

    if (err == 0 && attr->key)
        err = read_key(&element, attr->key);
    if (err == 0) {
        next = calloc(1, element.map->map->key_size + 1);
        err = next ? sta_map_next_key(element.map->map, element.key, next) : -ENOMEM;
    }
    if (err == 0)
        err = sta__user_write(attr->next_key, next, element.map->map->key_size);
    free(next);
    put(&element);
    return err;
}

static bool is_queue(const struct sta_map *map)
{
    return map->type == BPF_MAP_TYPE_QUEUE || map->type == BPF_MAP_TYPE_STACK;
}

long sta__command_map_take(struct sta__command *command)
{
    const union bpf_attr *attr = &command->attr;
    struct element element = {.map = NULL};
    long err;

    if (attr->flags & ~(uint64_t)BPF_F_LOCK)
        return -EINVAL;
    err = begin(&element, command, true, true);
    if (err == 0 && attr->flags && is_queue(element.map->map))
        err = -EINVAL;
    if (err == 0)
        err = read_key(&element, attr->key);
    if (err == 0)
        err = make_value(&element, 0, false);
    if (err == 0)
        err = sta_map_lookup_and_delete(element.map->map, element.key, element.value, attr->flags);
    if (err == 0)
        err = write_value(&element, attr->value);
    put(&element);
    return err;
}
