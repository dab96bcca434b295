/* SPDX-License-Identifier: MIT */
/*
 * Threads that attach and detach against threads that dispatch: no callback runs after its detach
 * returned, and nothing that it uses is touched any more.
 */
#include "core.h"

#define NR 39

enum { PAIRS = 4, ROUNDS = UNDER_TSAN ? 250 : 500 };

/* From malloc, and freed as soon as detached: the sanitizers see whoever comes late. */
struct victim {
    unsigned magic; /* not atomic: detaching orders the write below after all reads */
    atomic_bool detached;
};

#define ALIVE 0x600df00du
#define DEAD  0xdeadu

static atomic_uint storm_runs;

static int check_alive(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct victim *victim = user_data;

    (void)ctx, (void)ctx_size, (void)ret;
    must(!atomic_load(&victim->detached));
    must(victim->magic == ALIVE);
    if (atomic_fetch_add_explicit(&storm_runs, 1, memory_order_relaxed) % 64 == 0)
        sched_yield(); /* so that some are caught in the middle */
    must(victim->magic == ALIVE);
    must(!atomic_load(&victim->detached));
    return 0;
}

struct storm {
    struct sta *sta;
    struct sta_target targets[4];
    pthread_barrier_t begin;
    atomic_int attaching;
    atomic_long dispatched;
};

static void *attach_and_detach(void *data)
{
    struct storm *storm = data;
    unsigned at = 0;

    pthread_barrier_wait(&storm->begin);
    for (int round = 0; round < ROUNDS; round++) {
        struct victim *victims[3];
        int ids[COUNT(victims)];

        for (unsigned i = 0; i < COUNT(victims); i++) {
            struct sta_target *target = &storm->targets[at++ % COUNT(storm->targets)];

            victims[i] = calloc(1, sizeof(*victims[i]));
            must(victims[i] != NULL);
            victims[i]->magic = ALIVE;
            ids[i] = attach(storm->sta, target->sys_nr, target->is_enter, check_alive, victims[i]);
        }
        for (unsigned i = COUNT(victims); i-- > 0;) {
            must_equal(sta_detach(storm->sta, ids[i]), 0);
            atomic_store(&victims[i]->detached, true);
            victims[i]->magic = DEAD;
            free(victims[i]);
        }
    }
    atomic_fetch_sub(&storm->attaching, 1);
    return NULL;
}

static void *dispatch_until_quiet(void *data)
{
    struct storm *storm = data;
    long calls = 0;

    made.result = 100;
    pthread_barrier_wait(&storm->begin);
    do {
        for (int i = 0; i < 50; i++, calls++)
            must_equal(dispatch(storm->sta, NR + calls % 2), 100);
        sched_yield(); /* where there are few processors: seldom stopped inside a callback */
    } while (atomic_load(&storm->attaching) > 0);
    atomic_fetch_add(&storm->dispatched, calls);
    return NULL;
}

/* Ends when every attaching thread has done its rounds. */
static void run_storm(struct storm *storm)
{
    pthread_t threads[2 * PAIRS];
    atomic_int enters = 0, exits = 0;
    int ids[2];

    ids[0] = attach_enter(storm->sta, NR, count_run, &enters);
    ids[1] = attach_exit(storm->sta, STA_ALL_SYSCALLS, count_run, &exits);
    storm->attaching = PAIRS;
    pthread_barrier_init(&storm->begin, NULL, 2 * PAIRS);
    for (int i = 0; i < 2 * PAIRS; i++)
        threads[i] = start(i % 2 ? attach_and_detach : dispatch_until_quiet, storm);
    for (int i = 0; i < 2 * PAIRS; i++)
        finish(threads[i]);
    pthread_barrier_destroy(&storm->begin);
    /* Those that stayed attached missed nothing. */
    assert_int_equal(enters, storm->dispatched / 2);
    assert_int_equal(exits, storm->dispatched);
    assert_int_equal(info_of(storm->sta, ids[0]).runs, enters);
    assert_int_equal(info_of(storm->sta, ids[1]).runs, exits);
}

