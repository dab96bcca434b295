/* SPDX-License-Identifier: MIT */
/*
 * What holds when sta_detach returns, and callbacks that attach and detach.
 */
#include "core.h"

#define NR 39

/* Detaching while the callback runs on another thread */

struct running {
    struct sta *sta;
    int nr;
    atomic_bool is_running, detaching;
    int ended; /* not atomic: that it is seen is what detaching promises */
};

static int run_until_detaching(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct running *running = user_data;

    (void)ctx, (void)ctx_size, (void)ret;
    set_flag(&running->is_running);
    wait_for_flag(&running->detaching);
    dawdle();
    running->ended = 1;
    return 0;
}

static void *dispatch_once(void *data)
{
    struct running *running = data;

    dispatch(running->sta, running->nr);
    return NULL;
}

static void check_detach_waits(struct sta *sta, int attach_nr, bool is_enter)
{
    struct running running = {.sta = sta, .nr = NR};
    int id = attach(sta, attach_nr, is_enter, run_until_detaching, &running);
    pthread_t thread = start(dispatch_once, &running);

    wait_for_flag(&running.is_running);
    set_flag(&running.detaching);
    assert_int_equal(sta_detach(sta, id), 0);
    assert_int_equal(running.ended, 1);
    running.ended = 2;
    finish(thread);
}

static void detach_waits_for_running_callback(void **state)
{
    check_detach_waits(*state, NR, true);
    check_detach_waits(*state, NR, false);
    check_detach_waits(*state, STA_ALL_SYSCALLS, true);
    check_detach_waits(*state, STA_ALL_SYSCALLS, false);
}

static void detach_waits_where_other_callbacks_stay(void **state)
{
    atomic_int runs = 0;

    attach_enter(*state, NR, count_run, &runs);
    attach_exit(*state, NR, count_run, &runs);
    attach_enter(*state, STA_ALL_SYSCALLS, count_run, &runs);
    detach_waits_for_running_callback(state);
    assert_int_equal(runs, 4 * 3);
}

/* The original call blocks until it is released. */
static atomic_bool in_original, release_original;

static int64_t blocking_call(int64_t sys_nr, int64_t a1, int64_t a2, int64_t a3, int64_t a4,
                             int64_t a5, int64_t a6)
{
    set_flag(&in_original);
    wait_for_flag(&release_original);
    return original_call(sys_nr, a1, a2, a3, a4, a5, a6);
}

static void detach_does_not_wait_for_a_blocked_call(void **state)
{
    struct running running = {.sta = *state, .nr = NR};
    atomic_int enters = 0, exits = 0;
    int enter_id = attach_enter(*state, NR, count_run, &enters);
    int exit_id = attach_exit(*state, NR, count_run, &exits);
    pthread_t thread;

    in_original = release_original = false;
    sta_set_original_syscall(*state, blocking_call);
    thread = start(dispatch_once, &running);
    wait_for_flag(&in_original);
    detach(*state, enter_id);
    detach(*state, exit_id);
    set_flag(&release_original);
    finish(thread);
    assert_int_equal(enters, 1);
    assert_int_equal(exits, 0); /* it was detached before the call ended */
}

/* From inside callbacks */

struct self {
    struct sta *sta;
    int id;     /* to be detached */
    int result; /* of sta_detach */
    int runs;
};

static int detach_from_callback(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct self *self = user_data;

    (void)ctx, (void)ctx_size, (void)ret;
    self->runs++;
    self->result = sta_detach(self->sta, self->id);
    return 0;
}

