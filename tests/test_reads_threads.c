/* SPDX-License-Identifier: MIT */
/* Reads of user memory in new threads, old threads and children, with signals blocked and not. */
#include "reads.h"

#include <sched.h>

static void *read_in_thread(void *blocks)
{
    check_reads();
    CHECK_EQ(is_quick(), !blocks);
    return NULL;
}

VICTIM(in_new_threads)
{
    installed_answering();
    for (uintptr_t blocks = 0; blocks < 2; blocks++) {
        pthread_t thread;

        set_mask(blocks ? SIG_BLOCK : SIG_UNBLOCK, 0);
        CHECK_EQ(pthread_create(&thread, NULL, read_in_thread, (void *)blocks), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        check_reads();
        CHECK_EQ(is_quick(), !blocks);
    }
}

static _Atomic bool goes;

static void *read_when_told(void *unused)
{
    set_mask(SIG_BLOCK, SIGSYS); /* by which it is told that calls are intercepted */
    while (!atomic_load(&goes))
        sched_yield();
    return read_in_thread(unused);
}

VICTIM(in_threads_that_were_there_before)
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, read_when_told, (void *)1), 0);
    sleep_ms(10);
    installed_answering();
    atomic_store(&goes, true);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

VICTIM(in_forked_children)
{
    installed_answering();
    for (int blocks = 0; blocks < 2; blocks++) {
        pid_t child;

        set_mask(blocks ? SIG_BLOCK : SIG_UNBLOCK, 0);
        child = fork();
        if (child == 0) {
            read_in_thread((void *)(uintptr_t)blocks);
            _exit(7);
        }
        CHECK_EQ(status_of(child), 7 << 8);
        check_reads();
    }
}

/* The child has the parent's memory, but a mask of its own. */
VICTIM(in_vfork_children)
{
    pid_t child;

    installed_answering();
    set_mask(SIG_BLOCK, 0);
    child = vfork();
    if (child == 0) {
        check_reads();
        set_mask(SIG_UNBLOCK, 0);
        check_reads();
        _exit(7);
    }
    CHECK_EQ(status_of(child), 7 << 8);
    check_reads();
    CHECK(!is_quick());
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_new_threads),
        cmocka_unit_test(in_threads_that_were_there_before),
        cmocka_unit_test(in_forked_children),
        cmocka_unit_test(in_vfork_children),
    };

    return run_interception_tests(argc, argv, tests);
}
