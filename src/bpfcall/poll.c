/* SPDX-License-Identifier: MIT */
/*
 * Waiting for records: epoll_ctl(2), poll(2), ppoll(2), select(2) and pselect(2) of rings.
 *
 * A ring's descriptor is one of a memfd, of which the kernel says that it is always ready. What is
 * waited for in its place is an eventfd (object->poll_fd) that producers write to. Nobody reads it:
 * consumers look at the ring alone. So epoll is told to report edges (EPOLLET), each write being
 * one, and whoever waits for a ring that has records left writes once more, as long as it was not
 * edges that the application asked for. Before somebody polls, the eventfd is made to say what the
 * ring does.
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>

#include "base/gate.h"
#include "base/memory.h"
#include "bpfcall/hooks.h"
#include "bpfcall/perf.h"
#include "maps/map.h"
#include "maps/perf_ring.h"
#include "maps/ring.h"

#define POLL_MAX 256 /* descriptors; more than that the kernel is asked for as they are */
/* A hook is not to last: other threads may wait for the callbacks to end. */
#define WAIT_MAX_MS 20

/* Whether there are records; -1: nobody can wait for any. */
static int has_records(const struct sta__fd_object *object)
{
    struct sta__perf_ring *ring;
    struct sta_map *map;

    if (object->poll_fd < 0)
        return -1;
    if (object->kind == STA__FD_MAP) {
        map = ((const struct sta__bpf_map *)object)->map;
        return map->type == BPF_MAP_TYPE_RINGBUF && sta__ring_query(map, BPF_RB_AVAIL_DATA) != 0;
    }
    ring = atomic_load(&((const struct sta__perf_event *)object)->ring);
    return ring && __atomic_load_n(&ring->page->data_head, __ATOMIC_ACQUIRE) !=
                       __atomic_load_n(&ring->page->data_tail, __ATOMIC_RELAXED);
}

static void set_ready(const struct sta__fd_object *object)
{
    const uint64_t one = 1;

    STA__RAW3(SYS_write, object->poll_fd, &one, sizeof(one));
}

/* Makes the eventfd say what the ring does. A record that comes in between is seen at the second
 * look, or its producer writes after the read. */
static void make_current(const struct sta__fd_object *object)
{
    uint64_t count;

    if (has_records(object) == 0)
        STA__RAW3(SYS_read, object->poll_fd, &count, sizeof(count));
    if (has_records(object) == 1)
        set_ready(object);
}

/* The object to be waited for, which the caller puts; NULL: the kernel knows the descriptor. */
static struct sta__fd_object *get_pollable(struct sta__bpf *bpf, int fd)
{
    struct sta__fd_object *object = fd < 0 ? NULL : sta__fds_get(bpf, fd);

    if (object && object->poll_fd >= 0)
        return object;
    sta__fds_put(object);
    return NULL;
}

long sta__hook_epoll_ctl(struct sta__bpf *bpf, const unsigned long *args)
{
    struct sta__fd_object *object;
    struct epoll_event event;
    int op = (int)args[1];
    long result;

    if (!sta__fds_any(bpf))
        return STA__NOT_OURS;
    object = get_pollable(bpf, (int)args[2]);
    if (!object)
        return STA__NOT_OURS;
    result = -EFAULT;
    if (op == EPOLL_CTL_DEL) {
        result = STA__RAW4(SYS_epoll_ctl, args[0], op, object->poll_fd, 0);
    } else if (sta__memory_read(&event, (const void *)args[3], sizeof(event))) {
        atomic_store_explicit(&object->is_waited, !(event.events & EPOLLET), memory_order_relaxed);
        atomic_store_explicit(&bpf->has_waited, true, memory_order_relaxed);
        event.events |= EPOLLET;
        make_current(object);
        result = STA__RAW4(SYS_epoll_ctl, args[0], op, object->poll_fd, &event);
    }
    sta__fds_put(object);
    return result;
}

static void report_records(const struct sta__fd_object *object, void *data)
{
    (void)data;
    if (atomic_load_explicit(&object->is_waited, memory_order_relaxed) && has_records(object) == 1)
        set_ready(object);
}

