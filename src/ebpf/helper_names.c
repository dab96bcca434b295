/* SPDX-License-Identifier: MIT */
/* The names of all helpers that the kernel has, also of those that are for other types of programs:
 * as linux/bpf.h lists them. */
#include <linux/bpf.h>
#include <stddef.h>

#include "ebpf/helper.h"

#define NAME(name) [BPF_FUNC_##name] = #name

static const char *const names[] = {__BPF_FUNC_MAPPER(NAME)};

const char *sta__helper_name(int32_t id)
{
    const struct sta__helper *helper = sta__helper_find(id);

    if (helper)
        return helper->name;
    return id >= 0 && (size_t)id < sizeof(names) / sizeof(names[0]) ? names[id] : NULL;
}
