/* SPDX-License-Identifier: MIT */
/* The kernel's maps, by bpf(2): results are 0 or -errno. */
#ifndef TESTS_KERNEL_MAP_H
#define TESTS_KERNEL_MAP_H

#include <errno.h>
#include <linux/bpf.h>
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

/* A file descriptor. */
static inline int kernel_map_create(const struct sta_map_options *options)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.map_type = options->type;
    attr.key_size = options->key_size;
    attr.value_size = options->value_size;
    attr.max_entries = options->max_entries;
    attr.map_flags = options->map_flags;
    attr.map_extra = options->map_extra;
    if (options->name)
        memcpy(attr.map_name, options->name, strnlen(options->name, sizeof(attr.map_name)));
    return kernel_bpf(BPF_MAP_CREATE, &attr);
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
