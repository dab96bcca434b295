/* SPDX-License-Identifier: MIT */
/* BTF that the application loaded. */
#ifndef STA_BPFCALL_BTF_H
#define STA_BPFCALL_BTF_H

#include "bpfcall/bpfcall.h"

#define STA__BTF_SIZE_MAX (16u << 20) /* BTF_MAX_SIZE */

/* Whether it is in order: 0, or -EINVAL or -E2BIG and why. */
int sta__btf_check(const void *data, uint32_t size, const char **why);

/* Whether a map's BTF fits to it: 0, -EINVAL, -ENOTSUPP (524). */
int sta__btf_check_map(const struct sta__bpf_map *map);

/* Where in a value of this type a struct bpf_spin_lock is: -ENOENT (nowhere), -E2BIG (there are
 * several), -EINVAL (its size or place cannot be). */
int sta__btf_spin_lock(const struct sta__bpf_btf *btf, uint32_t value_type_id);

#endif
