/* SPDX-License-Identifier: MIT */
/* Helpers that say who runs, and where: names, namespaces, control groups, node, ticks. On the
 * dispatch path. */
#include <errno.h>
#include <linux/prctl.h>

#include "base/clock.h"
#include "base/gate.h"
#include "base/ids.h"
#include "ebpf/cgroup.h"
#include "ebpf/helpers.h"
#include "ebpf/jiffies.h"
#include "maps/cgroup_array.h"
#include "maps/words.h"

#define COMM_SIZE 16 /* TASK_COMM_LEN */

static void *pointer(uint64_t reg)
{
    return (void *)(uintptr_t)reg;
}

static uint64_t number(int64_t value)
{
    return (uint64_t)value;
}

/* Asked each time: any thread of the process may change it, by a file in /proc. */
STA__HELPER_FUNCTION(get_current_comm)
{
    char comm[COMM_SIZE] = {0}, *to = pointer(r1);
    uint64_t i;
    int64_t err = STA__RAW2(SYS_prctl, PR_GET_NAME, comm);

    (void)r3, (void)r4, (void)r5;
    if (err < 0)
        comm[0] = 0;
    for (i = 0; i + 1 < r2 && i < COMM_SIZE - 1 && comm[i]; i++)
        to[i] = comm[i];
    for (; i < r2; i++)
        to[i] = 0;
    return err < 0 ? number(-EINVAL) : 0;
}

/* The kernel's number of a device: it has the major number from bit 20 on, but programs are given
 * what stat(2) tells, and for this file system both are the same. */
STA__HELPER_FUNCTION(get_ns_current_pid_tgid)
{
    sta__half_anywhere *out = pointer(r3); /* struct bpf_pidns_info */
    char *bytes = pointer(r3);
    uint64_t dev, ino, ids;
    int64_t err = -EINVAL;

    (void)r5;
    if (r4 == sizeof(struct bpf_pidns_info) && (uint32_t)r1 == r1) {
        err = sta__pid_namespace(&dev, &ino) ? 0 : -ENOENT;
        if (err == 0 && dev == r1 && ino == r2) {
            ids = sta__pid_tgid();
            out[0] = (uint32_t)ids;
            out[1] = (uint32_t)(ids >> 32);
            return 0;
        }
        err = err ? err : -EINVAL;
    }
    for (uint64_t i = 0; i < r4; i++)
        bytes[i] = 0;
    return number(err);
}

STA__HELPER_FUNCTION(get_current_cgroup_id)
{
    (void)r1, (void)r2, (void)r3, (void)r4, (void)r5;
    return sta__cgroup_id();
}

STA__HELPER_FUNCTION(get_current_ancestor_cgroup_id)
{
    (void)r2, (void)r3, (void)r4, (void)r5;
    return sta__cgroup_ancestor((int)r1);
}

STA__HELPER_FUNCTION(current_task_under_cgroup)
{
    struct sta_map *map = pointer(r1);
    uint64_t id;

    (void)r3, (void)r4, (void)r5;
    if ((uint32_t)r2 >= map->max_entries)
        return number(-E2BIG);
    id = sta__cgroup_array_id(map, (uint32_t)r2);
    return id ? sta__cgroup_is_under(id) : number(-EAGAIN);
}

STA__HELPER_FUNCTION(get_numa_node_id)
{
    (void)r1, (void)r2, (void)r3, (void)r4, (void)r5;
    return sta__numa_node();
}

STA__HELPER_FUNCTION(jiffies64)
{
    (void)r1, (void)r2, (void)r3, (void)r4, (void)r5;
    return sta__jiffies();
}
