/* SPDX-License-Identifier: MIT */
/*
 * An intercepted call gives what the kernel gives: the same calls are made before and after
 * install.
 */
#include "intercept.h"

#include <execinfo.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/stat.h>

/* Numbers */

static const struct {
    long given;
    long seen;
} odd_numbers[] = {
    {-1, -1},          {512, 512}, {1000, 1000}, {0x40000027, 0x40000027}, {0x7fffffff, 0x7fffffff},
    {0xffffffffL, -1}, {-5, -5},
};

VICTIM(unknown_numbers_give_enosys_and_raw_events_only)
{
    struct sta *sta = new_registry();
    struct seen *all = count_calls(sta, STA_ALL_SYSCALLS);
    struct seen *named = count_calls(sta, 39); /* the low bits of 0x40000027 */

    install(sta);
    for (size_t i = 0; i < COUNT_OF(odd_numbers); i++) {
        long enters = all->enters, exits = all->exits;

        errno = 0;
        CHECK_EQ(syscall(odd_numbers[i].given), -1);
        CHECK_EQ(errno, ENOSYS);
        CHECK_EQ(all->enters - enters, 1);
        CHECK_EQ(all->exits - exits, 1);
        CHECK_EQ(all->last_id, odd_numbers[i].seen);
        CHECK_EQ(all->last_ret, -ENOSYS);
    }
    CHECK_EQ(named->enters, 0);
    remove_transformer(sta);
}

VICTIM(only_32_bits_of_the_number_count)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getpid, &seen);

    CHECK_EQ(syscall(0x7700000000L | SYS_getpid), STA__RAW0(SYS_getpid));
    CHECK_EQ(seen->enters, 1);
    CHECK_EQ(seen->last_id, SYS_getpid);
    remove_transformer(sta);
}

/* Results: each call is made natively and intercepted. */

static char *bad_page, *buffer;
static int null_fd, zero_fd, epoll_fd;

static long try(long nr, long a, long b, long c, long d, long e, long f)
{
    long result;

    errno = 0;
    result = syscall(nr, a, b, c, d, e, f);
    return result < 0 ? -errno : result;
}

struct attempt {
    long nr, args[6];
};

