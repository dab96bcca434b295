/* SPDX-License-Identifier: MIT */
/*
 * What the kernel does for threads by arrangement goes on: the word that it clears at a thread's
 * end, robust mutexes, restartable sequences; and no thread's calls get lost.
 */
#include "intercept.h"

#include <linux/futex.h>
#include <sched.h>
#if __has_include(<sys/rseq.h>)
#    include <sys/rseq.h>
#endif

#define THREADS 100
#define CALLS   25

/* Many threads */

static pthread_barrier_t all_there;
static __thread unsigned long own_value;

static void *call_this_and_that(void *number)
{
    const pid_t parent = (pid_t)STA__RAW0(SYS_getppid);

    own_value = (unsigned long)number;
    pthread_barrier_wait(&all_there);
    for (int i = 0; i < CALLS; i++) {
        CHECK_EQ(getppid(), parent);
        CHECK_EQ(syscall(SYS_getuid), STA__RAW0(SYS_getuid));
        CHECK_EQ(syscall(SYS_getegid), STA__RAW0(SYS_getegid));
        CHECK_EQ(syscall(1000), -1);
    }
    CHECK_EQ(own_value, (unsigned long)number);
    return number;
}

VICTIM(hundred_threads_at_once_in_three_rounds_lose_no_call)
{
    struct sta *sta = new_registry();
    struct seen *getppids = count_calls(sta, SYS_getppid),
                *getegids = count_calls(sta, SYS_getegid);
    struct seen *all = count_calls(sta, STA_ALL_SYSCALLS);
    pthread_t threads[THREADS];

    install(sta);
    for (int round = 1; round <= 3; round++) {
        const long n = (long)THREADS * CALLS;

        CHECK_EQ(pthread_barrier_init(&all_there, NULL, THREADS), 0);
        for (long i = 0; i < THREADS; i++)
            CHECK_EQ(pthread_create(&threads[i], NULL, call_this_and_that, (void *)i), 0);
        for (long i = 0; i < THREADS; i++) {
            void *result;

            CHECK_EQ(pthread_join(threads[i], &result), 0);
            CHECK_EQ((long)result, i);
        }
        CHECK_EQ(getppids->enters, n * round);
        CHECK_EQ(getppids->exits, n * round);
        CHECK_EQ(getegids->exits, n * round);
        CHECK(all->enters >= 4 * n * round);
        check_threads(sta, 1, 0);
    }
    remove_transformer(sta);
}

static void *nothing(void *unused)
{
    return unused;
}

VICTIM(detached_threads_on_small_stacks)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_exit, &seen);
    pthread_attr_t attributes;
    pthread_t thread;

    CHECK_EQ(pthread_attr_init(&attributes), 0);
    CHECK_EQ(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED), 0);
    if (!UNDER_ASAN)
        CHECK_EQ(pthread_attr_setstacksize(&attributes, 16384), 0); /* PTHREAD_STACK_MIN */
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&thread, &attributes, nothing, NULL), 0);
    for (int i = 0; i < 5000 && seen->enters < THREADS; i++)
        sleep_ms(1);
    CHECK_EQ(seen->enters, THREADS);
    remove_transformer(sta);
}

/* Robust mutexes: whose owner ends without unlocking, the next one is told. */

static pthread_mutex_t *new_robust_mutex(void)
{
    pthread_mutex_t *mutex = shared_memory(sizeof(*mutex));
    pthread_mutexattr_t attributes;

    CHECK_EQ(pthread_mutexattr_init(&attributes), 0);
    CHECK_EQ(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST), 0);
    CHECK_EQ(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED), 0);
    CHECK_EQ(pthread_mutex_init(mutex, &attributes), 0);
    return mutex;
}

static void *lock_and_end(void *mutex)
{
    CHECK_EQ(pthread_mutex_lock(mutex), 0);
    return NULL;
}

static void take_over(pthread_mutex_t *mutex)
{
    CHECK_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
    CHECK_EQ(pthread_mutex_consistent(mutex), 0);
    CHECK_EQ(pthread_mutex_unlock(mutex), 0);
}

