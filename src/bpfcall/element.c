/* SPDX-License-Identifier: MIT */
/* See element.h. */
#include "bpfcall/element.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <sta/map.h>

#include "base/gate.h"
#include "bpfcall/map_object.h"
#include "bpfcall/perf.h"
#include "bpfcall/program_object.h"
#include "ebpf/program.h"
#include "maps/perf_ring.h"
#include "maps/shared.h"
#include "maps/words.h"

static bool is_percpu(const struct sta_map *map)
{
    return map->type == BPF_MAP_TYPE_PERCPU_HASH || map->type == BPF_MAP_TYPE_LRU_PERCPU_HASH ||
           map->type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

bool sta__element_is_thing(const struct sta_map *map)
{
    return map->type == BPF_MAP_TYPE_PROG_ARRAY || map->type == BPF_MAP_TYPE_PERF_EVENT_ARRAY ||
           map->type == BPF_MAP_TYPE_CGROUP_ARRAY || map->type == BPF_MAP_TYPE_ARRAY_OF_MAPS ||
           map->type == BPF_MAP_TYPE_HASH_OF_MAPS;
}

size_t sta__element_value_size(const struct sta_map *map)
{
    if (is_percpu(map))
        return (size_t)sta__words_round(map->value_size) * map->cpus;
    return sta__element_is_thing(map) ? sizeof(uint32_t) : map->value_size;
}

int sta__element_access(const struct sta__bpf_map *map, uint32_t fd, bool reads, bool writes)
{
    int64_t access = STA__RAW2(SYS_fcntl, fd, F_GETFL);

    if (access >= 0 && reads && (access & O_ACCMODE) == O_WRONLY)
        return -EPERM;
    if (access >= 0 && writes && (access & O_ACCMODE) == O_RDONLY)
        return -EPERM;
    if (writes && atomic_load(&map->map->head->is_frozen))
        return -EPERM;
    return 0;
}

static enum sta__fd_kind kind_in(const struct sta_map *map)
{
    switch (map->type) {
    case BPF_MAP_TYPE_PROG_ARRAY:
        return STA__FD_PROGRAM;
    case BPF_MAP_TYPE_PERF_EVENT_ARRAY:
        return STA__FD_PERF;
    default:
        return STA__FD_MAP;
    }
}

/* What programs find in an element that stands for an object. NULL: it is not for such a map. */
static void *thing_of(const struct sta__bpf_map *map, struct sta__fd_object *object)
{
    switch (object->kind) {
    case STA__FD_PROGRAM:
        return &((struct sta__bpf_program *)object)->program->tail;
    case STA__FD_PERF:
        return atomic_load(&((struct sta__perf_event *)object)->ring);
    default:
        return object == &map->object ? NULL : ((struct sta__bpf_map *)object)->map;
    }
}

/* As the kernel does: the index first where elements are numbered, then the descriptor. */
static int check_index(const struct sta_map *map, const void *key, uint64_t flags)
{
    uint32_t index;

    if (map->type == BPF_MAP_TYPE_HASH_OF_MAPS)
        return 0;
    memcpy(&index, key, sizeof(index));
    if (flags != BPF_ANY)
        return -EINVAL;
    return index >= map->max_entries ? -E2BIG : 0;
}

static long set_cgroup(const struct sta__command *command, struct sta_map *map, const void *key,
                       uint32_t fd)
{
    uint32_t index;
    int err;

    memcpy(&index, key, sizeof(index));
    err = sta_map_set_cgroup(map, index, (int)fd, BPF_ANY);
    return err < 0 ? sta__command_refuse(command, err, "no control group of version 2") : 0;
}

static long update_thing(const struct sta__command *command, struct sta__bpf_map *map,
                         const void *key, uint32_t fd, uint64_t flags)
{
    struct sta__fd_object *object;
    void *thing;
    int err = check_index(map->map, key, flags);

    if (err < 0)
        return err;
    if (map->map->type == BPF_MAP_TYPE_CGROUP_ARRAY)
        return set_cgroup(command, map->map, key, fd);
    object = sta__fds_get_kind(command->bpf, (int)fd, kind_in(map->map), &err);
    if (!object) {
        err = err == -EINVAL && kind_in(map->map) == STA__FD_PERF ? -EBADF : err;
        return sta__command_refuse(command, err ? err : -EINVAL,
                                   "the value is no descriptor of what the map is of");
    }
    thing = thing_of(map, object);
    if (object->kind == STA__FD_PROGRAM &&
        sta__program_object_fits((struct sta__bpf_program *)object, map) < 0)
        thing = NULL;
    err = thing ? sta__map_object_put(map, key, object, thing, flags) : -EINVAL;
    sta__fds_put(object);
    return err;
}

long sta__element_update(const struct sta__command *command, struct sta__bpf_map *map,
                         const void *key, const void *value, uint64_t flags)
{
    uint32_t fd;

    if (!sta__element_is_thing(map->map))
        return sta_map_update(map->map, key, value, flags);
    memcpy(&fd, value, sizeof(fd));
    return update_thing(command, map, key, fd, flags);
}

long sta__element_delete(struct sta__bpf_map *map, const void *key)
{
    if (!sta__element_is_thing(map->map))
        return sta_map_delete(map->map, key);
    return sta__map_object_put(map, key, NULL, NULL, 0);
}
