/* SPDX-License-Identifier: MIT */
/*
 * What sta_attach_info() tells of an attachment: as it was attached, and exact counts.
 */
#include "core.h"

#define NR 39

static void info_tells_how_it_was_attached(void **state)
{
    atomic_int runs = 0;
    struct sta_attach_options options = {.size = sizeof(options),
                                         .target = {NR, false},
                                         .callback = count_run,
                                         .user_data = &runs,
                                         .flags = STA_CALLBACK_GENERAL_REGS,
                                         .priority = -7,
                                         .name = "a name"};
    int id = sta_attach_with(*state, &options);
    struct sta_attach_info info = info_of(*state, id);

    assert_int_equal(info.size, sizeof(info));
    assert_int_equal(info.target.sys_nr, NR);
    assert_false(info.target.is_enter);
    assert_int_equal(info.flags, STA_CALLBACK_GENERAL_REGS);
    assert_int_equal(info.priority, -7);
    assert_string_equal(info.name, "a name");
    assert_int_equal(info.runs, 0);
    assert_int_equal(info.missed, 0);
    assert_int_equal(info.failed, 0);
    assert_int_equal(info.overrides, 0);
    info = info_of(*state, attach_enter(*state, STA_ALL_SYSCALLS, count_run, &runs));
    assert_int_equal(info.target.sys_nr, STA_ALL_SYSCALLS);
    assert_true(info.target.is_enter);
    assert_int_equal(info.flags, 0);
    assert_int_equal(info.priority, 0);
    assert_string_equal(info.name, "");
}

static void questions_that_cannot_be_answered_are_refused(void **state)
{
    struct sta_attach_info info = {.size = sizeof(info)};
    atomic_int runs = 0;
    int id = attach_enter(*state, NR, count_run, &runs);

    assert_int_equal(sta_attach_info(NULL, id, &info), -EINVAL);
    assert_int_equal(sta_attach_info(*state, id, NULL), -EINVAL);
    assert_int_equal(sta_attach_info(*state, id + 1, &info), -ENOENT);
    assert_int_equal(sta_attach_info(*state, 0, &info), -ENOENT);
    assert_int_equal(sta_attach_info(*state, -1, &info), -ENOENT);
    info.size = 0;
    assert_int_equal(sta_attach_info(*state, id, &info), -EINVAL);
    info.size = sizeof(info);
    detach(*state, id);
    assert_int_equal(sta_attach_info(*state, id, &info), -ENOENT);
}

/* Counts */

/* Of each ten runs, three fail and two override. */
static int misbehave(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    unsigned turn = (unsigned)((struct sta_sys_enter *)ctx)->args[0] % 10;

    (void)ctx_size, (void)ret, (void)user_data;
    if (turn == 1 || turn == 5)
        must_equal(sta_override_return(-EPERM), 0);
    return turn < 3 ? -(int)turn - 1 : (int)turn;
}

enum { THREADS = 20, CALLS = 5000 };

static struct sta *registry;
static pthread_barrier_t all_here, all_done;

/* All threads exist at the same time, so that each has a record of its own. */
static void *call_often(void *unused)
{
    (void)unused;
    dispatch(registry, NR + 1);
    pthread_barrier_wait(&all_here);
    for (int i = 0; i < CALLS; i++)
        sta_dispatch(registry, NR, i, 0, 0, 0, 0, 0);
    pthread_barrier_wait(&all_done);
    return NULL;
}

static void run_threads(struct sta *sta)
{
    pthread_t threads[THREADS];

    registry = sta;
    pthread_barrier_init(&all_here, NULL, THREADS);
    pthread_barrier_init(&all_done, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(call_often, NULL);
    for (int i = 0; i < THREADS; i++)
        finish(threads[i]);
    pthread_barrier_destroy(&all_here);
    pthread_barrier_destroy(&all_done);
}

static int call_from_callback(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret;
    dispatch(registry, NR + 2);
    dispatch(registry, NR + 3);
    (void)user_data;
    return 0;
}

static void counts_are_exact_with_more_threads_than_stripes(void **state)
{
    atomic_int enters = 0, exits = 0, unseen = 0;
    struct sta_attach_info info;
    int ids[5];

    ids[0] = attach_enter(*state, NR, misbehave, NULL);
    ids[1] = attach_enter(*state, STA_ALL_SYSCALLS, count_run, &enters);
    ids[2] = attach_exit(*state, NR, call_from_callback, NULL);
    ids[3] = attach_exit(*state, NR, count_run, &exits);
    ids[4] = attach_exit(*state, NR + 2, count_run, &unseen);
    run_threads(*state);

    info = info_of(*state, ids[0]);
    assert_int_equal(info.runs, THREADS * CALLS);
    assert_int_equal(info.failed, THREADS * CALLS * 3 / 10);
    assert_int_equal(info.overrides, THREADS * CALLS * 2 / 10);
    assert_int_equal(info.missed, 0);
    info = info_of(*state, ids[1]);
    assert_int_equal(info.runs, THREADS * (CALLS + 1));
    assert_int_equal(info.missed, THREADS * CALLS * 2);
    assert_int_equal(info.failed + info.overrides, 0);
    assert_int_equal(enters, info.runs);
    info = info_of(*state, ids[2]);
    assert_int_equal(info.runs, THREADS * CALLS);
    assert_int_equal(info.missed, 0);
    info = info_of(*state, ids[3]);
    assert_int_equal(info.runs, THREADS * CALLS);
    assert_int_equal(exits, info.runs);
    info = info_of(*state, ids[4]);
    assert_int_equal(info.runs, 0);
    assert_int_equal(unseen, 0);
    assert_int_equal(info.missed, THREADS * CALLS);
}

static void a_new_attachment_starts_at_zero(void **state)
{
    atomic_int runs = 0;

    for (int round = 0; round < 300; round++) {
        int id = attach_enter(*state, NR, misbehave, NULL);
        struct sta_attach_info info = info_of(*state, id);

        assert_int_equal(info.runs + info.missed + info.failed + info.overrides, 0);
        attach_enter(*state, NR + 1, count_run, &runs);
        for (int i = 0; i < 10; i++)
            sta_dispatch(*state, NR, i, 0, 0, 0, 0, 0);
        info = info_of(*state, id);
        assert_int_equal(info.runs, 10);
        assert_int_equal(info.failed, 3);
        assert_int_equal(info.overrides, 2);
        detach(*state, id);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REGISTRY(info_tells_how_it_was_attached),
        WITH_REGISTRY(questions_that_cannot_be_answered_are_refused),
        WITH_REGISTRY(counts_are_exact_with_more_threads_than_stripes),
        WITH_REGISTRY(a_new_attachment_starts_at_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
