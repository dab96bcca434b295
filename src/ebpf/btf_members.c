/* SPDX-License-Identifier: MIT */
/* See btf_members.h. What is read may be anything: nothing outside of it is looked at. */
#include "ebpf/btf_members.h"

#include <errno.h>
#include <linux/btf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32 /* of types that refer to types */

static uint32_t kind_of(const struct btf_type *type)
{
    return BTF_INFO_KIND(type->info);
}

int64_t sta__btf_tail_size(const struct btf_type *type)
{
    uint32_t count = BTF_INFO_VLEN(type->info);

    switch (kind_of(type)) {
    case BTF_KIND_INT:
    case BTF_KIND_VAR:
    case BTF_KIND_DECL_TAG:
        return 4;
    case BTF_KIND_ARRAY:
        return sizeof(struct btf_array);
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
        return (int64_t)count * (int64_t)sizeof(struct btf_member);
    case BTF_KIND_ENUM:
        return (int64_t)count * (int64_t)sizeof(struct btf_enum);
    case BTF_KIND_ENUM64:
    case BTF_KIND_DATASEC:
        return (int64_t)count * 12;
    case BTF_KIND_FUNC_PROTO:
        return (int64_t)count * (int64_t)sizeof(struct btf_param);
    case BTF_KIND_PTR:
    case BTF_KIND_FWD:
    case BTF_KIND_TYPEDEF:
    case BTF_KIND_VOLATILE:
    case BTF_KIND_CONST:
    case BTF_KIND_RESTRICT:
    case BTF_KIND_FUNC:
    case BTF_KIND_FLOAT:
    case BTF_KIND_TYPE_TAG:
        return 0;
    default:
        return -1;
    }
}

/* Notes where types begin. Returns one more than there are, or -EINVAL. */
static int64_t index_types(const char *data, size_t at, size_t end, uint32_t *types)
{
    int64_t count = 1;

    while (at < end) {
        const struct btf_type *type = (const struct btf_type *)(data + at);
        int64_t extra;

        if (end - at < sizeof(*type))
            return -EINVAL;
        extra = sta__btf_tail_size(type);
        if (extra < 0 || (uint64_t)extra > end - at - sizeof(*type))
            return -EINVAL;
        types[count++] = (uint32_t)at;
        at += sizeof(*type) + (size_t)extra;
    }
    return count;
}

int sta__btf_open(struct sta__btf *btf, const char *data, size_t size)
{
    const struct btf_header *header = (const struct btf_header *)data;
    uint64_t types, strings;
    int64_t count;

    if (size < sizeof(*header) || size > UINT32_MAX || header->magic != BTF_MAGIC ||
        header->type_off % 4 || header->hdr_len % 4)
        return -EINVAL;
    types = (uint64_t)header->hdr_len + header->type_off;
    strings = (uint64_t)header->hdr_len + header->str_off;
    if (types + header->type_len > size || strings + header->str_len > size ||
        header->str_len == 0 || data[strings + header->str_len - 1] != '\0')
        return -EINVAL;
    btf->types = malloc((1 + header->type_len / sizeof(struct btf_type)) * sizeof(*btf->types));
    if (!btf->types)
        return -ENOMEM;
    count = index_types(data, types, types + header->type_len, btf->types);
    if (count < 0) {
        free(btf->types);
        return (int)count;
    }
    btf->data = data;
    btf->size = size;
    btf->strings = data + strings;
    btf->strings_size = header->str_len;
    btf->count = (uint32_t)count;
    return 0;
}

void sta__btf_close(struct sta__btf *btf)
{
    free(btf->types);
}

static const struct btf_type *type_at(const struct sta__btf *btf, uint32_t id)
{
    return id > 0 && id < btf->count ? (const struct btf_type *)(btf->data + btf->types[id]) : NULL;
}

static const char *string_at(const struct sta__btf *btf, uint32_t offset)
{
    return offset < btf->strings_size ? btf->strings + offset : "";
}

void sta__btf_structs(const struct sta__btf *btf, const char *const *names, uint32_t *ids,
                      unsigned count)
{
    memset(ids, 0, count * sizeof(*ids));
    for (uint32_t id = 1; id < btf->count; id++) {
        const struct btf_type *type = type_at(btf, id);
        const char *name;

        if (kind_of(type) != BTF_KIND_STRUCT)
            continue;
        name = string_at(btf, type->name_off);
        for (unsigned i = 0; i < count; i++) {
            if (!ids[i] && name[0] == names[i][0] && strcmp(name, names[i]) == 0)
                ids[i] = id;
        }
    }
}

/* The struct or union that a member of this type is, or is an array of; NULL: it is none. */
static const struct btf_type *compound_of(const struct sta__btf *btf, uint32_t id)
{
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        const struct btf_type *type = type_at(btf, id);

        if (!type)
            return NULL;
        switch (kind_of(type)) {
        case BTF_KIND_STRUCT:
        case BTF_KIND_UNION:
            return type;
        case BTF_KIND_TYPEDEF:
        case BTF_KIND_CONST:
        case BTF_KIND_VOLATILE:
        case BTF_KIND_RESTRICT:
        case BTF_KIND_TYPE_TAG:
            id = type->type;
            break;
        case BTF_KIND_ARRAY:
            id = ((const struct btf_array *)(type + 1))->type;
            break;
        default:
            return NULL;
        }
    }
    return NULL;
}

static uint32_t bits_before(const struct btf_type *type, const struct btf_member *member)
{
    return BTF_INFO_KFLAG(type->info) ? BTF_MEMBER_BIT_OFFSET(member->offset) : member->offset;
}

static bool is_name(const char *name, const char *path, size_t length)
{
    return strncmp(name, path, length) == 0 && name[length] == '\0';
}

/* Finds path[0 .. length) in this struct; its type in *found. The offset in bits, or -ENOENT. */
static int64_t find_member(const struct sta__btf *btf, const struct btf_type *type,
                           const char *path, size_t length, uint32_t *found, int depth)
{
    const struct btf_member *members = (const struct btf_member *)(type + 1);

    for (uint32_t i = 0; depth < DEPTH_MAX && i < BTF_INFO_VLEN(type->info); i++) {
        const char *name = string_at(btf, members[i].name_off);
        const struct btf_type *inner = *name ? NULL : compound_of(btf, members[i].type);
        int64_t bits;

        if (*name && is_name(name, path, length)) {
            *found = members[i].type;
            return bits_before(type, &members[i]);
        }
        bits = inner ? find_member(btf, inner, path, length, found, depth + 1) : -ENOENT;
        if (bits >= 0)
            return bits + bits_before(type, &members[i]);
    }
    return -ENOENT;
}

int64_t sta__btf_member(const struct sta__btf *btf, uint32_t structure, const char *path)
{
    uint32_t id = structure;
    int64_t offset = 0;

    for (;;) {
        const struct btf_type *type = compound_of(btf, id);
        size_t length = strcspn(path, ".");
        int64_t bits = type ? find_member(btf, type, path, length, &id, 0) : -ENOENT;

        if (bits < 0 || bits % 8)
            return -ENOENT;
        offset += bits / 8;
        if (!path[length])
            return offset;
        path += length + 1;
    }
}
