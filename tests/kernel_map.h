/* SPDX-License-Identifier: MIT */
/* The kernel's maps, by bpf(2): results are 0 or -errno. */
#ifndef TESTS_KERNEL_MAP_H
#define TESTS_KERNEL_MAP_H

#include <errno.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <sta/map.h>

static inline int kernel_bpf(int command, union bpf_attr *attr)
{
    long got = syscall(SYS_bpf, command, attr, sizeof(*attr));

    return got < 0 ? -errno : (int)got;
}

/* Types for a map with a lock in its values: 1 is a key of four bytes, 3 a value. A file
 * descriptor.
 */
static inline int kernel_lock_types(const struct sta_map_options *options)
{
    static const char names[] = "\0u32\0bpf_spin_lock\0value";
    struct {
        struct btf_header header;
        struct btf_type u32;
        uint32_t u32_bits;
        struct btf_type lock;
        struct btf_member val;
        struct btf_type value;
        struct btf_member lock_member;
        char names[sizeof(names)];
    } __attribute__((packed)) types = {
        .header = {.magic = BTF_MAGIC, .version = BTF_VERSION, .hdr_len = sizeof(types.header)},
        .u32 = {.name_off = 1, .info = BTF_KIND_INT << 24, .size = 4},
        .u32_bits = 32,
        .lock = {.name_off = 5, .info = BTF_KIND_STRUCT << 24 | 1, .size = 4},
        .val = {.name_off = 1, .type = 1},
        .value = {.name_off = 19, .info = BTF_KIND_STRUCT << 24 | 1, .size = options->value_size},
        .lock_member = {.name_off = 5, .type = 2, .offset = options->spin_lock_at * 8},
    };
    union bpf_attr attr;

    memcpy(types.names, names, sizeof(names));
    types.header.type_len = (uint32_t)(types.names - (char *)&types.u32);
    types.header.str_off = types.header.type_len;
    types.header.str_len = sizeof(names);
    memset(&attr, 0, sizeof(attr));
    attr.btf = (uintptr_t)&types;
    attr.btf_size = (uint32_t)sizeof(types);
    return kernel_bpf(BPF_BTF_LOAD, &attr);
}

/* A file descriptor. */
static inline int kernel_map_create(const struct sta_map_options *options)
{
    union bpf_attr attr;
    int types = -1, fd;

    memset(&attr, 0, sizeof(attr));
    attr.map_type = options->type;
    attr.key_size = options->key_size;
    attr.value_size = options->value_size;
    attr.max_entries = options->max_entries;
    attr.map_flags = options->map_flags;
    attr.map_extra = options->map_extra;
    if (options->name)
        memcpy(attr.map_name, options->name, strnlen(options->name, sizeof(attr.map_name)));
    if (options->has_spin_lock) {
        types = kernel_lock_types(options);
        if (types < 0)
            return types;
        attr.btf_fd = (uint32_t)types;
        attr.btf_key_type_id = 1;
        attr.btf_value_type_id = 3;
    }
    fd = kernel_bpf(BPF_MAP_CREATE, &attr);
    if (types >= 0)
        close(types);
    return fd;
}

static inline int kernel_map_element(int command, int fd, const void *key, void *value,
                                     uint64_t flags)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.map_fd = (uint32_t)fd;
    attr.key = (uintptr_t)key;
    attr.value = (uintptr_t)value;
    attr.flags = flags;
    return kernel_bpf(command, &attr);
}

static inline int kernel_map_batch(int command, int fd, const void *in, void *out, void *keys,
                                   void *values, uint32_t *count, uint64_t flags)
{
    union bpf_attr attr;
    int err;

    memset(&attr, 0, sizeof(attr));
    attr.batch.map_fd = (uint32_t)fd;
    attr.batch.in_batch = (uintptr_t)in;
    attr.batch.out_batch = (uintptr_t)out;
    attr.batch.keys = (uintptr_t)keys;
    attr.batch.values = (uintptr_t)values;
    attr.batch.count = *count;
    attr.batch.elem_flags = flags;
    err = kernel_bpf(command, &attr);
    *count = attr.batch.count;
    return err;
}

#endif
