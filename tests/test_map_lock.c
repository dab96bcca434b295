/* SPDX-License-Identifier: MIT */
/*
 * Values with a struct bpf_spin_lock. That flags have the kernel's results is the business of
 * test_maps_kernel.c.
 */
#include "maps.h"

#include <sta/program.h>

#include "ebpf/isa.h"
#include "maps/value_lock.h"

#define WORDS   8
#define LOCK_AT 24
#define ROUNDS  (UNDER_TSAN ? 2000 : 50000)

/* A value whose words are all alike, but for the one with the lock. */
struct value {
    uint64_t words[3];
    uint32_t lock, beside;
    uint64_t more[WORDS - 4];
};

static const uint32_t types[] = {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY};

static struct sta_map *make_locked(uint32_t type)
{
    struct sta_map_options options = {.size = sizeof(options),
                                      .type = type,
                                      .key_size = 4,
                                      .value_size = sizeof(struct value),
                                      .max_entries = 2,
                                      .has_spin_lock = 1,
                                      .spin_lock_at = LOCK_AT,
                                      .log = print_log};
    struct sta_map *map = NULL;

    must_equal(sta_map_create(&map, &options), 0);
    return map;
}

static struct value value_of(uint64_t number)
{
    struct value value = {.lock = 7, .beside = (uint32_t)number};

    for (size_t i = 0; i < 3; i++)
        value.words[i] = number;
    for (size_t i = 0; i < WORDS - 4; i++)
        value.more[i] = number;
    return value;
}

/* False: it is of more than one update. */
static bool is_whole(const struct value *value)
{
    struct value wanted = value_of(value->words[0]);

    wanted.lock = 0;
    return memcmp(value, &wanted, sizeof(wanted)) == 0;
}

struct writers {
    struct sta_map *map;
    atomic_uint number;
};

static void *write_under_lock(void *data)
{
    struct writers *writers = data;
    uint64_t number = 1000000 * (1 + (uint64_t)atomic_fetch_add(&writers->number, 1));
    const uint32_t key = 1;

    for (uint64_t i = 0; i < ROUNDS; i++) {
        struct value value = value_of(number + i);

        must_equal(sta_map_update(writers->map, &key, &value, BPF_F_LOCK | BPF_EXIST), 0);
        must_equal(sta_map_lookup(writers->map, &key, &value, BPF_F_LOCK), 0);
        must(is_whole(&value));
    }
    return NULL;
}

static void values_are_whole_under_their_lock(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        struct writers writers = {.map = make_locked(types[i])};
        struct value value = value_of(0);
        const uint32_t key = 1;
        pthread_t threads[3];

        assert_int_equal(sta_map_update(writers.map, &key, &value, BPF_ANY), 0);
        for (size_t n = 0; n < COUNT(threads); n++)
            threads[n] = start(write_under_lock, &writers);
        for (size_t n = 0; n < COUNT(threads); n++)
            finish(threads[n]);
        assert_int_equal(sta_map_lookup(writers.map, &key, &value, 0), 0);
        assert_true(is_whole(&value));
        sta_map_close(writers.map);
    }
}

/* Copies leave the lock as it is: who holds it can give it back. */
static void the_lock_itself_is_not_copied(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        struct sta_map *map = make_locked(types[i]);
        struct value value = value_of(5), *there;
        const uint32_t key = 0;

        assert_int_equal(sta_map_update(map, &key, &value, BPF_ANY), 0);
        there = map->ops->lookup(map, &key);
        assert_non_null(there);
        assert_int_equal(there->lock, 0);
        sta__value_lock(sta__value_lock_in(map, there));
        assert_int_not_equal(there->lock, 0);
        assert_int_equal(sta_map_lookup(map, &key, &value, 0), 0);
        assert_true(is_whole(&value));
        value = value_of(6);
        if (types[i] == BPF_MAP_TYPE_ARRAY) /* in place */
            assert_int_equal(sta_map_update(map, &key, &value, BPF_ANY), 0);
        assert_int_not_equal(there->lock, 0);
        sta__value_unlock(sta__value_lock_in(map, there));
        assert_int_equal(there->lock, 0);
        sta_map_close(map);
    }
}

/* Holders that are gone, or do not run. */

static struct sta_map *shared;

static sta__value_word *lock_of_shared(void)
{
    const uint32_t key = 1;

    return sta__value_lock_in(shared, shared->ops->lookup(shared, &key));
}

static void hold_until_killed(void *unused)
{
    (void)unused;
    sta__value_lock(lock_of_shared());
    for (;;)
        pause();
}

static void a_lock_whose_holder_is_gone_is_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        struct value value = value_of(1);
        const uint32_t key = 1;
        pid_t child;
        int status;

        shared = make_locked(types[i]);
        assert_int_equal(sta_map_update(shared, &key, &value, BPF_ANY), 0);
        for (int stops = 0; stops < 2; stops++) {
            child = start_child(hold_until_killed, NULL);
            while (atomic_load(lock_of_shared()) == 0)
                sched_yield();
            kill(child, stops ? SIGSTOP : SIGKILL);
            if (!stops)
                assert_int_equal(waitpid(child, &status, 0), child);
            value = value_of(2);
            assert_int_equal(sta_map_update(shared, &key, &value, BPF_F_LOCK), 0);
            assert_int_equal(sta_map_lookup(shared, &key, &value, BPF_F_LOCK), 0);
            assert_true(is_whole(&value) && value.beside == 2);
            assert_int_equal(atomic_load(lock_of_shared()), 0);
            if (stops)
                kill_after(child, 0);
        }
        sta__value_lock(lock_of_shared()); /* by oneself: left by longjmp */
        assert_int_equal(sta_map_lookup(shared, &key, &value, BPF_F_LOCK), 0);
        sta_map_close(shared);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_whole_under_their_lock),
        cmocka_unit_test(the_lock_itself_is_not_copied),
        cmocka_unit_test(a_lock_whose_holder_is_gone_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