static size_t list_attempts(struct attempt *out)
{
    static struct clone_args clone_args = {.flags = 0x8000000000000000ull};
    static uint64_t mask, pair[2], bad_pair[2];
    long bad = (long)bad_page, good = (long)buffer, null = 0;
    const struct attempt attempts[] = {
        {SYS_getpid, {0}},
        {SYS_getppid, {0}},
        {SYS_getuid, {0}},
        {SYS_close, {-1}},
        {SYS_close, {9999}},
        {SYS_dup, {-1}},
        {SYS_lseek, {null_fd, 0, 99}},
        {SYS_openat, {AT_FDCWD, (long)"/no/such/file", O_RDONLY}},
        {SYS_openat, {AT_FDCWD, bad, O_RDONLY}},
        {SYS_read, {zero_fd, good, 16}},
        {SYS_read, {zero_fd, null, 16}},
        {SYS_read, {zero_fd, bad, 16}},
        {SYS_read, {zero_fd, -4096, 16}},
        {SYS_read, {-1, good, 1}},
        {SYS_write, {null_fd, good, 16}},
        {SYS_write, {1000, good, 16}},
        {SYS_pipe, {bad}},
        {SYS_pipe, {null}},
        {SYS_kill, {STA__RAW0(SYS_getpid), 0}},
        {SYS_kill, {STA__RAW0(SYS_getpid), 99}},
        {SYS_mmap, {0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}},
        {SYS_munmap, {1, 4096}},
        {SYS_nanosleep, {bad, 0}},
        {SYS_clock_gettime, {99, good}},
        {SYS_futex, {bad, 0, 0, 0, 0, 0}},
        {SYS_rt_sigaction, {SIGUSR1, null, null, 8}},
        {SYS_rt_sigaction, {SIGUSR1, bad, null, 8}},
        {SYS_rt_sigaction, {SIGUSR1, null, bad, 8}},
        {SYS_rt_sigaction, {SIGUSR1, null, good, 7}},
        {SYS_rt_sigaction, {SIGUSR1, bad, null, 7}},
        {SYS_rt_sigaction, {SIGSYS, bad, null, 8}},
        {SYS_rt_sigaction, {SIGSYS, null, bad, 8}},
        {SYS_rt_sigaction, {SIGSYS, null, null, 8}},
        {SYS_rt_sigaction, {SIGSYS, null, null, 16}},
        {SYS_rt_sigaction, {SIGKILL, good, null, 8}},
        {SYS_rt_sigaction, {SIGKILL, null, good, 8}},
        {SYS_rt_sigaction, {0, good, null, 8}},
        {SYS_rt_sigaction, {65, good, null, 8}},
        {SYS_rt_sigaction, {65, bad, null, 8}},
        {SYS_rt_sigaction, {-1, null, null, 8}},
        {SYS_rt_sigprocmask, {SIG_BLOCK, null, null, 8}},
        {SYS_rt_sigprocmask, {SIG_BLOCK, bad, null, 8}},
        {SYS_rt_sigprocmask, {SIG_BLOCK, null, bad, 8}},
        {SYS_rt_sigprocmask, {SIG_BLOCK, (long)&mask, bad, 8}},
        {SYS_rt_sigprocmask, {77, (long)&mask, null, 8}},
        {SYS_rt_sigprocmask, {77, null, good, 8}},
        {SYS_rt_sigprocmask, {SIG_BLOCK, (long)&mask, null, 4}},
        {SYS_rt_sigpending, {bad, 8}},
        {SYS_rt_sigpending, {good, 8}},
        {SYS_rt_sigpending, {good, 4}},
        {SYS_rt_sigpending, {good, 9}},
        {SYS_rt_sigsuspend, {bad, 8}},
        {SYS_rt_sigsuspend, {(long)&mask, 4}},
        {SYS_rt_sigtimedwait, {bad, null, null, 8}},
        {SYS_rt_sigtimedwait, {(long)&mask, null, bad, 8}},
        {SYS_rt_sigtimedwait, {(long)&mask, null, (long)(buffer + 64), 8}},
        {SYS_rt_sigtimedwait, {(long)&mask, null, null, 4}},
        {SYS_signalfd4, {-2, (long)&mask, 8, 0}},
        {SYS_signalfd4, {-1, bad, 8, 0}},
        {SYS_signalfd4, {-1, (long)&mask, 4, 0}},
        {SYS_sigaltstack, {bad, null}},
        {SYS_sigaltstack, {null, bad}},
        {SYS_sigaltstack, {null, good}},
        {SYS_ppoll, {bad, 1, 0, 0, 0}},
        {SYS_ppoll, {0, 0, (long)(buffer + 64), bad, 8}},
        {SYS_ppoll, {0, 0, (long)(buffer + 64), (long)&mask, 4}},
        {SYS_ppoll, {0, 0, (long)(buffer + 64), (long)&mask, 8}},
        {SYS_pselect6, {0, 0, 0, 0, (long)(buffer + 64), bad}},
        {SYS_pselect6, {0, 0, 0, 0, (long)(buffer + 64), (long)pair}},
        {SYS_pselect6, {0, 0, 0, 0, (long)(buffer + 64), (long)bad_pair}},
        {SYS_pselect6, {0, 0, 0, 0, (long)(buffer + 64), 0}},
        {SYS_epoll_pwait, {epoll_fd, (long)(buffer + 128), 1, 0, bad, 8}},
        {SYS_epoll_pwait, {epoll_fd, (long)(buffer + 128), 1, 0, (long)&mask, 8}},
        {SYS_epoll_pwait, {epoll_fd, (long)(buffer + 128), 1, 0, (long)&mask, 4}},
        {SYS_clone3, {null, 88}},
        {SYS_clone3, {bad, 88}},
        {SYS_clone3, {(long)&clone_args, 8}},
        {SYS_clone3, {(long)&clone_args, sizeof(clone_args)}},
        {SYS_clone3, {good, 1 << 20}},
        {SYS_clone, {CLONE_THREAD, good + 4096}},
        {SYS_clone, {CLONE_SIGHAND, good + 4096}},
        {SYS_clone, {CLONE_THREAD, 0}},
        {SYS_clone, {CLONE_FS | CLONE_NEWNS, bad}},
        {SYS_execve, {(long)"/no/such/program", null, null}},
        {SYS_execve, {bad, null, null}},
        {SYS_execve, {(long)"/", null, null}},
        {SYS_wait4, {-1, null, 0, null}},
        {SYS_prctl, {9999}},
        {SYS_uname, {bad}},
        {SYS_sched_yield, {0}},
    };

    memset(buffer + 64, 0, 64); /* a timeout of zero */
    pair[0] = (uint64_t)&mask, pair[1] = 8;
    bad_pair[0] = (uint64_t)bad_page, bad_pair[1] = 8;
    memcpy(out, attempts, sizeof(attempts));
    return COUNT_OF(attempts);
}

