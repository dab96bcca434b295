/* SPDX-License-Identifier: MIT */
/*
 * Helpers that say who runs and where, each against libc or the kernel's own.
 */
#include "core.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/stat.h>
#include <sys/times.h>

#include "ebpf/cgroup.h"
#include "ebpf/helpers.h"
#include "twice.h"

#define CALL0(name) sta__helper_##name(0, 0, 0, 0, 0)

/* ---- names ---- */

static void comm_is(const char *wanted)
{
    for (uint64_t size = 1; size <= 32; size++) {
        char got[40], all[40] = {0};
        size_t length = strlen(wanted);

        memset(got, 0x7f, sizeof(got));
        memset(all, 0x7f, sizeof(all));
        memset(all, 0, size);
        memcpy(all, wanted, length < size - 1 ? length : size - 1);
        must_equal(sta__helper_get_current_comm((uintptr_t)got, size, 0, 0, 0), 0);
        must(memcmp(got, all, sizeof(got)) == 0);
    }
}

static void *rename_other(void *tid)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%d/comm", *(int *)tid);
    fd = open(path, O_WRONLY);
    must(fd >= 0);
    must_equal(write(fd, "by another", 10), 10);
    close(fd);
    return NULL;
}

static void comm_is_the_name_right_now(void **state)
{
    static const char *const names[] = {"a", "fifteen letters", "", "x y",
                                        "more than fifteen letters"};
    int tid = (int)syscall(SYS_gettid);
    pthread_t thread;
    char cut[16], before[16];

    (void)state;
    prctl(PR_GET_NAME, before);
    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(cut, sizeof(cut), "%s", names[i]);
        prctl(PR_SET_NAME, names[i]);
        comm_is(cut);
    }
    assert_int_equal(pthread_create(&thread, NULL, rename_other, &tid), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    comm_is("by another");
    prctl(PR_SET_NAME, before);
}

/* ---- pids of a namespace ---- */

static int64_t ask_ns(uint64_t dev, uint64_t ino, struct bpf_pidns_info *info, uint64_t size)
{
    memset(info, 0x55, sizeof(*info));
    return (int64_t)sta__helper_get_ns_current_pid_tgid(dev, ino, (uintptr_t)info, size, 0);
}

static void ns_pids_are(pid_t tgid, pid_t pid)
{
    struct bpf_pidns_info info;
    struct stat status;

    must_equal(stat("/proc/self/ns/pid", &status), 0);
    must_equal(ask_ns(status.st_dev, status.st_ino, &info, sizeof(info)), 0);
    must_equal(info.tgid, tgid);
    must_equal(info.pid, pid);
}

static void *thread_asks_ns(void *unused)
{
    (void)unused;
    ns_pids_are(getpid(), (pid_t)syscall(SYS_gettid));
    return NULL;
}

