/* SPDX-License-Identifier: MIT */
/*
 * Children keep the attachments and can attach, detach and dispatch, whatever the parent's threads
 * were doing when it forked.
 */
#include "core.h"

#include "attach/registry.h"
#include "base/gate.h"

#define NR 39

/* Everything that a child is to be able to do. Allocates nothing: malloc's lock may be held. */
static void use_registry(struct sta *sta)
{
    atomic_int runs = 0;
    int enter_id, exit_id;

    for (int i = 0; i < 3; i++) {
        runs = 0;
        enter_id = attach_enter(sta, NR + 2, count_run, &runs);
        exit_id = attach_exit(sta, STA_ALL_SYSCALLS, count_run, &runs);
        must_equal(dispatch(sta, NR + 2), 100);
        must_equal(atomic_load(&runs), 2);
        must_equal(info_of(sta, enter_id).runs, 1);
        detach(sta, enter_id);
        must_equal(dispatch(sta, NR + 2), 100);
        must_equal(atomic_load(&runs), 3);
        detach(sta, exit_id);
        must_equal(dispatch(sta, NR + 2), 100);
        must_equal(atomic_load(&runs), 3);
        must_equal(sta_detach(sta, exit_id), -ENOENT);
    }
}

struct inherited {
    struct sta *sta;
    int id;
    atomic_int *runs;
};

static void use_inherited(void *data)
{
    struct inherited *inherited = data;

    must_equal(dispatch(inherited->sta, NR), 100);
    must_equal(atomic_load(inherited->runs), 3);
    use_registry(inherited->sta);
    must_equal(info_of(inherited->sta, inherited->id).runs, 3);
    detach(inherited->sta, inherited->id);
    must_equal(dispatch(inherited->sta, NR), 100);
    must_equal(atomic_load(inherited->runs), 3);
}

static void a_child_keeps_the_attachments(void **state)
{
    atomic_int runs = 0;
    struct inherited inherited = {*state, attach_enter(*state, NR, count_run, &runs), &runs};

    dispatch(*state, NR);
    dispatch(*state, NR);
    in_child(use_inherited, &inherited);
    /* What the child did is its own affair. */
    assert_int_equal(runs, 2);
    dispatch(*state, NR);
    assert_int_equal(info_of(*state, inherited.id).runs, 3);
}

static void fork_again(void *data)
{
    pid_t child = fork();

    use_registry(data);
    if (child == 0)
        _exit(0);
    must_equal(wait_for_child(child), 0);
}

static void a_grandchild_can_do_so_too(void **state)
{
    in_child(fork_again, *state);
}

/* Each with a registry of its own, since it counts exactly. */
static void *use_new_registry(void *data)
{
    struct sta *sta = new_registry();

    made.result = 100;
    use_registry(sta);
    sta_free(sta);
    must_equal(dispatch(data, NR), 100);
    return NULL;
}

static void use_in_threads(void *data)
{
    pthread_t threads[3];

    for (size_t i = 0; i < COUNT(threads); i++)
        threads[i] = start(use_new_registry, data);
    for (size_t i = 0; i < COUNT(threads); i++)
        finish(threads[i]);
}

static void threads_of_a_child_can_do_so_too(void **state)
{
    atomic_int runs = 0;

    attach_enter(*state, NR, count_run, &runs);
    dispatch(*state, NR);
    in_child(use_in_threads, *state);
}

/* A call of fork that is dispatched */

static int64_t forking_call(int64_t sys_nr, int64_t a1, int64_t a2, int64_t a3, int64_t a4,
                            int64_t a5, int64_t a6)
{
    if (sys_nr == SYS_fork)
        return fork();
    return original_call(sys_nr, a1, a2, a3, a4, a5, a6);
}

static struct {
    struct sta *sta;
    atomic_int enters, exits;
    pid_t child;
} forked;

static void fork_has_one_enter_event_and_two_exit_events(void **state)
{
    pid_t child;

    forked.enters = forked.exits = 0;
    sta_set_original_syscall(*state, forking_call);
    attach_enter(*state, SYS_fork, count_run, &forked.enters);
    attach_exit(*state, SYS_fork, count_run, &forked.exits);
    child = (pid_t)dispatch(*state, SYS_fork);
    must_equal(atomic_load(&forked.enters), 1);
    must_equal(atomic_load(&forked.exits), 1); /* on either side */
    if (child == 0) {
        use_registry(*state);
        _exit(0);
    }
    assert_int_equal(wait_for_child(child), 0);
}

/* Forks from inside a callback: the child is in the callback, too. */
static int fork_in_callback(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    forked.child = (pid_t)dispatch(forked.sta, SYS_fork);
    must(forked.child >= 0);
    dispatch(forked.sta, NR + 1); /* guarded */
    must_equal(sta_current_args()[0], 1);
    must_equal(sta_override_return(-EPERM), 0);
    return 0;
}

static void check_fork_in_callback(struct sta *sta, bool is_enter)
{
    atomic_int runs = 0;
    int fork_id = attach(sta, NR, is_enter, fork_in_callback, NULL);
    int id = attach_enter(sta, NR + 1, count_run, &runs);

    forked.sta = sta;
    sta_set_original_syscall(sta, forking_call);
    must_equal(dispatch(sta, NR), -EPERM);
    must_equal(info_of(sta, id).runs, 0);
    must_equal(info_of(sta, id).missed, 1);
    must_equal(info_of(sta, fork_id).overrides, 1);
    must_equal(sta_override_return(0), -EINVAL);
    dispatch(sta, NR + 1);
    must_equal(atomic_load(&runs), 1); /* and not for longer */
    if (forked.child == 0) {
        detach(sta, fork_id);
        use_registry(sta);
        _exit(0);
    }
    assert_int_equal(wait_for_child(forked.child), 0);
    detach(sta, fork_id);
    detach(sta, id);
}

