/* SPDX-License-Identifier: MIT */
/*
 * What an object's relocations refer to: each names a type of the object's, and in it a member by
 * the members' numbers, "0:1:2"; what counts is the members' names, and those have to be in our
 * BTF. See Documentation/bpf/llvm_reloc.rst.
 */
#include "bpfcall/own_btf.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define KIND_FIELD_LAST 5 /* kinds from 0 to this are of members */
#define KIND_LOCAL_ID   6 /* the object's own business */

struct relocation {
    uint32_t insn_off, type_id, access_str_off, kind;
};

/* "task_struct___older" is task_struct. */
static size_t essential_length(const char *name)
{
    const char *flavor = strstr(name, "___");

    return flavor && flavor != name ? (size_t)(flavor - name) : strlen(name);
}

static const struct btf_type *resolve(const struct btf *btf, uint32_t id)
{
    const struct btf_type *type = btf__type_by_id(btf, id);

    while (type && (btf_is_mod(type) || btf_is_typedef(type)))
        type = btf__type_by_id(btf, type->type);
    return type;
}

static const struct btf_type *find_own(const struct btf *own, const char *name, unsigned kind)
{
    size_t length = essential_length(name);

    for (uint32_t id = 1; id < btf__type_cnt(own); id++) {
        const struct btf_type *type = btf__type_by_id(own, id);
        const char *own_name = btf__name_by_offset(own, type->name_off);

        if (btf_kind(type) == kind && strlen(own_name) == length &&
            strncmp(own_name, name, length) == 0)
            return type;
    }
    return NULL;
}

/* The member of this name; NULL: there is none, also if it is in a nameless one. */
static const struct btf_member *find_member(const struct btf *own, const struct btf_type *type,
                                            const char *name)
{
    const struct btf_member *members = btf_members(type);

    for (unsigned i = 0; i < btf_vlen(type); i++) {
        if (*name && strcmp(btf__name_by_offset(own, members[i].name_off), name) == 0)
            return &members[i];
    }
    return NULL;
}

/* Follows what is behind the first number. */
static bool has_members(const struct btf *own, const struct btf *object,
                        const struct btf_type *own_type, const struct btf_type *type,
                        const char *access)
{
    while (access) {
        unsigned long index = strtoul(access, NULL, 10);
        const struct btf_member *member, *own_member;

        if (!type || !own_type || btf_kind(type) != btf_kind(own_type))
            return false;
        if (btf_is_array(type)) {
            type = resolve(object, btf_array(type)->type);
            own_type = resolve(own, btf_array(own_type)->type);
        } else if (btf_is_composite(type) && index < btf_vlen(type)) {
            member = &btf_members(type)[index];
            own_member = find_member(own, own_type, btf__name_by_offset(object, member->name_off));
            if (!own_member)
                return false;
            type = resolve(object, member->type);
            own_type = resolve(own, own_member->type);
        } else {
            return false;
        }
        access = strchr(access, ':');
        access = access ? access + 1 : NULL;
    }
    return true;
}

static bool has(const struct btf *own, const struct btf *object,
                const struct relocation *relocation)
{
    const struct btf_type *type = resolve(object, relocation->type_id), *own_type;
    const char *access = btf__name_by_offset(object, relocation->access_str_off);
    const char *name;

    if (relocation->kind == KIND_LOCAL_ID)
        return true;
    if (!type || !access)
        return false;
    name = btf__name_by_offset(object, type->name_off);
    own_type = *name ? find_own(own, name, btf_kind(type)) : NULL;
    if (!own_type || relocation->kind > KIND_FIELD_LAST)
        return own_type != NULL;
    access = strchr(access, ':');
    return has_members(own, object, own_type, type, access ? access + 1 : NULL);
}

static uint32_t word_at(const char *data, size_t at)
{
    uint32_t word;

    memcpy(&word, data + at, sizeof(word));
    return word;
}

/* Of the header: see btf_ext_check.c. */
#define HEADER_SIZE_AT      4
#define RELOCATIONS_AT      24
#define RELOCATIONS_SIZE_AT 28
#define HEADER_WITH_THEM    32

bool sta__own_btf_suffices(const struct btf *own, const struct btf *object, const void *ext,
                           size_t ext_size)
{
    const char *data = ext;
    size_t at, end, record_size;

    if (ext_size < HEADER_WITH_THEM || word_at(data, HEADER_SIZE_AT) < HEADER_WITH_THEM)
        return true;
    at = word_at(data, HEADER_SIZE_AT) + word_at(data, RELOCATIONS_AT);
    end = at + word_at(data, RELOCATIONS_SIZE_AT);
    if (at == end)
        return true;
    record_size = word_at(data, at);
    for (at += 4; at < end;) {
        uint32_t count = word_at(data, at + 4);

        for (at += 8; count > 0; count--, at += record_size) {
            struct relocation relocation;

            memcpy(&relocation, data + at, sizeof(relocation));
            if (!has(own, object, &relocation))
                return false;
        }
    }
    return true;
}