static void no_callback_on_a_call_runs_after_detach(void **state)
{
    struct storm storm = {.sta = *state,
                          .targets = {{NR, true}, {NR + 1, true}, {NR, true}, {NR + 1, true}}};

    run_storm(&storm);
}

static void no_exit_callback_runs_after_detach(void **state)
{
    struct storm storm = {.sta = *state,
                          .targets = {{NR, false}, {NR + 1, false}, {NR, true}, {NR + 1, false}}};

    run_storm(&storm);
}

static void no_callback_on_all_calls_runs_after_detach(void **state)
{
    struct storm storm = {.sta = *state,
                          .targets = {{STA_ALL_SYSCALLS, true},
                                      {STA_ALL_SYSCALLS, false},
                                      {STA_ALL_SYSCALLS, true},
                                      {STA_ALL_SYSCALLS, false}}};

    run_storm(&storm);
}

static void no_callback_of_any_kind_runs_after_detach(void **state)
{
    struct storm storm = {
        .sta = *state,
        .targets = {{NR, true}, {STA_ALL_SYSCALLS, false}, {NR, false}, {STA_ALL_SYSCALLS, true}}};

    run_storm(&storm);
}

/* Questions are answered meanwhile, and of ids that come and go only with what is allowed. */
static void *ask(void *data)
{
    struct storm *storm = data;

    for (int i = 0; i < ROUNDS; i++) {
        struct sta_attach_info info = {.size = sizeof(info)};
        int err = sta_attach_info(storm->sta, i + 1, &info);

        must(err == 0 || err == -ENOENT);
        if (err == 0)
            must_equal(info.size, sizeof(info));
    }
    return NULL;
}

static void attachments_can_be_asked_about_in_a_storm(void **state)
{
    struct storm storm = {
        .sta = *state,
        .targets = {{NR, true}, {STA_ALL_SYSCALLS, false}, {NR, false}, {STA_ALL_SYSCALLS, true}}};
    pthread_t asking = start(ask, &storm);

    run_storm(&storm);
    finish(asking);
}

/* All threads want the same ids: each is detached by exactly one. */
enum { CONTESTED = 300 };

struct contest {
    struct sta *sta;
    struct victim *victims;
    int *ids;
    pthread_barrier_t begin;
    atomic_int detached;
};

static void *detach_all(void *data)
{
    struct contest *contest = data;

    pthread_barrier_wait(&contest->begin);
    for (int i = 0; i < CONTESTED; i++) {
        int err = sta_detach(contest->sta, contest->ids[i]);

        must(err == 0 || err == -ENOENT);
        if (err == 0) {
            contest->victims[i].magic = DEAD;
            atomic_fetch_add(&contest->detached, 1);
        }
        dispatch(contest->sta, NR);
    }
    return NULL;
}

static void each_attachment_is_detached_once(void **state)
{
    struct victim victims[CONTESTED];
    int ids[CONTESTED];
    struct contest contest = {.sta = *state, .victims = victims, .ids = ids};
    pthread_t threads[PAIRS];

    for (int i = 0; i < CONTESTED; i++) {
        victims[i] = (struct victim){.magic = ALIVE};
        ids[i] = attach(*state, i % 3 ? NR : STA_ALL_SYSCALLS, i % 2, check_alive, &victims[i]);
    }
    pthread_barrier_init(&contest.begin, NULL, PAIRS);
    for (int i = 0; i < PAIRS; i++)
        threads[i] = start(detach_all, &contest);
    for (int i = 0; i < PAIRS; i++)
        finish(threads[i]);
    pthread_barrier_destroy(&contest.begin);
    assert_int_equal(contest.detached, CONTESTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REGISTRY(no_callback_on_a_call_runs_after_detach),
        WITH_REGISTRY(no_exit_callback_runs_after_detach),
        WITH_REGISTRY(no_callback_on_all_calls_runs_after_detach),
        WITH_REGISTRY(no_callback_of_any_kind_runs_after_detach),
        WITH_REGISTRY(attachments_can_be_asked_about_in_a_storm),
        WITH_REGISTRY(each_attachment_is_detached_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