static void a_callback_can_detach_itself(void **state)
{
    static const int numbers[] = {NR, STA_ALL_SYSCALLS};
    struct sta *sta = *state;

    for (size_t i = 0; i < COUNT(numbers); i++) {
        for (int is_enter = 0; is_enter < 2; is_enter++) {
            struct self self = {.sta = sta, .result = 1};
            atomic_int before = 0, after = 0;
            int first = attach(sta, numbers[i], is_enter, count_run, &before), last;

            self.id = attach(sta, numbers[i], is_enter, detach_from_callback, &self);
            last = attach(sta, numbers[i], is_enter, count_run, &after);
            for (int call = 0; call < 3; call++)
                assert_int_equal(dispatch(sta, NR), 100);
            assert_int_equal(self.runs, 1);
            assert_int_equal(self.result, 0);
            assert_int_equal(before, 3);
            assert_int_equal(after, 3);
            assert_int_equal(sta_detach(sta, self.id), -ENOENT);
            detach(sta, first);
            detach(sta, last);
        }
    }
}

static void a_callback_alone_can_detach_itself(void **state)
{
    struct self self = {.sta = *state, .result = 1};

    self.id = attach_enter(*state, NR, detach_from_callback, &self);
    dispatch(*state, NR);
    dispatch(*state, NR);
    assert_int_equal(self.runs, 1);
    assert_int_equal(self.result, 0);
    assert_int_equal(made.count, 2);
}

/* A list that an event began with is run to its end: the other one may still be called once on this
 * thread, though never on another. */
static void a_callback_can_detach_another(void **state)
{
    struct self self = {.sta = *state, .result = 1};
    atomic_int same_list = 0, other_list = 0;
    int ran;

    attach_enter(*state, NR, detach_from_callback, &self);
    self.id = attach_enter(*state, NR, count_run, &same_list);
    dispatch(*state, NR);
    assert_int_equal(self.result, 0);
    ran = same_list;
    assert_in_range(ran, 0, 1);
    dispatch(*state, NR);
    assert_int_equal(self.result, -ENOENT);
    assert_int_equal(same_list, ran);

    self.id = attach_exit(*state, NR, count_run, &other_list);
    dispatch(*state, NR);
    assert_int_equal(self.result, 0);
    assert_int_equal(other_list, 0); /* the exit's list is looked up when the call has ended */
}

static void a_callback_that_detaches_waits_for_other_threads(void **state)
{
    struct running running = {.sta = *state, .nr = NR + 1};
    struct self self = {.sta = *state, .result = 1};
    pthread_t thread;

    self.id = attach_enter(*state, NR + 1, run_until_detaching, &running);
    attach_enter(*state, NR, detach_from_callback, &self);
    thread = start(dispatch_once, &running);
    wait_for_flag(&running.is_running);
    set_flag(&running.detaching);
    dispatch(*state, NR);
    assert_int_equal(self.result, 0);
    assert_int_equal(running.ended, 1);
    finish(thread);
}

struct attaching {
    struct sta *sta;
    struct sta_target target;
    atomic_int runs; /* of what is attached */
    int id;
};

static int attach_from_callback(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct attaching *attaching = user_data;

    (void)ctx, (void)ctx_size, (void)ret;
    if (!attaching->id)
        attaching->id = sta_attach(attaching->sta, &attaching->target, count_run, &attaching->runs);
    return 0;
}

static void what_a_callback_attaches_runs_from_the_next_event_on(void **state)
{
    static const struct {
        struct sta_target target;
        int min, max; /* runs in the same call */
    } cases[] = {
        {{NR, true}, 0, 0},               /* the list that is run through never changes */
        {{STA_ALL_SYSCALLS, true}, 0, 1}, /* the event's other list: open */
        {{NR, false}, 1, 1},
        {{STA_ALL_SYSCALLS, false}, 1, 1},
    };
    struct sta *sta = *state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct attaching attaching = {.sta = sta, .target = cases[i].target};
        int id = attach_enter(sta, NR, attach_from_callback, &attaching), runs;

        dispatch(sta, NR);
        assert_true(attaching.id > id);
        runs = attaching.runs;
        assert_in_range(runs, cases[i].min, cases[i].max);
        dispatch(sta, NR);
        assert_int_equal(attaching.runs, runs + 1);
        detach(sta, id);
        detach(sta, attaching.id);
    }
}

/* Each run attaches one more and detaches the oldest. */
struct churn {
    struct sta *sta;
    int ids[8];
    unsigned at;
    atomic_int runs;
};

