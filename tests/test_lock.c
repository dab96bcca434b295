/* SPDX-License-Identifier: MIT */
/*
 * The writers' lock.
 */
#include "core.h"

#include "base/lock.h"

static struct sta__lock lock;
static struct sta__lock_state saved; /* by this thread */

static int setup(void **state)
{
    struct sta *sta;

    (void)state;
    /* Thread ids are remembered in records, which the first registry brings. */
    assert_int_equal(sta_new(&sta, NULL), 0);
    sta_free(sta);
    return 0;
}

static sigset_t signal_mask(void)
{
    sigset_t mask;

    must_equal(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    return mask;
}

static void all_signals_are_blocked_while_it_is_held(void **state)
{
    sigset_t before, during, after;

    (void)state;
    sigemptyset(&before);
    sigaddset(&before, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    sta__lock(&lock, &saved);
    during = signal_mask();
    sta__unlock(&lock, &saved);
    after = signal_mask();
    for (int signal = 1; signal < SIGRTMAX; signal++) {
        if (signal == 32 || signal == 33) /* of the C library's own */
            continue;
        assert_int_equal(sigismember(&during, signal), signal != SIGKILL && signal != SIGSTOP);
        assert_int_equal(sigismember(&after, signal), signal == SIGUSR2);
    }
    sigemptyset(&before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static int handled;

static void lock_in_handler(int signal)
{
    struct sta__lock_state saved_here;

    (void)signal;
    sta__lock(&lock, &saved_here);
    handled++;
    sta__unlock(&lock, &saved_here);
}

static void a_signal_handler_of_the_holder_runs_after_it(void **state)
{
    (void)state;
    handled = 0;
    signal(SIGUSR1, lock_in_handler);
    sta__lock(&lock, &saved);
    kill(getpid(), SIGUSR1);
    assert_int_equal(handled, 0);
    sta__unlock(&lock, &saved);
    raise(SIGUSR1); /* at the latest now */
    assert_true(handled > 0);
    signal(SIGUSR1, SIG_DFL);
}

enum { THREADS = 4, TURNS = 20000 };

static int turns; /* of all threads, protected by the lock */

static void *take_turns(void *unused)
{
    struct sta__lock_state own;

    (void)unused;
    for (int i = 0; i < TURNS; i++) {
        sta__lock(&lock, &own);
        turns++;
        sta__unlock(&lock, &own);
    }
    return NULL;
}

static void one_thread_holds_it_at_a_time(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    turns = 0;
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(take_turns, NULL);
    for (int i = 0; i < THREADS; i++)
        finish(threads[i]);
    assert_int_equal(turns, THREADS * TURNS);
    assert_int_equal(lock.owner, 0);
}

struct holding {
    atomic_bool held, release;
    uint32_t owner; /* the lock's word while nobody else wants it */
    int done;
};

static void *hold(void *data)
{
    struct holding *holding = data;
    struct sta__lock_state own;

    sta__lock(&lock, &own);
    set_flag(&holding->held);
    wait_for_flag(&holding->release);
    dawdle();
    holding->done = 1;
    sta__unlock(&lock, &own);
    return NULL;
}

static void a_sleeping_waiter_is_woken(void **state)
{
    struct holding holding = {.done = 0};
    pthread_t thread = start(hold, &holding);

    (void)state;
    wait_for_flag(&holding.held);
    set_flag(&holding.release);
    sta__lock(&lock, &saved);
    assert_int_equal(holding.done, 1);
    sta__unlock(&lock, &saved);
    finish(thread);
}

static void lock_and_unlock(void *data)
{
    struct sta__lock_state own;

    (void)data;
    for (int i = 0; i < 3; i++) {
        sta__lock(&lock, &own);
        sta__unlock(&lock, &own);
    }
    must_equal(lock.owner, 0);
}

static void a_child_takes_it_over_from_a_thread_it_does_not_have(void **state)
{
    struct holding holding = {.done = 0};
    pthread_t thread = start(hold, &holding);

    (void)state;
    wait_for_flag(&holding.held);
    in_child(lock_and_unlock, NULL);
    assert_int_equal(holding.done, 0); /* the parent's is held still */
    set_flag(&holding.release);
    sta__lock(&lock, &saved);
    assert_int_equal(holding.done, 1);
    sta__unlock(&lock, &saved);
    finish(thread);
}

/* With another thread asleep on it in the parent. */
static void a_child_takes_a_contended_lock_over(void **state)
{
    struct holding first = {.done = 0}, second = {.done = 0};
    pthread_t threads[2];

    (void)state;
    threads[0] = start(hold, &first);
    wait_for_flag(&first.held);
    set_flag(&second.release);
    threads[1] = start(hold, &second);
    while (!(atomic_load(&lock.owner) & UINT32_C(0x80000000)))
        sched_yield();
    in_child(lock_and_unlock, NULL);
    set_flag(&first.release);
    finish(threads[0]);
    finish(threads[1]);
    assert_int_equal(second.done, 1);
}

static void inherit_held_lock(void *data)
{
    struct sta__lock_state own;

    (void)data;
    /* The thread that forked held it, so it is left in a child that has another thread id. */
    sta__lock(&lock, &own);
    sta__unlock(&lock, &own);
}

static void a_child_of_the_holder_takes_it_over(void **state)
{
    (void)state;
    sta__lock(&lock, &saved);
    in_child(inherit_held_lock, NULL);
    sta__unlock(&lock, &saved);
}

static int lock_in_borrowed_memory(void *data)
{
    struct holding *holding = data;
    struct sta__lock_state own;
    int done;

    sta__lock(&lock, &own);
    done = holding->done;
    sta__unlock(&lock, &own);
    return done == 1 ? 0 : 1;
}

/* Lets the holder go on when somebody sleeps on the lock, or is through with it already. */
static void *release_when_contended(void *data)
{
    struct holding *holding = data;

    while (atomic_load(&lock.owner) == holding->owner)
        sched_yield();
    set_flag(&holding->release);
    return NULL;
}

/* Its process id is another, so that none of its parent's threads is in its own process. */
static void a_vfork_child_waits_for_its_parents_threads(void **state)
{
    static char stack[64 * 1024] __attribute__((aligned(16)));
    struct holding holding = {.done = 0};
    pthread_t holder, releaser;
    int status;
    pid_t child;

    (void)state;
    if (UNDER_TSAN) {
        print_message("skipped: ThreadSanitizer does not know processes that share memory\n");
        skip();
    }
    holder = start(hold, &holding);
    wait_for_flag(&holding.held);
    holding.owner = atomic_load(&lock.owner);
    releaser = start(release_when_contended, &holding);
    child = clone(lock_in_borrowed_memory, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD,
                  &holding);
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    finish(releaser);
    finish(holder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_signals_are_blocked_while_it_is_held),
        cmocka_unit_test(a_signal_handler_of_the_holder_runs_after_it),
        cmocka_unit_test(one_thread_holds_it_at_a_time),
        cmocka_unit_test(a_sleeping_waiter_is_woken),
        cmocka_unit_test(a_child_takes_it_over_from_a_thread_it_does_not_have),
        cmocka_unit_test(a_child_takes_a_contended_lock_over),
        cmocka_unit_test(a_child_of_the_holder_takes_it_over),
        cmocka_unit_test(a_vfork_child_waits_for_its_parents_threads),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