static void a_child_forked_in_a_callback_is_guarded_until_it_returns(void **state)
{
    check_fork_in_callback(*state, true);
    check_fork_in_callback(*state, false);
}

/* Forks while other threads attach, detach and dispatch */

enum { FORKS = 100, BUSY = 3, BUSY_NR = STA_SYSCALL_LIMIT - BUSY };

struct busy {
    struct sta *sta;
    atomic_bool end;
    atomic_int started, runs;
};

static void *keep_busy(void *data)
{
    struct busy *busy = data;
    int nr = BUSY_NR + atomic_fetch_add(&busy->started, 1);

    do {
        int ids[4];

        for (size_t i = 0; i < COUNT(ids); i++)
            ids[i] =
                attach(busy->sta, i < 2 ? nr : STA_ALL_SYSCALLS, i % 2, count_run, &busy->runs);
        for (int i = 0; i < 10; i++)
            dispatch(busy->sta, nr);
        for (size_t i = 0; i < COUNT(ids); i++)
            detach(busy->sta, ids[i]);
        sched_yield();
    } while (!atomic_load(&busy->end));
    return NULL;
}

/* Counts that include all that the parent's threads had attached are not known: what is attached
 * to one call is checked. */
static void use_busy_registry(struct sta *sta)
{
    atomic_int runs = 0;
    int enter_id = 0;

    for (int i = 0; i < 5; i++) {
        int exit_id = attach_exit(sta, NR, count_run, &runs);

        enter_id = attach_enter(sta, NR, count_run, &runs);
        runs = 0;
        must_equal(dispatch(sta, NR), 100);
        must_equal(atomic_load(&runs), 2);
        detach(sta, enter_id);
        must_equal(dispatch(sta, NR), 100);
        must_equal(atomic_load(&runs), 3);
        detach(sta, exit_id);
        must_equal(dispatch(sta, NR), 100);
        must_equal(atomic_load(&runs), 3);
    }
    for (int nr = BUSY_NR; nr < BUSY_NR + BUSY; nr++) {
        int id = attach_enter(sta, nr, count_run, &runs);

        runs = 0;
        must_equal(dispatch(sta, nr), 100);
        must_equal(atomic_load(&runs), 1);
        detach(sta, id);
    }
    /* What was attached or half attached by threads that do not exist here can be detached. */
    for (int id = enter_id; id > 0 && id > enter_id - 4 * BUSY - 20; id--) {
        int err = sta_detach(sta, id);

        must(err == 0 || err == -ENOENT);
    }
    sta_free(sta);
}

/* What a fork leaves behind that comes after a list was published and before `active` followed. */
static void a_child_completes_a_change_that_was_cut_short(void **state)
{
    struct sta *sta = *state;
    atomic_int runs = 0;
    uint8_t before = sta->calls[NR].active;

    attach_enter(sta, NR, count_run, &runs);
    sta->calls[NR].active = before;
    sta->active_is_stale = true;
    attach_enter(sta, NR, count_run, &runs);
    dispatch(sta, NR);
    assert_int_equal(runs, 2);
}

static pid_t raw_fork(void)
{
    return (pid_t)STA__RAW0(SYS_fork);
}

static void fork_storm(struct sta *sta, pid_t (*do_fork)(void))
{
    struct busy busy = {.sta = sta};
    pthread_t threads[BUSY];

    for (int i = 0; i < BUSY; i++)
        threads[i] = start(keep_busy, &busy);
    while (atomic_load(&busy.started) < BUSY)
        sched_yield();
    for (int i = 0; i < FORKS; i++) {
        pid_t child = do_fork();

        must(child >= 0);
        if (child == 0) {
            use_busy_registry(sta);
            _exit(0);
        }
        assert_int_equal(wait_for_child(child), 0);
    }
    atomic_store(&busy.end, true);
    for (int i = 0; i < BUSY; i++)
        finish(threads[i]);
}

static void a_child_inherits_no_lock_of_its_parents_threads(void **state)
{
    fork_storm(*state, fork);
}

static void a_child_of_the_bare_system_call_neither(void **state)
{
    if (UNDER_TSAN) {
        print_message("skipped: ThreadSanitizer has to know of forks\n");
        skip();
    }
    fork_storm(*state, raw_fork);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REGISTRY(a_child_keeps_the_attachments),
        WITH_REGISTRY(a_grandchild_can_do_so_too),
        WITH_REGISTRY(threads_of_a_child_can_do_so_too),
        WITH_REGISTRY(fork_has_one_enter_event_and_two_exit_events),
        WITH_REGISTRY(a_child_forked_in_a_callback_is_guarded_until_it_returns),
        WITH_REGISTRY(a_child_completes_a_change_that_was_cut_short),
        WITH_REGISTRY(a_child_inherits_no_lock_of_its_parents_threads),
        WITH_REGISTRY(a_child_of_the_bare_system_call_neither),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
