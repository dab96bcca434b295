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

/* Our own descriptors are where the application does not look for the lowest free one. */
#define OWN_FD_MIN 512

static struct sta__fd_object **bucket_of(struct sta__bpf *bpf, ino_t ino)
{
    return &bpf->buckets[ino % STA__FDS_BUCKETS];
}

static bool identify(int fd, struct stat *stat)
{
    return STA__RAW2(SYS_fstat, fd, stat) == 0;
}

/* Locks. A description that may read shares the first byte; one that may not, and cannot have a
 * shared lock, has a byte of its own. */
static int lock_description(int fd, int flags)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
    int64_t err;

    if ((flags & O_ACCMODE) == O_WRONLY)
        lock.l_type = F_WRLCK;
    do {
        lock.l_start += lock.l_type == F_WRLCK;
        lock.l_pid = 0; /* as the kernel wants it */
        err = STA__RAW3(SYS_fcntl, fd, F_OFD_SETLK, &lock);
    } while (err == -EAGAIN);
    return (int)err;
}

/* Whether a description that was given out is there yet, anywhere. */
static bool is_open_somewhere(const struct sta__fd_object *object)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return STA__RAW3(SYS_fcntl, object->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* A description of its own. Not through /proc/self: the thread may have left its process's table.
 */
static int open_description(int own_fd, int flags)
{
    char path[64];
    int64_t fd;
    int err;

    snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", own_fd);
    fd = STA__RAW4(SYS_openat, AT_FDCWD, path, (flags & O_ACCMODE) | O_CLOEXEC, 0);
    if (fd < 0)
        return (int)fd;
    err = lock_description((int)fd, flags);
    if (err < 0) {
        STA__RAW1(SYS_close, fd);
        return err;
    }
    return (int)fd;
}

int sta__fds_move_own(int fd)
{
    int64_t moved = STA__RAW3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, OWN_FD_MIN);

    if (moved < 0)
        return fd;
    STA__RAW1(SYS_close, fd);
    return (int)moved;
}

