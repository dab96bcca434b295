/* SPDX-License-Identifier: MIT */
/*
 * Counters of attachments: where they lie, and that no increment is lost.
 */
#include "core.h"

#include "attach/counters.h"

enum { MANY = 3 * STA__COUNTERS_PER_SLAB + 5 };

struct fixture {
    struct sta__arena arena;
    struct sta__counters_pool pool;
    struct sta__counters *counters[MANY];
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    sta__counters_destroy(&fixture->pool, &fixture->arena);
    assert_null(fixture->pool.slabs);
    sta__arena_destroy(&fixture->arena);
    free(fixture);
    return 0;
}

static struct sta__counters *alloc(struct fixture *fixture)
{
    struct sta__counters *counters = sta__counters_alloc(&fixture->pool, &fixture->arena);

    assert_non_null(counters);
    for (uint32_t stripe = 0; stripe < STA__STRIPE_COUNT; stripe++) {
        const struct sta__counters *set = sta__counters_of(counters, stripe);

        assert_int_equal(set->runs, 0);
        assert_int_equal(set->missed, 0);
        assert_int_equal(set->failed, 0);
        assert_int_equal(set->overrides, 0);
    }
    return counters;
}

static void fill(struct sta__counters *counters, uint64_t with)
{
    for (uint32_t stripe = 0; stripe < STA__STRIPE_COUNT; stripe++) {
        struct sta__counters *set = sta__counters_of(counters, stripe);

        set->runs = with * 100 + stripe;
        set->missed = with * 200 + stripe;
        set->failed = with * 300 + stripe;
        set->overrides = with * 400 + stripe;
    }
}

static void assert_filled(struct sta__counters *counters, uint64_t with)
{
    for (uint32_t stripe = 0; stripe < STA__STRIPE_COUNT; stripe++) {
        const struct sta__counters *set = sta__counters_of(counters, stripe);

        assert_int_equal(set->runs, with * 100 + stripe);
        assert_int_equal(set->missed, with * 200 + stripe);
        assert_int_equal(set->failed, with * 300 + stripe);
        assert_int_equal(set->overrides, with * 400 + stripe);
    }
}

static void attachments_share_no_counter(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < MANY; i++) {
        fixture->counters[i] = alloc(fixture);
        fill(fixture->counters[i], i + 1);
    }
    for (unsigned i = 0; i < MANY; i++)
        assert_filled(fixture->counters[i], i + 1);
}

static void stripes_share_no_cache_line(void **state)
{
    struct sta__counters *counters = alloc(*state);

    for (uint32_t stripe = 1; stripe < STA__STRIPE_COUNT; stripe++)
        assert_true((uintptr_t)sta__counters_of(counters, stripe) / STA__CACHE_LINE !=
                    (uintptr_t)sta__counters_of(counters, stripe - 1) / STA__CACHE_LINE);
}

static void freed_counters_are_used_again_and_zeroed(void **state)
{
    struct fixture *fixture = *state;
    struct sta__counters_slab *slabs;

    for (unsigned i = 0; i < MANY; i++)
        fixture->counters[i] = alloc(fixture);
    slabs = fixture->pool.slabs;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = round; i < MANY; i += 2) {
            fill(fixture->counters[i], 7);
            sta__counters_free(&fixture->pool, fixture->counters[i]);
        }
        for (unsigned i = round; i < MANY; i += 2)
            fixture->counters[i] = alloc(fixture);
        assert_ptr_equal(fixture->pool.slabs, slabs);
    }
    for (unsigned i = 0; i < MANY; i++)
        fill(fixture->counters[i], i);
    for (unsigned i = 0; i < MANY; i++)
        assert_filled(fixture->counters[i], i);
}

static void the_first_threads_own_a_stripe_and_the_others_share_one(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < STA__STRIPE_OWNED; i++)
        assert_int_equal(sta__stripe_of(i), i);
    for (uint32_t i = STA__STRIPE_OWNED; i < 70000; i++)
        assert_int_equal(sta__stripe_of(i), STA__STRIPE_OWNED);
}

struct counting {
    _Atomic uint64_t *counter;
    uint32_t stripe;
    pthread_barrier_t begin;
};

enum { THREADS = 4, INCREMENTS = 1000000 };

static void *count_up(void *data)
{
    struct counting *counting = data;

    pthread_barrier_wait(&counting->begin);
    for (int i = 0; i < INCREMENTS; i++)
        sta__count(counting->counter, counting->stripe);
    return NULL;
}

static void threads_lose_no_increment_of_the_shared_stripe(void **state)
{
    _Atomic uint64_t counter = 0;
    struct counting counting = {.counter = &counter, .stripe = STA__STRIPE_OWNED};
    pthread_t threads[THREADS];

    (void)state;
    pthread_barrier_init(&counting.begin, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(count_up, &counting);
    for (int i = 0; i < THREADS; i++)
        finish(threads[i]);
    assert_int_equal(counter, THREADS * INCREMENTS);
}

static _Atomic uint64_t interrupted;

static void count_in_handler(int signal)
{
    (void)signal;
    sta__count(&interrupted, 0);
}

static void *interrupt(void *data)
{
    for (int i = 0; i < 1000; i++) {
        pthread_kill(*(pthread_t *)data, SIGUSR1);
        sched_yield();
    }
    return NULL;
}

/* Signals that arrive while another is pending are one, so the handler counts itself. */
static _Atomic uint64_t handled;

static void count_twice_in_handler(int signal)
{
    count_in_handler(signal);
    atomic_fetch_add(&handled, 1);
}

static void a_signal_handler_loses_no_increment_of_its_threads_stripe(void **state)
{
    pthread_t self = pthread_self(), thread;
    uint64_t own = 0;

    (void)state;
    interrupted = handled = 0;
    signal(SIGUSR1, count_twice_in_handler);
    thread = start(interrupt, &self);
    for (; own < INCREMENTS; own++)
        sta__count(&interrupted, 0);
    finish(thread);
    signal(SIGUSR1, SIG_IGN); /* what was sent has arrived */
    assert_int_equal(interrupted, own + handled);
}

int main(void)
{
#define WITH_POOL(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_POOL(attachments_share_no_counter),
        WITH_POOL(stripes_share_no_cache_line),
        WITH_POOL(freed_counters_are_used_again_and_zeroed),
        cmocka_unit_test(the_first_threads_own_a_stripe_and_the_others_share_one),
        cmocka_unit_test(threads_lose_no_increment_of_the_shared_stripe),
        cmocka_unit_test(a_signal_handler_loses_no_increment_of_its_threads_stripe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
