/* SPDX-License-Identifier: MIT */
/* Descriptors of objects: what they stand for, and when it ends. */
#include "core.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <sta/map.h>

#include "bpf_calls.h"

#define AFTER_EXEC "--after-exec"

static int new_map(struct sta__bpf *bpf)
{
    long fd = create_map(bpf, BPF_MAP_TYPE_HASH, 4, 8, 16);

    assert_true(fd >= 0);
    return (int)fd;
}

static uint32_t id_of(struct sta__bpf *bpf, int fd)
{
    struct sta__fd_object *object = sta__fds_get(bpf, fd);
    uint32_t id = object ? object->id : 0;

    sta__fds_put(object);
    return id;
}

static bool is_known(struct sta__bpf *bpf, uint32_t id)
{
    struct sta__fd_object *object = sta__fds_get_id(bpf, STA__FD_MAP, id);

    sta__fds_put(object);
    return object;
}

static void a_map_goes_with_its_last_descriptor(void **state)
{
    struct sta__bpf *bpf = new_bpf();
    int fd = new_map(bpf), copy = dup(fd);
    uint32_t id = id_of(bpf, fd);

    (void)state;
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(id_of(bpf, copy), id);
    assert_int_equal(close_fd(bpf, fd), 0);
    assert_int_equal(id_of(bpf, fd), 0);
    assert_true(is_known(bpf, id));
    assert_int_equal(close_fd(bpf, copy), 0);
    assert_false(is_known(bpf, id));
    assert_false(sta__fds_any(bpf));
    free_bpf(bpf);
}

static void descriptors_are_the_lowest_free_ones(void **state)
{
    struct sta__bpf *bpf = new_bpf();
    int wanted = dup(0), fd;

    (void)state;
    close(wanted);
    fd = new_map(bpf);
    assert_int_equal(fd, wanted);
    assert_int_equal(new_map(bpf), wanted + 1);
    assert_int_equal(close_fd(bpf, wanted + 1), 0);
    assert_int_equal(close_fd(bpf, fd), 0);
    free_bpf(bpf);
}

static void dup2_over_the_last_one_ends_it(void **state)
{
    struct sta__bpf *bpf = new_bpf();
    int fd = new_map(bpf);
    uint32_t id = id_of(bpf, fd);
    const unsigned long args[6] = {0, (unsigned long)fd};

    (void)state;
    assert_int_equal(sta__hook_dup2(bpf, args), fd);
    assert_false(is_known(bpf, id));
    close(fd);
    free_bpf(bpf);
}

static void close_range_leaves_what_is_the_librarys(void **state)
{
    struct sta__bpf *bpf = new_bpf();
    int kept = fcntl(new_map(bpf), F_DUPFD, 300), gone = new_map(bpf), own;
    uint32_t kept_id = id_of(bpf, kept), gone_id = id_of(bpf, gone);
    const unsigned long args[6] = {301, UINT32_MAX}, low[6] = {(unsigned long)gone, 299};

    (void)state;
    assert_int_equal(sta__hook_close_range(bpf, args), 0);
    own = sta__fds_own(bpf, 0);
    assert_true(own >= 0);
    assert_true(fcntl(own, F_GETFD) >= 0);
    assert_int_equal(close_fd(bpf, own), -EBADF);
    assert_true(fcntl(own, F_GETFD) >= 0);
    assert_int_equal(sta__hook_close_range(bpf, low), 0);
    assert_true(is_known(bpf, kept_id));
    assert_false(is_known(bpf, gone_id));
    assert_int_equal(id_of(bpf, kept), kept_id);
    close_fd(bpf, kept);
    close_fd(bpf, gone - 1);
    free_bpf(bpf);
}

static void the_application_can_have_a_number_of_the_librarys(void **state)
{
    struct sta__bpf *bpf = new_bpf();
    int fd = new_map(bpf), own = sta__fds_own(bpf, 0);
    uint32_t id = id_of(bpf, fd);
    const unsigned long args[6] = {0, (unsigned long)own};

    (void)state;
    assert_int_equal(sta__hook_dup2(bpf, args), own);
    assert_true(sta__fds_own(bpf, 0) != own);
    assert_int_equal(close_fd(bpf, own), 0);
    assert_true(is_known(bpf, id));
    close_fd(bpf, fd);
    assert_false(is_known(bpf, id));
    free_bpf(bpf);
}

static void send_fd(int to, int fd)
{
    char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    must_equal(sendmsg(to, &message, 0), 1);
}

static int receive_fd(int from)
{
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    int fd;

    must_equal(recvmsg(from, &message, 0), 1);
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
    return fd;
}