VICTIM(a_robust_mutex_outlives_the_thread_that_held_it)
{
    struct seen *seen;
    struct sta *sta = installed_counting(STA_ALL_SYSCALLS, &seen);
    pthread_mutex_t *mutex = new_robust_mutex();
    pthread_t thread;

    for (int i = 0; i < 10; i++) {
        CHECK_EQ(pthread_create(&thread, NULL, lock_and_end, mutex), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        take_over(mutex);
    }
    remove_transformer(sta);
}

VICTIM(a_robust_mutex_outlives_the_process_that_held_it)
{
    struct seen *seen;
    struct sta *sta = installed_counting(STA_ALL_SYSCALLS, &seen);
    pthread_mutex_t *mutex = new_robust_mutex();

    for (int i = 0; i < 10; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            lock_and_end(mutex);
            if (i % 2)
                _exit(0);
            kill(getpid(), SIGKILL);
        }
        status_of(pid);
        take_over(mutex);
    }
    remove_transformer(sta);
}

/* set_tid_address */

static _Atomic int own_word;

static void *move_tid_address(void *unused)
{
    own_word = 1;
    CHECK_EQ(syscall(SYS_set_tid_address, &own_word), gettid());
    /* libc waits for its own word, which nobody clears now. */
    syscall(SYS_exit, 0);
    return unused;
}

VICTIM(the_word_of_set_tid_address_is_cleared)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_set_tid_address, &seen);
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, move_tid_address, NULL), 0);
    for (int i = 0; i < 5000 && (!seen->enters || own_word); i++)
        sleep_ms(1);
    CHECK_EQ(own_word, 0);
    CHECK_EQ(seen->enters, 1);
    remove_transformer(sta);
}

/* Restartable sequences: libc registers one for each thread, and reads the processor's number from
 * it. */

static void *check_cpu(void *unused)
{
    cpu_set_t set;

    for (int cpu = 0; cpu < 2; cpu++) {
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        if (sched_setaffinity(0, sizeof(set), &set) < 0)
            continue;
        CHECK_EQ(sched_getcpu(), cpu);
        getppid();
        CHECK_EQ(sched_getcpu(), cpu);
    }
#ifdef RSEQ_SIG
    if (__rseq_size > 0) {
        const volatile struct rseq *rseq =
            (void *)((char *)__builtin_thread_pointer() + __rseq_offset);

        CHECK((int)rseq->cpu_id >= 0);
        CHECK_EQ(rseq->cpu_id, sched_getcpu());
    }
#endif
    return unused;
}

VICTIM(restartable_sequences_are_registered_in_new_threads)
{
    struct seen *seen;
    struct sta *sta = installed_counting(STA_ALL_SYSCALLS, &seen);
    pthread_t thread;

    check_cpu(NULL);
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(pthread_create(&thread, NULL, check_cpu, NULL), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
    remove_transformer(sta);
}

/* Locks between threads, for which every wait and every wake-up is a call */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static int turn;

static void *take_turns(void *number)
{
    const int self = (int)(long)number;

    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(pthread_mutex_lock(&lock), 0);
        while (turn % 4 != self)
            CHECK_EQ(pthread_cond_wait(&turned, &lock), 0);
        turn++;
        CHECK_EQ(pthread_cond_broadcast(&turned), 0);
        CHECK_EQ(pthread_mutex_unlock(&lock), 0);
    }
    return NULL;
}

VICTIM(threads_that_wait_for_each_other)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_futex, &seen);
    pthread_t threads[4];

    for (long i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, take_turns, (void *)i), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(turn, 4000);
    CHECK(seen->enters > 0);
    remove_transformer(sta);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hundred_threads_at_once_in_three_rounds_lose_no_call),
        cmocka_unit_test(detached_threads_on_small_stacks),
        cmocka_unit_test(a_robust_mutex_outlives_the_thread_that_held_it),
        cmocka_unit_test(a_robust_mutex_outlives_the_process_that_held_it),
        cmocka_unit_test(the_word_of_set_tid_address_is_cleared),
        cmocka_unit_test(restartable_sequences_are_registered_in_new_threads),
        cmocka_unit_test(threads_that_wait_for_each_other),
    };

    return run_interception_tests(argc, argv, tests);
}
