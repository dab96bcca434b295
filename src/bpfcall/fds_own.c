/* SPDX-License-Identifier: MIT */
/* The library's own descriptors, which the application is to pass over. See fds.h. */
#include "base/gate.h"
#include "bpfcall/adopt.h"
#include "bpfcall/bpfcall.h"
#include "bpfcall/descriptor.h"

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
    int64_t moved = *own == fd ? sta__fd_copy_own(fd) : -1;

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