static void pids_are_of_the_namespace_asked_for(void **state)
{
    struct bpf_pidns_info info;
    struct stat status;
    pthread_t thread;

    (void)state;
    ns_pids_are(getpid(), (pid_t)syscall(SYS_gettid));
    assert_int_equal(pthread_create(&thread, NULL, thread_asks_ns, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(stat("/proc/self/ns/pid", &status), 0);
    assert_int_equal(ask_ns(status.st_dev, status.st_ino + 1, &info, sizeof(info)), -EINVAL);
    assert_int_equal(info.pid | info.tgid, 0);
    assert_int_equal(ask_ns(status.st_dev + 1, status.st_ino, &info, sizeof(info)), -EINVAL);
    assert_int_equal(ask_ns(status.st_dev | UINT64_C(1) << 32, status.st_ino, &info, sizeof(info)),
                     -EINVAL);
    assert_int_equal(ask_ns(status.st_dev, status.st_ino, &info, 7), -EINVAL);
    assert_int_equal(ask_ns(status.st_dev, status.st_ino, &info, 4), -EINVAL);
    assert_int_equal(info.pid, 0);
    assert_int_equal(info.tgid, 0x55555555); /* past the 4 bytes */
}

static int note_ns(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct bpf_pidns_info *info = user_data;
    struct stat status;

    (void)ctx, (void)ctx_size, (void)ret;
    must_equal(stat("/proc/self/ns/pid", &status), 0);
    must_equal(ask_ns(status.st_dev, status.st_ino, info, sizeof(*info)), 0);
    return 0;
}

/* The thread remembers the namespace; its child in another one must not. */
static void a_child_in_a_new_namespace_is_1(void **state)
{
    struct bpf_pidns_info info;
    int id = attach_enter(*state, 39, note_ns, &info), status;
    pid_t child;

    dispatch(*state, 39);
    assert_int_equal(info.pid, syscall(SYS_gettid));
    child = (pid_t)syscall(SYS_clone, 0x20000000 | SIGCHLD, 0, 0, 0, 0); /* CLONE_NEWPID */
    if (child == 0) {
        dispatch(*state, 39);
        must_equal(info.pid, 1);
        must_equal(info.tgid, 1);
        _exit(0);
    }
    detach(*state, id);
    if (child < 0)
        skip(); /* no right to make one */
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* ---- node and ticks ---- */

static void the_node_is_the_processors(void **state)
{
    unsigned cpu, node;

    (void)state;
    assert_int_equal(syscall(SYS_getcpu, &cpu, &node, NULL), 0);
    assert_int_equal(CALL0(get_numa_node_id), node);
}

/* area[0] = jiffies64() */
static const struct bpf_insn reads_jiffies[] = {CALL(jiffies64), STORE_R0_AND_EXIT(0)};

static void jiffies_are_the_kernels(void **state)
{
    struct timespec tick;
    struct twice t;
    uint64_t clocks;

    (void)state;
    assert_int_equal(clock_getres(CLOCK_MONOTONIC_COARSE, &tick), 0);
    twice_load(&t, reads_jiffies, COUNT(reads_jiffies), NULL, 0);
    assert_int_equal(t.our_err, 0);
    for (int i = 0; i < 20; i++) {
        uint64_t *ours = (uint64_t *)t.ours, *kernels = (uint64_t *)t.kernels;

        twice_run(&t);
        clocks = (uint64_t)times(&(struct tms){0}) * 10000000 / (uint64_t)tick.tv_nsec;
        assert_in_range(*ours, clocks - 10, clocks + 10);
        /* The kernel's program ran later. */
        if (twice_has_kernel(&t))
            assert_in_range(*kernels, *ours - 1, *ours + 10);
        usleep(3000);
    }
    twice_free(&t);
}

/* ---- control groups ---- */

/* area[8 * i] = an ancestor's id, for i from 0 to 3; area[32] = its own */
#define STORE_ANCESTOR(level)                                                              \
    MOV(R1, level), CALL(get_current_ancestor_cgroup_id), LD_VALUE(R1, AREA, 8 * (level)), \
        STX(BPF_DW, R1, R0, 0)
static const struct bpf_insn reads_cgroups[] = {STORE_ANCESTOR(0),           STORE_ANCESTOR(1),
                                                STORE_ANCESTOR(2),           STORE_ANCESTOR(3),
                                                CALL(get_current_cgroup_id), STORE_R0_AND_EXIT(32)};

static void pass_a_tick(void)
{
    usleep(25000);
}

static void cgroups_agree(struct twice *t)
{
    pass_a_tick();
    twice_run(t);
    for (int i = 0; i < 5 && twice_has_kernel(t); i++)
        must_equal(((uint64_t *)t->ours)[i], ((uint64_t *)t->kernels)[i]);
}

/* Without pidfds, as before Linux 6.9. */
static void forbid_pidfds(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {COUNT(filter), filter};

    must_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    must_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static bool find_hierarchy(char *out, size_t size)
{
    FILE *file = fopen("/proc/self/mounts", "re");
    char line[1024], where[256], type[64];
    bool is_found = false;

    while (file && !is_found && fgets(line, sizeof(line), file))
        is_found = sscanf(line, "%*s %255s %63s", where, type) == 2 && !strcmp(type, "cgroup2");
    if (file)
        fclose(file);
    snprintf(out, size, "%s", where);
    return is_found;
}

static int write_to(const char *directory, const char *file, const char *text)
{
    char path[512];
    int fd, err;

    snprintf(path, sizeof(path), "%s/%s", directory, file);
    fd = open(path, O_WRONLY);
    if (fd < 0)
        return -errno;
    err = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    close(fd);
    return err;
}

static int64_t is_under(struct sta_map *map, uint32_t index)
{
    pass_a_tick();
    return (int64_t)sta__helper_current_task_under_cgroup((uintptr_t)map, index, 0, 0, 0);
}

static void check_group(struct twice *t, struct sta_map *array, const struct stat *inner)
{
    cgroups_agree(t);
    must_equal(((uint64_t *)t->ours)[4], inner->st_ino);
    must_equal(is_under(array, 0), 1); /* inner */
    must_equal(is_under(array, 1), 1); /* outer */
    must_equal(is_under(array, 2), 0); /* beside */
    must_equal(is_under(array, 3), -EAGAIN);
    must_equal(is_under(array, 4), -E2BIG);
}

/* A child that is moved to a group three levels down. */
static void live_in_group(struct twice *t, struct sta_map *array, const char *inner)
{
    struct stat status;

    cgroups_agree(t);
    must_equal(is_under(array, 0), 0);
    must_equal(write_to(inner, "cgroup.procs", "0"), 0);
    must_equal(stat(inner, &status), 0);
    check_group(t, array, &status);
    forbid_pidfds();
    check_group(t, array, &status);
    _exit(0);
}

static struct sta_map *make_array(const char *const directories[3])
{
    struct sta_map_options options = {.size = sizeof(options),
                                      .type = BPF_MAP_TYPE_CGROUP_ARRAY,
                                      .key_size = 4,
                                      .value_size = 4,
                                      .max_entries = 4};
    struct sta_map *map;

    assert_int_equal(sta_map_create(&map, &options), 0);
    for (uint32_t i = 0; i < 3; i++) {
        int fd = open(directories[i], O_RDONLY | O_DIRECTORY);

        assert_int_equal(sta_map_set_cgroup(map, i, fd, 0), 0);
        assert_int_equal(sta_map_set_cgroup(map, 4, fd, 0), -E2BIG);
        assert_int_equal(sta_map_set_cgroup(map, i, fd, 1), -EINVAL);
        close(fd);
        assert_int_equal(sta_map_set_cgroup(map, i, fd, 0), -EBADF);
    }
    return map;
}

static void cgroups_are_the_kernels(void **state)
{
    char root[256], outer[300], inner[320], beside[320];
    struct sta_map *array;
    struct twice t;
    int status;
    pid_t child;

    (void)state;
    twice_load(&t, reads_cgroups, COUNT(reads_cgroups), NULL, 0);
    assert_int_equal(t.our_err, 0);
    cgroups_agree(&t);
    assert_true(((uint64_t *)t.ours)[4] != 0);
    if (!find_hierarchy(root, sizeof(root)))
        skip();
    snprintf(outer, sizeof(outer), "%s/sta_test_%d", root, getpid());
    snprintf(inner, sizeof(inner), "%s/inner", outer);
    snprintf(beside, sizeof(beside), "%s/beside", outer);
    if (mkdir(outer, 0700) < 0)
        skip(); /* no right to */
    assert_int_equal(mkdir(inner, 0700) | mkdir(beside, 0700), 0);
    array = make_array((const char *const[]){inner, outer, beside});
    child = fork();
    if (child == 0)
        live_in_group(&t, array, inner);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(rmdir(inner) | rmdir(beside) | rmdir(outer), 0);
    assert_int_equal(status, 0);
    assert_int_equal(sta_map_delete(array, &(uint32_t){2}), 0);
    assert_int_equal(sta_map_delete(array, &(uint32_t){2}), -ENOENT);
    assert_int_equal(sta_map_set_cgroup(array, 0, 0, 0), -EBADF);
    sta_map_close(array);
    twice_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comm_is_the_name_right_now),
        cmocka_unit_test(pids_are_of_the_namespace_asked_for),
        WITH_REGISTRY(a_child_in_a_new_namespace_is_1),
        cmocka_unit_test(the_node_is_the_processors),
        cmocka_unit_test(jiffies_are_the_kernels),
        cmocka_unit_test(cgroups_are_the_kernels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
