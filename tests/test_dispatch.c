/* SPDX-License-Identifier: MIT */
/*
 * The dispatcher: contexts, order, and what callbacks can do to a call's result.
 */
#include "core.h"

#include <limits.h>

#define NR 39

_Static_assert(sizeof(struct sta_sys_enter) == 64, "the kernel's size");
_Static_assert(offsetof(struct sta_sys_enter, id) == 8, "the kernel's offset");
_Static_assert(offsetof(struct sta_sys_enter, args) == 16, "the kernel's offset");
_Static_assert(sizeof(struct sta_sys_exit) == 24, "the kernel's size");
_Static_assert(offsetof(struct sta_sys_exit, id) == 8, "the kernel's offset");
_Static_assert(offsetof(struct sta_sys_exit, ret) == 16, "the kernel's offset");
_Static_assert(sizeof(struct sta_trace_entry) == 8, "the kernel's size");
_Static_assert(sizeof(struct trace_event_raw_sys_enter) == 64, "under the kernel's name");
_Static_assert(offsetof(struct trace_event_raw_sys_exit, ret) == 16, "under the kernel's name");

/* Contexts */

struct seen {
    int count;
    size_t ctx_size;
    uint64_t ret;
    union {
        struct sta_sys_enter enter;
        struct sta_sys_exit exit;
    };
    unsigned long args[6]; /* sta_current_args() */
};

static int remember(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct seen *seen = user_data;

    seen->count++;
    seen->ctx_size = ctx_size;
    seen->ret = *ret;
    must(ctx_size <= sizeof(seen->enter));
    memcpy(&seen->enter, ctx, ctx_size);
    must(sta_current_args() != NULL);
    memcpy(seen->args, sta_current_args(), sizeof(seen->args));
    return 0;
}

static const char no_entry[sizeof(struct sta_trace_entry)];

static void an_enter_callback_gets_number_and_arguments(void **state)
{
    struct sta *sta = *state;
    struct seen seen = {0};

    attach_enter(sta, NR, remember, &seen);
    assert_int_equal(sta_dispatch(sta, NR, 11, -22, INT64_MIN, INT64_MAX, 0, 66), 100);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.ctx_size, 64);
    assert_int_equal(seen.ret, 0);
    assert_memory_equal(&seen.enter.ent, no_entry, sizeof(no_entry));
    assert_int_equal(seen.enter.id, NR);
    assert_int_equal(seen.enter.args[0], 11);
    assert_int_equal(seen.enter.args[1], (unsigned long)-22);
    assert_int_equal(seen.enter.args[2], (unsigned long)INT64_MIN);
    assert_int_equal(seen.enter.args[3], INT64_MAX);
    assert_int_equal(seen.enter.args[4], 0);
    assert_int_equal(seen.enter.args[5], 66);
    assert_memory_equal(seen.args, seen.enter.args, sizeof(seen.args));
}

static void an_exit_callback_gets_number_result_and_arguments(void **state)
{
    static const int64_t results[] = {0, 1, -1, -EPERM, INT64_MIN, INT64_MAX};
    struct sta *sta = *state;
    struct seen seen = {0};

    attach_exit(sta, NR, remember, &seen);
    for (size_t i = 0; i < COUNT(results); i++) {
        made.result = results[i];
        assert_int_equal(dispatch(sta, NR), results[i]);
        assert_int_equal(seen.count, i + 1);
        assert_int_equal(seen.ctx_size, 24);
        assert_int_equal(seen.ret, 0);
        assert_memory_equal(&seen.exit.ent, no_entry, sizeof(no_entry));
        assert_int_equal(seen.exit.id, NR);
        assert_int_equal(seen.exit.ret, results[i]);
        for (unsigned arg = 0; arg < 6; arg++)
            assert_int_equal(seen.args[arg], arg + 1);
    }
}

static void the_original_gets_number_and_arguments_whole(void **state)
{
    static const int64_t numbers[] = {NR, INT64_C(0x7654321000000000) | NR, INT64_MIN | NR, -1};
    struct sta *sta = *state;
    struct seen seen = {0};

    for (unsigned attached = 0; attached < 2; attached++) {
        for (size_t i = 0; i < COUNT(numbers); i++) {
            made.count = 0;
            sta_dispatch(sta, numbers[i], INT64_MIN, -2, INT64_C(0x1234567890), -4, INT64_MAX, -6);
            assert_int_equal(made.count, 1);
            assert_int_equal(made.sys_nr, numbers[i]);
            assert_int_equal(made.args[0], INT64_MIN);
            assert_int_equal(made.args[1], -2);
            assert_int_equal(made.args[2], INT64_C(0x1234567890));
            assert_int_equal(made.args[3], -4);
            assert_int_equal(made.args[4], INT64_MAX);
            assert_int_equal(made.args[5], -6);
        }
        attach_enter(sta, STA_ALL_SYSCALLS, remember, &seen);
        attach_exit(sta, STA_ALL_SYSCALLS, remember, &seen);
    }
    assert_int_equal(seen.count, 2 * COUNT(numbers));
}

