/* SPDX-License-Identifier: MIT */
/* See map_object.h and adopt.h. */
#include "bpfcall/map_object.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include <sta/map.h>

#include "base/gate.h"
#include "bpfcall/adopt.h"
#include "maps/map.h"
#include "maps/object_array.h"
#include "maps/objects.h"
#include "maps/shared.h"

static struct sta__bpf_map *map_of(struct sta__fd_object *object)
{
    return (struct sta__bpf_map *)object;
}

static struct sta__bpf_held *find_held(const struct sta__bpf_map *map, const void *thing)
{
    struct sta__bpf_held *held = map->held;

    while (held && held->thing != thing)
        held = held->next;
    return held;
}

/* Under the lock. `spare` is taken if it is needed. */
static void add_held(struct sta__bpf_map *map, struct sta__fd_object *object, void *thing,
                     struct sta__bpf_held **spare)
{
    struct sta__bpf_held *held = find_held(map, thing);

    if (!held) {
        held = *spare;
        *spare = NULL;
        held->object = object;
        held->thing = thing;
        held->next = map->held;
        map->held = held;
    }
    held->count++;
}

/* Under the lock: the object that an element no longer stands for; NULL: it was put by others. */
static struct sta__fd_object *drop_held(struct sta__bpf_map *map, const void *thing)
{
    struct sta__bpf_held *held = find_held(map, thing);

    if (!held || held->count == 0)
        return NULL;
    held->count--;
    return held->object;
}

int sta__map_object_put(struct sta__bpf_map *map, const void *key, struct sta__fd_object *object,
                        void *thing, uint64_t flags)
{
    struct sta__bpf_held *spare = calloc(1, sizeof(*spare));
    struct sta__fd_object *old = NULL;
    struct sta__lock_state saved;
    void *old_thing;
    int err;

    if (!spare)
        return -ENOMEM;
    if (object)
        sta__fds_hold(object);
    sta__lock(&map->object.bpf->lock, &saved);
    old_thing = sta__objects_get(map->map, key);
    err = object ? sta__objects_set(map->map, key, thing, flags) : sta_map_delete(map->map, key);
    if (err == 0 && old_thing)
        old = drop_held(map, old_thing);
    if (err == 0 && object)
        add_held(map, object, thing, &spare);
    sta__unlock(&map->object.bpf->lock, &saved);
    free(spare);
    if (err < 0)
        sta__fds_put(object);
    sta__fds_put(old);
    return err;
}

/* Also of a map that hosts may not change. */
static void take_out(struct sta__bpf_map *map, uint32_t index)
{
    struct sta__fd_object *old = NULL;
    struct sta__lock_state saved;
    void *thing;

    sta__lock(&map->object.bpf->lock, &saved);
    thing = sta__objects_get(map->map, &index);
    if (thing && map->map->ops->remove(map->map, &index) == 0)
        old = drop_held(map, thing);
    sta__unlock(&map->object.bpf->lock, &saved);
    sta__fds_put(old);
}

void sta__map_object_clear(struct sta__bpf_map *map)
{
    for (uint32_t i = 0; map->held && i < map->map->max_entries; i++) {
        if (sta__objects_get(map->map, &i))
            take_out(map, i);
    }
}

/* As in the kernel: no program keeps itself by an array that nobody can change any more, and perf
 * events are there while their array is open. */
static void on_closed(struct sta__fd_object *object)
{
    const struct sta_map *map = map_of(object)->map;

    if (map->type == BPF_MAP_TYPE_PROG_ARRAY ||
        (map->type == BPF_MAP_TYPE_PERF_EVENT_ARRAY && !(map->flags & BPF_F_PRESERVE_ELEMS)))
        sta__map_object_clear(map_of(object));
}

