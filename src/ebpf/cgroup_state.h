/* SPDX-License-Identifier: MIT */
/* What sta__cgroup_prepare() found out. */
#ifndef STA_EBPF_CGROUP_STATE_H
#define STA_EBPF_CGROUP_STATE_H

#include <stdatomic.h>

#include "base/compiler.h"

#define STA__CGROUP_PATH_MAX 768

struct sta__cgroup_mount {
    /* The group that is mounted there: a path that paths of groups begin with; "": the root. */
    char root[STA__CGROUP_PATH_MAX];
    char directory[STA__CGROUP_PATH_MAX];
};

extern STA__HIDDEN _Atomic(const struct sta__cgroup_mount *) sta__cgroup_mounted; /* or NULL */

#endif