VICTIM(results_are_the_native_ones)
{
    struct attempt attempts[128];
    struct sta *sta = new_registry();
    struct seen *seen = count_calls(sta, STA_ALL_SYSCALLS);
    long native[COUNT_OF(attempts)], result, before;
    size_t count;

    buffer = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bad_page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    null_fd = open("/dev/null", O_RDWR);
    zero_fd = open("/dev/zero", O_RDWR);
    epoll_fd = epoll_create1(0);
    count = list_attempts(attempts);
    for (size_t i = 0; i < count; i++) {
        const long *a = attempts[i].args;

        native[i] = try(attempts[i].nr, a[0], a[1], a[2], a[3], a[4], a[5]);
        memset(buffer, 0, 8192);
    }
    install(sta);
    for (size_t i = 0; i < count; i++) {
        const long *a = attempts[i].args;

        before = seen->exits;
        result = try(attempts[i].nr, a[0], a[1], a[2], a[3], a[4], a[5]);
        if (result != native[i])
            victim_failed("attempt %zu, %s(%lx, %lx, %lx, ...) is %ld, natively %ld", i,
                          sta_syscall_name((int)attempts[i].nr), a[0], a[1], a[2], result,
                          native[i]);
        CHECK_EQ(seen->exits - before, 1);
        CHECK_EQ(seen->last_ret, result);
        memset(buffer, 0, 8192);
    }
    remove_transformer(sta);
}

/* Overrides */

static int deny(void *ctx, size_t ctx_size, uint64_t *ret, void *error)
{
    (void)ctx, (void)ctx_size, (void)ret;
    return sta_override_return(-(long)error);
}

VICTIM(an_override_at_entry_keeps_the_call_from_happening)
{
    char path[] = "/tmp/sta-test-XXXXXX";
    int fd = mkstemp(path), id;
    struct sta *sta = new_registry();
    struct seen *seen;
    struct stat stat_buffer;

    CHECK(fd >= 0);
    id = attach(sta, SYS_unlink, true, deny, (void *)EPERM);
    seen = count_calls(sta, SYS_unlink);
    install(sta);
    errno = 0;
    CHECK_EQ(unlink(path), -1);
    CHECK_EQ(errno, EPERM);
    CHECK_EQ(stat(path, &stat_buffer), 0);
    CHECK_EQ(seen->exits, 1);
    CHECK_EQ(seen->last_ret, -EPERM);
    CHECK_EQ(sta_detach(sta, id), 0);
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(stat(path, &stat_buffer), -1);
    remove_transformer(sta);
    close(fd);
}

VICTIM(an_override_at_exit_replaces_the_result)
{
    char path[] = "/tmp/sta-test-XXXXXX";
    int fd = mkstemp(path);
    struct sta *sta = new_registry();
    struct stat stat_buffer;

    CHECK(fd >= 0);
    attach(sta, SYS_unlink, false, deny, (void *)EIO);
    install(sta);
    errno = 0;
    CHECK_EQ(unlink(path), -1);
    CHECK_EQ(errno, EIO);
    CHECK_EQ(stat(path, &stat_buffer), -1);
    remove_transformer(sta);
}

/* Callbacks that make calls */

static int write_and_fork(void *ctx, size_t ctx_size, uint64_t *ret, void *status)
{
    pid_t pid;

    (void)ctx, (void)ctx_size, (void)ret;
    getppid();
    pid = fork();
    if (pid == 0) {
        getppid();
        _exit(write(null_fd, "x", 1) == 1 ? 7 : 8);
    }
    waitpid(pid, status, 0);
    return 0;
}

