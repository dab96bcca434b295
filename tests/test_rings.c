/* SPDX-License-Identifier: MIT */
/* What hosts do with rings, beside the kernel's: mmap(2), epoll(7), perf_event_open(2), ioctl(2).
 */
#include "core.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>

#include "bpf_worlds.h"
#include "bpfcall/hooks.h"
#include "vm/build.h"

#define PAGE 4096

/* Any system call: 0 or more, or -errno. */
static long raw_call(struct world *w, long nr, unsigned long a, unsigned long b, unsigned long c,
                     unsigned long d, unsigned long e, unsigned long f)
{
    const unsigned long args[] = {a, b, c, d, e, f};
    long result = STA__NOT_OURS;

    if (w->bpf)
        result = sta__bpf_answer(w->bpf, nr, args);
    if (result != STA__NOT_OURS)
        return result;
    result = syscall(nr, a, b, c, d, e, f);
    return result < 0 ? -errno : result;
}

static bool is_error(long result)
{
    return result < 0 && result > -PAGE;
}

/* The address, or NULL; noted is the error. */
static char *map_noted(struct world *w, int fd, long offset, size_t length, int prot, int flags)
{
    long result = raw_call(w, SYS_mmap, 0, length, (unsigned long)prot, (unsigned long)flags,
                           (unsigned long)fd, (unsigned long)offset);

    NOTE(w, is_error(result) ? result : 0);
    return is_error(result) ? NULL : (char *)result;
}

static void map_and_forget(struct world *w, int fd, long offset, size_t length, int prot, int flags)
{
    char *at = map_noted(w, fd, offset, length, prot, flags);

    if (at)
        munmap(at, length);
}

SCENARIO(rings_are_mapped_where_the_kernel_maps_them)
{
    static const long offsets[] = {0, PAGE, 2 * PAGE, 5 * PAGE, 6 * PAGE, 9 * PAGE, 10 * PAGE, 100};
    static const size_t lengths[] = {0,        1,        PAGE,      PAGE + 1,
                                     4 * PAGE, 9 * PAGE, 10 * PAGE, 11 * PAGE};
    static const int prots[] = {PROT_READ, PROT_READ | PROT_WRITE, PROT_WRITE, PROT_NONE};
    static const int flags[] = {MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE};
    union bpf_attr attr = map_attr(BPF_MAP_TYPE_RINGBUF, 0, 0, 4 * PAGE);
    int fd = OPEN(w, BPF_MAP_CREATE, &attr);

    for (size_t o = 0; o < COUNT(offsets); o++) {
        for (size_t l = 0; l < COUNT(lengths); l++) {
            for (size_t p = 0; p < COUNT(prots); p++) {
                for (size_t f = 0; f < COUNT(flags); f++)
                    map_and_forget(w, fd, offsets[o], lengths[l], prots[p], flags[f]);
            }
        }
    }
}

SCENARIO(arrays_are_mapped_if_they_were_made_for_it)
{
    static const uint32_t types[] = {BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_HASH,
                                     BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_QUEUE};
    static const size_t lengths[] = {0, 8, PAGE, 2 * PAGE, 3 * PAGE};
    static const uint32_t map_flags[] = {0, BPF_F_MMAPABLE, BPF_F_MMAPABLE | BPF_F_RDONLY_PROG,
                                         BPF_F_MMAPABLE | BPF_F_RDONLY};

    for (size_t t = 0; t < COUNT(types); t++) {
        for (size_t m = 0; m < COUNT(map_flags); m++) {
            uint32_t key_size = types[t] == BPF_MAP_TYPE_QUEUE ? 0 : 4;
            union bpf_attr attr = map_attr(types[t], key_size, 8, 1000);
            int fd;

            attr.map_flags = map_flags[m];
            fd = OPEN(w, BPF_MAP_CREATE, &attr);
            for (size_t l = 0; l < COUNT(lengths) && fd >= 0; l++) {
                map_and_forget(w, fd, 0, lengths[l], PROT_READ, MAP_SHARED);
                map_and_forget(w, fd, 0, lengths[l], PROT_READ | PROT_WRITE, MAP_SHARED);
                map_and_forget(w, fd, 0, lengths[l], PROT_READ, MAP_PRIVATE);
                map_and_forget(w, fd, PAGE, lengths[l], PROT_READ, MAP_SHARED);
                map_and_forget(w, fd, 2 * PAGE, lengths[l], PROT_READ, MAP_SHARED);
            }
        }
    }
}

