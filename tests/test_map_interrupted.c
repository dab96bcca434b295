/* SPDX-License-Identifier: MIT */
/*
 * Hash maps whose writers do not come to an end: interrupted, left by longjmp, killed, stopped.
 */
#include "maps.h"

#include "maps/hash.h"

/* Signals. One bucket: whatever is changed takes its lock. */

static struct sta_map *interrupted;
static int result_in_handler;
static jmp_buf way_out;

static void update_in_handler(int signal)
{
    uint64_t key = 1, value[2] = {2, 2};

    (void)signal;
    result_in_handler = sta_map_update(interrupted, &key, value, BPF_ANY);
}

static void a_handler_that_interrupts_an_update_gets_ebusy(void **state)
{
    struct sta__owner_guard guard;
    struct sta__bucket *bucket;

    (void)state;
    interrupted = make_map(BPF_MAP_TYPE_HASH, 8, 16, 1);
    bucket = &interrupted->hash.buckets[0];
    signal(SIGUSR1, update_in_handler);
    assert_int_equal(sta__owner_lock(&bucket->lock, &guard), STA__OWNER_LOCKED);
    raise(SIGUSR1);
    assert_int_equal(result_in_handler, -EBUSY);
    sta__owner_unlock(&bucket->lock, &guard);
    raise(SIGUSR1);
    assert_int_equal(result_in_handler, 0);
    sta_map_close(interrupted);
}

/* Its frame is above the one that the test goes on with. */
__attribute__((noinline)) static void lock_and_leave(struct sta__bucket *bucket)
{
    volatile char deep[2048];
    struct sta__owner_guard guard;

    deep[0] = 0;
    (void)deep;
    must_equal(sta__owner_lock(&bucket->lock, &guard), STA__OWNER_LOCKED);
    longjmp(way_out, 1);
}

static void what_a_longjmp_left_is_taken_over(void **state)
{
    uint64_t key = 1, value[2] = {2, 2};

    (void)state;
    interrupted = make_map(BPF_MAP_TYPE_HASH, 8, 16, 1);
    if (!setjmp(way_out))
        lock_and_leave(&interrupted->hash.buckets[0]);
    use_stack();
    assert_int_equal(sta_map_update(interrupted, &key, value, BPF_ANY), 0);
    assert_int_equal(sta_map_delete(interrupted, &key), 0);
    sta_map_close(interrupted);
}

/* Processes. */

static void add_ten(void *data)
{
    for (uint32_t key = 0; key < 10; key++) {
        uint64_t value = key * 5;

        must_equal(sta_map_update(data, &key, &value, BPF_NOEXIST), 0);
    }
}

static void a_forked_child_has_the_same_map(void **state)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_HASH, 4, 8, 10);

    (void)state;
    in_child(add_ten, map);
    for (uint32_t key = 0; key < 10; key++) {
        uint64_t value = 0;

        assert_int_equal(sta_map_lookup(map, &key, &value, 0), 0);
        assert_int_equal(value, key * 5);
    }
    sta_map_close(map);
}

static void lock_and_die(void *data)
{
    struct sta__owner_guard guard;

    must_equal(sta__owner_lock(&((struct sta_map *)data)->hash.buckets[0].lock, &guard),
               STA__OWNER_LOCKED);
    kill(getpid(), SIGKILL);
}

/* Whether it was waited for, or is a zombie still. */
static void a_dead_childs_lock_is_taken_over(void **state)
{
    uint64_t key = 1, value[2] = {2, 2};

    (void)state;
    for (int waited_for = 0; waited_for < 2; waited_for++) {
        struct sta_map *map = make_map(BPF_MAP_TYPE_HASH, 8, 16, 1);
        pid_t child = start_child(lock_and_die, map);
        int status;

        if (waited_for)
            assert_int_equal(waitpid(child, &status, 0), child);
        while (atomic_load(&map->hash.buckets[0].lock) == 0)
            sched_yield();
        assert_int_equal(sta_map_update(map, &key, value, BPF_ANY), 0);
        if (!waited_for)
            assert_int_equal(waitpid(child, &status, 0), child);
        sta_map_close(map);
    }
}

/* As a delete that is killed right before its last step. */
static void free_and_die(void *data)
{
    struct sta__hash *hash = &((struct sta_map *)data)->hash;
    struct sta__owner_guard guard;

    must_equal(sta__owner_lock(&hash->buckets[0].lock, &guard), STA__OWNER_LOCKED);
    atomic_store(&hash->buckets[0].first, STA__CHAIN_END);
    atomic_fetch_or(&hash->free_bits[0], 1);
    atomic_store(&sta__hash_elem(hash, 0)->owner, 0);
    kill(getpid(), SIGKILL);
}

static void what_a_dead_child_freed_is_found(void **state)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_HASH, 8, 16, 1);
    uint64_t key = 1, other = 2, value[2] = {2, 2};
    int status;

    (void)state;
    assert_int_equal(sta_map_update(map, &key, value, BPF_ANY), 0);
    assert_int_equal(sta_map_update(map, &other, value, BPF_ANY), -E2BIG);
    assert_int_equal(sta_map_update(map, &other, value, BPF_ANY), -E2BIG); /* it is known by now */
    assert_true(waitpid(start_child(free_and_die, map), &status, 0) > 0);
    assert_int_equal(sta_map_update(map, &other, value, BPF_ANY), 0);
    sta_map_close(map);
}

static void stop_with_lock(void *data)
{
    struct sta__owner_guard guard;

    must_equal(sta__owner_lock(&((struct sta_map *)data)->hash.buckets[0].lock, &guard),
               STA__OWNER_LOCKED);
    raise(SIGSTOP);
}

static void who_waits_for_a_stopped_process_gives_up(void **state)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_HASH, 8, 16, 1);
    uint64_t key = 1, value[2] = {2, 2};
    pid_t child = start_child(stop_with_lock, map);
    int status;

    (void)state;
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_int_equal(sta_map_update(map, &key, value, BPF_ANY), -EBUSY);
    assert_null(map->ops->lookup(map, &key)); /* needs no lock */
    kill_after(child, 0);
    assert_int_equal(sta_map_update(map, &key, value, BPF_ANY), 0);
    sta_map_close(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handler_that_interrupts_an_update_gets_ebusy),
        cmocka_unit_test(what_a_longjmp_left_is_taken_over),
        cmocka_unit_test(a_forked_child_has_the_same_map),
        cmocka_unit_test(a_dead_childs_lock_is_taken_over),
        cmocka_unit_test(what_a_dead_child_freed_is_found),
        cmocka_unit_test(who_waits_for_a_stopped_process_gives_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
