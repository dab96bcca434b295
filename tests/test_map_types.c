/* SPDX-License-Identifier: MIT */
/*
 * Queues, stacks, Bloom filters, prefixes, arrays of programs, maps of maps, stack traces. What
 * single calls of the first four return is compared with the kernel in test_maps_kernel.c.
 */
#include "maps.h"

#include "ebpf/tail.h"
#include "maps/object_array.h"
#include "maps/objects.h"
#include "maps/stack_trace.h"

static void queues_keep_order_and_stacks_reverse_it(void **state)
{
    static const uint32_t types[] = {BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_STACK};

    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        struct sta_map *map = make_map(types[i], 0, 12, 5);
        uint32_t value[3] = {0};

        for (uint32_t n = 0; n < 8; n++) { /* the oldest three make room */
            value[0] = value[2] = n;
            assert_int_equal(map->ops->push(map, value, n < 5 ? BPF_ANY : BPF_EXIST), 0);
        }
        assert_int_equal(map->ops->push(map, value, BPF_ANY), -E2BIG);
        for (uint32_t n = 0; n < 5; n++) {
            uint32_t wanted = types[i] == BPF_MAP_TYPE_QUEUE ? 3 + n : 7 - n;

            assert_int_equal(map->ops->peek(map, value), 0);
            assert_int_equal(map->ops->pop(map, value), 0);
            assert_int_equal(value[0], wanted);
            assert_int_equal(value[2], wanted);
        }
        value[0] = 1;
        assert_int_equal(map->ops->pop(map, value), -ENOENT);
        assert_int_equal(value[0], 0); /* as in the kernel: nothing is nothing */
        sta_map_close(map);
    }
}

#define PUSHERS 2
#define PUSHES  (UNDER_TSAN ? 5000u : 50000u)

struct pushing {
    struct sta_map *map;
    uint64_t number;
};

static void *push_all(void *data)
{
    const struct pushing *pushing = data;

    for (uint64_t n = 1; n <= PUSHES;) {
        uint64_t value[2] = {pushing->number << 32 | n, ~(pushing->number << 32 | n)};

        if (sta_map_update(pushing->map, NULL, value, BPF_ANY) == 0)
            n++;
        else
            sched_yield();
    }
    return NULL;
}

static void a_queue_loses_nothing(void **state)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_QUEUE, 0, 16, 64);
    struct pushing pushings[PUSHERS] = {{map, 0}, {map, 1}};
    uint64_t last[PUSHERS] = {0}, value[2];
    pthread_t threads[PUSHERS];

    (void)state;
    for (int i = 0; i < PUSHERS; i++)
        threads[i] = start(push_all, &pushings[i]);
    while (last[0] < PUSHES || last[1] < PUSHES) {
        if (sta_map_lookup_and_delete(map, NULL, value, 0) < 0) {
            sched_yield();
            continue;
        }
        assert_int_equal(value[0], ~value[1]);
        assert_int_equal((uint32_t)value[0], ++last[value[0] >> 32]);
    }
    for (int i = 0; i < PUSHERS; i++)
        finish(threads[i]);
    sta_map_close(map);
}

static void push_and_pop_for_ever(void *data)
{
    for (uint64_t n = 0;; n++) {
        uint64_t value[4] = {n, n, n, n};

        if (n % 3)
            sta_map_update(data, NULL, value, n % 2 ? BPF_EXIST : BPF_ANY);
        else
            sta_map_lookup_and_delete(data, NULL, value, 0);
    }
}

static void queues_outlive_who_is_killed(void **state)
{
    static const uint32_t types[] = {BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_STACK};

    (void)state;
    for (int i = 0; i < 200; i++) {
        static struct sta_map *map;
        uint64_t value[4] = {0};
        int count = 0;

        if (i % 100 == 0)
            map = make_map(types[i / 100], 0, 32, 16);
        kill_after(start_child(push_and_pop_for_ever, map), 200 + (unsigned)i % 50);
        while (sta_map_lookup_and_delete(map, NULL, value, 0) == 0) {
            count++;
            assert_int_equal(value[0], value[3]);
        }
        assert_true(count <= 16);
        for (int n = 0; n < 16; n++)
            assert_int_equal(sta_map_update(map, NULL, value, BPF_ANY), 0);
        assert_int_equal(sta_map_update(map, NULL, value, BPF_ANY), -E2BIG);
        if (i % 100 == 99)
            sta_map_close(map);
    }
}