SCENARIO(a_mapped_array_is_the_array)
{
    union bpf_attr attr = map_attr(BPF_MAP_TYPE_ARRAY, 4, 8, 1000), element;
    uint32_t key = 700;
    uint64_t value = 4711, *values;
    int fd;

    attr.map_flags = BPF_F_MMAPABLE;
    fd = OPEN(w, BPF_MAP_CREATE, &attr);
    values = (uint64_t *)map_noted(w, fd, 0, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    element = element_attr(fd, &key, &value, 0);
    CALL(w, BPF_MAP_UPDATE_ELEM, &element);
    NOTE(w, values[700]);
    values[3] = 12;
    key = 3;
    CALL(w, BPF_MAP_LOOKUP_ELEM, &element);
    NOTE(w, value);
    munmap(values, 2 * PAGE);
    element.map_fd = (uint32_t)fd;
    CALL_SIZED(w, BPF_MAP_FREEZE, &element, 4);
    map_and_forget(w, fd, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    map_and_forget(w, fd, 0, PAGE, PROT_READ, MAP_SHARED);
}

/* A program that puts 16 bytes into the ring; run by BPF_PROG_TEST_RUN. */
static int load_producer(struct world *w, int ring)
{
    struct bpf_insn insns[] = {
        I(STDW, 10, 0, -16, 42), I(STDW, 10, 0, -8, 43),
        WIDE_MAP(1, 1, ring, 0), I(MOV64X, 2, 10, 0, 0),
        I(ADD64K, 2, 0, 0, -16), I(MOV64K, 3, 0, 0, 16),
        I(MOV64K, 4, 0, 0, 0),   I(CALL, 0, 0, 0, BPF_FUNC_ringbuf_output),
        I(MOV64K, 0, 0, 0, 0),   I(EXIT, 0, 0, 0, 0),
    };
    union bpf_attr attr = program_attr(BPF_PROG_TYPE_RAW_TRACEPOINT, insns, COUNT(insns), "GPL");

    int fd = OPEN(w, BPF_PROG_LOAD, &attr);

    must(fd >= 0);
    return fd;
}

static void produce(struct world *w, int program)
{
    union bpf_attr attr = zero_attr();

    attr.test.prog_fd = (uint32_t)program;
    CALL(w, BPF_PROG_TEST_RUN, &attr);
}

/* How many are ready, and of which that is one. */
static void wait_noted(struct world *w, int epoll)
{
    struct epoll_event event = {0};
    long result =
        raw_call(w, SYS_epoll_wait, (unsigned long)epoll, (unsigned long)&event, 1, 0, 0, 0);

    NOTE(w, result);
    NOTE(w, event.data.u64);
    NOTE(w, event.events & EPOLLIN);
}

static void add_noted(struct world *w, int epoll, int op, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u64 = 99};

    NOTE(w, raw_call(w, SYS_epoll_ctl, (unsigned long)epoll, (unsigned long)op, (unsigned long)fd,
                     (unsigned long)&event, 0, 0));
}

static void poll_noted(struct world *w, int fd)
{
    struct pollfd fds = {.fd = fd, .events = POLLIN};

    NOTE(w, raw_call(w, SYS_poll, (unsigned long)&fds, 1, 0, 0, 0, 0));
    NOTE(w, fds.revents & POLLIN);
}

/* Beside a descriptor of the kernel's that is ready, and one that never is. */
static void select_noted(struct world *w, int fd, bool by_pselect)
{
    struct timespec no_time = {0, 0};
    int ready = open("/dev/null", O_RDONLY | O_CLOEXEC), never[2];
    fd_set in, out;
    long result;

    must(pipe(never) == 0);
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(fd, &in);
    FD_SET(ready, &in);
    FD_SET(never[0], &in);
    FD_SET(never[1], &out);
    result = raw_call(w, by_pselect ? SYS_pselect6 : SYS_select, 1000, (unsigned long)&in,
                      (unsigned long)&out, 0, (unsigned long)&no_time, 0);
    NOTE(w, result);
    NOTE(w, FD_ISSET(fd, &in) != 0);
    NOTE(w, FD_ISSET(ready, &in) != 0);
    NOTE(w, FD_ISSET(never[0], &in) != 0);
    NOTE(w, FD_ISSET(never[1], &out) != 0);
    close(ready);
    close(never[0]);
    FD_SET(never[0], &in); /* EBADF */
    NOTE(w, raw_call(w, SYS_select, 1000, (unsigned long)&in, 0, 0, (unsigned long)&no_time, 0));
    close(never[1]);
}

struct ring {
    uint64_t *consumer;
    const uint64_t *producer;
    const char *data;
};

static struct ring map_ring(struct world *w, int fd, size_t size)
{
    struct ring ring;

    ring.consumer = (uint64_t *)map_noted(w, fd, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    ring.producer =
        (const uint64_t *)map_noted(w, fd, PAGE, PAGE + 2 * size, PROT_READ, MAP_SHARED);
    ring.data = (const char *)ring.producer + PAGE;
    return ring;
}

static void unmap_ring(struct ring *ring, size_t size)
{
    munmap(ring->consumer, PAGE);
    munmap((void *)ring->producer, PAGE + 2 * size);
}

static void waits_are_alike(struct world *w, uint32_t events)
{
    union bpf_attr attr = map_attr(BPF_MAP_TYPE_RINGBUF, 0, 0, PAGE);
    int fd = OPEN(w, BPF_MAP_CREATE, &attr), epoll = epoll_create1(EPOLL_CLOEXEC);
    int program = load_producer(w, fd);
    struct ring ring = map_ring(w, fd, PAGE);

    add_noted(w, epoll, EPOLL_CTL_ADD, fd, events);
    add_noted(w, epoll, EPOLL_CTL_ADD, fd, events); /* EEXIST */
    wait_noted(w, epoll);
    poll_noted(w, fd);
    select_noted(w, fd, false);
    produce(w, program);
    NOTE(w, *ring.producer);
    poll_noted(w, fd);
    select_noted(w, fd, false);
    select_noted(w, fd, true);
    wait_noted(w, epoll);
    wait_noted(w, epoll); /* nothing was consumed: level or edge */
    __atomic_store_n(ring.consumer, *ring.producer, __ATOMIC_SEQ_CST);
    wait_noted(w, epoll);
    poll_noted(w, fd);
    produce(w, program);
    produce(w, program);
    wait_noted(w, epoll);
    __atomic_store_n(ring.consumer, 24, __ATOMIC_SEQ_CST);
    __atomic_store_n(ring.consumer, 48, __ATOMIC_SEQ_CST); /* one is left */
    wait_noted(w, epoll);
    poll_noted(w, fd);
    add_noted(w, epoll, EPOLL_CTL_DEL, fd, 0);
    add_noted(w, epoll, EPOLL_CTL_DEL, fd, 0); /* ENOENT */
    wait_noted(w, epoll);
    unmap_ring(&ring, PAGE);
    close(epoll);
}

SCENARIO(rings_are_waited_for_by_level)
{
    waits_are_alike(w, EPOLLIN);
}

SCENARIO(rings_are_waited_for_by_edge)
{
    waits_are_alike(w, EPOLLIN | EPOLLET);
}

SCENARIO(what_is_produced_is_seen_twice_in_a_row)
{
    union bpf_attr attr = map_attr(BPF_MAP_TYPE_RINGBUF, 0, 0, PAGE);
    int fd = OPEN(w, BPF_MAP_CREATE, &attr), program = load_producer(w, fd);
    struct ring ring = map_ring(w, fd, PAGE);

    /* Records of 24 bytes: the 171st goes over the end. */
    for (int i = 0; i < 200; i++) {
        uint64_t at = *ring.producer % PAGE;

        produce(w, program);
        NOTE(w, *ring.producer);
        NOTE(w, *(const uint32_t *)(ring.data + at));
        NOTE(w, *(const uint64_t *)(ring.data + at + 8));
        NOTE(w, *(const uint64_t *)(ring.data + at + 16));
        NOTE(w, memcmp(ring.data, ring.data + PAGE, PAGE));
        __atomic_store_n(ring.consumer, *ring.producer, __ATOMIC_SEQ_CST);
    }
    unmap_ring(&ring, PAGE);
}

static struct perf_event_attr output_attr(void)
{
    struct perf_event_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.size = sizeof(attr);
    attr.type = PERF_TYPE_SOFTWARE;
    attr.config = PERF_COUNT_SW_BPF_OUTPUT;
    attr.sample_type = PERF_SAMPLE_RAW;
    attr.sample_period = 1;
    attr.wakeup_events = 1;
    return attr;
}

static int open_event(struct world *w, const struct perf_event_attr *attr, int pid, int cpu,
                      unsigned long flags)
{
    long fd = raw_call(w, SYS_perf_event_open, (unsigned long)attr, (unsigned long)pid,
                       (unsigned long)cpu, (unsigned long)-1, flags, 0);

    NOTE(w, fd < 0 ? fd : 0);
    if (fd >= 0)
        w->fds[w->fd_count++] = (int)fd;
    return (int)fd;
}

SCENARIO(perf_rings_are_mapped_as_the_kernels)
{
    static const size_t pages[] = {0, 2, 3, 4, 5, 9, 10};
    struct perf_event_attr attr = output_attr();

    for (size_t i = 0; i < COUNT(pages); i++) {
        int fd = open_event(w, &attr, -1, 0, PERF_FLAG_FD_CLOEXEC);
        struct perf_event_mmap_page *page;

        map_and_forget(w, fd, PAGE, PAGE * pages[i], PROT_READ | PROT_WRITE, MAP_SHARED);
        map_and_forget(w, fd, 0, PAGE * pages[i], PROT_READ | PROT_WRITE, MAP_PRIVATE);
        page = (void *)map_noted(w, fd, 0, PAGE * pages[i], PROT_READ | PROT_WRITE, MAP_SHARED);
        if (!page)
            continue;
        NOTE(w, page->data_offset);
        NOTE(w, page->data_size);
        NOTE(w, page->data_head);
        munmap(page, PAGE * pages[i]);
    }
}

SCENARIO(events_are_controlled_as_the_kernels)
{
    struct perf_event_attr attr = output_attr();
    int fd = open_event(w, &attr, -1, 0, PERF_FLAG_FD_CLOEXEC);
    unsigned long nothing = (unsigned long)-1;

    NOTE(w, raw_call(w, SYS_ioctl, (unsigned long)fd, PERF_EVENT_IOC_ENABLE, 0, 0, 0, 0));
    NOTE(w, raw_call(w, SYS_ioctl, (unsigned long)fd, PERF_EVENT_IOC_DISABLE, 0, 0, 0, 0));
    NOTE(w, raw_call(w, SYS_ioctl, (unsigned long)fd, PERF_EVENT_IOC_RESET, 0, 0, 0, 0));
    NOTE(w, raw_call(w, SYS_ioctl, (unsigned long)fd, PERF_EVENT_IOC_ID, 8, 0, 0, 0));
    NOTE(w, raw_call(w, SYS_ioctl, (unsigned long)fd, PERF_EVENT_IOC_SET_BPF, nothing, 0, 0, 0));
    NOTE(w, raw_call(w, SYS_ioctl, (unsigned long)fd, _IO('$', 99), 0, 0, 0, 0));
    NOTE(w, raw_call(w, SYS_ioctl, (unsigned long)fd, 0x5401 /* TCGETS */, nothing, 0, 0, 0));
}

SCENARIO(attributes_of_events_are_looked_at)
{
    struct perf_event_attr attr = output_attr();

    open_event(w, &attr, -1, 0, PERF_FLAG_FD_CLOEXEC);
    open_event(w, &attr, -1, 0, 0);
    open_event(w, &attr, -1, 0, 1ul << 20);
    open_event(w, &attr, -1, 1000, 0);
    open_event(w, &attr, -1, -1, 0);
    open_event(w, (void *)8, -1, 0, 0);
    attr.size = 8;
    open_event(w, &attr, -1, 0, 0);
    attr.size = 0;
    open_event(w, &attr, -1, 0, 0);
    attr = output_attr();
    attr.type = PERF_TYPE_TRACEPOINT;
    attr.config = 60000; /* there is none */
    open_event(w, &attr, -1, 0, 0);
}

/* Tracepoints: one program each, of the right type. */
SCENARIO(a_tracepoints_event_has_one_program)
{
    struct perf_event_attr attr = output_attr();
    union bpf_attr load = program_attr(BPF_PROG_TYPE_TRACEPOINT, return_zero, 2, "GPL");
    union bpf_attr load_raw = program_attr(BPF_PROG_TYPE_RAW_TRACEPOINT, return_zero, 2, "GPL");
    struct sta_tracepoint tracepoint;
    int fd, program = OPEN(w, BPF_PROG_LOAD, &load), raw = OPEN(w, BPF_PROG_LOAD, &load_raw);

    must_equal(sta_tracepoint_by_name("sys_enter_getppid", &tracepoint), 0);
    attr.type = PERF_TYPE_TRACEPOINT;
    attr.config = (uint64_t)tracepoint.id;
    fd = open_event(w, &attr, -1, 0, PERF_FLAG_FD_CLOEXEC);
    NOTE(w, raw_call(w, SYS_ioctl, (unsigned long)fd, PERF_EVENT_IOC_SET_BPF, (unsigned long)raw, 0,
                     0, 0));
    NOTE(w, raw_call(w, SYS_ioctl, (unsigned long)fd, PERF_EVENT_IOC_SET_BPF,
                     (unsigned long)program, 0, 0, 0));
    NOTE(w, raw_call(w, SYS_ioctl, (unsigned long)fd, PERF_EVENT_IOC_SET_BPF,
                     (unsigned long)program, 0, 0, 0));
    NOTE(w, raw_call(w, SYS_ioctl, (unsigned long)fd, PERF_EVENT_IOC_ENABLE, 0, 0, 0, 0));
    fd = open_event(w, &attr, -1, 0, PERF_FLAG_FD_CLOEXEC);
    NOTE(w, raw_call(w, SYS_ioctl, (unsigned long)fd, PERF_EVENT_IOC_SET_BPF,
                     (unsigned long)program, 0, 0, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rings_are_mapped_where_the_kernel_maps_them),
        cmocka_unit_test(arrays_are_mapped_if_they_were_made_for_it),
        cmocka_unit_test(a_mapped_array_is_the_array),
        cmocka_unit_test(rings_are_waited_for_by_level),
        cmocka_unit_test(rings_are_waited_for_by_edge),
        cmocka_unit_test(what_is_produced_is_seen_twice_in_a_row),
        cmocka_unit_test(perf_rings_are_mapped_as_the_kernels),
        cmocka_unit_test(events_are_controlled_as_the_kernels),
        cmocka_unit_test(attributes_of_events_are_looked_at),
        cmocka_unit_test(a_tracepoints_event_has_one_program),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