static int scribble(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)user_data;
    memset(ctx, 0xee, ctx_size);
    *ret = UINT64_MAX;
    return 0;
}

static void what_a_callback_writes_to_its_context_is_its_own_affair(void **state)
{
    struct sta *sta = *state;
    struct seen enter[2] = {0}, leave[2] = {0};

    for (unsigned i = 0; i < 2; i++) {
        int nr = i == 0 ? NR : STA_ALL_SYSCALLS;

        attach_enter(sta, nr, scribble, NULL);
        attach_enter(sta, nr, remember, &enter[i]);
        attach_exit(sta, nr, scribble, NULL);
        attach_exit(sta, nr, remember, &leave[i]);
    }
    assert_int_equal(dispatch(sta, NR), 100);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(enter[i].enter.id, NR);
        assert_int_equal(enter[i].ret, 0);
        assert_int_equal(leave[i].exit.id, NR);
        assert_int_equal(leave[i].exit.ret, 100);
        assert_int_equal(leave[i].ret, 0);
        for (unsigned arg = 0; arg < 6; arg++) {
            assert_int_equal(enter[i].enter.args[arg], arg + 1);
            assert_int_equal(leave[i].args[arg], arg + 1);
            assert_int_equal(made.args[arg], arg + 1);
        }
    }
}

/* Order */

static char order[64];

static int write_down(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret;
    strcat(order, user_data);
    return 0;
}

static int64_t write_down_call(int64_t sys_nr, int64_t a1, int64_t a2, int64_t a3, int64_t a4,
                               int64_t a5, int64_t a6)
{
    strcat(order, "-");
    return original_call(sys_nr, a1, a2, a3, a4, a5, a6);
}

static const char *order_of(struct sta *sta, int nr)
{
    order[0] = 0;
    dispatch(sta, nr);
    return order;
}

static void callbacks_on_the_call_run_first_each_group_in_attach_order(void **state)
{
    struct sta *sta = *state;
    int id;

    sta_set_original_syscall(sta, write_down_call);
    attach_enter(sta, STA_ALL_SYSCALLS, write_down, "A");
    attach_exit(sta, STA_ALL_SYSCALLS, write_down, "X");
    attach_enter(sta, NR, write_down, "a");
    attach_exit(sta, NR, write_down, "x");
    attach_enter(sta, NR + 1, write_down, "!");
    id = attach_enter(sta, STA_ALL_SYSCALLS, write_down, "B");
    attach_enter(sta, NR, write_down, "b");
    attach_exit(sta, NR, write_down, "y");
    attach_exit(sta, STA_ALL_SYSCALLS, write_down, "Y");
    attach_enter(sta, STA_ALL_SYSCALLS, write_down, "C");
    assert_string_equal(order_of(sta, NR), "abABC-xyXY");
    assert_string_equal(order_of(sta, 600), "ABC-XY");
    detach(sta, id);
    attach_enter(sta, STA_ALL_SYSCALLS, write_down, "D");
    assert_string_equal(order_of(sta, NR), "abACD-xyXY");
}

static void lower_priorities_run_earlier_within_their_group(void **state)
{
    static const struct {
        int priority;
        const char *name;
    } attachments[] = {{0, "d"},  {5, "f"}, {-5, "b"},      {0, "e"},
                       {-5, "c"}, {5, "g"}, {INT_MAX, "h"}, {INT_MIN, "a"}};
    struct sta *sta = *state;

    sta_set_original_syscall(sta, write_down_call);
    attach_enter(sta, STA_ALL_SYSCALLS, write_down, "A");
    attach_exit(sta, STA_ALL_SYSCALLS, write_down, "A");
    for (unsigned is_enter = 0; is_enter < 2; is_enter++) {
        for (size_t i = 0; i < COUNT(attachments); i++) {
            struct sta_attach_options options = {.size = sizeof(options),
                                                 .target = {NR, is_enter},
                                                 .callback = write_down,
                                                 .user_data = (void *)attachments[i].name,
                                                 .priority = attachments[i].priority};

            assert_true(sta_attach_with(sta, &options) > 0);
        }
    }
    assert_string_equal(order_of(sta, NR), "abcdefghA-abcdefghA");
}

