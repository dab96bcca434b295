/* SPDX-License-Identifier: MIT */
/* What an object has, by name. */
#include <bpf/btf.h>
#include <string.h>

#include "bpfcall/object.h"
#include "maps/map.h"

static struct sta_map *map_of(const struct sta_object *object, const struct bpf_map *map)
{
    struct sta__fd_object *found;
    int err;

    if (!map || bpf_map__fd(map) < 0)
        return NULL;
    found = sta__fds_get_kind(object->bpf, bpf_map__fd(map), STA__FD_MAP, &err);
    sta__fds_put(found); /* libbpf's descriptor keeps it */
    return found ? STA__OBJECT_OF(sta__bpf_map, found)->map : NULL;
}

struct sta_map *sta_object_map(struct sta_object *object, const char *name)
{
    if (!object || !name || !object->bpf || object->has_failed)
        return NULL;
    return map_of(object, bpf_object__find_map_by_name(object->file, name));
}

struct sta_program *sta_object_program(struct sta_object *object, const char *name)
{
    const struct bpf_program *program;
    struct sta__fd_object *found;
    int err;

    if (!object || !name || !object->bpf || object->has_failed)
        return NULL;
    program = bpf_object__find_program_by_name(object->file, name);
    if (!program || bpf_program__fd(program) < 0)
        return NULL;
    found = sta__fds_get_kind(object->bpf, bpf_program__fd(program), STA__FD_PROGRAM, &err);
    sta__fds_put(found); /* likewise */
    return found ? STA__OBJECT_OF(sta__bpf_program, found)->program : NULL;
}

/* The variable's place among a section's; NULL: it is in another one. */
static const struct btf_var_secinfo *find_variable(const struct btf *btf, uint32_t section_id,
                                                   const char *name)
{
    const struct btf_type *section = btf__type_by_id(btf, section_id);
    const struct btf_var_secinfo *variable;

    if (!section || !btf_is_datasec(section))
        return NULL;
    variable = btf_var_secinfos(section);
    for (unsigned i = 0; i < btf_vlen(section); i++, variable++) {
        const struct btf_type *type = btf__type_by_id(btf, variable->type);

        if (type && strcmp(btf__name_by_offset(btf, type->name_off), name) == 0)
            return variable;
    }
    return NULL;
}

/* Where a section's variables are now. */
static char *data_of(const struct sta_object *object, const struct bpf_map *map, size_t *size)
{
    struct sta_map *loaded = object->bpf ? map_of(object, map) : NULL;

    *size = bpf_map__value_size(map);
    if (object->bpf)
        return loaded ? loaded->values : NULL;
    return (char *)bpf_map__initial_value((struct bpf_map *)map, size);
}

void *sta_object_global(struct sta_object *object, const char *name, size_t *size)
{
    const struct btf *btf = object && !object->has_failed ? bpf_object__btf(object->file) : NULL;
    const struct bpf_map *map;

    if (!btf || !name)
        return NULL;
    bpf_object__for_each_map(map, object->file)
    {
        const struct btf_var_secinfo *variable;
        size_t data_size;
        char *data;

        if (!bpf_map__is_internal(map))
            continue;
        variable = find_variable(btf, bpf_map__btf_value_type_id(map), name);
        if (!variable)
            continue;
        data = data_of(object, map, &data_size);
        if (!data || variable->offset > data_size || variable->size > data_size - variable->offset)
            return NULL;
        if (size)
            *size = variable->size;
        return data + variable->offset;
    }
    return NULL;
}
