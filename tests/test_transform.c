/* SPDX-License-Identifier: MIT */
/*
 * Installing and removing interception: which threads it reaches, and that nothing of it remains.
 */
#include "intercept.h"

#define THREADS 100

/* Reach */

VICTIM(the_installing_thread_is_intercepted)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);
    pid_t parent = (pid_t)STA__RAW0(SYS_getppid);

    for (int i = 0; i < 1000; i++)
        CHECK_EQ(getppid(), parent);
    remove_transformer(sta);
    CHECK_EQ(seen->enters, 1000);
    CHECK_EQ(seen->exits, 1000);
    CHECK_EQ(seen->last_ret, parent);
    getppid();
    CHECK_EQ(seen->enters, 1000);
    sta_free(sta);
}

static _Atomic int phase, arrived;

static void *call_in_phases(void *calls)
{
    for (int next = 1; next <= 2; next++) {
        atomic_fetch_add(&arrived, 1);
        while (atomic_load(&phase) < next)
            sleep_ms(1);
        for (long i = 0; i < (long)calls; i++)
            getppid();
    }
    return NULL;
}

static void wait_for_arrived(int count)
{
    while (atomic_load(&arrived) < count)
        sleep_ms(1);
}

VICTIM(threads_that_existed_before_are_intercepted)
{
    struct sta *sta = new_registry();
    struct seen *seen = count_calls(sta, SYS_getppid);
    pthread_t threads[8];

    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, call_in_phases, (void *)50), 0);
    wait_for_arrived(COUNT_OF(threads));
    install(sta);
    check_threads(sta, COUNT_OF(threads) + 1, 0);
    atomic_store(&phase, 1);
    wait_for_arrived(2 * COUNT_OF(threads));
    CHECK_EQ(seen->enters, 50 * COUNT_OF(threads));
    remove_transformer(sta);
    atomic_store(&phase, 2);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(seen->enters, 50 * COUNT_OF(threads));
    CHECK_EQ(seen->exits, 50 * COUNT_OF(threads));
}

static void *call_getppid(void *calls)
{
    for (long i = 0; i < (long)calls; i++)
        getppid();
    return NULL;
}

VICTIM(hundred_new_threads_in_three_rounds_are_intercepted)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);
    pthread_t threads[THREADS];

    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < THREADS; i++)
            CHECK_EQ(pthread_create(&threads[i], NULL, call_getppid, (void *)20), 0);
        for (int i = 0; i < THREADS; i++)
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
        CHECK_EQ(seen->enters, 20 * THREADS * round);
        CHECK_EQ(seen->exits, 20 * THREADS * round);
        check_threads(sta, 1, 0);
    }
    remove_transformer(sta);
}