/* The kernel waits. */
long sta__hook_epoll_wait(struct sta__bpf *bpf, const unsigned long *args)
{
    (void)args;
    if (atomic_load_explicit(&bpf->has_waited, memory_order_relaxed))
        sta__fds_each(bpf, report_records, NULL);
    return STA__NOT_OURS;
}

/* Puts the eventfds in the places of rings. Returns how many there are. */
static unsigned replace(struct sta__bpf *bpf, const struct pollfd *fds, struct pollfd *replaced,
                        unsigned count)
{
    unsigned ours = 0;

    for (unsigned i = 0; i < count; i++) {
        struct sta__fd_object *object = get_pollable(bpf, fds[i].fd);

        replaced[i] = fds[i];
        if (!object)
            continue;
        make_current(object);
        replaced[i].fd = object->poll_fd;
        sta__fds_put(object);
        ours++;
    }
    return ours;
}

/* Waits, for a moment at most; if that was too short, as if by a signal. */
static long wait(const struct pollfd *fds, unsigned count, const struct timespec *timeout,
                 const void *mask, size_t mask_size)
{
    struct timespec moment = {.tv_nsec = WAIT_MAX_MS * 1000000};
    bool is_short = timeout && timeout->tv_sec == 0 && timeout->tv_nsec <= moment.tv_nsec;
    int64_t ready;

    if (is_short)
        moment = *timeout;
    ready = sta__raw_syscall(SYS_ppoll, (int64_t)fds, count, (int64_t)&moment, (int64_t)mask,
                             (int64_t)mask_size, 0);
    return ready == 0 && !is_short ? -EINTR : (long)ready;
}

/* On the stack, and not from malloc, which a signal handler that polls may have interrupted. */
static long poll_for(struct sta__bpf *bpf, struct pollfd *app_fds, unsigned count,
                     const struct timespec *timeout, const void *mask, size_t mask_size)
{
    struct pollfd fds[POLL_MAX], replaced[POLL_MAX];
    long result;

    if (count == 0 || count > POLL_MAX || !sta__fds_any(bpf) ||
        !sta__memory_read(fds, app_fds, count * sizeof(*fds)) ||
        replace(bpf, fds, replaced, count) == 0)
        return STA__NOT_OURS;
    result = wait(replaced, count, timeout, mask, mask_size);
    for (unsigned i = 0; i < count && result >= 0; i++)
        app_fds[i].revents = replaced[i].revents;
    return result;
}

long sta__hook_poll(struct sta__bpf *bpf, const unsigned long *args)
{
    int timeout_ms = (int)args[2];
    const struct timespec timeout = {.tv_sec = timeout_ms / 1000,
                                     .tv_nsec = timeout_ms % 1000 * 1000000L};

    return poll_for(bpf, (struct pollfd *)args[0], (unsigned)args[1],
                    timeout_ms < 0 ? NULL : &timeout, NULL, 0);
}

long sta__hook_ppoll(struct sta__bpf *bpf, const unsigned long *args)
{
    struct timespec timeout = {0};

    if (args[2] && !sta__memory_read(&timeout, (const void *)args[2], sizeof(timeout)))
        return -EFAULT;
    return poll_for(bpf, (struct pollfd *)args[0], (unsigned)args[1], args[2] ? &timeout : NULL,
                    (const void *)args[3], args[4]);
}

#define WORD_BITS 64
#define SET_WORDS (FD_SETSIZE / WORD_BITS)

/* What a set of select(2) asks for, and which answers are for it. */
static const struct {
    short events, answers;
} set_kinds[] = {
    {POLLIN, POLLIN | POLLHUP | POLLERR},
    {POLLOUT, POLLOUT | POLLERR},
    {POLLPRI, POLLPRI},
};

#define SETS (sizeof(set_kinds) / sizeof(set_kinds[0]))

struct selecting {
    unsigned long *app_sets[SETS]; /* may be NULL */
    uint64_t sets[SETS][SET_WORDS];
    unsigned limit; /* descriptors below this */
    struct pollfd fds[POLL_MAX], replaced[POLL_MAX];
    unsigned count;
};

