/* SPDX-License-Identifier: MIT */
/* perf_event_open(2) for what programs need of it, and ioctl(2) on such events. What is none of
 * ours (counters, other processes, probes of other functions) the kernel answers. */
#include "bpfcall/perf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include <sta/map.h>

#include "base/gate.h"
#include "base/memory.h"
#include "bpfcall/hooks.h"
#include "maps/perf_ring.h"

#define ANY_PROCESS (-1)
/* With others the kernel is asked. */
#define KNOWN_FLAGS ((unsigned long)(PERF_FLAG_FD_CLOEXEC | PERF_FLAG_FD_NO_GROUP))

static void event_closed(struct sta__fd_object *object)
{
    sta__perf_clear_program((struct sta__perf_event *)object);
}

static void event_free(struct sta__fd_object *object)
{
    struct sta__perf_event *event = (struct sta__perf_event *)object;

    sta__perf_clear_program(event);
    sta__perf_ring_free(event->ring);
    if (object->poll_fd >= 0)
        STA__RAW1(SYS_close, object->poll_fd);
    free(event);
}

static const struct sta__fd_ops event_ops = {.closed = event_closed, .free = event_free};

/* Whether the event is one of this process: all that runs here. */
static bool is_of_this_process(int pid)
{
    return pid == ANY_PROCESS || pid == 0 || pid == (int)STA__RAW0(SYS_getpid);
}

/* 0; -ENOENT: the kernel's. */
static int fill_tracepoint(struct sta__perf_event *event, const struct perf_event_attr *attr)
{
    struct sta_tracepoint tracepoint;

    if (attr->config > INT32_MAX || sta_tracepoint_by_id((int)attr->config, &tracepoint) < 0)
        return -ENOENT;
    event->program_type = BPF_PROG_TYPE_TRACEPOINT;
    event->target = tracepoint.target;
    return 0;
}

