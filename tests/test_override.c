/* SPDX-License-Identifier: MIT */
/*
 * Overriding results, and the arguments that callbacks can ask for.
 */
#include "core.h"

#define NR 39

/* Overrides with the int64_t that it was attached with. */
static int override(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret;
    must_equal(sta_override_return(*(int64_t *)user_data), 0);
    return 0;
}

static int override_twice(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    must_equal(sta_override_return(-1), 0);
    return override(ctx, ctx_size, ret, user_data);
}

/* Notes the result in an int64_t. */
static int note_result(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx_size, (void)ret;
    *(int64_t *)user_data = ((struct sta_sys_exit *)ctx)->ret;
    return 0;
}

static void an_override_at_enter_skips_the_call(void **state)
{
    static int64_t values[] = {0, -EPERM, 7, -1, INT64_MIN, INT64_MAX};
    struct sta *sta = *state;
    int64_t own = 0, all = 0;

    attach_exit(sta, NR, note_result, &own);
    attach_exit(sta, STA_ALL_SYSCALLS, note_result, &all);
    for (size_t i = 0; i < COUNT(values); i++) {
        int id = attach_enter(sta, i % 2 ? NR : STA_ALL_SYSCALLS, override, &values[i]);

        own = all = 55;
        assert_int_equal(dispatch(sta, NR), values[i]);
        assert_int_equal(made.count, 0);
        assert_int_equal(own, values[i]);
        assert_int_equal(all, values[i]);
        detach(sta, id);
    }
    assert_int_equal(dispatch(sta, NR), 100);
    assert_int_equal(made.count, 1);
}

static void callbacks_after_an_override_still_run(void **state)
{
    struct sta *sta = *state;
    int64_t value = -EPERM;
    atomic_int runs = 0;

    attach_enter(sta, NR, override, &value);
    attach_enter(sta, NR, count_run, &runs);
    attach_enter(sta, STA_ALL_SYSCALLS, count_run, &runs);
    assert_int_equal(dispatch(sta, NR), -EPERM);
    assert_int_equal(runs, 2);
}

static void an_override_at_exit_replaces_the_result(void **state)
{
    struct sta *sta = *state;
    int64_t value = -EIO, first = 0, last = 0;

    attach_exit(sta, NR, note_result, &first);
    attach_exit(sta, NR, override, &value);
    attach_exit(sta, STA_ALL_SYSCALLS, note_result, &last);
    assert_int_equal(dispatch(sta, NR), -EIO);
    assert_int_equal(made.count, 1);
    assert_int_equal(first, 100);
    assert_int_equal(last, 100); /* all see how the call went */
}

static void the_last_override_wins(void **state)
{
    static int64_t values[] = {1, 2, 3, 4, 5, 6};
    struct sta *sta = *state;
    int64_t seen = 0;
    int ids[4];

    attach_exit(sta, NR, note_result, &seen);
    ids[0] = attach_enter(sta, STA_ALL_SYSCALLS, override, &values[0]);
    ids[1] = attach_enter(sta, NR, override, &values[1]);
    assert_int_equal(dispatch(sta, NR), 1); /* those on all calls come last */
    ids[2] = attach_enter(sta, STA_ALL_SYSCALLS, override_twice, &values[2]);
    ids[3] = attach_enter(sta, NR, override_twice, &values[3]);
    assert_int_equal(dispatch(sta, NR), 3);
    assert_int_equal(seen, 3);
    attach_exit(sta, NR, override, &values[4]);
    assert_int_equal(dispatch(sta, NR), 5);
    assert_int_equal(seen, 3);
    attach_exit(sta, STA_ALL_SYSCALLS, override_twice, &values[5]);
    assert_int_equal(dispatch(sta, NR), 6);
    assert_int_equal(made.count, 0);
    /* A run that overrides twice is one run that overrides. */
    assert_int_equal(info_of(sta, ids[0]).overrides, 4);
    assert_int_equal(info_of(sta, ids[1]).overrides, 4);
    assert_int_equal(info_of(sta, ids[2]).overrides, 3);
    assert_int_equal(info_of(sta, ids[3]).overrides, 3);
}

