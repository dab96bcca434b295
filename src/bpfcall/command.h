/* SPDX-License-Identifier: MIT */
/* One bpf(2) call on its way. Each command is a function; call.c says which. */
#ifndef STA_BPFCALL_COMMAND_H
#define STA_BPFCALL_COMMAND_H

#include <linux/bpf.h>
#include <stddef.h>

#include "bpfcall/bpfcall.h"

/* The kernel's union bpf_attr of Linux 6.18: what is set past this is not known to anybody. */
#define STA__ATTR_SIZE 168

struct sta__command {
    struct sta__bpf *bpf;
    uint32_t cmd;
    uint64_t user_attr; /* where it is */
    uint32_t user_size; /* how much of it there is */
    union {
        union bpf_attr attr; /* a copy */
        unsigned char bytes[STA__ATTR_SIZE];
        uint32_t words[STA__ATTR_SIZE / 4];
        uint64_t longs[STA__ATTR_SIZE / 8];
    };
};

typedef long (*sta__command_fn)(struct sta__command *command);

/* Writes a result into the application's attributes: 0 or -EFAULT. */
int sta__command_put(const struct sta__command *command, size_t offset, const void *value,
                     size_t size);
#define STA__COMMAND_PUT(command, field, value) \
    sta__command_put(command, offsetof(union bpf_attr, field), value, sizeof(*(value)))

/* Says why a command is refused, and returns the error. */
int sta__command_refuse(const struct sta__command *command, int error, const char *why);

/*
 * The object that a field of the attributes names by descriptor, got. NULL: the command ends here
 * and returns *result: an error, or STA__NOT_OURS, where the kernel may know the descriptor.
 */
struct sta__bpf_map *sta__command_map(const struct sta__command *command, uint32_t fd,
                                      long *result);
struct sta__bpf_program *sta__command_program(const struct sta__command *command, uint32_t fd,
                                              long *result);
/* Of BTF: -EINVAL if it is the kernel's. */
struct sta__bpf_btf *sta__command_btf(const struct sta__command *command, uint32_t fd,
                                      long *result);

/* Names of objects: letters, digits, '_' and '.', ended within 16 bytes. */
int sta__command_name(char to[16], const char from[16]);

long sta__command_map_create(struct sta__command *command);
long sta__command_map_lookup(struct sta__command *command);
long sta__command_map_update(struct sta__command *command);
long sta__command_map_delete(struct sta__command *command);
long sta__command_map_next_key(struct sta__command *command);
long sta__command_map_take(struct sta__command *command);
long sta__command_map_freeze(struct sta__command *command);
long sta__command_map_batch(struct sta__command *command);
long sta__command_prog_load(struct sta__command *command);
long sta__command_prog_bind_map(struct sta__command *command);
long sta__command_prog_test_run(struct sta__command *command);
long sta__command_btf_load(struct sta__command *command);
long sta__command_next_id(struct sta__command *command);
long sta__command_fd_by_id(struct sta__command *command);
long sta__command_info(struct sta__command *command);
long sta__command_link_create(struct sta__command *command);
long sta__command_link_update(struct sta__command *command);
long sta__command_link_detach(struct sta__command *command);
long sta__command_raw_tracepoint_open(struct sta__command *command);
long sta__command_enable_stats(struct sta__command *command);
long sta__command_pin(struct sta__command *command);
long sta__command_iter_create(struct sta__command *command);

#endif