static int churn(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct churn *churn = user_data;
    struct sta_target target = {NR, churn->at % 2};
    int *id = &churn->ids[churn->at++ % COUNT(churn->ids)];

    (void)ctx, (void)ctx_size, (void)ret;
    if (*id)
        must_equal(sta_detach(churn->sta, *id), 0);
    *id = sta_attach(churn->sta, &target, count_run, &churn->runs);
    must(*id > 0);
    return 0;
}

static void a_callback_can_attach_and_detach_for_ever(void **state)
{
    struct churn data = {.sta = *state};

    attach_enter(*state, NR, churn, &data);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(dispatch(*state, NR), 100);
    assert_true(data.runs > 2000);
}

/* Callbacks that detach each other */

enum { RING_MAX = 3 };

struct ring {
    struct sta *sta;
    int size;
    pthread_barrier_t inside;
    int ids[RING_MAX];
    int results[RING_MAX];
    int runs[RING_MAX];
};

struct member {
    struct ring *ring;
    int index;
};

static int detach_next(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct member *member = user_data;
    struct ring *ring = member->ring;

    (void)ctx, (void)ctx_size, (void)ret;
    ring->runs[member->index]++;
    pthread_barrier_wait(&ring->inside);
    ring->results[member->index] =
        sta_detach(ring->sta, ring->ids[(member->index + 1) % ring->size]);
    return 0;
}

static void *dispatch_member(void *data)
{
    struct member *member = data;

    dispatch(member->ring->sta, NR + member->index);
    return NULL;
}

static void check_ring(struct sta *sta, int size)
{
    struct ring ring = {.sta = sta, .size = size};
    struct member members[RING_MAX];
    pthread_t threads[RING_MAX];
    int in_progress = 0;

    pthread_barrier_init(&ring.inside, NULL, (unsigned)size);
    for (int i = 0; i < size; i++) {
        members[i] = (struct member){&ring, i};
        ring.ids[i] = attach_enter(sta, NR + i, detach_next, &members[i]);
        ring.results[i] = 1;
    }
    for (int i = 0; i < size; i++)
        threads[i] = start(dispatch_member, &members[i]);
    for (int i = 0; i < size; i++)
        finish(threads[i]);
    for (int i = 0; i < size; i++) {
        assert_true(ring.results[i] == 0 || ring.results[i] == -EINPROGRESS);
        in_progress += ring.results[i] == -EINPROGRESS;
        dispatch(sta, NR + i);
        assert_int_equal(ring.runs[i], 1);
        assert_int_equal(sta_detach(sta, ring.ids[i]), -ENOENT);
    }
    assert_true(in_progress >= 1);
    pthread_barrier_destroy(&ring.inside);
}

static void callbacks_that_detach_each_other_do_not_wait_for_ever(void **state)
{
    for (int round = 0; round < 100; round++)
        check_ring(*state, 2);
}

static void callbacks_that_detach_each_other_in_a_ring_do_not_wait_for_ever(void **state)
{
    for (int round = 0; round < 50; round++)
        check_ring(*state, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REGISTRY(detach_waits_for_running_callback),
        WITH_REGISTRY(detach_waits_where_other_callbacks_stay),
        WITH_REGISTRY(detach_does_not_wait_for_a_blocked_call),
        WITH_REGISTRY(a_callback_can_detach_itself),
        WITH_REGISTRY(a_callback_alone_can_detach_itself),
        WITH_REGISTRY(a_callback_can_detach_another),
        WITH_REGISTRY(a_callback_that_detaches_waits_for_other_threads),
        WITH_REGISTRY(what_a_callback_attaches_runs_from_the_next_event_on),
        WITH_REGISTRY(a_callback_can_attach_and_detach_for_ever),
        WITH_REGISTRY(callbacks_that_detach_each_other_do_not_wait_for_ever),
        WITH_REGISTRY(callbacks_that_detach_each_other_in_a_ring_do_not_wait_for_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