static void a_descriptor_on_its_way_keeps_the_map(void **state)
{
    struct sta__bpf *bpf = new_bpf();
    int fd = new_map(bpf), sockets[2];
    uint32_t id = id_of(bpf, fd);

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    send_fd(sockets[0], fd);
    assert_int_equal(close_fd(bpf, fd), 0);
    assert_true(is_known(bpf, id));
    fd = receive_fd(sockets[1]);
    assert_int_equal(id_of(bpf, fd), id);
    assert_int_equal(close_fd(bpf, fd), 0);
    assert_false(is_known(bpf, id));
    close(sockets[0]);
    close(sockets[1]);
    free_bpf(bpf);
}

/* The receiver was forked before there was the map, as any other process: it knows it by its
 * memfd only. */
static void another_process_opens_a_map_that_it_is_sent(void **state)
{
    struct sta__bpf *bpf = new_bpf();
    int sockets[2], status, fd;
    pid_t child;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    child = fork();
    if (child == 0) {
        struct sta__fd_object *object;
        uint32_t key = 7;
        uint64_t value = 0;

        fd = receive_fd(sockets[1]);
        object = sta__fds_get(bpf, fd);
        must(object && object->kind == STA__FD_MAP);
        must_equal(sta_map_lookup(((struct sta__bpf_map *)object)->map, &key, &value, 0), 0);
        must_equal(value, 77);
        sta__fds_put(object);
        _exit(0);
    }
    fd = new_map(bpf);
    {
        struct sta__fd_object *object = sta__fds_get(bpf, fd);
        uint32_t key = 7;
        uint64_t value = 77;

        assert_int_equal(
            sta_map_update(((struct sta__bpf_map *)object)->map, &key, &value, BPF_ANY), 0);
        sta__fds_put(object);
    }
    send_fd(sockets[0], fd);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close_fd(bpf, fd);
    close(sockets[0]);
    close(sockets[1]);
    free_bpf(bpf);
}

