/* SPDX-License-Identifier: MIT */
/* Threads that go on until they are told to stop; one that does nothing, so that a test is not
 * alone in its process. */
#ifndef TESTS_IDLER_H
#define TESTS_IDLER_H

#include "intercept.h"

#include <pthread.h>

static _Atomic bool stop;

static void *wait_until_stopped(void *unused)
{
    (void)unused;
    while (!atomic_load(&stop))
        sleep_ms(1);
    return NULL;
}

static pthread_t start_idler(void)
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, wait_until_stopped, NULL), 0);
    return thread;
}

static void end_threads(const pthread_t *threads, size_t count)
{
    atomic_store(&stop, true);
    for (size_t i = 0; i < count; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    atomic_store(&stop, false);
}

#endif
