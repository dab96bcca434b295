/* SPDX-License-Identifier: MIT */
/*
 * Interception follows into children, whatever call made them, and lets them become other programs.
 */
#include "intercept.h"

#include <linux/sched.h>
#include <sched.h>
#include <spawn.h>

extern char **environ;

static struct seen *getppids;

/* A registry that counts getppid here and in children, installed. */
static struct sta *installed(void)
{
    return installed_counting(SYS_getppid, &getppids);
}

static void finish(struct sta *sta, long enters)
{
    getppid();
    CHECK_EQ(getppids->enters, enters + 1);
    CHECK_EQ(getppids->exits, enters + 1);
    remove_transformer(sta);
    getppid();
    CHECK_EQ(getppids->enters, enters + 1);
}

/* fork */

VICTIM(a_forked_child_is_intercepted)
{
    struct sta *sta = installed();
    pid_t pid = fork();

    if (pid == 0) {
        for (int i = 0; i < 10; i++)
            CHECK_EQ(getppid(), STA__RAW0(SYS_getppid));
        _exit(3);
    }
    CHECK_EQ(WEXITSTATUS(status_of(pid)), 3);
    finish(sta, 10);
}

VICTIM(a_forked_child_can_remove_and_install)
{
    struct sta *sta = installed();
    pid_t pid = fork();

    if (pid == 0) {
        remove_transformer(sta);
        getppid();
        install(sta);
        getppid();
        sta_free(sta);
        getppid();
        _exit(0);
    }
    CHECK_EQ(status_of(pid), 0);
    finish(sta, 1);
}

VICTIM(grandchildren_of_a_double_fork_are_intercepted)
{
    struct sta *sta = installed();
    int done[2];
    char byte;

    CHECK_EQ(pipe(done), 0);
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            close(done[0]);
            getppid();
            _exit(0);
        }
        getppid();
        _exit(0);
    }
    close(done[1]);
    CHECK_EQ(read(done[0], &byte, 1), 0);
    CHECK(wait(NULL) > 0);
    finish(sta, 2);
}

static void *fork_in_thread(void *unused)
{
    pid_t pid = fork();

    if (pid == 0) {
        getppid();
        _exit(0);
    }
    CHECK_EQ(status_of(pid), 0);
    return unused;
}

VICTIM(fork_in_a_thread)
{
    struct sta *sta = installed();
    pthread_t threads[8];

    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, fork_in_thread, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    finish(sta, COUNT_OF(threads));
}

VICTIM(clone_has_exit_events_in_parent_and_child)
{
    struct seen *clones;
    struct sta *sta = installed_counting(SYS_clone, &clones); /* glibc's fork */
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    CHECK_EQ(status_of(pid), 0);
    CHECK_EQ(clones->enters, 1);
    CHECK_EQ(clones->exits, 2);
    remove_transformer(sta);
}

/* exec */

VICTIM(fork_and_exec)
{
    struct sta *sta = installed();
    pid_t pid = fork();

    if (pid == 0) {
        getppid();
        execl("/bin/sh", "sh", "-c", "exit 5", (char *)NULL);
        _exit(99);
    }
    CHECK_EQ(WEXITSTATUS(status_of(pid)), 5);
    finish(sta, 1);
}

VICTIM(an_execve_that_fails_returns)
{
    struct sta *sta = installed();
    struct seen *execs = count_calls(sta, SYS_execve);

    errno = 0;
    CHECK_EQ(execl("/no/such/program", "x", (char *)NULL), -1);
    CHECK_EQ(errno, ENOENT);
    CHECK_EQ(execs->enters, 1);
    CHECK_EQ(execs->exits, 1);
    CHECK_EQ(execs->last_ret, -ENOENT);
    finish(sta, 0);
}

/* The SIG_IGN and mask that /proc says of a program that was executed now. */
static const char *const show_signals[] = {"sh", "-c", "grep -E 'Sig(Blk|Ign)' /proc/self/status",
                                           NULL};

static void read_signals_of_child(char *text, size_t size)
{
    int ends[2];
    pid_t pid;
    ssize_t got;

    CHECK_EQ(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execv("/bin/sh", (char *const *)(uintptr_t)show_signals);
        _exit(1);
    }
    close(ends[1]);
    CHECK_EQ(status_of(pid), 0);
    got = read(ends[0], text, size - 1);
    CHECK(got > 0);
    text[got] = '\0';
    close(ends[0]);
}

