/* SPDX-License-Identifier: MIT */
/*
 * BTF of our own, in the place of the kernel's /sys/kernel/btf/vmlinux: what programs on system
 * calls relocate against. It serves where the kernel has none; and objects that refer to nothing
 * else load with it faster, as the kernel's has a hundred times as many types as all that they use.
 */
#ifndef STA_BPFCALL_OWN_BTF_H
#define STA_BPFCALL_OWN_BTF_H

#include <bpf/btf.h>
#include <stdbool.h>
#include <stddef.h>

#define STA__KERNEL_BTF_PATH "/sys/kernel/btf/vmlinux"

/* A new one, which the caller frees; NULL: no memory. */
struct btf *sta__own_btf_new(void);

/* own_btf_task.c: adds the structs that tasks lead to. 0 or -errno. */
int sta__own_btf_add_task(struct btf *btf);

/* Whether all that an object's relocations (.BTF.ext, checked) refer to is in it. */
bool sta__own_btf_suffices(const struct btf *own, const struct btf *object, const void *ext,
                           size_t ext_size);

#endif
