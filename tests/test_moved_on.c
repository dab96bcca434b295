/* SPDX-License-Identifier: MIT */
/*
 * Waiting until each other thread has left the instruction at which it was: who runs and who is
 * asleep holds it up for a moment or not at all, who cannot run for two seconds and no longer.
 */
#define TEST_METHOD STA_METHOD_REWRITE
#include "intercept.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ptrace.h>

#include "mappings.h"
#include "transform/moved_on.h"

static _Atomic bool stop;
static _Atomic long turns;
static _Atomic pid_t thread_id;

static pthread_t start_thread(void *(*run)(void *), void *data)
{
    pthread_t thread;

    atomic_store(&thread_id, 0);
    CHECK_EQ(pthread_create(&thread, NULL, run, data), 0);
    while (atomic_load(&thread_id) == 0)
        sleep_ms(1);
    return thread;
}

static void *spin(void *unused)
{
    (void)unused;
    atomic_store(&thread_id, (pid_t)STA__RAW0(SYS_gettid));
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        atomic_fetch_add_explicit(&turns, 1, memory_order_relaxed);
    return NULL;
}

static void *read_pipe(void *fd)
{
    char byte;

    atomic_store(&thread_id, (pid_t)STA__RAW0(SYS_gettid));
    CHECK_EQ(read(*(int *)fd, &byte, 1), 1);
    return NULL;
}

/* Short calls, and nothing else: it is always on its way into one or back. */
static void *call(void *unused)
{
    (void)unused;
    atomic_store(&thread_id, (pid_t)STA__RAW0(SYS_gettid));
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        STA__RAW0(SYS_getppid);
    return NULL;
}

/* The lowest file descriptor that is not open. */
static int next_file(void)
{
    int fd = dup(STDERR_FILENO);

    CHECK(fd >= 0);
    close(fd);
    return fd;
}

VICTIM(a_thread_that_is_alone_waits_for_nobody)
{
    unsigned mappings = count_mappings();
    int next = next_file();

    for (int i = 0; i < 10000; i++)
        CHECK_EQ(sta__wait_until_moved_on(), 0);
    CHECK_EQ(count_mappings(), mappings);
    CHECK_EQ(next_file(), next);
}

VICTIM(threads_that_run_have_run)
{
    pthread_t threads[3];
    unsigned mappings;
    int next = next_file();

    for (size_t i = 0; i < COUNT_OF(threads); i++)
        threads[i] = start_thread(i == 0 ? call : spin, NULL);
    mappings = count_mappings();
    for (int i = 0; i < 10; i++) {
        long before = atomic_load(&turns);

        CHECK_EQ(sta__wait_until_moved_on(), 0);
        CHECK(atomic_load(&turns) > before);
    }
    CHECK_EQ(count_mappings(), mappings);
    CHECK_EQ(next_file(), next);
    atomic_store(&stop, true);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

/* A thread that sleeps is not waited for: it would be for ever. */
VICTIM(threads_that_sleep_hold_nobody_up)
{
    pthread_t threads[8];
    int ends[2];

    CHECK_EQ(pipe(ends), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        threads[i] = start_thread(read_pipe, &ends[0]);
        wait_until_asleep(atomic_load(&thread_id));
    }
    for (int i = 0; i < 100; i++)
        CHECK_EQ(sta__wait_until_moved_on(), 0);
    CHECK_EQ(write(ends[1], "12345678", 8), 8);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

static void *end_at_once(void *unused)
{
    return unused;
}

static void *come_and_go(void *unused)
{
    pthread_t thread;

    (void)unused;
    atomic_store(&thread_id, (pid_t)STA__RAW0(SYS_gettid));
    while (!atomic_load(&stop)) {
        CHECK_EQ(pthread_create(&thread, NULL, end_at_once, NULL), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
    return NULL;
}

VICTIM(threads_may_come_and_go)
{
    pthread_t thread = start_thread(come_and_go, NULL);

    for (int i = 0; i < 50; i++)
        CHECK_EQ(sta__wait_until_moved_on(), 0);
    atomic_store(&stop, true);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* A thread that a tracer has stopped in the middle of its loop. The tracer is a child; it says on
 * one pipe that it has stopped it, and lets it go when the other is closed. */
static void hold(pid_t tid, int ready, int done)
{
    char byte;

    if (ptrace(PTRACE_SEIZE, tid, 0, 0) < 0)
        _exit(VICTIM_SKIPPED);
    CHECK_EQ(ptrace(PTRACE_INTERRUPT, tid, 0, 0), 0);
    CHECK_EQ(waitpid(tid, NULL, __WALL), tid);
    CHECK_EQ(write(ready, "x", 1), 1);
    while (read(done, &byte, 1) > 0)
        ;
    CHECK_EQ(ptrace(PTRACE_DETACH, tid, 0, 0), 0);
    _exit(0);
}

VICTIM(a_thread_that_does_not_run_is_given_up)
{
    int ready[2], done[2];
    pthread_t thread;
    pid_t tracer;
    char byte;

    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    CHECK_EQ(pipe(ready), 0);
    CHECK_EQ(pipe(done), 0);
    thread = start_thread(spin, NULL);
    tracer = fork();
    if (tracer == 0) {
        close(done[1]);
        hold(atomic_load(&thread_id), ready[1], done[0]);
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1)
        victim_skip("a child may not trace its parent here");
    CHECK_EQ(sta__wait_until_moved_on(), -ETIMEDOUT);
    close(done[1]);
    CHECK_EQ(status_of(tracer), 0);
    CHECK_EQ(sta__wait_until_moved_on(), 0);
    atomic_store(&stop, true);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* Where it cannot be found out whether a thread has run, nobody is to believe that it has. */

static void refuse(int sys_nr)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)sys_nr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {COUNT_OF(filter), filter};

    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        victim_skip("this kernel has no seccomp filters");
}

VICTIM(what_cannot_be_known_is_an_error)
{
    static const int refused[] = {SYS_clock_gettime, SYS_getdents64, SYS_openat, SYS_mmap};
    pthread_t thread;

    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        pid_t pid = fork();

        if (pid == 0) {
            thread = start_thread(spin, NULL);
            refuse(refused[i]);
            CHECK(sta__wait_until_moved_on() < 0);
            atomic_store(&stop, true);
            CHECK_EQ(pthread_join(thread, NULL), 0);
            _exit(0);
        }
        CHECK_EQ(status_of(pid), 0);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_that_is_alone_waits_for_nobody),
        cmocka_unit_test(threads_that_run_have_run),
        cmocka_unit_test(threads_that_sleep_hold_nobody_up),
        cmocka_unit_test(threads_may_come_and_go),
        cmocka_unit_test(a_thread_that_does_not_run_is_given_up),
        cmocka_unit_test(what_cannot_be_known_is_an_error),
    };

    return run_interception_tests(argc, argv, tests);
}