/* None that was added is missed, and of the others one in twenty at most is taken for one. */
static void a_bloom_filter_knows_what_was_added(void **state)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_BLOOM_FILTER, 0, 4, 1000);
    int wrong = 0;

    (void)state;
    for (uint32_t n = 0; n < 1000; n++)
        assert_int_equal(sta_map_update(map, NULL, &n, BPF_ANY), 0);
    for (uint32_t n = 0; n < 1000; n++)
        assert_int_equal(sta_map_lookup(map, NULL, &n, 0), 0);
    for (uint32_t n = 1000; n < 11000; n++)
        wrong += sta_map_lookup(map, NULL, &n, 0) == 0;
    assert_true(wrong < 500);
    sta_map_close(map);
}

struct prefix {
    uint32_t bits;
    uint8_t data[4];
};

static int lookup_prefix(struct sta_map *map, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    const struct prefix key = {32, {a, b, c, d}};
    uint32_t value;

    return sta_map_lookup(map, &key, &value, 0) == 0 ? (int)value : -1;
}

static void the_longest_prefix_is_found(void **state)
{
    static const struct prefix prefixes[] = {
        {0, {0}}, {8, {10}}, {16, {10, 1}}, {20, {10, 1, 0x20}}, {32, {10, 1, 0x21, 7}}};
    struct sta_map *map =
        make_map_with(BPF_MAP_TYPE_LPM_TRIE, 8, 4, COUNT(prefixes), BPF_F_NO_PREALLOC);
    const struct prefix one_more = {9, {10, 128}};
    struct prefix key;
    uint32_t last = 32;

    (void)state;
    for (uint32_t i = 1; i < COUNT(prefixes); i++)
        assert_int_equal(sta_map_update(map, &prefixes[i], &i, BPF_NOEXIST), 0);
    assert_int_equal(lookup_prefix(map, 11, 1, 1, 1), -1);
    last = 0;
    assert_int_equal(sta_map_update(map, &prefixes[0], &last, BPF_NOEXIST), 0);
    assert_int_equal(sta_map_update(map, &one_more, &last, BPF_ANY), -ENOSPC);
    assert_int_equal(lookup_prefix(map, 11, 1, 1, 1), 0);
    assert_int_equal(lookup_prefix(map, 10, 200, 1, 1), 1);
    assert_int_equal(lookup_prefix(map, 10, 1, 1, 1), 2);
    assert_int_equal(lookup_prefix(map, 10, 1, 0x2f, 1), 3);
    assert_int_equal(lookup_prefix(map, 10, 1, 0x21, 7), 4);
    assert_int_equal(sta_map_delete(map, &prefixes[3]), 0);
    assert_int_equal(lookup_prefix(map, 10, 1, 0x2f, 1), 2);
    last = 33;
    for (int err = sta_map_next_key(map, NULL, &key); err == 0;
         err = sta_map_next_key(map, &key, &key)) {
        assert_true(key.bits < last); /* from the most special on */
        last = key.bits;
    }
    assert_int_equal(last, 0);
    sta_map_close(map);
}

/* Programs. */

static uint64_t enter_nothing(void *ctx, struct sta__tail_run *run,
                              const struct sta__tail_target *self)
{
    (void)ctx, (void)run, (void)self;
    return 0;
}

static struct sta_map *shared_array;
static struct sta__tail_target targets[2] = {{.enter = enter_nothing}, {.enter = enter_nothing}};

static void clear_element(void *unused)
{
    const uint32_t index = 1;

    (void)unused;
    must(shared_array->ops->tail_target(shared_array, 1) == &targets[1]);
    must_equal(sta_map_delete(shared_array, &index), 0);
}

static void elements_lead_to_programs(void **state)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 4);
    struct sta__tail_run run = {0};
    uint32_t index = 0, id = 0, other = 0;

    (void)state;
    assert_int_equal(sta_map_update(map, &index, &id, BPF_ANY), -EBADF);
    assert_int_equal(sta_map_lookup(map, &index, &id, 0), -ENOENT);
    assert_null(map->ops->lookup(map, &index)); /* programs see none of it */
    for (index = 0; index < 2; index++)
        assert_int_equal(sta__objects_set(map, &index, &targets[index], BPF_ANY), 0);
    index = 4;
    assert_int_equal(sta__objects_set(map, &index, &targets[0], BPF_ANY), -E2BIG);
    index = 3;
    assert_int_equal(sta__objects_set(map, &index, &targets[0], BPF_ANY), 0);
    assert_ptr_equal(sta__tail_next(map, 0, &run), &targets[0]);
    assert_ptr_equal(sta__tail_next(map, 1, &run), &targets[1]);
    assert_null(sta__tail_next(map, 2, &run));
    assert_ptr_equal(sta__tail_next(map, 3, &run), &targets[0]);
    assert_null(sta__tail_next(map, 4, &run));
    assert_int_equal(sta_map_lookup(map, &index, &id, 0), 0);
    index = 0;
    assert_int_equal(sta_map_lookup(map, &index, &other, 0), 0);
    assert_int_equal(id, other); /* the same program */

    shared_array = map;
    in_child(clear_element, NULL); /* one array for both */
    assert_null(sta__tail_next(map, 1, &run));
    index = 1;
    assert_int_equal(sta_map_delete(map, &index), -ENOENT);
    sta__object_forget(&targets[0]);
    assert_null(sta__tail_next(map, 0, &run));
    sta__object_forget(&targets[1]);
    sta_map_close(map);
}