static void an_override_lasts_for_one_call(void **state)
{
    struct sta *sta = *state;
    int64_t value = -EPERM;
    int id = attach_enter(sta, NR, override, &value);
    atomic_int runs = 0;

    attach_enter(sta, NR + 1, count_run, &runs);
    assert_int_equal(dispatch(sta, NR), -EPERM);
    assert_int_equal(dispatch(sta, NR + 1), 100);
    detach(sta, id);
    assert_int_equal(dispatch(sta, NR), 100);
}

static void overrides_of_calls_that_do_not_return_are_ignored(void **state)
{
    static const int numbers[] = {SYS_exit, SYS_exit_group, SYS_rt_sigreturn};
    struct sta *sta = *state;
    int64_t value = -EPERM;

    attach_enter(sta, STA_ALL_SYSCALLS, override, &value);
    attach_exit(sta, STA_ALL_SYSCALLS, override, &value);
    for (size_t i = 0; i < COUNT(numbers); i++) {
        int id = attach_enter(sta, numbers[i], override, &value);

        made.count = 0;
        assert_int_equal(dispatch(sta, numbers[i]), 100);
        assert_int_equal(made.count, 1);
        assert_int_equal(info_of(sta, id).runs, 1);
    }
}

/* What the dispatcher does about some calls it must not do about calls that were not made. */
static void calls_that_were_overridden_were_not_made(void **state)
{
    static const int numbers[] = {SYS_clone, SYS_clone3, SYS_fork, SYS_vfork, SYS_sigaltstack};
    struct sta *sta = *state;
    int64_t value = 0;

    attach_enter(sta, STA_ALL_SYSCALLS, override, &value);
    for (size_t i = 0; i < COUNT(numbers); i++) /* args are no addresses */
        assert_int_equal(dispatch(sta, numbers[i]), 0);
    assert_int_equal(made.count, 0);
}

/* Outside */

static void assert_outside(void)
{
    assert_int_equal(sta_override_return(-EPERM), -EINVAL);
    assert_null(sta_current_args());
}

static int64_t outside_call(int64_t sys_nr, int64_t a1, int64_t a2, int64_t a3, int64_t a4,
                            int64_t a5, int64_t a6)
{
    must_equal(sta_override_return(-EPERM), -EINVAL);
    must(sta_current_args() == NULL);
    return original_call(sys_nr, a1, a2, a3, a4, a5, a6);
}

static void outside_callbacks_there_is_nothing_to_override(void **state)
{
    struct sta *sta = *state;
    atomic_int runs = 0;

    assert_outside();
    sta_set_original_syscall(sta, outside_call);
    assert_int_equal(dispatch(sta, NR), 100);
    attach_enter(sta, NR, count_run, &runs);
    attach_exit(sta, NR, count_run, &runs);
    assert_int_equal(dispatch(sta, NR), 100);
    assert_outside();
    use_stack();
    assert_outside();
    assert_int_equal(runs, 2);
    assert_int_equal(made.count, 2);
}

static void *try_outside(void *unused)
{
    (void)unused;
    must_equal(sta_override_return(-EPERM), -EINVAL);
    must(sta_current_args() == NULL);
    return NULL;
}

static int have_another_thread_try(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    finish(start(try_outside, NULL));
    return 0;
}

static void other_threads_have_nothing_to_override(void **state)
{
    struct sta *sta = *state;
    int id = attach_enter(sta, NR, have_another_thread_try, NULL);

    assert_int_equal(dispatch(sta, NR), 100);
    assert_int_equal(info_of(sta, id).runs, 1);
    assert_int_equal(info_of(sta, id).overrides, 0);
}

static jmp_buf back;

static int jump(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    must_equal(sta_override_return(-EPERM), 0);
    longjmp(back, 1);
}