VICTIM(exec_hands_down_the_mask_and_what_is_ignored)
{
    char native[256], intercepted[256];
    struct sta *sta = new_registry();
    sigset_t set;

    signal(SIGSYS, SIG_IGN);
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    read_signals_of_child(native, sizeof(native));
    install(sta);
    read_signals_of_child(intercepted, sizeof(intercepted));
    if (strcmp(native, intercepted) != 0)
        victim_failed("natively\n%s, intercepted\n%s", native, intercepted);
    CHECK_EQ(execl("/no/such/program", "x", (char *)NULL), -1);
    read_signals_of_child(intercepted, sizeof(intercepted));
    CHECK_EQ(strcmp(native, intercepted), 0);
    remove_transformer(sta);
}

/* vfork */

VICTIM(vfork_and_exit)
{
    struct sta *sta = installed();
    struct seen *vforks = count_calls(sta, SYS_vfork);

    for (int i = 1; i <= 10; i++) {
        volatile int value = i;
        pid_t pid = vfork();

        if (pid == 0) {
            getppid();
            _exit(value);
        }
        CHECK_EQ(WEXITSTATUS(status_of(pid)), i);
    }
    CHECK_EQ(vforks->enters, 10);
    CHECK_EQ(vforks->exits, 20);
    finish(sta, 10);
}

VICTIM(vfork_and_exec)
{
    struct sta *sta = installed();
    pid_t pid = vfork();

    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", "exit 6", (char *)NULL);
        _exit(99);
    }
    CHECK_EQ(WEXITSTATUS(status_of(pid)), 6);
    pid = vfork();
    if (pid == 0) {
        execl("/no/such/program", "x", (char *)NULL);
        _exit(98);
    }
    CHECK_EQ(WEXITSTATUS(status_of(pid)), 98);
    finish(sta, 0);
}

static void require_nested_vfork(void)
{
    if (UNDER_ASAN)
        victim_skip("AddressSanitizer's vfork keeps one return address a thread");
}

__attribute__((noinline)) static void vfork_nested(int depth)
{
    pid_t pid = vfork();

    if (pid == 0) {
        getppid();
        if (depth > 1)
            vfork_nested(depth - 1);
        getppid();
        _exit(depth);
    }
    if (WEXITSTATUS(status_of(pid)) != depth)
        _exit(99);
}

VICTIM(vfork_in_a_vfork_child)
{
    struct sta *sta;

    require_nested_vfork();
    sta = installed();
    vfork_nested(1);
    vfork_nested(2);
    vfork_nested(4);
    finish(sta, 2 * (1 + 2 + 4));
}

/* Kills the first process when there is a second one. */
static pid_t start_killer(volatile pid_t *family)
{
    pid_t pid = fork();

    if (pid == 0) {
        while (!family[1])
            sleep_ms(1);
        kill(family[0], SIGKILL);
        _exit(0);
    }
    return pid;
}

/* The parent goes on while the grandchild, on the same stack, exists. */
VICTIM(a_vfork_child_that_is_killed_in_its_own_vfork)
{
    volatile pid_t *family = shared_memory(4096);
    pid_t killer, pid;
    struct sta *sta;

    require_nested_vfork();
    sta = installed();
    killer = start_killer(family);
    pid = vfork();
    if (pid == 0) {
        family[0] = getpid();
        if (vfork() == 0) {
            alarm(20); /* should the test fail */
            family[1] = getpid();
            __asm__ volatile("1: pause; jmp 1b");
        }
        _exit(99);
    }
    CHECK_EQ(WTERMSIG(status_of(pid)), SIGKILL);
    CHECK_EQ(kill(family[1], SIGKILL), 0);
    CHECK_EQ(status_of(killer), 0);
    finish(sta, 0);
}

VICTIM(a_vfork_child_that_exits_as_a_thread)
{
    struct sta *sta = installed();
    pid_t pid = vfork();

    if (pid == 0) {
        getppid();
        syscall(SYS_exit, 4);
    }
    CHECK_EQ(WEXITSTATUS(status_of(pid)), 4);
    check_threads(sta, 1, 0);
    finish(sta, 1);
}

static void on_sigsys(int signal)
{
    (void)signal;
}