VICTIM(exit_of_a_thread_is_seen_at_entry_only)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_exit, &seen);
    pthread_t thread;

    for (int i = 0; i < 10; i++) {
        CHECK_EQ(pthread_create(&thread, NULL, call_getppid, NULL), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
    remove_transformer(sta);
    CHECK_EQ(seen->enters, 10);
    CHECK_EQ(seen->exits, 0);
}

/* Threads in calls */

static int pipe_ends[2];
static _Atomic pid_t reader_tid;

static void *read_pipe(void *unused)
{
    char byte = 0;
    ssize_t got;

    (void)unused;
    atomic_store(&reader_tid, gettid());
    got = read(pipe_ends[0], &byte, 1);
    if (got != 1)
        victim_failed("read returned %zd, errno %d", got, errno);
    return (void *)(long)byte;
}

static pthread_t start_reader(void)
{
    pthread_t thread;

    atomic_store(&reader_tid, 0);
    CHECK_EQ(pipe(pipe_ends), 0);
    CHECK_EQ(pthread_create(&thread, NULL, read_pipe, NULL), 0);
    while (!atomic_load(&reader_tid))
        sleep_ms(1);
    wait_until_asleep(atomic_load(&reader_tid));
    return thread;
}

static void finish_reader(pthread_t thread)
{
    void *result;

    CHECK_EQ(write(pipe_ends[1], "x", 1), 1);
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK_EQ((long)result, 'x');
}

VICTIM(a_read_that_blocks_at_install_finishes)
{
    struct sta *sta = new_registry();
    pthread_t thread = start_reader();

    install(sta);
    finish_reader(thread);
    remove_transformer(sta);
}

VICTIM(a_read_that_blocks_at_remove_finishes)
{
    struct sta *sta = new_registry();
    struct seen *seen = count_calls(sta, SYS_read);
    pthread_t thread;

    install(sta);
    thread = start_reader();
    remove_transformer(sta);
    CHECK(seen->enters >= 1);
    finish_reader(thread);
}

VICTIM(a_read_that_blocks_throughout_finishes)
{
    struct sta *sta = new_registry();
    pthread_t thread = start_reader();

    for (int i = 0; i < 20; i++) {
        install(sta);
        remove_transformer(sta);
    }
    finish_reader(thread);
}

/* Install and remove */

VICTIM(install_and_remove_two_hundred_times)
{
    struct sta *sta = new_registry();
    struct seen *seen = count_calls(sta, SYS_getppid);

    for (int i = 1; i <= 200; i++) {
        install(sta);
        getppid();
        remove_transformer(sta);
        getppid();
        CHECK_EQ(seen->enters, i);
    }
}

static _Atomic bool stop;

static void *call_until_stopped(void *unused)
{
    (void)unused;
    while (!atomic_load(&stop))
        CHECK_EQ(syscall(SYS_getppid), STA__RAW0(SYS_getppid));
    return NULL;
}

VICTIM(install_and_remove_while_threads_call)
{
    struct sta *sta = new_registry();
    struct seen *seen = count_calls(sta, SYS_getppid);
    pthread_t threads[4];

    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, call_until_stopped, NULL), 0);
    for (int i = 0; i < 100; i++) {
        install(sta);
        check_threads(sta, COUNT_OF(threads) + 1, 0);
        remove_transformer(sta);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK(seen->enters > 0);
}

