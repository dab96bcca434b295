/* SPDX-License-Identifier: MIT */
/*
 * Objects that read fields of the current task: relocated by the kernel's BTF, or by ours, they see
 * the same.
 */
#define TEST_METHOD STA_METHOD_AUTO
#include "intercept.h"

#include "object_global.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "ebpf/task.h"

static struct sta_object *loaded(struct sta *sta, const char *name)
{
    struct sta_object *object = NULL;
    char path[512];
    size_t size;
    int *target;

    if (!*BPF_OBJECT_DIR)
        victim_skip("no clang that compiles for BPF");
    snprintf(path, sizeof(path), "%s/%s.bpf.o", BPF_OBJECT_DIR, name);
    CHECK_EQ(sta_object_open(&object, sta, path), 0);
    target = sta_object_global(object, "target_pid", &size);
    CHECK(target && size == sizeof(*target));
    *target = getpid();
    CHECK_EQ(sta_object_attach(object), 1);
    return object;
}

static uint64_t start_in_ticks(void)
{
    char text[512] = "";
    int fd = open("/proc/thread-self/stat", O_RDONLY);
    unsigned long long ticks = 0;
    char *at;

    CHECK(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    at = strrchr(text, ')') + 1;
    for (int i = 3; i < 22; i++)
        at = strchr(at + 1, ' ');
    sscanf(at, "%llu", &ticks);
    return ticks;
}

static void check_task(struct sta_object *object)
{
    long runs = *(long *)global(object, "runs");
    char name[16];
    struct utsname names;
    struct stat mnt;

    getppid();
    CHECK_EQ(*(long *)global(object, "runs"), runs + 1);
    CHECK_EQ(*(int *)global(object, "pid"), gettid());
    CHECK_EQ(*(int *)global(object, "tgid"), getpid());
    CHECK_EQ(*(int *)global(object, "leader"), getpid());
    CHECK_EQ(*(int *)global(object, "exit_code"), 0);
    CHECK_EQ(*(int *)global(object, "parent"), STA__RAW0(SYS_getppid));
    CHECK_EQ(*(unsigned *)global(object, "uid"), getuid());
    CHECK_EQ(stat("/proc/self/ns/mnt", &mnt), 0);
    CHECK_EQ(*(unsigned *)global(object, "mnt_inum"), mnt.st_ino);
    CHECK_EQ(*(uint64_t *)global(object, "start") / 10000000, start_in_ticks());
    prctl(PR_GET_NAME, name);
    CHECK(strcmp(global(object, "comm"), name) == 0);
    CHECK_EQ(uname(&names), 0);
    CHECK(strcmp(global(object, "node"), names.nodename) == 0);
}

static void *check_in_thread(void *object)
{
    prctl(PR_SET_NAME, "a thread");
    check_task(object);
    CHECK(strcmp(global(object, "leader_comm"), "the leader") == 0);
    return NULL;
}

static void check_object(struct sta *sta, const char *name)
{
    struct sta_object *object = loaded(sta, name);
    pthread_t thread;

    prctl(PR_SET_NAME, "the leader");
    check_task(object);
    CHECK_EQ(pthread_create(&thread, NULL, check_in_thread, object), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    sta_object_close(object);
}

VICTIM(fields_are_read_by_either_btf)
{
    struct sta *sta = new_registry();

    install(sta);
    check_object(sta, "task");
    if (access("/sys/kernel/btf/vmlinux", R_OK) == 0)
        check_object(sta, "task_more");
    check_object(sta, "task");
    sta_free(sta);
}

VICTIM(fields_are_read_where_the_kernel_has_no_btf)
{
    struct sta *sta = new_registry();

    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", "/sys/kernel/btf", "tmpfs", 0, NULL) < 0)
        victim_skip("only root can hide the kernel's BTF");
    install(sta);
    check_object(sta, "task");
    CHECK_EQ(sta__task_offsets[STA__FIELD_PID], 64); /* the layout is our own */
    sta_free(sta);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_read_by_either_btf),
        cmocka_unit_test(fields_are_read_where_the_kernel_has_no_btf),
    };

    return run_interception_tests(argc, argv, tests);
}
