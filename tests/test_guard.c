/* SPDX-License-Identifier: MIT */
/*
 * The recursion guard: calls that a callback makes are not traced, and are counted as missed.
 */
#include "core.h"

#define NR 39

struct inner {
    struct sta *sta; /* to which the callback's own call goes */
    int64_t sys_nr;
    int64_t result;
    int calls; /* how many */
};

static int call_from_callback(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct inner *inner = user_data;

    (void)ctx, (void)ctx_size, (void)ret;
    for (int i = 0; i < inner->calls; i++)
        inner->result = dispatch(inner->sta, inner->sys_nr);
    return 0;
}

static void a_callbacks_own_calls_are_not_traced(void **state)
{
    static const bool when[] = {true, false};
    struct sta *sta = *state;

    for (size_t i = 0; i < COUNT(when); i++) {
        struct inner inner = {sta, NR + 1, 0, 1};
        atomic_int unseen = 0;
        int id = attach(sta, NR, when[i], call_from_callback, &inner);
        int enter_id = attach_enter(sta, NR + 1, count_run, &unseen);
        int exit_id = attach_exit(sta, NR + 1, count_run, &unseen);

        made.count = 0;
        assert_int_equal(dispatch(sta, NR), 100);
        assert_int_equal(inner.result, 100); /* but made */
        assert_int_equal(made.count, 2);
        assert_int_equal(unseen, 0);
        assert_int_equal(info_of(sta, enter_id).missed, 1);
        assert_int_equal(info_of(sta, exit_id).missed, 1);
        assert_int_equal(info_of(sta, id).missed, 0);
        assert_int_equal(dispatch(sta, NR + 1), 100);
        assert_int_equal(unseen, 2);
        detach(sta, id);
        detach(sta, enter_id);
        detach(sta, exit_id);
    }
}

static void a_callback_does_not_call_itself(void **state)
{
    struct inner inner = {*state, NR, 0, 3};
    int id = attach_enter(*state, NR, call_from_callback, &inner);
    int all = attach_exit(*state, STA_ALL_SYSCALLS, call_from_callback, &inner);

    for (int i = 0; i < 10; i++)
        assert_int_equal(dispatch(*state, NR), 100);
    assert_int_equal(info_of(*state, id).runs, 10);
    assert_int_equal(info_of(*state, id).missed, 60);
    assert_int_equal(info_of(*state, all).runs, 10);
    assert_int_equal(info_of(*state, all).missed, 60);
    assert_int_equal(made.count, 70);
}

static void a_callbacks_calls_to_another_registry_are_not_traced(void **state)
{
    struct sta *other = new_registry();
    struct inner inner = {other, NR, 0, 2};
    atomic_int runs = 0;
    int id = attach_enter(other, NR, count_run, &runs);

    attach_enter(*state, NR, call_from_callback, &inner);
    dispatch(*state, NR);
    assert_int_equal(runs, 0);
    assert_int_equal(info_of(other, id).missed, 2);
    assert_int_equal(dispatch(other, NR), 100);
    assert_int_equal(runs, 1);
    sta_free(other);
}

static void calls_that_do_not_return_miss_no_exit_event(void **state)
{
    struct inner inner = {*state, SYS_exit_group, 0, 1};
    atomic_int runs = 0;
    int enter_id, exit_id;

    attach_enter(*state, NR, call_from_callback, &inner);
    enter_id = attach_enter(*state, STA_ALL_SYSCALLS, count_run, &runs);
    exit_id = attach_exit(*state, STA_ALL_SYSCALLS, count_run, &runs);
    dispatch(*state, NR);
    assert_int_equal(info_of(*state, enter_id).missed, 1);
    assert_int_equal(info_of(*state, exit_id).missed, 0);
}

static void *dispatch_in_thread(void *data)
{
    dispatch(data, NR + 1);
    return NULL;
}

static int have_another_thread_call(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret;
    finish(start(dispatch_in_thread, user_data));
    return 0;
}

static void the_guard_is_each_threads_own(void **state)
{
    atomic_int runs = 0;
    int id = attach_enter(*state, NR + 1, count_run, &runs);

    attach_enter(*state, NR, have_another_thread_call, *state);
    dispatch(*state, NR);
    assert_int_equal(runs, 1);
    assert_int_equal(info_of(*state, id).missed, 0);
}

/* In the middle of the original call there is no guard: it may run callbacks of its own. */
static struct sta *registry;

static int64_t nested_call(int64_t sys_nr, int64_t a1, int64_t a2, int64_t a3, int64_t a4,
                           int64_t a5, int64_t a6)
{
    if (sys_nr == NR)
        must_equal(dispatch(registry, NR + 1), 100);
    return original_call(sys_nr, a1, a2, a3, a4, a5, a6);
}