static void after_a_longjmp_there_is_nothing_to_override(void **state)
{
    struct sta *sta = *state;
    int id = attach_enter(sta, NR, jump, NULL);

    if (setjmp(back) == 0)
        dispatch(sta, NR);
    assert_outside();
    detach(sta, id);
    assert_int_equal(dispatch(sta, NR), 100);
}

/* Arguments */

static int check_args(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    const unsigned long *args = sta_current_args();

    (void)ctx, (void)ctx_size, (void)ret;
    must(args != NULL);
    for (unsigned i = 0; i < 6; i++)
        must_equal(args[i], i + 1);
    must(args == sta_current_args());
    ++*(int *)user_data;
    return 0;
}

static void enter_and_exit_callbacks_have_the_enter_arguments(void **state)
{
    struct sta *sta = *state;
    int64_t value = -EPERM;
    int checks = 0;

    attach_enter(sta, NR, check_args, &checks);
    attach_enter(sta, STA_ALL_SYSCALLS, check_args, &checks);
    attach_exit(sta, NR, check_args, &checks);
    attach_exit(sta, STA_ALL_SYSCALLS, check_args, &checks);
    dispatch(sta, NR);
    assert_int_equal(checks, 4);
    attach_enter(sta, NR, override, &value);
    dispatch(sta, NR);
    assert_int_equal(checks, 8);
    dispatch(sta, -1);
    assert_int_equal(checks, 10);
}

static int64_t check_args_call(int64_t sys_nr, int64_t a1, int64_t a2, int64_t a3, int64_t a4,
                               int64_t a5, int64_t a6)
{
    if (sys_nr == NR + 1)
        must_equal(sta_current_args()[0], 1); /* still those of the traced call */
    return original_call(sys_nr, a1, a2, a3, a4, a5, a6);
}

static int call_and_override(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret;
    must_equal(sta_dispatch(user_data, NR + 1, 91, 92, 93, 94, 95, 96), 100);
    must_equal(sta_current_args()[0], 1);
    must_equal(sta_override_return(-EPERM), 0);
    return 0;
}

static void a_callbacks_own_calls_leave_the_traced_call_alone(void **state)
{
    struct sta *sta = *state;
    int64_t value = -EIO;

    sta_set_original_syscall(sta, check_args_call);
    attach_enter(sta, NR, call_and_override, sta);
    attach_enter(sta, NR + 1, override, &value);
    assert_int_equal(dispatch(sta, NR), -EPERM);
    assert_int_equal(made.count, 1);
    assert_int_equal(made.sys_nr, NR + 1);
}

static void override_from_handler(int signal)
{
    (void)signal;
    must_equal(sta_override_return(-EINTR), 0);
    must_equal(sta_current_args()[5], 6);
}

static int raise_signal(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    raise(SIGUSR1);
    return 0;
}

static void a_signal_handler_inside_a_callback_can_override(void **state)
{
    struct sta *sta = *state;

    signal(SIGUSR1, override_from_handler);
    attach_exit(sta, NR, raise_signal, NULL);
    assert_int_equal(dispatch(sta, NR), -EINTR);
    signal(SIGUSR1, SIG_DFL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REGISTRY(an_override_at_enter_skips_the_call),
        WITH_REGISTRY(callbacks_after_an_override_still_run),
        WITH_REGISTRY(an_override_at_exit_replaces_the_result),
        WITH_REGISTRY(the_last_override_wins),
        WITH_REGISTRY(an_override_lasts_for_one_call),
        WITH_REGISTRY(overrides_of_calls_that_do_not_return_are_ignored),
        WITH_REGISTRY(calls_that_were_overridden_were_not_made),
        WITH_REGISTRY(outside_callbacks_there_is_nothing_to_override),
        WITH_REGISTRY(other_threads_have_nothing_to_override),
        WITH_REGISTRY(after_a_longjmp_there_is_nothing_to_override),
        WITH_REGISTRY(enter_and_exit_callbacks_have_the_enter_arguments),
        WITH_REGISTRY(a_callbacks_own_calls_leave_the_traced_call_alone),
        WITH_REGISTRY(a_signal_handler_inside_a_callback_can_override),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
