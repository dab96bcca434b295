/* SPDX-License-Identifier: MIT */
/*
 * Syscall User Dispatch: threads are told by a signal, which some block.
 */
#define TEST_METHOD STA_METHOD_SUD
#include "intercept.h"

VICTIM(the_method_that_was_asked_for_is_reported)
{
    struct sta *sta = new_registry();

    install(sta);
    CHECK_EQ(report_of(sta).method, STA_METHOD_SUD);
    check_threads(sta, 1, 0);
    remove_transformer(sta);
}

static _Atomic bool unblock, stop;
static _Atomic int arrived;

static void wait_for_arrived(int count)
{
    while (atomic_load(&arrived) < count)
        sleep_ms(1);
}

static void *block_sigsys(void *unused)
{
    sigset_t set;

    (void)unused;
    sigemptyset(&set);
    sigaddset(&set, SIGSYS);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    atomic_fetch_add(&arrived, 1);
    while (!atomic_load(&unblock))
        sleep_ms(1);
    getppid();
    CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
    getppid();
    atomic_fetch_add(&arrived, 1);
    while (!atomic_load(&stop))
        sleep_ms(1);
    return NULL;
}

VICTIM(a_thread_that_blocks_sigsys_is_reached_when_it_unblocks)
{
    struct sta *sta = new_registry();
    struct seen *seen = count_calls(sta, SYS_getppid);
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, block_sigsys, NULL), 0);
    wait_for_arrived(1);
    install(sta);
    check_threads(sta, 1, 1);
    atomic_store(&unblock, true);
    wait_for_arrived(2);
    CHECK_EQ(seen->enters, 1); /* the second */
    check_threads(sta, 2, 0);
    remove_transformer(sta);
    atomic_store(&stop, true);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

VICTIM(a_thread_that_blocked_sigsys_throughout_survives)
{
    struct sta *sta = new_registry();
    struct seen *seen = count_calls(sta, SYS_getppid);
    struct sigaction action;
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, block_sigsys, NULL), 0);
    wait_for_arrived(1);
    install(sta);
    remove_transformer(sta);
    atomic_store(&unblock, true);
    atomic_store(&stop, true);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(seen->enters, 0);
    /* The next pair finds everybody and cleans up. */
    install(sta);
    remove_transformer(sta);
    CHECK_EQ(sigaction(SIGSYS, NULL, &action), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_method_that_was_asked_for_is_reported),
        cmocka_unit_test(a_thread_that_blocks_sigsys_is_reached_when_it_unblocks),
        cmocka_unit_test(a_thread_that_blocked_sigsys_throughout_survives),
    };

    return run_interception_tests(argc, argv, tests);
}
