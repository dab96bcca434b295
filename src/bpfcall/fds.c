/* SPDX-License-Identifier: MIT */
/* See fds.h. */
#include "bpfcall/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sta/map.h>

#include "base/gate.h"
#include "bpfcall/adopt.h"
#include "bpfcall/bpfcall.h"
#include "bpfcall/descriptor.h"

static struct sta__fd_object **bucket_of(struct sta__bpf *bpf, ino_t ino)
{
    return &bpf->buckets[ino % STA__FDS_BUCKETS];
}

static bool identify(int fd, struct stat *stat)
{
    return STA__RAW2(SYS_fstat, fd, stat) == 0;
}

static const char *const kind_names[STA__FD_KINDS] = {
    [STA__FD_MAP] = "bpf-map",   [STA__FD_PROGRAM] = "bpf-prog", [STA__FD_BTF] = "btf",
    [STA__FD_LINK] = "bpf-link", [STA__FD_PERF] = "perf-event",
};

static int make_memfd(struct sta__fd_object *object)
{
    char name[32];
    int64_t fd;

    snprintf(name, sizeof(name), "sta-%s", kind_names[object->kind]);
    fd = STA__RAW2(SYS_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return (int)fd;
    STA__RAW3(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    object->fd = (int)fd;
    return 0;
}

/* A map's memfd is the map's. */
static int prepare_own(struct sta__fd_object *object)
{
    struct stat stat;
    int err = object->kind == STA__FD_MAP ? 0 : make_memfd(object);

    if (err < 0)
        return err;
    object->fd = sta__fds_move_own(object->fd);
    if (object->kind == STA__FD_MAP)
        sta__adopt_set_fd(object);
    if (!identify(object->fd, &stat))
        return -EBADF;
    object->dev = stat.st_dev;
    object->ino = stat.st_ino;
    return 0;
}

/* Under the lock. The kernel's ids go up; those that are in use are passed over. */
static uint32_t choose_id(struct sta__bpf *bpf, enum sta__fd_kind kind)
{
    uint32_t id = bpf->last_id[kind] + 1;

    bpf->last_id[kind] = id ? id : 1;
    return bpf->last_id[kind];
}

/* Under the lock. In order at each store: a child that was forked here finds it or does not. */
static void insert(struct sta__bpf *bpf, struct sta__fd_object *object)
{
    struct sta__fd_object **bucket = bucket_of(bpf, object->ino);

    object->next = *bucket;
    *bucket = object;
    atomic_store_explicit(&bpf->dev, object->dev, memory_order_relaxed);
    atomic_fetch_add(&bpf->object_count, 1);
}

static void unlink_object(struct sta__bpf *bpf, struct sta__fd_object *object)
{
    struct sta__fd_object **at = bucket_of(bpf, object->ino);

    while (*at && *at != object)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = object->next;
    atomic_fetch_sub(&bpf->object_count, 1);
}

static void close_own(struct sta__fd_object *object)
{
    if (object->fd >= 0)
        STA__RAW1(SYS_close, object->fd);
    object->fd = -1;
}

/* Under the lock. */
static void note_own(struct sta__bpf *bpf, int fd)
{
    uint32_t min = atomic_load(&bpf->own_min);

    if (fd >= 0 && (min == 0 || (uint32_t)fd < min))
        atomic_store(&bpf->own_min, (uint32_t)fd);
}

/* Under the lock. */
static struct sta__fd_object *find(struct sta__bpf *bpf, const struct stat *stat)
{
    struct sta__fd_object *object = *bucket_of(bpf, stat->st_ino);

    while (object && (object->ino != stat->st_ino || object->dev != stat->st_dev))
        object = object->next;
    return object;
}

/* Under the lock. */
static void note(struct sta__bpf *bpf, struct sta__fd_object *object, uint32_t refs)
{
    if (object->kind != STA__FD_MAP)
        object->id = choose_id(bpf, object->kind);
    object->bpf = bpf;
    object->refs = refs;
    object->has_fds = true;
    note_own(bpf, object->fd);
    note_own(bpf, object->poll_fd);
    insert(bpf, object);
}

struct sta__fd_object *sta__fds_note_adopted(struct sta__bpf *bpf, struct sta__fd_object *object)
{
    const struct stat stat = {.st_dev = object->dev, .st_ino = object->ino};
    struct sta__lock_state saved;
    struct sta__fd_object *known;

    sta__lock(&bpf->lock, &saved);
    known = find(bpf, &stat);
    if (known)
        known->refs++;
    else
        note(bpf, object, 2); /* of the descriptors, and the caller's */
    sta__unlock(&bpf->lock, &saved);
    return known ? known : object;
}

int sta__fds_new(struct sta__bpf *bpf, struct sta__fd_object *object, int flags)
{
    struct sta__lock_state saved;
    int fd, err;

    if (object->kind != STA__FD_MAP && object->kind != STA__FD_PERF)
        object->poll_fd = -1;
    if (object->kind != STA__FD_MAP)
        object->fd = -1;
    err = prepare_own(object);
    if (err < 0) {
        close_own(object);
        return err;
    }
    fd = sta__fd_open(object->fd, flags);
    if (fd < 0) {
        close_own(object);
        return fd;
    }
    sta__lock(&bpf->lock, &saved);
    note(bpf, object, 1);
    sta__unlock(&bpf->lock, &saved);
    return fd;
}

/* Under the lock, so that nobody comes to the conclusion meanwhile that there is no descriptor. */
int sta__fds_open(struct sta__fd_object *object, int flags)
{
    struct sta__bpf *bpf = object->bpf;
    struct sta__lock_state saved;
    int fd;

    sta__lock(&bpf->lock, &saved);
    fd = sta__fd_open(object->fd, flags);
    if (fd >= 0 && !object->has_fds) {
        object->refs++;
        object->has_fds = true;
    }
    sta__unlock(&bpf->lock, &saved);
    return fd;
}

static struct sta__fd_object *get_known(struct sta__bpf *bpf, const struct stat *stat)
{
    struct sta__lock_state saved;
    struct sta__fd_object *object;

    sta__lock(&bpf->lock, &saved);
    object = find(bpf, stat);
    if (object)
        object->refs++;
    sta__unlock(&bpf->lock, &saved);
    return object;
}

/* Cheap, as it is asked of all that is closed or mapped: memfds are the files of one device. */
static bool may_be_ours(struct sta__bpf *bpf, const struct stat *stat)
{
    uint64_t dev = atomic_load_explicit(&bpf->dev, memory_order_relaxed);

    return S_ISREG(stat->st_mode) && (dev == 0 || stat->st_dev == dev);
}

struct sta__fd_object *sta__fds_get_known(struct sta__bpf *bpf, int fd)
{
    struct stat stat;

    if (fd < 0 || !identify(fd, &stat) || !may_be_ours(bpf, &stat))
        return NULL;
    return get_known(bpf, &stat);
}

struct sta__fd_object *sta__fds_get(struct sta__bpf *bpf, int fd)
{
    struct sta__fd_object *object;
    struct stat stat;

    if (fd < 0 || !identify(fd, &stat) || !may_be_ours(bpf, &stat))
        return NULL;
    object = get_known(bpf, &stat);
    if (object)
        return object;
    return sta__adopt_map(bpf, fd, &stat);
}

struct sta__fd_object *sta__fds_get_any(struct sta__bpf *bpf, int fd, int *error)
{
    struct sta__fd_object *object = sta__fds_get(bpf, fd);

    *error = object ? 0 : sta__fd_why_not_ours(fd);
    return object;
}

struct sta__fd_object *sta__fds_get_kind(struct sta__bpf *bpf, int fd, enum sta__fd_kind kind,
                                         int *error)
{
    struct sta__fd_object *object = sta__fds_get_any(bpf, fd, error);

    if (!object || object->kind == kind)
        return object;
    sta__fds_put(object);
    *error = -EINVAL;
    return NULL;
}

struct sta__fd_object *sta__fds_get_id(struct sta__bpf *bpf, enum sta__fd_kind kind, uint32_t id)
{
    struct sta__fd_object *object = NULL;
    struct sta__lock_state saved;

    sta__lock(&bpf->lock, &saved);
    for (uint32_t i = 0; i < STA__FDS_BUCKETS && !object; i++) {
        object = bpf->buckets[i];
        while (object && (object->kind != kind || object->id != id))
            object = object->next;
    }
    if (object)
        object->refs++;
    sta__unlock(&bpf->lock, &saved);
    return object;
}

void sta__fds_each(struct sta__bpf *bpf,
                   void (*visit)(const struct sta__fd_object *object, void *data), void *data)
{
    struct sta__lock_state saved;

    sta__lock(&bpf->lock, &saved);
    for (uint32_t i = 0; i < STA__FDS_BUCKETS; i++) {
        for (struct sta__fd_object *object = bpf->buckets[i]; object; object = object->next)
            visit(object, data);
    }
    sta__unlock(&bpf->lock, &saved);
}

uint32_t sta__fds_next_id(struct sta__bpf *bpf, enum sta__fd_kind kind, uint32_t id)
{
    struct sta__lock_state saved;
    uint32_t next = 0;

    sta__lock(&bpf->lock, &saved);
    for (uint32_t i = 0; i < STA__FDS_BUCKETS; i++) {
        for (struct sta__fd_object *object = bpf->buckets[i]; object; object = object->next) {
            if (object->kind == kind && object->id > id && (next == 0 || object->id < next))
                next = object->id;
        }
    }
    sta__unlock(&bpf->lock, &saved);
    return next;
}

void sta__fds_hold(struct sta__fd_object *object)
{
    struct sta__lock_state saved;

    sta__lock(&object->bpf->lock, &saved);
    object->refs++;
    sta__unlock(&object->bpf->lock, &saved);
}

static void free_object(struct sta__fd_object *object)
{
    int fd = object->fd;

    object->ops->free(object);
    if (fd >= 0)
        STA__RAW1(SYS_close, fd);
}

void sta__fds_put(struct sta__fd_object *object)
{
    struct sta__lock_state saved;
    struct sta__bpf *bpf;
    bool is_last;

    if (!object)
        return;
    bpf = object->bpf;
    sta__lock(&bpf->lock, &saved);
    is_last = --object->refs == 0;
    if (is_last)
        unlink_object(bpf, object);
    sta__unlock(&bpf->lock, &saved);
    if (is_last)
        free_object(object);
}

bool sta__fds_any(const struct sta__bpf *bpf)
{
    return atomic_load_explicit(&bpf->object_count, memory_order_relaxed) != 0;
}

/* Objects keep each other: those that no descriptor keeps any more pull the rest along. */
void sta__fds_clear(struct sta__bpf *bpf)
{
    for (uint32_t i = 0; i < STA__FDS_BUCKETS; i++) {
        struct sta__fd_object *object = bpf->buckets[i];

        while (object && !object->has_fds)
            object = object->next;
        if (!object)
            continue;
        object->refs++;
        object->has_fds = false;
        if (object->ops->closed)
            object->ops->closed(object);
        sta__fds_put(object);
        sta__fds_put(object);
        i--; /* the list has changed: again */
    }
}