/* Maps of maps. */

static void elements_lead_to_maps(void **state)
{
    static const uint32_t types[] = {BPF_MAP_TYPE_ARRAY_OF_MAPS, BPF_MAP_TYPE_HASH_OF_MAPS};

    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        struct sta_map *inner = make_map(BPF_MAP_TYPE_HASH, 4, 8, 10);
        struct sta_map *same = make_map(BPF_MAP_TYPE_HASH, 4, 8, 20);
        struct sta_map *other = make_map(BPF_MAP_TYPE_HASH, 8, 8, 10);
        struct sta_map_info info = {.size = sizeof(info)};
        struct sta_map_options options = {.size = sizeof(options),
                                          .type = types[i],
                                          .key_size = 4,
                                          .value_size = 4,
                                          .max_entries = 2};
        struct sta_map *outer = NULL;
        uint32_t key = 1, id = 0;

        assert_int_equal(sta_map_create(&outer, &options), -EBADF);
        options.inner = inner;
        assert_int_equal(sta_map_create(&outer, &options), 0);
        assert_null(outer->ops->lookup(outer, &key));
        assert_int_equal(sta__objects_set(outer, &key, other, BPF_ANY), -EINVAL);
        assert_int_equal(sta__objects_set(outer, &key, same, BPF_ANY), 0);
        assert_int_equal(sta_map_set_map(inner, &key, same, BPF_ANY), -EINVAL);
        assert_int_equal(sta_map_set_map(outer, &key, inner, BPF_ANY), 0);
        assert_ptr_equal(outer->ops->lookup(outer, &key), inner);
        assert_int_equal(sta_map_info(inner, &info), 0);
        assert_int_equal(sta_map_lookup(outer, &key, &id, 0), 0);
        assert_int_equal(id, info.id);
        assert_int_equal(sta_map_delete(outer, &key), 0);
        assert_int_equal(sta_map_lookup(outer, &key, &id, 0), -ENOENT);
        assert_int_equal(sta__objects_set(outer, &key, same, BPF_ANY), 0);
        sta_map_close(same); /* the element keeps it */
        assert_ptr_equal(outer->ops->lookup(outer, &key), same);
        sta_map_close(inner);
        sta_map_close(other);
        sta_map_close(outer);
    }
}

/* Stack traces. */

static void the_same_trace_has_the_same_number(void **state)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_STACK_TRACE, 4, 64, 1);
    const uint64_t trace[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, other[3] = {11, 12, 13};
    uint64_t got[8];
    uint32_t id;

    (void)state;
    id = (uint32_t)sta__stack_trace_put(map, trace, 10, 0);
    assert_int_equal(id, 0);
    assert_int_equal(sta__stack_trace_put(map, trace, 10, 0), 0);
    assert_int_equal(sta__stack_trace_put(map, other, 3, 0), -EEXIST);
    assert_int_equal(sta_map_lookup(map, &id, got, 0), 0);
    assert_memory_equal(got, trace, sizeof(got)); /* the eight that fit */
    assert_int_equal(sta__stack_trace_put(map, other, 3, BPF_F_REUSE_STACKID), 0);
    assert_int_equal(sta_map_lookup(map, &id, got, 0), 0);
    assert_memory_equal(got, other, sizeof(other));
    assert_int_equal(got[3], 0);
    assert_int_equal(count_keys(map), 1);
    assert_int_equal(sta_map_update(map, &id, got, BPF_ANY), -EINVAL);
    assert_int_equal(sta_map_delete(map, &id), 0);
    assert_int_equal(sta_map_delete(map, &id), -ENOENT);
    assert_int_equal(count_keys(map), 0);
    assert_int_equal(sta__stack_trace_put(map, other, 0, 0), -EFAULT);
    sta_map_close(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queues_keep_order_and_stacks_reverse_it),
        cmocka_unit_test(a_queue_loses_nothing),
        cmocka_unit_test(queues_outlive_who_is_killed),
        cmocka_unit_test(a_bloom_filter_knows_what_was_added),
        cmocka_unit_test(the_longest_prefix_is_found),
        cmocka_unit_test(elements_lead_to_programs),
        cmocka_unit_test(elements_lead_to_maps),
        cmocka_unit_test(the_same_trace_has_the_same_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
