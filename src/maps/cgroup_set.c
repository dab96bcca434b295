/* SPDX-License-Identifier: MIT */
/* Putting control groups into maps: see sta/map.h. Not on the dispatch path. */
#include <errno.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <sta/map.h>

#include "base/gate.h"
#include "maps/map.h"
#include "maps/shared.h"

static int group_of(int fd, uint64_t *id)
{
    struct statfs system;
    struct stat status;
    int64_t err = STA__RAW2(SYS_fstatfs, fd, &system);

    if (err == 0)
        err = STA__RAW2(SYS_fstat, fd, &status);
    if (err < 0)
        return (int)err;
    if (system.f_type != CGROUP2_SUPER_MAGIC || !S_ISDIR(status.st_mode))
        return -EBADF;
    *id = status.st_ino;
    return 0;
}

int sta_map_set_cgroup(struct sta_map *map, uint32_t index, int fd, uint64_t flags)
{
    uint64_t id;
    int err;

    if (!map || map->type != BPF_MAP_TYPE_CGROUP_ARRAY || flags != BPF_ANY)
        return -EINVAL;
    if (map->flags & BPF_F_RDONLY || atomic_load(&map->head->is_frozen))
        return -EPERM;
    if (index >= map->max_entries)
        return -E2BIG;
    err = group_of(fd, &id);
    if (err < 0)
        return err;
    /* Relaxed: the id is all that there is to an element. */
    atomic_store_explicit(&map->objects.ids[index], id, memory_order_relaxed);
    return 0;
}
