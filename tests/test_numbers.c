/* SPDX-License-Identifier: MIT */
/*
 * Which number is which call: every number reaches the callbacks on all calls, numbers of the table
 * those on the call, and only the low 32 bits count, as in the kernel.
 */
#include "core.h"

struct counts {
    int enter, leave;
    long id;
};

static int note_enter(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct counts *counts = user_data;

    (void)ctx_size, (void)ret;
    counts->enter++;
    counts->id = ((struct sta_sys_enter *)ctx)->id;
    return 0;
}

static int note_exit(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct counts *counts = user_data;

    (void)ctx_size, (void)ret;
    counts->leave++;
    must_equal(((struct sta_sys_exit *)ctx)->id, counts->id);
    return 0;
}

static struct counts own[STA_SYSCALL_LIMIT], all;

static int setup(void **state)
{
    registry_setup(state);
    for (int nr = 0; nr < STA_SYSCALL_LIMIT; nr++) {
        attach_enter(*state, nr, note_enter, &own[nr]);
        attach_exit(*state, nr, note_exit, &own[nr]);
    }
    attach_enter(*state, STA_ALL_SYSCALLS, note_enter, &all);
    attach_exit(*state, STA_ALL_SYSCALLS, note_exit, &all);
    return 0;
}

/* Dispatches one number and checks that the right callbacks ran and no others. */
static void check_number(struct sta *sta, int64_t sys_nr)
{
    int id = (int)(uint32_t)sys_nr;
    int has_exit = id != SYS_exit && id != SYS_exit_group && id != SYS_rt_sigreturn;

    memset(own, 0, sizeof(own));
    memset(&all, 0, sizeof(all));
    made.count = 0;
    assert_int_equal(dispatch(sta, sys_nr), 100);
    assert_int_equal(made.count, 1);
    assert_int_equal(made.sys_nr, sys_nr);
    assert_int_equal(all.enter, 1);
    assert_int_equal(all.leave, has_exit);
    assert_int_equal(all.id, id);
    for (int nr = 0; nr < STA_SYSCALL_LIMIT; nr++) {
        if (own[nr].enter != (nr == id) || own[nr].leave != (nr == id && has_exit))
            fail_msg("number %lld: call %d has %d enter and %d exit events", (long long)sys_nr, nr,
                     own[nr].enter, own[nr].leave);
    }
    if (id >= 0 && id < STA_SYSCALL_LIMIT)
        assert_int_equal(own[id].id, id);
}

static void every_number_from_minus_5_to_1100_reaches_its_callbacks(void **state)
{
    for (int nr = -5; nr <= 1100; nr++)
        check_number(*state, nr);
}

static const int64_t extremes[] = {
    INT64_MIN,
    INT64_MIN + 1,
    INT64_MIN | SYS_getppid,
    -INT64_C(0x100000000),
    -INT64_C(0x100000000) | SYS_getppid,
    INT32_MIN - INT64_C(1),
    INT32_MIN,
    INT32_MIN + 1,
    -513,
    -512,
    -511,
    511,
    512,
    513,
    4096,
    65535,
    65536,
    0x40000000 + SYS_getppid,
    0x40000027,
    0x7fffffff,
    INT64_C(0x80000000),
    INT64_C(0x80000000) | SYS_getppid,
    INT64_C(0xffffffff),
    INT64_C(0x100000000),
    INT64_C(0x100000000) | SYS_getppid,
    INT64_C(0x1000001ff),
    INT64_C(0x100000200),
    INT64_C(0x7fffffff00000000) | SYS_getppid,
    INT64_MAX - 1,
    INT64_MAX,
};

static void extreme_numbers_reach_their_callbacks(void **state)
{
    for (size_t i = 0; i < COUNT(extremes); i++)
        check_number(*state, extremes[i]);
}

static void only_numbers_of_the_table_can_be_attached_to(void **state)
{
    for (size_t i = 0; i < COUNT(extremes); i++) {
        struct sta_target target = {(int)extremes[i], true};
        int id = sta_attach(*state, &target, note_enter, &all);

        if (target.sys_nr >= -1 && target.sys_nr < STA_SYSCALL_LIMIT)
            assert_true(id > 0);
        else
            assert_int_equal(id, -EINVAL);
    }
}

/* The kernel decides what a number means: by a system call instruction, past all C functions. */
static int64_t ask_kernel(int64_t sys_nr)
{
    int64_t result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(sys_nr), "D"(1), "S"(2), "d"(3)
                     : "rcx", "r11", "memory");
    return result;
}

static void compare_with_kernel(void *data)
{
    struct sta *sta = data;

    sta_set_original_syscall(sta, NULL);
    for (size_t i = 0; i < COUNT(extremes); i++) {
        int id = (int)(uint32_t)extremes[i];
        int64_t wanted;

        if (id != SYS_getppid && (unsigned)id < STA_SYSCALL_LIMIT) /* other calls do something */
            continue;
        wanted = ask_kernel(extremes[i]);
        if (id == SYS_getppid)
            must_equal(wanted, getppid());
        memset(&all, 0, sizeof(all));
        must_equal(dispatch(sta, extremes[i]), wanted);
        must_equal(all.id, id);
        must_equal(all.leave, 1);
    }
    for (int nr = 512; nr < 1100; nr++)
        must_equal(dispatch(sta, nr), -ENOSYS);
}

static void the_kernel_reads_numbers_in_the_same_way(void **state)
{
    in_child(compare_with_kernel, *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_from_minus_5_to_1100_reaches_its_callbacks),
        cmocka_unit_test(extreme_numbers_reach_their_callbacks),
        cmocka_unit_test(the_kernel_reads_numbers_in_the_same_way),
        cmocka_unit_test(only_numbers_of_the_table_can_be_attached_to),
    };

    return cmocka_run_group_tests(tests, setup, registry_teardown);
}
