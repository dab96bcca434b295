/* SPDX-License-Identifier: MIT */
/*
 * For the tests of registry, dispatcher and what is under them. To be included first.
 *
 * cmocka's asserts work on the thread that runs the test, outside callbacks. Everywhere else (other
 * threads, children, callbacks, signal handlers) must() and must_equal() say what is wrong and end
 * the process.
 */
#ifndef TESTS_CORE_H
#define TESTS_CORE_H

#ifndef _GNU_SOURCE
#    define _GNU_SOURCE
#endif

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <sta/attach.h>

#if defined(__SANITIZE_THREAD__)
#    define UNDER_TSAN 1
#elif defined(__has_feature)
#    if __has_feature(thread_sanitizer)
#        define UNDER_TSAN 1
#    endif
#endif
#ifndef UNDER_TSAN
#    define UNDER_TSAN 0
#endif

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define must(condition)                                                          \
    do {                                                                         \
        if (!(condition)) {                                                      \
            dprintf(2, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                             \
        }                                                                        \
    } while (0)

#define must_equal(is, wanted)                                                                  \
    do {                                                                                        \
        long long is_ = (long long)(is), wanted_ = (long long)(wanted);                         \
        if (is_ != wanted_) {                                                                   \
            dprintf(2, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #is, is_, wanted_); \
            abort();                                                                            \
        }                                                                                       \
    } while (0)

/* Registry */

/* What original_call() was asked for on this thread, and what it is to return. */
struct made {
    int count;
    int64_t sys_nr, args[6];
    int64_t result;
};
static __thread struct made made __attribute__((unused));

/* Stands for the kernel: notes the call and makes none. */
__attribute__((unused)) static int64_t original_call(int64_t sys_nr, int64_t a1, int64_t a2,
                                                     int64_t a3, int64_t a4, int64_t a5, int64_t a6)
{
    made.count++;
    made.sys_nr = sys_nr;
    made.args[0] = a1;
    made.args[1] = a2;
    made.args[2] = a3;
    made.args[3] = a4;
    made.args[4] = a5;
    made.args[5] = a6;
    return made.result;
}

/* A registry whose original call is original_call(). */
static inline struct sta *new_registry(void)
{
    struct sta *sta = NULL;

    must_equal(sta_new(&sta, NULL), 0);
    sta_set_original_syscall(sta, original_call);
    return sta;
}

__attribute__((unused)) static int registry_setup(void **state)
{
    *state = new_registry();
    made = (struct made){.result = 100};
    return 0;
}

__attribute__((unused)) static int registry_teardown(void **state)
{
    sta_free(*state);
    return 0;
}

#define WITH_REGISTRY(test) cmocka_unit_test_setup_teardown(test, registry_setup, registry_teardown)

static inline int attach(struct sta *sta, int sys_nr, bool is_enter, sta_callback callback,
                         void *user_data)
{
    struct sta_target target = {sys_nr, is_enter};
    int id = sta_attach(sta, &target, callback, user_data);

    must(id > 0);
    return id;
}

#define attach_enter(sta, nr, callback, data) attach(sta, nr, true, callback, data)
#define attach_exit(sta, nr, callback, data)  attach(sta, nr, false, callback, data)

static inline void detach(struct sta *sta, int id)
{
    must_equal(sta_detach(sta, id), 0);
}

static inline int64_t dispatch(struct sta *sta, int64_t sys_nr)
{
    return sta_dispatch(sta, sys_nr, 1, 2, 3, 4, 5, 6);
}

static inline struct sta_attach_info info_of(struct sta *sta, int id)
{
    struct sta_attach_info info = {.size = sizeof(info)};

    must_equal(sta_attach_info(sta, id, &info), 0);
    return info;
}

/* Counts its runs in an atomic_int. */
__attribute__((unused)) static int count_run(void *ctx, size_t ctx_size, uint64_t *ret,
                                             void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret;
    atomic_fetch_add_explicit((atomic_int *)user_data, 1, memory_order_relaxed);
    return 0;
}

/* Threads */

static inline pthread_t start(void *(*run)(void *), void *data)
{
    pthread_t thread;

    must_equal(pthread_create(&thread, NULL, run, data), 0);
    return thread;
}

static inline void finish(pthread_t thread)
{
    must_equal(pthread_join(thread, NULL), 0);
}

static inline void wait_for_flag(atomic_bool *flag)
{
    while (!atomic_load_explicit(flag, memory_order_acquire))
        sched_yield();
}

static inline void set_flag(atomic_bool *flag)
{
    atomic_store_explicit(flag, true, memory_order_release);
}

/* Gives others ample opportunity to do what they must not. Nothing depends on how long it takes. */
static inline void dawdle(void)
{
    for (int i = 0; i < 20; i++)
        usleep(500);
}

/* Writes over the stack below the caller, as a thread does that goes on with its work. */
__attribute__((noinline, unused)) static void use_stack(void)
{
    volatile char work[16384];

    for (size_t i = 0; i < sizeof(work); i++)
        work[i] = 0x55;
}

/* Children */

/* 0 if the child ended as it should. */
static inline int wait_for_child(pid_t child)
{
    int status = -1;

    must_equal(waitpid(child, &status, 0), child);
    return status;
}

/* Runs `body` in a forked child; the test fails if the child fails. */
static inline void in_child(void (*body)(void *), void *data)
{
    pid_t child = fork();

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        body(data);
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(wait_for_child(child), 0);
}

#endif
