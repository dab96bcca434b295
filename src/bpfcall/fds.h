/* SPDX-License-Identifier: MIT */
/*
 * What file descriptors stand for: maps, programs, BTF, links, perf events.
 *
 * Each object has a memfd, and each descriptor that the application gets is a descriptor of it. So
 * it is a real one: it can be duplicated, inherited, sent, and mapped (a map's memfd is the map's
 * memory).
 *
 *      application's fds ──► open file description ─┐  each holds an OFD lock
 *      their duplicates, here and in children ──┘   ├──► memfd ◄── object->fd, no lock
 *      another fd of it (MAP_GET_FD_BY_ID, ..) ─────┘    (st_dev, st_ino)
 *
 * Which object a descriptor stands for is asked of the kernel (fstat(2)): dup(2), fork(2) and
 * SCM_RIGHTS need no bookkeeping. Whether any descriptor is left, in whatever process or on its way
 * through a socket, is asked of the kernel, too: each open file description that was given out
 * holds a lock (fcntl(2), F_OFD_SETLK) on the memfd, which goes with its last descriptor, as
 * objects go in the kernel. It is asked when a descriptor that stands for an object was closed
 * here; while somebody else has another, it is asked again at each later close(2) and bpf(2).
 *
 * Concurrency: everything here may be called from any thread, inside enter callbacks, and in a
 * child after fork, which has objects of its own then (and the very same maps). Not in signal
 * handlers that interrupted malloc.
 */
#ifndef STA_BPFCALL_FDS_H
#define STA_BPFCALL_FDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct sta__bpf;
struct sta__fd_object;

enum sta__fd_kind {
    STA__FD_MAP,
    STA__FD_PROGRAM,
    STA__FD_BTF,
    STA__FD_LINK,
    STA__FD_PERF,
    STA__FD_KINDS,
};

struct sta__fd_ops {
    /* The last descriptor is closed; others may refer to the object still. May be NULL. */
    void (*closed)(struct sta__fd_object *object);
    /* Nobody refers to it any more, unless it is a program that runs: what those may have come
     * across has to wait for them (base/after_grace.h), as maps and programs do. Gives back
     * everything but `fd`, which is closed behind it, and puts what it referred to. */
    void (*free)(struct sta__fd_object *object);
};

/* First in each kind's own struct, which is allocated with calloc. */
struct sta__fd_object {
    struct sta__bpf *bpf;
    const struct sta__fd_ops *ops;
    enum sta__fd_kind kind;
    uint32_t id;            /* as in the kernel: one sequence for each kind; maps: sta_map_info */
    int fd;                 /* our own descriptor of the memfd, closed by fds.c; also a map's */
    int poll_fd;            /* what epoll and poll are given in its place; -1: itself */
    _Atomic bool is_waited; /* in an epoll set that is to report levels: poll.c */
    /* Of fds.c, under its lock. */
    dev_t dev;
    ino_t ino;
    uint32_t refs;   /* by others, and one for all descriptors together */
    bool has_fds;    /* there are descriptors, for all we know */
    bool was_closed; /* one was closed: it is to be asked whether any is left */
    struct sta__fd_object *next;
};

/*
 * Makes an object known and opens its first descriptor, the lowest one that is free and
 * close-on-exec, with access `flags`: O_RDWR, O_RDONLY or O_WRONLY. The caller has filled in kind
 * and ops, `poll_fd` of maps and perf events, and for maps `id` and `fd`; for others an id is
 * chosen and a memfd is made. On error nothing is known of it and the caller frees it. -EMFILE and
 * others of memfd_create(2) and open(2).
 */
int sta__fds_new(struct sta__bpf *bpf, struct sta__fd_object *object, int flags);

/* Another descriptor of an object which the caller has got. */
int sta__fds_open(struct sta__fd_object *object, int flags);

/*
 * The object that a descriptor stands for, to be put back with sta__fds_put(); NULL: none of ours.
 * A map that another process made and that came here by SCM_RIGHTS or exec becomes known by this.
 */
struct sta__fd_object *sta__fds_get(struct sta__bpf *bpf, int fd);
/* The same for what is known already. */
struct sta__fd_object *sta__fds_get_known(struct sta__bpf *bpf, int fd);
/* The same, and if it is NULL *error says why: -EBADF (not open), -EINVAL (something else
 * altogether), or 0: it is an object of the kernel's. Of one kind: -EINVAL also for another kind.
 */
struct sta__fd_object *sta__fds_get_any(struct sta__bpf *bpf, int fd, int *error);
struct sta__fd_object *sta__fds_get_kind(struct sta__bpf *bpf, int fd, enum sta__fd_kind kind,
                                         int *error);

/* By id; NULL: there is none. And the lowest id above `id`; 0: there is none. */
struct sta__fd_object *sta__fds_get_id(struct sta__bpf *bpf, enum sta__fd_kind kind, uint32_t id);
uint32_t sta__fds_next_id(struct sta__bpf *bpf, enum sta__fd_kind kind, uint32_t id);

/* Visits all objects, under the lock: `visit` neither waits nor asks for memory. */
void sta__fds_each(struct sta__bpf *bpf,
                   void (*visit)(const struct sta__fd_object *object, void *data), void *data);

void sta__fds_hold(struct sta__fd_object *object);
/* NULL is allowed. May free the object, and with it those that it refers to; that may wait for
 * callbacks on other threads. */
void sta__fds_put(struct sta__fd_object *object);

/* Whether any object is there at all: no descriptor stands for one otherwise. Cheap. */
bool sta__fds_any(const struct sta__bpf *bpf);

/* After descriptors were closed: those of `object`, which the caller has got, or of any (NULL). */
void sta__fds_closed(struct sta__bpf *bpf, struct sta__fd_object *object);

/* Asks those again of which a descriptor was closed and another one was left. */
void sta__fds_ask_again(struct sta__bpf *bpf);

/* The lowest one of the library's own descriptors at or above `fd`; -1: there is none. The
 * application's close(2) of all that it did not open must pass them over. */
int sta__fds_own(struct sta__bpf *bpf, unsigned fd);
bool sta__fds_is_own(struct sta__bpf *bpf, int fd);
/* Moves such a one: the application takes its number by dup2(2). */
void sta__fds_make_room(struct sta__bpf *bpf, int fd);

/* For a map that came from elsewhere: fd, dev and ino are filled in. Makes it known, or returns the
 * one of this memfd that is known by now; got. */
struct sta__fd_object *sta__fds_note_adopted(struct sta__bpf *bpf, struct sta__fd_object *object);
/* Descriptors of an object that came from elsewhere keep it, too. */
void sta__fds_lock_foreign(int fd);
/* A description of the same memfd of its own, out of the application's way. */
int sta__fds_open_own(int fd);
/* Moves a descriptor there; where the limit does not allow that it stays. */
int sta__fds_move_own(int fd);

/* Frees all objects; descriptors that are open stand for nothing then. */
void sta__fds_clear(struct sta__bpf *bpf);

#endif
