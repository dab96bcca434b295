/* SPDX-License-Identifier: MIT */
/*
 * For tests of interception. Each runs in a child of its own, since what fails here tends to take
 * the process along, and its failure is that child's status:
 *
 *     VICTIM(name)                    defines the cmocka test `name`
 *     {
 *         CHECK(condition);           in place of cmocka's assertions, which do not cross processes
 *         CHECK_EQ(actual, expected);
 *     }
 */
#ifndef TESTS_INTERCEPT_H
#define TESTS_INTERCEPT_H

#ifndef _GNU_SOURCE
#    define _GNU_SOURCE
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sta.h>

#include "base/copy_user.h"
#include "base/gate.h"

#define UNUSED            __attribute__((unused))
#define COUNT_OF(array)   (sizeof(array) / sizeof((array)[0]))
#define VICTIM_SKIPPED    77
#define VICTIM_TIMEOUT_MS 60000

#if defined(__has_feature)
#    if __has_feature(thread_sanitizer)
#        define UNDER_TSAN 1
#    endif
#    if __has_feature(address_sanitizer)
#        define UNDER_ASAN 1
#    endif
#endif
#ifdef __SANITIZE_THREAD__
#    define UNDER_TSAN 1
#endif
#ifdef __SANITIZE_ADDRESS__
#    define UNDER_ASAN 1
#endif
#ifndef UNDER_TSAN
#    define UNDER_TSAN 0
#endif
#ifndef UNDER_ASAN
#    define UNDER_ASAN 0
#endif

/* Tests run with each method of interception: STA_TEST_METHOD in the environment names it ("sud",
 * "rewrite"; unset: the one that the library chooses). A test about one method only defines
 * TEST_METHOD before it includes this. */
static enum sta_transform_method wanted_method(void)
{
#ifdef TEST_METHOD
    return TEST_METHOD;
#else
    const char *name = getenv("STA_TEST_METHOD");

    if (!name || !*name)
        return STA_METHOD_AUTO;
    if (strcmp(name, "sud") == 0)
        return STA_METHOD_SUD;
    if (strcmp(name, "rewrite") == 0)
        return STA_METHOD_REWRITE;
    fprintf(stderr, "STA_TEST_METHOD is '%s': there are sud and rewrite\n", name);
    exit(1);
#endif
}

/* In the victim */

#define CHECK(condition)                                                          \
    do {                                                                          \
        if (!(condition))                                                         \
            victim_failed("%s:%d: not true: %s", __FILE__, __LINE__, #condition); \
    } while (0)

#define CHECK_EQ(actual, expected)                                                         \
    do {                                                                                   \
        long long actual_ = (long long)(actual), expected_ = (long long)(expected);        \
        if (actual_ != expected_)                                                          \
            victim_failed("%s:%d: %s is %lld, expected %lld", __FILE__, __LINE__, #actual, \
                          actual_, expected_);                                             \
    } while (0)

/* Through the gate: the process may be in any state. */
__attribute__((format(printf, 1, 2), noreturn)) static void victim_failed(const char *format, ...)
{
    char line[512];
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    if (size > (int)sizeof(line) - 2)
        size = sizeof(line) - 2;
    line[size++] = '\n';
    STA__RAW3(SYS_write, STDERR_FILENO, line, size);
    STA__RAW1(SYS_exit_group, 1);
    abort();
}

UNUSED __attribute__((noreturn)) static void victim_skip(const char *why)
{
    fprintf(stderr, "skipped: %s\n", why);
    _exit(VICTIM_SKIPPED);
}

/* What callbacks saw, in memory that children share, so that it adds up over a family. */
struct seen {
    _Atomic long enters, exits;
    _Atomic long last_id, last_ret;
};

UNUSED static void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(memory != MAP_FAILED);
    return memory;
}

static int count_enter(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct seen *seen = user_data;

    (void)ret;
    if (ctx_size != sizeof(struct sta_sys_enter))
        return -EINVAL;
    atomic_store(&seen->last_id, ((struct sta_sys_enter *)ctx)->id);
    atomic_fetch_add(&seen->enters, 1);
    return 0;
}

static int count_exit(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct seen *seen = user_data;

    (void)ret;
    if (ctx_size != sizeof(struct sta_sys_exit))
        return -EINVAL;
    atomic_store(&seen->last_ret, ((struct sta_sys_exit *)ctx)->ret);
    atomic_fetch_add(&seen->exits, 1);
    return 0;
}

UNUSED static void log_to_stderr(void *log_data, enum sta_log_level level, const char *message)
{
    (void)log_data;
    if (level == STA_LOG_ERROR || getenv("STA_TEST_LOG"))
        fprintf(stderr, "libsta: %s\n", message);
}

UNUSED static struct sta *new_registry(void)
{
    const struct sta_options options = {.size = sizeof(options), .log = log_to_stderr};
    struct sta *sta = NULL;

    CHECK_EQ(sta_new(&sta, &options), 0);
    return sta;
}

UNUSED static int attach(struct sta *sta, int sys_nr, bool is_enter, sta_callback callback,
                         void *user_data)
{
    const struct sta_target target = {sys_nr, is_enter};
    int id = sta_attach(sta, &target, callback, user_data);

    CHECK(id > 0);
    return id;
}

/* Counts the calls with this number from now on, here and in children. */
UNUSED static struct seen *count_calls(struct sta *sta, int sys_nr)
{
    struct seen *seen = shared_memory(sizeof(*seen));

    attach(sta, sys_nr, true, count_enter, seen);
    attach(sta, sys_nr, false, count_exit, seen);
    return seen;
}