VICTIM(calls_of_a_callback_run_and_count_as_missed)
{
    struct sta_attach_info info = {.size = sizeof(info)};
    struct sta *sta = new_registry();
    struct seen *seen = count_calls(sta, SYS_fork);
    const struct sta_target getppid_enter = {SYS_getppid, true};
    int status = -1, id;

    null_fd = open("/dev/null", O_WRONLY);
    attach(sta, SYS_getuid, true, write_and_fork, &status);
    id = sta_attach(sta, &getppid_enter, count_enter, seen);
    install(sta);
    getuid();
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 7);
    CHECK_EQ(seen->enters, 0);
    CHECK_EQ(sta_attach_info(sta, id, &info), 0);
    CHECK_EQ(info.missed, 1);
    CHECK_EQ(info.runs, 0);
    getppid();
    CHECK_EQ(seen->enters, 1);
    remove_transformer(sta);
}

/* Leaving a callback */

static jmp_buf away;

static int jump_away(void *ctx, size_t ctx_size, uint64_t *ret, void *times)
{
    (void)ctx, (void)ctx_size, (void)ret;
    ++*(int *)times;
    longjmp(away, 1);
}

VICTIM(longjmp_out_of_a_callback)
{
    static volatile int times;
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getpid, &seen);

    attach(sta, SYS_getuid, true, jump_away, (void *)&times);
    for (volatile int i = 1; i <= 100; i++) {
        if (setjmp(away) == 0) {
            getuid();
            victim_failed("getuid returned");
        }
        CHECK_EQ(times, i);
        getpid();
        CHECK_EQ(seen->enters, i);
    }
    remove_transformer(sta);
}

static _Atomic int cleaned_up;

static void clean_up(void *unused)
{
    (void)unused;
    cleaned_up++;
}

static int exit_thread(void *ctx, size_t ctx_size, uint64_t *ret, void *unused)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)unused;
    pthread_exit((void *)42);
}

static void *call_with_cleanup(void *unused)
{
    pthread_cleanup_push(clean_up, NULL);
    getuid();
    pthread_cleanup_pop(0);
    return unused;
}

VICTIM(pthread_exit_from_a_callback)
{
    struct sta *sta = new_registry();
    pthread_t thread;
    void *result;

    attach(sta, SYS_getuid, true, exit_thread, NULL);
    install(sta);
    for (int i = 1; i <= 10; i++) {
        CHECK_EQ(pthread_create(&thread, NULL, call_with_cleanup, NULL), 0);
        CHECK_EQ(pthread_join(thread, &result), 0);
        CHECK_EQ((long)result, 42);
        CHECK_EQ(cleaned_up, i);
    }
    remove_transformer(sta);
}

static void *frames[64];
static int frame_count;

static int take_backtrace(void *ctx, size_t ctx_size, uint64_t *ret, void *unused)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)unused;
    frame_count = backtrace(frames, COUNT_OF(frames));
    return 0;
}

__attribute__((noinline)) static void *caller_of_getuid(void)
{
    getuid();
    return __builtin_return_address(0);
}

static bool in_backtrace(const void *address)
{
    for (int i = 0; i < frame_count; i++) {
        if (frames[i] == address)
            return true;
    }
    return false;
}

VICTIM(a_backtrace_in_a_callback_reaches_the_caller)
{
    struct sta *sta = new_registry();
    void *caller;

    backtrace(frames, 1); /* loads libgcc */
    attach(sta, SYS_getuid, true, take_backtrace, NULL);
    install(sta);
    caller = caller_of_getuid();
    CHECK(frame_count > 0);
    CHECK(in_backtrace(caller));
    frame_count = 0;
    remove_transformer(sta);
    attach(sta, SYS_getuid, false, take_backtrace, NULL);
    install(sta);
    caller = caller_of_getuid();
    CHECK(in_backtrace(caller));
    remove_transformer(sta);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_numbers_give_enosys_and_raw_events_only),
        cmocka_unit_test(only_32_bits_of_the_number_count),
        cmocka_unit_test(results_are_the_native_ones),
        cmocka_unit_test(an_override_at_entry_keeps_the_call_from_happening),
        cmocka_unit_test(an_override_at_exit_replaces_the_result),
        cmocka_unit_test(calls_of_a_callback_run_and_count_as_missed),
        cmocka_unit_test(longjmp_out_of_a_callback),
        cmocka_unit_test(pthread_exit_from_a_callback),
        cmocka_unit_test(a_backtrace_in_a_callback_reaches_the_caller),
    };

    return run_interception_tests(argc, argv, tests);
}