static int fill_output(struct sta__perf_event *event, int pid, int cpu)
{
    int64_t fd;

    if (pid != ANY_PROCESS || cpu < 0)
        return -EINVAL;
    if ((unsigned)cpu >= sta_map_cpus())
        return -EINVAL;
    event->cpu = (uint32_t)cpu;
    fd = STA__RAW2(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
    event->object.poll_fd = fd < 0 ? -1 : sta__fds_move_own((int)fd);
    return fd < 0 ? (int)fd : 0;
}

static int fill_event(struct sta__perf_event *event, const struct perf_event_attr *attr, int pid,
                      int cpu)
{
    if (attr->type == PERF_TYPE_TRACEPOINT)
        return fill_tracepoint(event, attr);
    if (attr->type == PERF_TYPE_SOFTWARE)
        return fill_output(event, pid, cpu);
    if (!sta__perf_probe_target(attr, &event->target))
        return -ENOENT;
    event->program_type = BPF_PROG_TYPE_KPROBE;
    return 0;
}

/* The attributes that decide whose an event is. False: the kernel says what is wrong with them. */
static bool read_attr(struct perf_event_attr *attr, const void *from)
{
    uint32_t size;

    if (!sta__memory_read(&size, (const char *)from + offsetof(struct perf_event_attr, size),
                          sizeof(size)))
        return false;
    if (size == 0)
        size = PERF_ATTR_SIZE_VER0;
    if (size < PERF_ATTR_SIZE_VER0)
        return false;
    __builtin_memset(attr, 0, sizeof(*attr));
    return sta__memory_read(attr, from, size < sizeof(*attr) ? size : sizeof(*attr));
}

static long open_event(struct sta__bpf *bpf, const struct perf_event_attr *attr, int pid, int cpu,
                       unsigned long flags)
{
    struct sta__perf_event *event = calloc(1, sizeof(*event));
    long fd;

    if (!event)
        return -ENOMEM;
    event->object.kind = STA__FD_PERF;
    event->object.ops = &event_ops;
    event->object.poll_fd = -1;
    fd = fill_event(event, attr, pid, cpu);
    if (fd == 0)
        fd = sta__fds_new(bpf, &event->object, O_RDWR);
    if (fd < 0) {
        if (event->object.poll_fd >= 0)
            STA__RAW1(SYS_close, event->object.poll_fd);
        free(event);
        return fd == -ENOENT ? STA__NOT_OURS : fd;
    }
    if (!(flags & PERF_FLAG_FD_CLOEXEC))
        STA__RAW3(SYS_fcntl, fd, F_SETFD, 0);
    return fd;
}

long sta__hook_perf_event_open(struct sta__bpf *bpf, const unsigned long *args)
{
    int pid = (int)args[1], cpu = (int)args[2], group = (int)args[3];
    unsigned long flags = args[4];
    struct perf_event_attr attr;

    if (group != -1 || flags & ~KNOWN_FLAGS || !is_of_this_process(pid) ||
        !read_attr(&attr, (const void *)args[0]))
        return STA__NOT_OURS;
    if (attr.type == PERF_TYPE_SOFTWARE && attr.config != PERF_COUNT_SW_BPF_OUTPUT)
        return STA__NOT_OURS;
    return open_event(bpf, &attr, pid, cpu, flags);
}

static long set_program(struct sta__bpf *bpf, struct sta__perf_event *event, int fd)
{
    struct sta__fd_object *object;
    int err;

    object = sta__fds_get_kind(bpf, fd, STA__FD_PROGRAM, &err);
    if (!object)
        return err < 0 ? err : -EINVAL;
    err = sta__perf_set_program(event, STA__OBJECT_OF(sta__bpf_program, object), 0);
    sta__fds_put(object);
    return err;
}

static long give_id(const struct sta__perf_event *event, void *to)
{
    uint64_t id = event->object.id;

    return sta__memory_write(to, &id, sizeof(id)) ? 0 : -EFAULT;
}

/* Of what can be asked of a counter nothing is offered: these events count nothing. */
static long control(struct sta__bpf *bpf, struct sta__perf_event *event, unsigned cmd,
                    unsigned long arg)
{
    switch (cmd) {
    case (unsigned)PERF_EVENT_IOC_ENABLE:
    case (unsigned)PERF_EVENT_IOC_DISABLE:
    case (unsigned)PERF_EVENT_IOC_RESET:
    case (unsigned)PERF_EVENT_IOC_PAUSE_OUTPUT:
        return 0;
    case (unsigned)PERF_EVENT_IOC_ID:
        return give_id(event, (void *)arg);
    case (unsigned)PERF_EVENT_IOC_SET_BPF:
        return set_program(bpf, event, (int)arg);
    case (unsigned)PERF_EVENT_IOC_REFRESH:
    case (unsigned)PERF_EVENT_IOC_PERIOD:
    case (unsigned)PERF_EVENT_IOC_SET_OUTPUT:
    case (unsigned)PERF_EVENT_IOC_SET_FILTER:
    case (unsigned)PERF_EVENT_IOC_QUERY_BPF:
    case (unsigned)PERF_EVENT_IOC_MODIFY_ATTRIBUTES:
        return -EINVAL;
    default:
        return -ENOTTY;
    }
}

long sta__hook_ioctl(struct sta__bpf *bpf, const unsigned long *args)
{
    struct sta__fd_object *object;
    unsigned cmd = (unsigned)args[1];
    long result;

    if (_IOC_TYPE(cmd) != '$' || !sta__fds_any(bpf))
        return STA__NOT_OURS;
    object = sta__fds_get(bpf, (int)args[0]);
    if (!object)
        return STA__NOT_OURS;
    result = object->kind == STA__FD_PERF
                 ? control(bpf, (struct sta__perf_event *)object, cmd, args[2])
                 : -ENOTTY;
    sta__fds_put(object);
    return result;
}