int sta__fds_open_own(int fd)
{
    char path[64];
    int64_t own;

    snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", fd);
    own = STA__RAW4(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    return own < 0 ? (int)own : sta__fds_move_own((int)own);
}

void sta__fds_lock_foreign(int fd)
{
    int64_t flags = STA__RAW2(SYS_fcntl, fd, F_GETFL);

    if (flags >= 0)
        lock_description(fd, (int)flags);
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

    if (min == 0 || (uint32_t)fd < min)
        atomic_store(&bpf->own_min, (uint32_t)fd);
}

void sta__fds_note(struct sta__bpf *bpf, struct sta__fd_object *object, uint32_t refs)
{
    struct sta__lock_state saved;

    sta__lock(&bpf->lock, &saved);
    if (object->kind != STA__FD_MAP)
        object->id = choose_id(bpf, object->kind);
    object->bpf = bpf;
    object->refs = refs;
    object->has_fds = true;
    note_own(bpf, object->fd);
    insert(bpf, object);
    sta__unlock(&bpf->lock, &saved);
}

int sta__fds_new(struct sta__bpf *bpf, struct sta__fd_object *object, int flags)
{
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
    fd = open_description(object->fd, flags);
    if (fd < 0) {
        close_own(object);
        return fd;
    }
    sta__fds_note(bpf, object, 1);
    return fd;
}

/* Under the lock, so that nobody comes to the conclusion meanwhile that there is no descriptor. */
int sta__fds_open(struct sta__fd_object *object, int flags)
{
    struct sta__bpf *bpf = object->bpf;
    struct sta__lock_state saved;
    int fd;

    sta__lock(&bpf->lock, &saved);
    fd = open_description(object->fd, flags);
    if (fd >= 0 && !object->has_fds) {
        object->refs++;
        object->has_fds = true;
    }
    sta__unlock(&bpf->lock, &saved);
    return fd;
}

/* Under the lock. */
static struct sta__fd_object *find(struct sta__bpf *bpf, const struct stat *stat)
{
    struct sta__fd_object *object = *bucket_of(bpf, stat->st_ino);

    while (object && (object->ino != stat->st_ino || object->dev != stat->st_dev))
        object = object->next;
    return object;
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

/* Whether the kernel itself has an object behind a descriptor, by what /proc shows of it. */
static int why_not_ours(int fd)
{
    static const char *const kernels[] = {"anon_inode:bpf", "anon_inode:btf",
                                          "anon_inode:[perf_event]"};
    char path[64], target[64];
    int64_t size;

    if (STA__RAW2(SYS_fcntl, fd, F_GETFD) == -EBADF)
        return -EBADF;
    snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", fd);
    size = STA__RAW4(SYS_readlinkat, AT_FDCWD, path, target, sizeof(target));
    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
        int64_t length = (int64_t)strlen(kernels[i]);

        if (size >= length && memcmp(target, kernels[i], (size_t)length) == 0)
            return 0;
    }
    return size < 0 ? 0 : -EINVAL;
}

struct sta__fd_object *sta__fds_get_any(struct sta__bpf *bpf, int fd, int *error)
{
    struct sta__fd_object *object = sta__fds_get(bpf, fd);

    *error = object ? 0 : why_not_ours(fd);
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

/* Asks of one object whether a descriptor is left. The caller has got it. */
static void ask(struct sta__bpf *bpf, struct sta__fd_object *object)
{
    struct sta__lock_state saved;
    bool is_gone = false;

    sta__lock(&bpf->lock, &saved);
    if (object->has_fds && !is_open_somewhere(object)) {
        is_gone = true;
        object->has_fds = false;
    } else if (object->has_fds) {
        object->was_closed = true;
        atomic_store(&bpf->has_closed, true);
    }
    sta__unlock(&bpf->lock, &saved);
    if (!is_gone)
        return;
    if (object->ops->closed)
        object->ops->closed(object);
    sta__fds_put(object); /* that of all descriptors */
}

/* The next one to be asked, got; in no order. */
static struct sta__fd_object *next_closed(struct sta__bpf *bpf)
{
    struct sta__lock_state saved;
    struct sta__fd_object *found = NULL;

    sta__lock(&bpf->lock, &saved);
    for (uint32_t i = 0; i < STA__FDS_BUCKETS && !found; i++) {
        found = bpf->buckets[i];
        while (found && !found->was_closed)
            found = found->next;
    }
    if (found) {
        found->was_closed = false;
        found->refs++;
    }
    sta__unlock(&bpf->lock, &saved);
    return found;
}

/* Each one once: those that are open elsewhere are marked again, for the next time. */
static void ask_marked(struct sta__bpf *bpf)
{
    uint32_t count = 0, room = atomic_load(&bpf->object_count);
    struct sta__fd_object **marked;

    if (!atomic_exchange(&bpf->has_closed, false))
        return;
    marked = calloc(room + 1, sizeof(*marked));
    while (marked && count < room && (marked[count] = next_closed(bpf)))
        count++;
    if (count == room)
        atomic_store(&bpf->has_closed, true);
    while (count > 0) {
        ask(bpf, marked[--count]);
        sta__fds_put(marked[count]);
    }
    free(marked);
}

static void mark_all(struct sta__bpf *bpf)
{
    struct sta__lock_state saved;

    sta__lock(&bpf->lock, &saved);
    for (uint32_t i = 0; i < STA__FDS_BUCKETS; i++) {
        for (struct sta__fd_object *object = bpf->buckets[i]; object; object = object->next)
            object->was_closed = true;
    }
    atomic_store(&bpf->has_closed, true);
    sta__unlock(&bpf->lock, &saved);
}

void sta__fds_closed(struct sta__bpf *bpf, struct sta__fd_object *object)
{
    if (object)
        ask(bpf, object);
    else
        mark_all(bpf);
    sta__fds_ask_again(bpf);
}

void sta__fds_ask_again(struct sta__bpf *bpf)
{
    if (atomic_load_explicit(&bpf->has_closed, memory_order_relaxed))
        ask_marked(bpf);
}

static void nearest(int own, unsigned fd, unsigned *next)
{
    if (own >= 0 && (unsigned)own >= fd && (unsigned)own < *next)
        *next = (unsigned)own;
}

int sta__fds_own(struct sta__bpf *bpf, unsigned fd)
{
    struct sta__lock_state saved;
    unsigned next = UINT32_MAX;

    sta__lock(&bpf->lock, &saved);
    for (uint32_t i = 0; i < STA__FDS_BUCKETS; i++) {
        for (struct sta__fd_object *object = bpf->buckets[i]; object; object = object->next) {
            nearest(object->fd, fd, &next);
            nearest(object->poll_fd, fd, &next);
        }
    }
    sta__unlock(&bpf->lock, &saved);
    return next == UINT32_MAX ? -1 : (int)next;
}

bool sta__fds_is_own(struct sta__bpf *bpf, int fd)
{
    return fd >= 0 && (unsigned)fd >= atomic_load(&bpf->own_min) &&
           sta__fds_own(bpf, (unsigned)fd) == fd;
}

static void move_away(int *own, int fd)
{
    int64_t moved = *own == fd ? STA__RAW3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, OWN_FD_MIN) : -1;

    if (moved >= 0)
        *own = (int)moved;
}

void sta__fds_make_room(struct sta__bpf *bpf, int fd)
{
    struct sta__lock_state saved;

    sta__lock(&bpf->lock, &saved);
    for (uint32_t i = 0; i < STA__FDS_BUCKETS; i++) {
        for (struct sta__fd_object *object = bpf->buckets[i]; object; object = object->next) {
            move_away(&object->fd, fd);
            move_away(&object->poll_fd, fd);
            if (object->kind == STA__FD_MAP)
                sta__adopt_set_fd(object);
        }
    }
    sta__unlock(&bpf->lock, &saved);
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
