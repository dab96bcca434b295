/* SPDX-License-Identifier: MIT */
/*
 * Whether types that are in order (btf_check.c) make sense: none contains itself, a function has a
 * prototype, a section has variables. libbpf 1.1 follows them without looking, and would not come
 * back.
 */
#include <errno.h>
#include <linux/btf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bpfcall/object.h"
#include "ebpf/btf_members.h"

#define DEPTH_MAX 32 /* of types that are made of types: as in the kernel */

#define VISITING 1
#define VISITED  2

struct types {
    uint32_t count; /* ids are from 1 to this */
    const struct btf_type **by_id;
    unsigned char *state;
};

/* All kinds are known: btf_check.c has looked. */
static const struct btf_type *next_type(const struct btf_type *type)
{
    return (const void *)((const char *)(type + 1) + sta__btf_tail_size(type));
}

static bool find_types(struct types *types, const char *data, uint32_t size)
{
    const struct btf_type *type = (const void *)data, *end = (const void *)(data + size);

    types->by_id = calloc(size / sizeof(*type) + 1, sizeof(*types->by_id));
    types->state = calloc(size / sizeof(*type) + 1, 1);
    if (!types->by_id || !types->state)
        return false;
    for (; type < end; type = next_type(type))
        types->by_id[++types->count] = type;
    return true;
}

static unsigned kind_of(const struct types *types, uint32_t id)
{
    return id ? BTF_INFO_KIND(types->by_id[id]->info) : BTF_KIND_UNKN;
}

/* Whether a type is another one with something added. */
static bool is_another(unsigned kind)
{
    return kind == BTF_KIND_PTR || kind == BTF_KIND_TYPEDEF || kind == BTF_KIND_VOLATILE ||
           kind == BTF_KIND_CONST || kind == BTF_KIND_RESTRICT || kind == BTF_KIND_VAR ||
           kind == BTF_KIND_TYPE_TAG;
}

/* Whether what a pointer leads to through names, qualifiers and pointers comes to an end. */
static bool chain_ends(const struct types *types, uint32_t id)
{
    for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
        if (!is_another(kind_of(types, id)))
            return true;
        id = types->by_id[id]->type;
    }
    return false;
}

static bool ends(struct types *types, uint32_t id, unsigned depth);

static bool members_end(struct types *types, const struct btf_type *type, unsigned depth)
{
    const struct btf_member *members = (const void *)(type + 1);

    for (unsigned i = 0; i < BTF_INFO_VLEN(type->info); i++) {
        if (!ends(types, members[i].type, depth))
            return false;
    }
    return true;
}

/* Whether what a type is made of comes to an end. A struct may well point to itself. */
static bool ends(struct types *types, uint32_t id, unsigned depth)
{
    const struct btf_type *type = id ? types->by_id[id] : NULL;
    const struct btf_array *array;
    unsigned kind = kind_of(types, id);
    bool is_good = true;

    if (id == 0 || types->state[id] == VISITED)
        return true;
    if (types->state[id] == VISITING || depth == DEPTH_MAX)
        return false;
    types->state[id] = VISITING;
    if (kind == BTF_KIND_ARRAY) {
        array = (const void *)(type + 1);
        is_good = ends(types, array->type, depth + 1) && ends(types, array->index_type, depth + 1);
    } else if (kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION) {
        is_good = members_end(types, type, depth + 1);
    } else if (kind == BTF_KIND_PTR) {
        is_good = chain_ends(types, type->type);
    } else if (is_another(kind)) {
        is_good = ends(types, type->type, depth + 1);
    }
    types->state[id] = VISITED;
    return is_good;
}

static bool has_variables(const struct types *types, const struct btf_type *section)
{
    const struct btf_var_secinfo *variables = (const void *)(section + 1);

    for (unsigned i = 0; i < BTF_INFO_VLEN(section->info); i++) {
        unsigned kind = kind_of(types, variables[i].type);

        if (kind != BTF_KIND_VAR && kind != BTF_KIND_FUNC)
            return false;
    }
    return true;
}

static const char *find_wrong(struct types *types)
{
    for (uint32_t id = 1; id <= types->count; id++) {
        const struct btf_type *type = types->by_id[id];
        unsigned kind = BTF_INFO_KIND(type->info);

        if (!ends(types, id, 0))
            return "a type contains itself, or is nested too deeply";
        if (kind == BTF_KIND_FUNC && kind_of(types, type->type) != BTF_KIND_FUNC_PROTO)
            return "a function has no prototype";
        if (kind == BTF_KIND_DATASEC && !has_variables(types, type))
            return "a section has something else than variables and functions";
    }
    return NULL;
}

const char *sta__btf_find_wrong(const void *data)
{
    struct types types = {0};
    struct btf_header head;
    const char *why = "no memory";

    memcpy(&head, data, sizeof(head));
    if (find_types(&types, (const char *)data + head.hdr_len + head.type_off, head.type_len))
        why = find_wrong(&types);
    free(types.by_id);
    free(types.state);
    return why;
}
