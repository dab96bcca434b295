/* SPDX-License-Identifier: MIT */
/*
 * Maps with a value for each CPU, and the leases that make it one run's own.
 */
#include "maps.h"

#include "maps/lease.h"

#define THREADS    4
#define INCREMENTS (UNDER_TSAN ? 50000 : 1000000)

/* A run of a program that counts. */
static void run_once(struct sta_map *map, uint32_t key)
{
    struct sta__lease lease;
    uint64_t *value;

    must_equal(sta__lease_enter(&lease), 0);
    value = map->ops->lookup(map, &key);
    must(value);
    /* As programs do it: not atomic. */
    *(volatile uint64_t *)value = *(volatile uint64_t *)value + 1;
    sta__lease_leave(&lease);
}

static void *count_up(void *data)
{
    for (int i = 0; i < INCREMENTS; i++)
        run_once(data, 0);
    return NULL;
}

static uint64_t sum_of(struct sta_map *map, uint32_t key)
{
    uint64_t values[STA__CPUS_MAX], sum = 0;

    must_equal(sta_map_lookup(map, &key, values, 0), 0);
    for (uint32_t cpu = 0; cpu < sta_map_cpus(); cpu++)
        sum += values[cpu];
    return sum;
}

static struct sta_map *make_counter(uint32_t type)
{
    uint64_t values[STA__CPUS_MAX] = {0};
    struct sta_map *map = make_map(type, 4, 8, 8);
    uint32_t key = 0;

    must_equal(sta_map_update(map, &key, values, BPF_ANY), 0);
    return map;
}

static void no_increment_is_lost(void **state)
{
    static const uint32_t types[] = {BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_PERCPU_HASH};

    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        struct sta_map *map = make_counter(types[i]);
        pthread_t threads[THREADS];

        for (int t = 0; t < THREADS; t++)
            threads[t] = start(count_up, map);
        for (int t = 0; t < THREADS; t++)
            finish(threads[t]);
        assert_int_equal(sum_of(map, 0), (uint64_t)THREADS * INCREMENTS);
        sta_map_close(map);
    }
}

static void count_in_child(void *data)
{
    for (int i = 0; i < INCREMENTS / 10; i++)
        run_once(data, 0);
}

static void processes_lease_from_one_set(void **state)
{
    struct sta_map *map = make_counter(BPF_MAP_TYPE_PERCPU_ARRAY);
    pid_t children[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        children[i] = start_child(count_in_child, map);
    for (int i = 0; i < INCREMENTS / 10; i++)
        run_once(map, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(wait_for_child(children[i]), 0);
    assert_int_equal(sum_of(map, 0), 4 * (INCREMENTS / 10));
    sta_map_close(map);
}

static void nested_runs_have_different_cpus(void **state)
{
    struct sta_map *map = make_counter(BPF_MAP_TYPE_PERCPU_ARRAY);
    struct sta__lease outer, inner;

    (void)state;
    if (sta_map_cpus() < 2) {
        print_message("skipped: there is one CPU\n");
        skip();
    }
    assert_int_equal(sta__lease_enter(&outer), 0);
    assert_int_equal(sta__lease_cpu(), outer.cpu);
    assert_int_equal(sta__lease_enter(&inner), 0);
    assert_int_not_equal(inner.cpu, outer.cpu);
    assert_int_equal(sta__lease_cpu(), inner.cpu);
    sta__lease_leave(&inner);
    assert_int_equal(sta__lease_cpu(), outer.cpu);
    sta__lease_leave(&outer);
    sta_map_close(map);
}

static void lease_all_and_wait(void *data)
{
    static struct sta__lease leases[STA__CPUS_MAX];

    for (uint32_t i = 0; i < sta_map_cpus(); i++)
        must_equal(sta__lease_enter(&leases[i]), 0);
    set_flag(data);
    for (;;)
        pause();
}

static void a_dead_runs_lease_is_taken_back(void **state)
{
    struct sta_map *map = make_counter(BPF_MAP_TYPE_PERCPU_ARRAY);
    atomic_bool *leased = (atomic_bool *)&map->head->waiting; /* nobody's, and shared */
    struct sta__lease lease;
    pid_t child = start_child(lease_all_and_wait, leased);

    (void)state;
    wait_for_flag(leased);
    assert_int_equal(sta__lease_enter(&lease), -EBUSY); /* the child lives, and so for a second */
    kill_after(child, 0);
    assert_int_equal(sta__lease_enter(&lease), 0);
    sta__lease_leave(&lease);
    sta_map_close(map);
}

static jmp_buf way_out;

__attribute__((noinline)) static void lease_and_leave(void)
{
    struct sta__lease lease;

    must_equal(sta__lease_enter(&lease), 0);
    longjmp(way_out, 1);
}

static void what_a_longjmp_left_is_given_back(void **state)
{
    struct sta_map *map = make_counter(BPF_MAP_TYPE_PERCPU_ARRAY);
    struct sta__lease lease;

    (void)state;
    for (uint32_t i = 0; i < 3 * sta_map_cpus(); i++) {
        if (!setjmp(way_out))
            lease_and_leave();
        use_stack();
    }
    assert_int_equal(sta__lease_enter(&lease), 0);
    sta__lease_leave(&lease);
    sta_map_close(map);
}

/* Programs write their CPU's value; those of the others of a new element are 0. */
static void a_new_element_is_zero_on_other_cpus(void **state)
{
    uint64_t values[STA__CPUS_MAX];
    struct sta_map *map = make_map(BPF_MAP_TYPE_PERCPU_HASH, 4, 8, 1);
    struct sta__lease lease;
    uint32_t key = 1;

    (void)state;
    memset(values, 0xff, sizeof(values));
    assert_int_equal(sta_map_update(map, &key, values, BPF_ANY), 0);
    assert_int_equal(sta_map_delete(map, &key), 0);
    assert_int_equal(sta__lease_enter(&lease), 0);
    key = 2;
    values[0] = 5;
    assert_int_equal(map->ops->update(map, &key, values, BPF_ANY), 0);
    assert_int_equal(*(uint64_t *)map->ops->lookup(map, &key), 5);
    assert_ptr_equal(map->ops->lookup(map, &key), map->ops->lookup_percpu(map, &key, lease.cpu));
    assert_null(map->ops->lookup_percpu(map, &key, sta_map_cpus()));
    sta__lease_leave(&lease);
    assert_int_equal(sta_map_lookup(map, &key, values, 0), 0);
    for (uint32_t cpu = 0; cpu < sta_map_cpus(); cpu++)
        assert_int_equal(values[cpu], cpu == lease.cpu ? 5 : 0);
    sta_map_close(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_increment_is_lost),
        cmocka_unit_test(processes_lease_from_one_set),
        cmocka_unit_test(nested_runs_have_different_cpus),
        cmocka_unit_test(a_dead_runs_lease_is_taken_back),
        cmocka_unit_test(what_a_longjmp_left_is_given_back),
        cmocka_unit_test(a_new_element_is_zero_on_other_cpus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