static void calls_made_inside_the_original_call_are_traced(void **state)
{
    atomic_int runs = 0;

    registry = *state;
    sta_set_original_syscall(registry, nested_call);
    attach_enter(registry, STA_ALL_SYSCALLS, count_run, &runs);
    attach_exit(registry, STA_ALL_SYSCALLS, count_run, &runs);
    assert_int_equal(dispatch(registry, NR), 100);
    assert_int_equal(runs, 4);
}

/* Signals */

static atomic_int handled;

static void dispatch_in_handler(int signal)
{
    (void)signal;
    dispatch(registry, NR);
    atomic_fetch_add(&handled, 1);
}

static int raise_signal(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    raise(SIGUSR1);
    return 0;
}

static void calls_of_a_handler_inside_a_callback_are_missed(void **state)
{
    int id = attach_enter(*state, NR, raise_signal, NULL);

    registry = *state;
    handled = 0;
    signal(SIGUSR1, dispatch_in_handler);
    assert_int_equal(dispatch(*state, NR), 100);
    signal(SIGUSR1, SIG_DFL);
    assert_int_equal(handled, 1);
    assert_int_equal(made.count, 2);
    assert_int_equal(info_of(*state, id).runs, 1);
    assert_int_equal(info_of(*state, id).missed, 1);
}

static void *interrupt(void *data)
{
    for (int i = 0; i < 2000; i++) {
        pthread_kill(*(pthread_t *)data, SIGUSR1);
        for (volatile int j = 0; j < i % 97; j++)
            ;
        if (i % 4 == 0)
            sched_yield();
    }
    return NULL;
}

/* Whatever moment it comes at: each event is either run or missed, and the main flow's are run. */
static void a_handler_that_dispatches_disturbs_no_dispatch(void **state)
{
    enum { CALLS = 20000 };
    pthread_t self = pthread_self(), thread;
    atomic_int enters = 0, exits = 0;
    struct sta_attach_info info[2];
    int ids[2];

    registry = *state;
    handled = 0;
    ids[0] = attach_enter(*state, NR, count_run, &enters);
    ids[1] = attach_exit(*state, STA_ALL_SYSCALLS, count_run, &exits);
    signal(SIGUSR1, dispatch_in_handler);
    thread = start(interrupt, &self);
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(dispatch(*state, NR), 100);
    finish(thread);
    signal(SIGUSR1, SIG_IGN);
    for (unsigned i = 0; i < COUNT(ids); i++) {
        info[i] = info_of(*state, ids[i]);
        assert_int_equal(info[i].runs + info[i].missed, CALLS + handled);
        assert_true(info[i].runs >= CALLS);
    }
    assert_int_equal(enters, info[0].runs);
    assert_int_equal(exits, info[1].runs);
    assert_int_equal(made.count, CALLS + handled);
}

/* At the first dispatch of a thread, when it has no record yet. */
static void *dispatch_first(void *data)
{
    dispatch(data, NR);
    return NULL;
}

static void *dispatch_first_and_interrupted(void *data)
{
    raise(SIGUSR1);
    for (int i = 0; i < 5; i++) {
        dispatch(data, SYS_exit); /* gives the record back */
        dispatch(data, NR);
    }
    return NULL;
}

static void a_handler_can_dispatch_in_a_thread_without_a_record(void **state)
{
    atomic_int runs = 0;
    int id;

    registry = *state;
    handled = 0;
    id = attach_enter(*state, NR, count_run, &runs);
    signal(SIGUSR1, dispatch_in_handler);
    for (int i = 0; i < 100; i++) {
        finish(start(dispatch_first_and_interrupted, *state));
        finish(start(dispatch_first, *state));
    }
    signal(SIGUSR1, SIG_DFL);
    assert_int_equal(handled, 100);
    assert_int_equal(runs, 100 * (1 + 5 + 1));
    assert_int_equal(info_of(*state, id).runs, runs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REGISTRY(a_callbacks_own_calls_are_not_traced),
        WITH_REGISTRY(a_callback_does_not_call_itself),
        WITH_REGISTRY(a_callbacks_calls_to_another_registry_are_not_traced),
        WITH_REGISTRY(calls_that_do_not_return_miss_no_exit_event),
        WITH_REGISTRY(the_guard_is_each_threads_own),
        WITH_REGISTRY(calls_made_inside_the_original_call_are_traced),
        WITH_REGISTRY(calls_of_a_handler_inside_a_callback_are_missed),
        WITH_REGISTRY(a_handler_that_dispatches_disturbs_no_dispatch),
        WITH_REGISTRY(a_handler_can_dispatch_in_a_thread_without_a_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