static void on_free(struct sta__fd_object *object)
{
    struct sta__bpf_map *map = map_of(object);

    while (map->held) {
        struct sta__bpf_held *held = map->held;

        map->held = held->next;
        for (; held->count; held->count--)
            sta__fds_put(held->object);
        free(held);
    }
    if (map->btf)
        sta__fds_put(&map->btf->object);
    if (object->poll_fd >= 0)
        STA__RAW1(SYS_close, object->poll_fd);
    map->map->fd = -1; /* it is the object's: see sta__fds_own() */
    sta_map_close(map->map);
    free(map);
}

const struct sta__fd_ops sta__map_object_ops = {.closed = on_closed, .free = on_free};

void sta__adopt_set_fd(struct sta__fd_object *object)
{
    struct sta_map *map = map_of(object)->map;

    map->fd = object->fd;
    if (map->type == BPF_MAP_TYPE_RINGBUF)
        map->ring.wake_fd = object->poll_fd;
}

struct sta__bpf_map *sta__map_object_make(struct sta_map *map)
{
    struct sta__bpf_map *made = calloc(1, sizeof(*made));

    if (!made)
        return NULL;
    made->map = map;
    made->object.kind = STA__FD_MAP;
    made->object.ops = &sta__map_object_ops;
    made->object.id = map->head->attributes.id;
    made->object.fd = map->fd;
    made->object.poll_fd = -1;
    return made;
}

void sta__map_object_drop(struct sta__bpf_map *map)
{
    if (map->object.fd >= 0)
        STA__RAW1(SYS_close, map->object.fd);
    on_free(&map->object);
}

/* Consumers sleep on it; forked children inherit it, so it has to be there from the start. */
int sta__map_object_add_eventfd(struct sta__bpf_map *map)
{
    int64_t fd;

    if (map->map->type != BPF_MAP_TYPE_RINGBUF)
        return 0;
    fd = STA__RAW2(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return (int)fd;
    map->object.poll_fd = sta__fds_move_own((int)fd);
    sta__adopt_set_fd(&map->object);
    return 0;
}

static bool looks_like_map(int fd)
{
    uint64_t magic = 0;

    return STA__RAW2(SYS_fcntl, fd, F_GET_SEALS) > 0 &&
           STA__RAW4(SYS_pread64, fd, &magic, sizeof(magic), 0) == (int64_t)sizeof(magic) &&
           magic == STA__MAP_MAGIC;
}

static struct sta_map *open_map(struct sta__bpf *bpf, int fd)
{
    const struct sta_map_options options = {
        .size = sizeof(options), .log = bpf->log.fn, .log_data = bpf->log.data};
    int own = sta__fds_open_own(fd);
    struct sta_map *map = NULL;

    if (own < 0)
        return NULL;
    if (sta_map_open_fd(&map, own, &options) < 0)
        map = NULL;
    STA__RAW1(SYS_close, own);
    return map;
}

static bool is_still(int fd, const struct stat *wanted)
{
    struct stat stat;

    return STA__RAW2(SYS_fstat, fd, &stat) == 0 && stat.st_dev == wanted->st_dev &&
           stat.st_ino == wanted->st_ino;
}

struct sta__fd_object *sta__adopt_map(struct sta__bpf *bpf, int fd, const struct stat *stat)
{
    struct sta__fd_object *known;
    struct sta__bpf_map *made;
    struct sta_map *map;

    if (!looks_like_map(fd))
        return NULL;
    map = open_map(bpf, fd);
    made = map ? sta__map_object_make(map) : NULL;
    if (!made || sta__map_object_add_eventfd(made) < 0) {
        made ? sta__map_object_drop(made) : sta_map_close(map);
        return NULL;
    }
    made->object.fd = sta__fds_move_own(map->fd);
    sta__adopt_set_fd(&made->object);
    made->object.dev = stat->st_dev;
    made->object.ino = stat->st_ino;
    sta__fds_lock_foreign(fd);
    /* The number may be another file's by now, and another thread may have come here, too. */
    known = is_still(made->object.fd, stat) ? sta__fds_note_adopted(bpf, &made->object) : NULL;
    if (known != &made->object)
        sta__map_object_drop(made);
    return known;
}