static void *create_until_stopped(void *unused)
{
    (void)unused;
    while (!atomic_load(&stop)) {
        pthread_t thread;

        CHECK_EQ(pthread_create(&thread, NULL, call_getppid, (void *)1), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
    return NULL;
}

/* A thread that is just creating another, or ending, blocks all signals for a moment. */
static void wait_until_nobody_is_left(struct sta *sta)
{
    for (int i = 0; i < 5000; i++) {
        if (report_of(sta).threads_left == 0)
            return;
        sleep_ms(1);
    }
    victim_failed("%u threads are still left", report_of(sta).threads_left);
}

static bool is_restored(const struct sigaction *before)
{
    struct sigaction after;

    CHECK_EQ(sigaction(SIGSYS, NULL, &after), 0);
    return after.sa_handler == before->sa_handler;
}

VICTIM(install_and_remove_while_threads_come_and_go)
{
    struct sta *sta = new_registry();
    struct sigaction before;
    struct timespec began, ended;
    pthread_t threads[2];
    int restored = 0;

    CHECK_EQ(sigaction(SIGSYS, NULL, &before), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, create_until_stopped, NULL), 0);
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (int i = 0; i < 100; i++) {
        install(sta);
        wait_until_nobody_is_left(sta);
        remove_transformer(sta);
        restored += is_restored(&before);
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    CHECK(ended.tv_sec - began.tv_sec < 20); /* no wait ran into its limit */
    CHECK(restored > 50);
    atomic_store(&stop, true);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    install(sta);
    remove_transformer(sta);
    CHECK(is_restored(&before));
}

VICTIM(a_second_install_is_refused)
{
    struct sta *first = new_registry(), *second = NULL;

    install(first);
    CHECK_EQ(sta_new(&second, NULL), 0);
    CHECK_EQ(try_install(first, 0), -EBUSY);
    CHECK_EQ(try_install(second, 0), -EBUSY);
    CHECK_EQ(sta_transform_remove(second), -ENOENT);
    remove_transformer(first);
    install(second);
    remove_transformer(second);
}

VICTIM(without_an_install_there_is_nothing_to_remove)
{
    struct sta_transform_report report = {.size = sizeof(report)};
    struct sta *sta = new_registry();

    CHECK_EQ(sta_transform_remove(sta), -ENOENT);
    CHECK_EQ(sta_transform_report(sta, &report), -ENOENT);
    install(sta);
    remove_transformer(sta);
    CHECK_EQ(sta_transform_remove(sta), -ENOENT);
}

VICTIM(bad_arguments_are_refused)
{
    struct sta_transform_options options = {.size = sizeof(options)};
    struct sta_transform_report report = {.size = 1};
    struct sta *sta = new_registry();

    CHECK_EQ(sta_transform_install(NULL, NULL), -EINVAL);
    CHECK_EQ(sta_transform_remove(NULL), -EINVAL);
    options.size = 1;
    CHECK_EQ(sta_transform_install(sta, &options), -EINVAL);
    options.size = sizeof(options);
    options.method = (enum sta_transform_method)99;
    CHECK_EQ(sta_transform_install(sta, &options), -EINVAL);
    options.method = wanted_method();
    options.flags = 1u << 31;
    CHECK_EQ(sta_transform_install(sta, &options), -EINVAL);
    options.flags = 0;
    CHECK_EQ(sta_transform_install(sta, &options), 0);
    CHECK_EQ(sta_transform_report(sta, &report), -EINVAL);
    CHECK_EQ(sta_transform_report(sta, NULL), -EINVAL);
    CHECK_EQ(sta_transform_report(NULL, &report), -EINVAL);
    remove_transformer(sta);
}

static int install_result, remove_result;

static int install_and_remove(void *ctx, size_t ctx_size, uint64_t *ret, void *sta)
{
    (void)ctx, (void)ctx_size, (void)ret;
    install_result = try_install(sta, 0);
    remove_result = sta_transform_remove(sta);
    return 0;
}

VICTIM(a_callback_can_neither_install_nor_remove)
{
    struct sta *sta = new_registry();

    attach(sta, SYS_getppid, true, install_and_remove, sta);
    install(sta);
    getppid();
    CHECK_EQ(install_result, -EDEADLK);
    CHECK_EQ(remove_result, -EDEADLK);
    remove_transformer(sta);
}

VICTIM(freeing_an_installed_registry_removes)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);

    getppid();
    sta_free(sta);
    getppid();
    CHECK_EQ(seen->enters, 1);
    sta = new_registry();
    install(sta);
    sta_free(sta);
}

static void *remove_elsewhere(void *sta)
{
    remove_transformer(sta);
    return NULL;
}

VICTIM(another_thread_than_the_installing_one_can_remove)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, remove_elsewhere, sta), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    getppid();
    CHECK_EQ(seen->enters, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_installing_thread_is_intercepted),
        cmocka_unit_test(threads_that_existed_before_are_intercepted),
        cmocka_unit_test(hundred_new_threads_in_three_rounds_are_intercepted),
        cmocka_unit_test(exit_of_a_thread_is_seen_at_entry_only),
        cmocka_unit_test(a_read_that_blocks_at_install_finishes),
        cmocka_unit_test(a_read_that_blocks_at_remove_finishes),
        cmocka_unit_test(a_read_that_blocks_throughout_finishes),
        cmocka_unit_test(install_and_remove_two_hundred_times),
        cmocka_unit_test(install_and_remove_while_threads_call),
        cmocka_unit_test(install_and_remove_while_threads_come_and_go),
        cmocka_unit_test(a_second_install_is_refused),
        cmocka_unit_test(without_an_install_there_is_nothing_to_remove),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(a_callback_can_neither_install_nor_remove),
        cmocka_unit_test(freeing_an_installed_registry_removes),
        cmocka_unit_test(another_thread_than_the_installing_one_can_remove),
    };

    return run_interception_tests(argc, argv, tests);
}