/* As in the kernel: what a child has open stays, and ends with the child. */
static void a_childs_descriptor_keeps_the_map(void **state)
{
    struct sta__bpf *bpf = new_bpf();
    int fd = new_map(bpf), gate[2], status;
    uint32_t id = id_of(bpf, fd);
    pid_t child;

    (void)state;
    assert_int_equal(pipe(gate), 0);
    child = fork();
    if (child == 0) {
        char byte;

        close(gate[1]);
        must_equal(read(gate[0], &byte, 1), 0);
        must_equal(id_of(bpf, fd), id);
        _exit(0);
    }
    close(gate[0]);
    assert_int_equal(close_fd(bpf, fd), 0);
    assert_true(is_known(bpf, id));
    close(gate[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(is_known(bpf, id)); /* nobody asked yet */
    sta__fds_ask_again(bpf);
    assert_false(is_known(bpf, id));
    free_bpf(bpf);
}

static void what_is_not_ours_is_nobodys(void **state)
{
    struct sta__bpf *bpf = new_bpf();
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), error;

    (void)state;
    assert_null(sta__fds_get(bpf, fd));
    assert_null(sta__fds_get_kind(bpf, fd, STA__FD_MAP, &error));
    assert_int_equal(error, -EINVAL);
    assert_int_equal(close_fd(bpf, fd), 0);
    assert_null(sta__fds_get_kind(bpf, fd, STA__FD_MAP, &error));
    assert_int_equal(error, -EBADF);
    assert_null(sta__fds_get_kind(bpf, -1, STA__FD_MAP, &error));
    assert_int_equal(error, -EBADF);
    fd = new_map(bpf);
    assert_null(sta__fds_get_kind(bpf, fd, STA__FD_PROGRAM, &error));
    assert_int_equal(error, -EINVAL);
    close_fd(bpf, fd);
    free_bpf(bpf);
}

/* The descriptor of a map survives exec if it is told to, and is the same map there. */
static void a_map_is_handed_over_by_exec(void **state)
{
    struct sta__bpf *bpf = new_bpf();
    int fd = new_map(bpf), status;
    char number[16], id[16];
    pid_t child;

    (void)state;
    snprintf(number, sizeof(number), "%d", fd);
    snprintf(id, sizeof(id), "%u", id_of(bpf, fd));
    child = fork();
    if (child == 0) {
        must_equal(fcntl(fd, F_SETFD, 0), 0);
        execl("/proc/self/exe", "test_fds", AFTER_EXEC, number, id, NULL);
        _exit(2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close_fd(bpf, fd);
    assert_false(sta__fds_any(bpf));
    free_bpf(bpf);
}

static int after_exec(int fd, uint32_t id)
{
    struct sta__bpf *bpf = new_bpf();

    must_equal(id_of(bpf, fd), id);
    must_equal(close_fd(bpf, fd), 0);
    free_bpf(bpf);
    return 0;
}

static void *make_and_close(void *bpf)
{
    for (int i = 0; i < 200; i++) {
        int fd = (int)create_map(bpf, BPF_MAP_TYPE_ARRAY, 4, 8, 4), copy;
        uint32_t id;

        must(fd >= 0);
        id = id_of(bpf, fd);
        copy = dup(fd);
        must(copy >= 0);
        must_equal(close_fd(bpf, i % 2 ? fd : copy), 0);
        must(is_known(bpf, id));
        must_equal(id_of(bpf, i % 2 ? copy : fd), id);
        must_equal(close_fd(bpf, i % 2 ? copy : fd), 0);
    }
    return NULL;
}

static void threads_have_objects_at_the_same_time(void **state)
{
    struct sta__bpf *bpf;
    pthread_t threads[4];

    (void)state;
    if (UNDER_TSAN) /* it does not see that memory was given back, and takes the next for the same
                     */
        skip();
    bpf = new_bpf();
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_and_close, bpf), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_false(sta__fds_any(bpf));
    free_bpf(bpf);
}

static long new_link(struct sta__bpf *bpf, long program)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.raw_tracepoint.name = (uintptr_t) "sys_enter";
    attr.raw_tracepoint.prog_fd = (uint32_t)program;
    return call_bpf(bpf, BPF_RAW_TRACEPOINT_OPEN, &attr);
}

static long new_program(struct sta__bpf *bpf)
{
    const struct bpf_insn insns[] = {{.code = BPF_ALU64 | BPF_MOV}, {.code = BPF_JMP | BPF_EXIT}};
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT;
    attr.insns = (uintptr_t)insns;
    attr.insn_cnt = COUNT(insns);
    attr.license = (uintptr_t) "GPL";
    return call_bpf(bpf, BPF_PROG_LOAD, &attr);
}

static int count_open(void)
{
    int count = 0;

    for (int fd = 0; fd < 2048; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* With room for ever one descriptor more: all that was begun is undone. */
static void without_room_for_descriptors_nothing_is_left(void **state)
{
    struct sta__bpf *bpf = new_bpf();
    int before = count_open(), good = 0;
    struct rlimit limit, low;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    for (int room = 0; room < 8; room++) {
        long fds[3];

        low.rlim_cur = (rlim_t)(before + room);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        fds[0] = new_program(bpf);
        fds[1] = fds[0] < 0 ? fds[0] : new_link(bpf, fds[0]);
        fds[2] = create_map(bpf, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        for (int i = 0; i < 3; i++) {
            assert_true(fds[i] >= 0 || fds[i] == -EMFILE);
            good += fds[i] >= 0;
            if (fds[i] >= 0)
                assert_int_equal(close_fd(bpf, (int)fds[i]), 0);
        }
        assert_false(sta__fds_any(bpf));
        assert_int_equal(count_open(), before);
    }
    assert_in_range(good, 6, 20);
    free_bpf(bpf);
}

static void the_end_frees_what_is_open(void **state)
{
    struct sta__bpf *bpf = new_bpf();
    int fds[20];

    (void)state;
    for (int i = 0; i < 20; i++)
        fds[i] = new_map(bpf);
    free_bpf(bpf);
    for (int i = 0; i < 20; i++)
        assert_int_equal(close(fds[i]), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_goes_with_its_last_descriptor),
        cmocka_unit_test(descriptors_are_the_lowest_free_ones),
        cmocka_unit_test(dup2_over_the_last_one_ends_it),
        cmocka_unit_test(close_range_leaves_what_is_the_librarys),
        cmocka_unit_test(the_application_can_have_a_number_of_the_librarys),
        cmocka_unit_test(a_descriptor_on_its_way_keeps_the_map),
        cmocka_unit_test(another_process_opens_a_map_that_it_is_sent),
        cmocka_unit_test(a_childs_descriptor_keeps_the_map),
        cmocka_unit_test(what_is_not_ours_is_nobodys),
        cmocka_unit_test(a_map_is_handed_over_by_exec),
        cmocka_unit_test(threads_have_objects_at_the_same_time),
        cmocka_unit_test(without_room_for_descriptors_nothing_is_left),
        cmocka_unit_test(the_end_frees_what_is_open),
    };

    if (argc == 4 && strcmp(argv[1], AFTER_EXEC) == 0)
        return after_exec(atoi(argv[2]), (uint32_t)strtoul(argv[3], NULL, 10));

    return cmocka_run_group_tests(tests, NULL, NULL);
}
