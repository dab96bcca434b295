/* SPDX-License-Identifier: MIT */
/*
 * Whether BTF is in order, before libbpf looks at it: libbpf believes much of what it finds.
 * Sections lie in the data and do not overlap, strings end, types are whole, and what they refer to
 * is there. Types may be of those kinds that linux/btf.h has.
 */
#include <errno.h>
#include <linux/btf.h>
#include <string.h>

#include "bpfcall/btf.h"
#include "ebpf/btf_members.h"

struct checking {
    const char *types, *strings;
    uint32_t types_size, strings_size;
    uint32_t count; /* of types, but for void */
    const char *why;
};

static int wrong(struct checking *checking, const char *why)
{
    checking->why = why;
    return -EINVAL;
}

static int read_header(struct checking *checking, const char *data, uint32_t size)
{
    struct btf_header header;
    uint64_t end;

    if (size < sizeof(header))
        return wrong(checking, "btf_header not found");
    memcpy(&header, data, sizeof(header));
    if (header.magic != BTF_MAGIC)
        return wrong(checking, "Invalid magic");
    if (header.version != BTF_VERSION)
        return wrong(checking, "Unsupported version");
    if (header.flags)
        return wrong(checking, "Unsupported flags");
    if (header.hdr_len < sizeof(header) || header.hdr_len > size)
        return wrong(checking, "Invalid header length");
    for (uint32_t i = sizeof(header); i < header.hdr_len; i++) {
        if (data[i]) {
            wrong(checking, "Unsupported btf_header");
            return -E2BIG;
        }
    }
    if (header.type_off % 4)
        return wrong(checking, "Unaligned type_off");
    end = (uint64_t)header.hdr_len + header.str_off + header.str_len;
    if ((uint64_t)header.type_off + header.type_len != header.str_off)
        return wrong(checking, "Unsupported section found");
    if (end != size || header.type_off)
        return wrong(checking, "Total section length does not fit");
    if (header.type_len == 0)
        return wrong(checking, "No type found");
    checking->types = data + header.hdr_len;
    checking->types_size = header.type_len;
    checking->strings = checking->types + header.str_off;
    checking->strings_size = header.str_len;
    if (!header.str_len || checking->strings[0] || checking->strings[header.str_len - 1])
        return wrong(checking, "Invalid string section");
    return 0;
}

/* How many types there are. */
static int count_types(struct checking *checking)
{
    uint32_t at = 0;

    while (at < checking->types_size) {
        struct btf_type type;
        int64_t tail;

        if (checking->types_size - at < sizeof(type))
            return wrong(checking, "Invalid type section");
        memcpy(&type, checking->types + at, sizeof(type));
        tail = sta__btf_tail_size(&type);
        if (tail < 0)
            return wrong(checking, "Invalid kind");
        if (tail > (int64_t)(checking->types_size - at - sizeof(type)))
            return wrong(checking, "Invalid type section");
        at += (uint32_t)(sizeof(type) + (size_t)tail);
        checking->count++;
    }
    return 0;
}

static bool is_name(const struct checking *checking, uint32_t offset)
{
    return offset < checking->strings_size;
}

static bool is_type(const struct checking *checking, uint32_t id)
{
    return id <= checking->count;
}

static bool has_type(uint32_t kind)
{
    return kind == BTF_KIND_PTR || kind == BTF_KIND_TYPEDEF || kind == BTF_KIND_VOLATILE ||
           kind == BTF_KIND_CONST || kind == BTF_KIND_RESTRICT || kind == BTF_KIND_FUNC ||
           kind == BTF_KIND_FUNC_PROTO || kind == BTF_KIND_VAR || kind == BTF_KIND_DECL_TAG ||
           kind == BTF_KIND_TYPE_TAG;
}

/* Integers: encoding, offset and number of bits in a word. */
static bool is_int(const struct btf_type *type, uint32_t word)
{
    uint32_t bits = BTF_INT_OFFSET(word) + BTF_INT_BITS(word), encoding = BTF_INT_ENCODING(word);

    return word >> 28 == 0 && bits <= 128 && bits <= (uint64_t)type->size * 8 &&
           (encoding == 0 || encoding == BTF_INT_SIGNED || encoding == BTF_INT_CHAR ||
            encoding == BTF_INT_BOOL);
}

/* The names and types that the parts of a type name. */
static bool parts_fit(const struct checking *checking, const struct btf_type *type,
                      const void *tail)
{
    const struct btf_array *array = tail;
    const struct btf_member *members = tail;
    const struct btf_param *params = tail;
    const struct btf_enum *enums = tail;
    const struct btf_enum64 *enums64 = tail;
    const struct btf_var_secinfo *variables = tail;
    uint32_t kind = BTF_INFO_KIND(type->info), vlen = BTF_INFO_VLEN(type->info);
    bool fits = true;

    if (kind == BTF_KIND_INT)
        return is_int(type, *(const uint32_t *)tail);
    if (kind == BTF_KIND_ARRAY)
        return is_type(checking, array->type) && is_type(checking, array->index_type);
    for (uint32_t i = 0; i < vlen && fits; i++) {
        switch (kind) {
        case BTF_KIND_STRUCT:
        case BTF_KIND_UNION:
            fits = is_name(checking, members[i].name_off) && is_type(checking, members[i].type);
            break;
        case BTF_KIND_FUNC_PROTO:
            fits = is_name(checking, params[i].name_off) && is_type(checking, params[i].type);
            break;
        case BTF_KIND_ENUM:
            fits = is_name(checking, enums[i].name_off);
            break;
        case BTF_KIND_ENUM64:
            fits = is_name(checking, enums64[i].name_off);
            break;
        case BTF_KIND_DATASEC:
            fits = is_type(checking, variables[i].type) && variables[i].type;
            break;
        }
    }
    return fits;
}

static int check_types(struct checking *checking)
{
    uint32_t at = 0;

    while (at < checking->types_size) {
        const struct btf_type *type = (const struct btf_type *)(checking->types + at);

        if (!is_name(checking, type->name_off))
            return wrong(checking, "Invalid name");
        if (has_type(BTF_INFO_KIND(type->info)) && !is_type(checking, type->type))
            return wrong(checking, "Invalid type_id");
        if (!parts_fit(checking, type, type + 1))
            return wrong(checking, "Invalid member");
        at += (uint32_t)(sizeof(*type) + (size_t)sta__btf_tail_size(type));
    }
    return 0;
}

int sta__btf_check(const void *data, uint32_t size, const char **why)
{
    struct checking checking = {.why = NULL};
    int err = size > STA__BTF_SIZE_MAX ? -E2BIG : read_header(&checking, data, size);

    if (err == 0)
        err = count_types(&checking);
    if (err == 0)
        err = check_types(&checking);
    *why = checking.why ? checking.why : "too large";
    return err;
}
