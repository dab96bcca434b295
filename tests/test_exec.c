/* SPDX-License-Identifier: MIT */
/*
 * Following execve: this program executes itself, and finds in its environment what was added on
 * the way. What the agent makes of it is in test_agent.sh.
 */
#include "intercept.h"

#include "transform/exec.h"

#define EXECUTED "TEST_EXECUTED"

/* Any library will do. AddressSanitizer wants to come first. */
static const char *const settings[] = {"TEST_SETTING=ours",
                                       "ASAN_OPTIONS=verify_asan_link_order=0"};

static void note(const char *path, enum sta__exec_kind kind)
{
    (void)path, (void)kind;
}

static const struct sta__exec_follow follow = {
    .preload = "libc.so.6",
    .settings = settings,
    .setting_count = COUNT_OF(settings),
    .executed = {EXECUTED "=execve", EXECUTED "=execveat"},
    .before = note,
};

struct exit_event {
    long count, id, ret, first_arg;
};

static int keep_event(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    const struct sta_sys_exit *event = ctx;
    struct exit_event *kept = user_data;

    (void)ctx_size, (void)ret;
    kept->count++;
    kept->id = event->id;
    kept->ret = event->ret;
    kept->first_arg = (long)sta_current_args()[0];
    return 0;
}

/* The program that was executed. Its status says what is wrong. */
static int in_new_program(const char *expected)
{
    const struct sta_transform_options options = {.size = sizeof(options),
                                                  .method = wanted_method()};
    struct exit_event event = {.first_arg = -1};
    const char *executed = getenv(EXECUTED), *setting = getenv("TEST_SETTING");
    struct sta_target target = {sta_syscall_number(expected), false};
    struct sta *sta;

    if (!executed || strcmp(executed, expected) != 0)
        return 2;
    if (!setting || strcmp(setting, "ours") != 0 || !getenv("LD_PRELOAD"))
        return 3;
    if (sta_new(&sta, NULL) < 0 || sta_attach(sta, &target, keep_event, &event) < 0 ||
        sta_transform_install(sta, &options) < 0)
        return 4;
    sta__exec_arrived(sta, sta_syscall_number(executed));
    if (event.count != 1 || event.id != target.sys_nr || event.ret != 0 || event.first_arg != 0)
        return 5;
    sta_free(sta);
    return 0;
}

static int status_of_executed(int sys_nr, const char *name)
{
    char *argv[] = {"self", "executed", (char *)name, NULL}, *envp[] = {NULL};
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        if (sys_nr == SYS_execve)
            execve("/proc/self/exe", argv, envp);
        else
            syscall(SYS_execveat, AT_FDCWD, "/proc/self/exe", argv, envp, 0);
        _exit(1);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return status;
}

VICTIM(the_exit_event_comes_from_the_new_program)
{
    struct sta *sta = new_registry();
    struct seen *seen = count_calls(sta, SYS_execve);

    atomic_store(&sta__exec_follow, &follow);
    install(sta);
    CHECK_EQ(status_of_executed(SYS_execve, "execve"), 0);
    CHECK_EQ(status_of_executed(SYS_execveat, "execveat"), 0);
    CHECK_EQ(seen->enters, 1);
    CHECK_EQ(seen->exits, 0);
    atomic_store(&sta__exec_follow, NULL);
    CHECK_EQ(status_of_executed(SYS_execve, "execve"), 2 << 8);
    remove_transformer(sta);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_exit_event_comes_from_the_new_program),
    };

    if (argc == 3 && strcmp(argv[1], "executed") == 0)
        return in_new_program(argv[2]);
    return run_interception_tests(argc, argv, tests);
}