VICTIM(signals_of_a_vfork_child_are_its_own)
{
    struct sta *sta = installed();
    struct sigaction action = {.sa_handler = on_sigsys}, after;
    sigset_t set, mask;
    pid_t pid;

    sigfillset(&action.sa_mask);
    CHECK_EQ(sigaction(SIGSYS, &action, NULL), 0);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    sigfillset(&set);
    pid = vfork();
    if (pid == 0) {
        signal(SIGSYS, SIG_IGN);
        signal(SIGUSR1, SIG_IGN);
        sigprocmask(SIG_BLOCK, &set, NULL);
        getppid();
        _exit(0);
    }
    CHECK_EQ(status_of(pid), 0);
    CHECK_EQ(sigaction(SIGSYS, NULL, &after), 0);
    CHECK(after.sa_handler == on_sigsys);
    CHECK_EQ(sigaction(SIGUSR1, NULL, &after), 0);
    CHECK(after.sa_handler == on_sigsys);
    CHECK(sigismember(&after.sa_mask, SIGSYS));
    CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &mask), 0);
    CHECK(!sigismember(&mask, SIGSYS));
    finish(sta, 1);
    CHECK_EQ(sigaction(SIGUSR1, NULL, &after), 0);
    CHECK(sigismember(&after.sa_mask, SIGSYS));
}

/* spawn and its users */

VICTIM(posix_spawn_system_and_popen)
{
    static char *const good[] = {"sh", "-c", "exit 4", NULL};
    struct sta *sta = installed();
    struct sigaction action = {.sa_handler = on_sigsys}, after;
    char text[16] = "";
    pid_t pid;
    FILE *file;

    CHECK_EQ(sigaction(SIGSYS, &action, NULL), 0);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(posix_spawn(&pid, "/bin/sh", NULL, NULL, good, environ), 0);
        CHECK_EQ(WEXITSTATUS(status_of(pid)), 4);
        CHECK_EQ(posix_spawn(&pid, "/no/such/program", NULL, NULL, good, environ), ENOENT);
        CHECK_EQ(WEXITSTATUS(system("exit 9")), 9);
    }
    file = popen("echo hello", "r");
    CHECK(file != NULL);
    CHECK(fgets(text, sizeof(text), file) != NULL);
    CHECK_EQ(strcmp(text, "hello\n"), 0);
    CHECK_EQ(pclose(file), 0);
    CHECK_EQ(sigaction(SIGSYS, NULL, &after), 0);
    CHECK(after.sa_handler == on_sigsys);
    finish(sta, 0);
}

static void *spawn_in_thread(void *unused)
{
    for (int i = 0; i < 10; i++)
        CHECK_EQ(WEXITSTATUS(system("exit 9")), 9);
    return unused;
}

VICTIM(spawning_in_threads)
{
    struct sta *sta = installed();
    pthread_t threads[4];

    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, spawn_in_thread, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    finish(sta, 0);
}

VICTIM(install_and_remove_while_a_thread_spawns)
{
    struct sta *sta = new_registry();
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, spawn_in_thread, NULL), 0);
    for (int i = 0; i < 30; i++) {
        install(sta);
        remove_transformer(sta);
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_forked_child_is_intercepted),
        cmocka_unit_test(a_forked_child_can_remove_and_install),
        cmocka_unit_test(grandchildren_of_a_double_fork_are_intercepted),
        cmocka_unit_test(fork_in_a_thread),
        cmocka_unit_test(clone_has_exit_events_in_parent_and_child),
        cmocka_unit_test(fork_and_exec),
        cmocka_unit_test(an_execve_that_fails_returns),
        cmocka_unit_test(exec_hands_down_the_mask_and_what_is_ignored),
        cmocka_unit_test(vfork_and_exit),
        cmocka_unit_test(vfork_and_exec),
        cmocka_unit_test(vfork_in_a_vfork_child),
        cmocka_unit_test(a_vfork_child_that_is_killed_in_its_own_vfork),
        cmocka_unit_test(a_vfork_child_that_exits_as_a_thread),
        cmocka_unit_test(signals_of_a_vfork_child_are_its_own),
        cmocka_unit_test(posix_spawn_system_and_popen),
        cmocka_unit_test(spawning_in_threads),
        cmocka_unit_test(install_and_remove_while_a_thread_spawns),
    };

    return run_interception_tests(argc, argv, tests);
}
