/* SPDX-License-Identifier: MIT */
/*
 * Hash maps of processes that are killed at any moment, a thousand times and more.
 */
#include "maps.h"

#define KILLS    1000
#define ENTRIES  48
#define OF_STORM 64

static void storm(void *data)
{
    struct sta_map *map = data;
    uint64_t random = (uint64_t)getpid();

    for (;;) {
        uint64_t key, value[STA__HINTS * 8] = {0};

        random = random * 6364136223846793005u + 1442695040888963407u;
        key = (random >> 40) % OF_STORM;
        for (size_t i = 0; i < COUNT(value); i++)
            value[i] = key << 32 | (random >> 60);
        if (random >> 33 & 1)
            sta_map_update(map, &key, value, BPF_ANY);
        else
            sta_map_delete(map, &key);
    }
}

/* Every key can be had, every element is in use then, every value is its key's. */
static void is_in_order(struct sta_map *map, bool is_lru)
{
    uint64_t key, value[STA__HINTS * 8] = {0};
    uint32_t count;

    count = count_keys(map);
    assert_true(count <= ENTRIES);
    for (key = 0; key < OF_STORM; key++) {
        if (sta_map_lookup(map, &key, value, 0) == 0) {
            count--;
            assert_int_equal(value[0] >> 32, key);
            if (map->value_size > 8) /* one update's, whole */
                assert_int_equal(value[0], value[map->value_size / 8 - 1]);
        }
    }
    assert_int_equal(count, 0);
    for (key = 0; key < OF_STORM; key++) {
        int err = sta_map_delete(map, &key);

        assert_true(err == 0 || err == -ENOENT);
    }
    for (key = 0; key < OF_STORM; key++) {
        value[0] = value[1] = value[2] = key << 32;
        assert_int_equal(sta_map_update(map, &key, value, BPF_NOEXIST),
                         key < ENTRIES || is_lru ? 0 : -E2BIG);
    }
    assert_int_equal(count_keys(map), ENTRIES);
}

static void storm_over(uint32_t type, uint32_t value_size, int kills)
{
    struct sta_map *map = make_map(type, 8, value_size, ENTRIES);
    bool is_lru = type == BPF_MAP_TYPE_LRU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH;

    for (int i = 0; i < kills; i += 2) {
        pid_t first = start_child(storm, map), second = start_child(storm, map);

        kill_after(first, 200 + (unsigned)i % 100);
        kill_after(second, 30);
        if (i % 50 == 0)
            is_in_order(map, is_lru);
    }
    is_in_order(map, is_lru);
    sta_map_close(map);
}

static void nobody_is_held_up_by_who_was_killed(void **state)
{
    (void)state;
    storm_over(BPF_MAP_TYPE_HASH, 24, KILLS);
    storm_over(BPF_MAP_TYPE_HASH, 8, KILLS / 5);
    storm_over(BPF_MAP_TYPE_LRU_HASH, 24, KILLS / 2);
    storm_over(BPF_MAP_TYPE_PERCPU_HASH, 8, KILLS / 5);
    storm_over(BPF_MAP_TYPE_LRU_PERCPU_HASH, 8, KILLS / 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_held_up_by_who_was_killed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