static int return_value(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size;
    *ret = 1;
    return *(int *)user_data;
}

static void what_a_callback_returns_changes_nothing(void **state)
{
    static int values[] = {-1, -EPERM, INT_MIN, 0, 1, INT_MAX};
    struct sta *sta = *state;
    struct seen enter = {0}, leave = {0};
    int ids[COUNT(values)];

    for (size_t i = 0; i < COUNT(values); i++) {
        ids[i] = attach_enter(sta, NR, return_value, &values[i]);
        attach_exit(sta, NR, return_value, &values[i]);
    }
    attach_enter(sta, NR, remember, &enter);
    attach_exit(sta, NR, remember, &leave);
    assert_int_equal(dispatch(sta, NR), 100);
    assert_int_equal(made.count, 1);
    assert_int_equal(enter.count, 1);
    assert_int_equal(leave.count, 1);
    assert_int_equal(leave.exit.ret, 100);
    for (size_t i = 0; i < COUNT(values); i++)
        assert_int_equal(info_of(sta, ids[i]).failed, values[i] < 0);
}

/* The original call */

static void the_default_original_is_the_kernel(void **state)
{
    struct sta *sta = *state;
    struct seen seen = {0};

    sta_set_original_syscall(sta, NULL);
    assert_int_equal(dispatch(sta, SYS_getppid), getppid());
    attach_exit(sta, STA_ALL_SYSCALLS, remember, &seen);
    assert_int_equal(dispatch(sta, SYS_getppid), getppid());
    assert_int_equal(seen.exit.ret, getppid());
    assert_int_equal(sta_dispatch(sta, SYS_close, -1, 0, 0, 0, 0, 0), -EBADF);
    assert_int_equal(seen.exit.ret, -EBADF);
    assert_int_equal(dispatch(sta, -1), -ENOSYS);
    assert_int_equal(seen.exit.ret, -ENOSYS);
}

static void dispatching_leaves_errno_alone(void **state)
{
    struct sta *sta = *state;
    struct seen seen = {0};

    sta_set_original_syscall(sta, NULL);
    errno = 1234;
    sta_dispatch(sta, SYS_close, -1, 0, 0, 0, 0, 0);
    assert_int_equal(errno, 1234);
    attach_enter(sta, SYS_close, remember, &seen);
    attach_exit(sta, SYS_close, remember, &seen);
    errno = 1234;
    assert_int_equal(sta_dispatch(sta, SYS_close, -1, 0, 0, 0, 0, 0), -EBADF);
    assert_int_equal(errno, 1234);
    assert_int_equal(seen.count, 2);
}

static void calls_that_do_not_return_have_no_exit_event(void **state)
{
    static const int numbers[] = {SYS_exit, SYS_exit_group, SYS_rt_sigreturn};
    struct sta *sta = *state;
    struct seen enter, leave;

    for (size_t i = 0; i < COUNT(numbers); i++) {
        attach_enter(sta, numbers[i], remember, &enter);
        attach_exit(sta, numbers[i], remember, &leave);
    }
    attach_enter(sta, STA_ALL_SYSCALLS, remember, &enter);
    attach_exit(sta, STA_ALL_SYSCALLS, remember, &leave);
    for (size_t i = 0; i < COUNT(numbers); i++) {
        enter = leave = (struct seen){0};
        made.count = 0;
        dispatch(sta, numbers[i]);
        assert_int_equal(made.count, 1);
        assert_int_equal(enter.count, 2);
        assert_int_equal(enter.enter.id, numbers[i]);
        assert_int_equal(leave.count, 0);
    }
    dispatch(sta, NR);
    assert_int_equal(leave.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REGISTRY(an_enter_callback_gets_number_and_arguments),
        WITH_REGISTRY(an_exit_callback_gets_number_result_and_arguments),
        WITH_REGISTRY(the_original_gets_number_and_arguments_whole),
        WITH_REGISTRY(what_a_callback_writes_to_its_context_is_its_own_affair),
        WITH_REGISTRY(callbacks_on_the_call_run_first_each_group_in_attach_order),
        WITH_REGISTRY(lower_priorities_run_earlier_within_their_group),
        WITH_REGISTRY(what_a_callback_returns_changes_nothing),
        WITH_REGISTRY(the_default_original_is_the_kernel),
        WITH_REGISTRY(dispatching_leaves_errno_alone),
        WITH_REGISTRY(calls_that_do_not_return_have_no_exit_event),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