/* With STA_TRANSFORM_* flags. 0 or -errno. With STA_TEST_READS in the environment SIGSEGV and
 * SIGBUS are shared, as when there is a program that reads memory. */
UNUSED static int try_install(struct sta *sta, unsigned flags)
{
    const struct sta_transform_options options = {
        .size = sizeof(options), .method = wanted_method(), .flags = flags};

    if (getenv("STA_TEST_READS"))
        sta__copy_want();
    return sta_transform_install(sta, &options);
}

UNUSED static void install(struct sta *sta)
{
    CHECK_EQ(try_install(sta, 0), 0);
}

/* Code in no ELF file, too. */
UNUSED static void install_exhaustive(struct sta *sta)
{
    int err = try_install(sta, STA_TRANSFORM_EXHAUSTIVE);

    if (err == -ENOTSUP)
        victim_skip("this kernel has no Syscall User Dispatch");
    CHECK_EQ(err, 0);
}

UNUSED static void remove_transformer(struct sta *sta)
{
    CHECK_EQ(sta_transform_remove(sta), 0);
}

UNUSED static struct sta_transform_report report_of(struct sta *sta)
{
    struct sta_transform_report report = {.size = sizeof(report)};

    CHECK_EQ(sta_transform_report(sta, &report), 0);
    return report;
}

/* Whether every call is a signal: code in no ELF file is seen, and int 0x80. */
UNUSED static bool is_by_sud(struct sta *sta)
{
    return report_of(sta).method == STA_METHOD_SUD;
}

/* Syscall User Dispatch is armed thread by thread; rewritten code is every thread's. */
UNUSED static void check_threads(struct sta *sta, unsigned threads, unsigned left)
{
    struct sta_transform_report report = report_of(sta);

    CHECK_EQ(report.threads, is_by_sud(sta) ? threads : 0);
    CHECK_EQ(report.threads_left, is_by_sud(sta) ? left : 0);
}

/* A registry that counts calls with this number, installed. */
UNUSED static struct sta *installed_counting(int sys_nr, struct seen **seen)
{
    struct sta *sta = new_registry();

    *seen = count_calls(sta, sys_nr);
    install(sta);
    return sta;
}

/* Status of a child that is expected to end by itself. */
UNUSED static int status_of(pid_t pid)
{
    int status = -1;

    CHECK_EQ(waitpid(pid, &status, __WALL), pid);
    return status;
}

UNUSED static void sleep_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};

    STA__RAW2(SYS_nanosleep, &time, 0);
}

/* Waits until the thread sleeps in the kernel, which is as near as one gets to "blocked in read".
 */
UNUSED static void wait_until_asleep(pid_t tid)
{
    char path[64], text[256];

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
    for (int i = 0; i < 10000; i++) {
        int fd = open(path, O_RDONLY);
        ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

        if (fd >= 0)
            close(fd);
        text[size > 0 ? size : 0] = '\0';
        if (strstr(text, ") S "))
            return;
        sleep_ms(1);
    }
    victim_failed("thread %d does not fall asleep", tid);
}

/* In the test program */

static bool victim_wait(pid_t pid, int *status)
{
    for (int ms = 0; ms < VICTIM_TIMEOUT_MS; ms++) {
        struct timespec time = {.tv_nsec = 1000000};

        if (waitpid(pid, status, WNOHANG) == pid)
            return true;
        nanosleep(&time, NULL);
    }
    kill(pid, SIGKILL);
    waitpid(pid, status, 0);
    return false;
}

static const char *why_unsupported(void)
{
    if (UNDER_TSAN)
        return "ThreadSanitizer's runtime makes system calls with its own locks held";
    if (wanted_method() == STA_METHOD_SUD &&
        prctl(59 /* PR_SET_SYSCALL_USER_DISPATCH */, 0, 0, 0, 0) < 0)
        return "this kernel has no Syscall User Dispatch";
    return NULL;
}

static void run_victim(void (*body)(void))
{
    const char *why_not = why_unsupported();
    int status = 0;
    pid_t pid;

    if (why_not) {
        print_message("skipped: %s\n", why_not);
        skip();
    }
    fflush(stdout);
    fflush(stderr);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        for (int i = 1; i < SIGRTMIN; i++) /* cmocka's handlers */
            signal(i, SIG_DFL);
        body();
        fflush(stderr);
        _exit(0);
    }
    if (!victim_wait(pid, &status))
        fail_msg("not done after %d ms", VICTIM_TIMEOUT_MS);
    if (WIFSIGNALED(status))
        fail_msg("killed by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) == VICTIM_SKIPPED)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define VICTIM(name)                 \
    static void name##_victim(void); \
    static void name(void **state)   \
    {                                \
        (void)state;                 \
        run_victim(name##_victim);   \
    }                                \
    static void name##_victim(void)

/* With --as-nobody everything runs as an ordinary user; 77 if that is not possible. Any other
 * argument is a pattern: only the tests that match it run. */
UNUSED static int become_whom_asked(int argc, char **argv)
{
    if (argc >= 2 && argv[argc - 1][0] != '-')
        cmocka_set_test_filter(argv[argc - 1]);
    if (argc < 2 || strcmp(argv[1], "--as-nobody") != 0)
        return 0;
    if (geteuid() != 0 || setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0) {
        printf("skipped: only root can become nobody\n");
        return VICTIM_SKIPPED;
    }
    prctl(PR_SET_DUMPABLE, 1); /* as a process that was an ordinary user's from the start */
    return 0;
}

/* The body of main(): becomes whom asked and runs the array `tests`. */
#define run_interception_tests(argc, argv, tests) \
    (become_whom_asked(argc, argv) ? VICTIM_SKIPPED : cmocka_run_group_tests(tests, NULL, NULL))

#endif