static bool has(const struct selecting *selecting, size_t set, unsigned fd)
{
    return selecting->app_sets[set] && selecting->sets[set][fd / WORD_BITS] >> fd % WORD_BITS & 1;
}

/* False: the kernel says what is wrong, or there is too much. */
static bool read_sets(struct selecting *selecting)
{
    size_t size = (selecting->limit + WORD_BITS - 1) / WORD_BITS * sizeof(uint64_t);

    for (size_t set = 0; set < SETS; set++) {
        if (selecting->app_sets[set] &&
            !sta__memory_read(selecting->sets[set], selecting->app_sets[set], size))
            return false;
    }
    for (unsigned fd = 0; fd < selecting->limit; fd++) {
        struct pollfd one = {.fd = (int)fd};

        for (size_t set = 0; set < SETS; set++)
            one.events |= has(selecting, set, fd) ? set_kinds[set].events : 0;
        if (!one.events)
            continue;
        if (selecting->count == POLL_MAX)
            return false;
        selecting->fds[selecting->count++] = one;
    }
    return true;
}

/* How many bits there are in the sets afterwards. */
static long write_sets(struct selecting *selecting)
{
    long bits = 0;

    for (unsigned i = 0; i < selecting->count; i++) {
        unsigned fd = (unsigned)selecting->fds[i].fd;

        if (selecting->replaced[i].revents & POLLNVAL)
            return -EBADF;
        for (size_t set = 0; set < SETS; set++) {
            if (!has(selecting, set, fd))
                continue;
            if (selecting->replaced[i].revents & set_kinds[set].answers)
                bits++;
            else
                selecting->sets[set][fd / WORD_BITS] &= ~(UINT64_C(1) << fd % WORD_BITS);
        }
    }
    for (size_t set = 0; set < SETS; set++) {
        if (selecting->app_sets[set] &&
            !sta__memory_write(selecting->app_sets[set], selecting->sets[set],
                               (selecting->limit + WORD_BITS - 1) / WORD_BITS * sizeof(uint64_t)))
            return -EFAULT;
    }
    return bits;
}

static long select_for(struct sta__bpf *bpf, const unsigned long *args,
                       const struct timespec *timeout, const void *mask, size_t mask_size)
{
    struct selecting selecting;
    long result;

    if ((int)args[0] <= 0 || (int)args[0] > FD_SETSIZE || !sta__fds_any(bpf))
        return STA__NOT_OURS;
    selecting.limit = (unsigned)args[0];
    selecting.count = 0;
    for (size_t set = 0; set < SETS; set++)
        selecting.app_sets[set] = (unsigned long *)args[1 + set];
    if (!read_sets(&selecting) ||
        replace(bpf, selecting.fds, selecting.replaced, selecting.count) == 0)
        return STA__NOT_OURS;
    result = wait(selecting.replaced, selecting.count, timeout, mask, mask_size);
    return result < 0 ? result : write_sets(&selecting);
}

long sta__hook_select(struct sta__bpf *bpf, const unsigned long *args)
{
    struct timeval given = {0};
    struct timespec timeout;

    if (args[4] && !sta__memory_read(&given, (const void *)args[4], sizeof(given)))
        return STA__NOT_OURS;
    if (given.tv_sec < 0 || given.tv_usec < 0)
        return STA__NOT_OURS;
    timeout.tv_sec = given.tv_sec + given.tv_usec / 1000000;
    timeout.tv_nsec = given.tv_usec % 1000000 * 1000;
    return select_for(bpf, args, args[4] ? &timeout : NULL, NULL, 0);
}

long sta__hook_pselect6(struct sta__bpf *bpf, const unsigned long *args)
{
    struct timespec timeout = {0};
    struct {
        const void *mask;
        size_t size;
    } mask = {NULL, 0};

    if ((args[4] && !sta__memory_read(&timeout, (const void *)args[4], sizeof(timeout))) ||
        (args[5] && !sta__memory_read(&mask, (const void *)args[5], sizeof(mask))))
        return STA__NOT_OURS;
    return select_for(bpf, args, args[4] ? &timeout : NULL, mask.mask, mask.size);
}
