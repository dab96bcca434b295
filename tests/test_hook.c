/* SPDX-License-Identifier: MIT */
/*
 * The hook slot of a host runtime.
 */
#include "core.h"

#define NR 39

/* The host's own function: unlike original_call(), it is told from others by its result. */
static int64_t host_call(int64_t sys_nr, int64_t a1, int64_t a2, int64_t a3, int64_t a4, int64_t a5,
                         int64_t a6)
{
    original_call(sys_nr, a1, a2, a3, a4, a5, a6);
    return 200;
}

static int64_t call_slot(sta_syscall_fn slot)
{
    return slot(NR, 1, 2, 3, 4, 5, 6);
}

static int teardown(void **state)
{
    sta_set_global(NULL);
    return registry_teardown(state);
}

static void without_a_slot_or_a_registry_nothing_is_set_up(void **state)
{
    sta_syscall_fn slot = host_call;

    sta_set_global(NULL);
    assert_int_equal(sta_setup_syscall_hooker(&slot), -ENODEV);
    assert_ptr_equal(slot, host_call);
    sta_set_global(*state);
    assert_int_equal(sta_setup_syscall_hooker(NULL), -EINVAL);
}

static void calls_through_the_slot_are_dispatched_to_the_hosts_function(void **state)
{
    sta_syscall_fn slot = host_call;
    atomic_int runs = 0;

    sta_set_global(*state);
    assert_int_equal(sta_setup_syscall_hooker(&slot), 0);
    assert_ptr_not_equal(slot, host_call);
    assert_int_equal(call_slot(slot), 200);
    attach_enter(*state, NR, count_run, &runs);
    attach_exit(*state, STA_ALL_SYSCALLS, count_run, &runs);
    assert_int_equal(call_slot(slot), 200);
    assert_int_equal(runs, 2);
    assert_int_equal(made.count, 2);
    assert_int_equal(made.sys_nr, NR);
    for (int i = 0; i < 6; i++)
        assert_int_equal(made.args[i], i + 1);
    /* The registry has the host's function as its original for all that it dispatches. */
    assert_int_equal(dispatch(*state, NR), 200);
}

static void an_empty_slot_stands_for_the_kernel(void **state)
{
    sta_syscall_fn slot = NULL;
    atomic_int runs = 0;

    sta_set_global(*state);
    assert_int_equal(sta_setup_syscall_hooker(&slot), 0);
    assert_non_null(slot);
    attach_exit(*state, SYS_getppid, count_run, &runs);
    assert_int_equal(slot(SYS_getppid, 0, 0, 0, 0, 0, 0), getppid());
    assert_int_equal(runs, 1);
    sta_set_global(NULL);
    assert_int_equal(slot(SYS_getppid, 0, 0, 0, 0, 0, 0), getppid());
    assert_int_equal(runs, 1);
}

static void a_slot_is_not_set_up_twice(void **state)
{
    sta_syscall_fn slot = host_call, hook;

    sta_set_global(*state);
    assert_int_equal(sta_setup_syscall_hooker(&slot), 0);
    hook = slot;
    assert_int_equal(sta_setup_syscall_hooker(&slot), -EALREADY);
    assert_ptr_equal(slot, hook);
    assert_int_equal(call_slot(slot), 200); /* and not itself, for ever */
}

static void without_a_global_registry_calls_go_to_the_original(void **state)
{
    sta_syscall_fn slot = host_call;
    atomic_int runs = 0;

    sta_set_global(*state);
    assert_int_equal(sta_setup_syscall_hooker(&slot), 0);
    attach_enter(*state, NR, count_run, &runs);
    sta_set_global(NULL);
    assert_int_equal(call_slot(slot), 200);
    assert_int_equal(made.count, 1);
    assert_int_equal(runs, 0);
    sta_set_global(*state);
    assert_int_equal(call_slot(slot), 200);
    assert_int_equal(runs, 1);
}

static void after_the_registry_is_freed_calls_go_to_the_original(void **state)
{
    struct sta *sta = new_registry();
    sta_syscall_fn slot = host_call;
    atomic_int runs = 0;

    (void)state;
    sta_set_global(sta);
    assert_int_equal(sta_setup_syscall_hooker(&slot), 0);
    attach_enter(sta, NR, count_run, &runs);
    assert_int_equal(call_slot(slot), 200);
    sta_free(sta);
    assert_int_equal(call_slot(slot), 200);
    assert_int_equal(runs, 1);
    assert_int_equal(sta_setup_syscall_hooker(&slot), -ENODEV);
}

static void freeing_another_registry_leaves_the_global_one(void **state)
{
    struct sta *other = new_registry();
    sta_syscall_fn slot = host_call;
    atomic_int runs = 0;

    sta_set_global(*state);
    assert_int_equal(sta_setup_syscall_hooker(&slot), 0);
    attach_enter(*state, NR, count_run, &runs);
    sta_free(other);
    assert_int_equal(call_slot(slot), 200);
    assert_int_equal(runs, 1);
}

static void another_registry_can_become_the_global_one(void **state)
{
    struct sta *other = new_registry();
    sta_syscall_fn slot = host_call;
    atomic_int first = 0, second = 0;

    sta_set_global(*state);
    assert_int_equal(sta_setup_syscall_hooker(&slot), 0);
    attach_enter(*state, NR, count_run, &first);
    attach_enter(other, NR, count_run, &second);
    sta_set_original_syscall(other, host_call);
    sta_set_global(other);
    assert_int_equal(call_slot(slot), 200);
    assert_int_equal(first, 0);
    assert_int_equal(second, 1);
    sta_free(other);
    assert_int_equal(call_slot(slot), 200);
}

static void only_the_slot_dispatches_to_the_global_registry(void **state)
{
    struct sta *other = new_registry();
    atomic_int runs = 0;

    sta_set_global(*state);
    attach_enter(*state, NR, count_run, &runs);
    assert_int_equal(dispatch(other, NR), 100);
    assert_int_equal(runs, 0);
    sta_free(other);
}

int main(void)
{
#define WITH_HOOK(test) cmocka_unit_test_setup_teardown(test, registry_setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_HOOK(without_a_slot_or_a_registry_nothing_is_set_up),
        WITH_HOOK(calls_through_the_slot_are_dispatched_to_the_hosts_function),
        WITH_HOOK(an_empty_slot_stands_for_the_kernel),
        WITH_HOOK(a_slot_is_not_set_up_twice),
        WITH_HOOK(without_a_global_registry_calls_go_to_the_original),
        WITH_HOOK(after_the_registry_is_freed_calls_go_to_the_original),
        WITH_HOOK(freeing_another_registry_leaves_the_global_one),
        WITH_HOOK(another_registry_can_become_the_global_one),
        WITH_HOOK(only_the_slot_dispatches_to_the_global_registry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
