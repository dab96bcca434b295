/* SPDX-License-Identifier: MIT */
/*
 * Hash maps, alone and with many at once. That single calls have the kernel's results is the
 * business of test_maps_kernel.c.
 */
#include "maps.h"

#include "maps/hash.h"
#include "maps/lease.h"

#define FULL 100

static void it_holds_exactly_as_many_as_it_says(void **state)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_HASH, 4, 8, FULL);
    uint64_t value = 1;

    (void)state;
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t key = 0; key < FULL; key++)
            assert_int_equal(sta_map_update(map, &key, &value, BPF_ANY), 0);
        for (uint32_t key = FULL; key < 2 * FULL; key++)
            assert_int_equal(sta_map_update(map, &key, &value, BPF_ANY), -E2BIG);
        for (uint32_t key = 0; key < FULL; key++)
            assert_int_equal(sta_map_update(map, &key, &value, BPF_EXIST), 0);
        assert_int_equal(count_keys(map), FULL);
        for (uint32_t key = 0; key < FULL; key++)
            assert_int_equal(sta_map_delete(map, &key), 0);
        assert_int_equal(count_keys(map), 0);
    }
    sta_map_close(map);
}

/* The least recently used go, those in use stay. */
static void an_lru_map_makes_room(void **state)
{
    static const uint32_t types[] = {BPF_MAP_TYPE_LRU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH};
    uint64_t values[STA__HINTS * 64] = {7};

    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        struct sta_map *map = make_map(types[i], 4, 8, FULL);

        for (uint32_t key = 0; key < 20 * FULL; key++) {
            const uint32_t used = 3;

            assert_int_equal(sta_map_update(map, &key, values, BPF_ANY), 0);
            assert_int_equal(sta_map_lookup(map, &key, values, 0), 0);
            assert_true(key < used || map->ops->lookup(map, &used));
        }
        assert_int_equal(count_keys(map), FULL);
        sta_map_close(map);
    }
    /* One element is enough. */
    struct sta_map *map = make_map(BPF_MAP_TYPE_LRU_HASH, 8, 24, 1);

    for (uint64_t key = 0; key < 10; key++)
        assert_int_equal(sta_map_update(map, &key, values, BPF_NOEXIST), 0);
    assert_int_equal(count_keys(map), 1);
    sta_map_close(map);
}

/* Elements that are there throughout are found, whatever comes and goes around them. */

#define STABLE  64
#define ROUNDS  (UNDER_TSAN ? 300 : 3000)
#define WRITERS 2

struct churn {
    struct sta_map *map;
    atomic_bool end;
    atomic_int number;
};

struct long_key {
    uint64_t a, b, c;
};

static struct long_key key_of(uint64_t number)
{
    return (struct long_key){number * 3, number ^ 0x5555, ~number};
}

/* Three words that belong together. */
static void value_of(uint64_t value[3], uint64_t number, uint64_t turn)
{
    value[0] = number;
    value[1] = turn;
    value[2] = number * 31 + turn;
}

static void *come_and_go(void *data)
{
    struct churn *churn = data;
    uint64_t first = 1000 + 1000 * (uint64_t)atomic_fetch_add(&churn->number, 1), value[3];

    for (uint64_t turn = 0; !atomic_load(&churn->end); turn++) {
        for (uint64_t n = first; n < first + 32; n++) {
            struct long_key key = key_of(n);

            value_of(value, n, turn);
            must_equal(sta_map_update(churn->map, &key, value, BPF_NOEXIST), 0);
        }
        for (uint64_t n = 0; n < STABLE; n++) {
            struct long_key key = key_of(n);

            value_of(value, n, turn);
            must_equal(sta_map_update(churn->map, &key, value, BPF_EXIST), 0);
        }
        for (uint64_t n = first; n < first + 32; n++) {
            struct long_key key = key_of(n);

            must_equal(sta_map_delete(churn->map, &key), 0);
        }
    }
    return NULL;
}

static void start_churn(struct churn *churn, pthread_t *threads)
{
    for (uint64_t n = 0; n < STABLE; n++) {
        struct long_key key = key_of(n);
        uint64_t value[3];

        value_of(value, n, 0);
        must_equal(sta_map_update(churn->map, &key, value, BPF_NOEXIST), 0);
    }
    for (int i = 0; i < WRITERS; i++)
        threads[i] = start(come_and_go, churn);
}

static void end_churn(struct churn *churn, pthread_t *threads)
{
    atomic_store(&churn->end, true);
    for (int i = 0; i < WRITERS; i++)
        finish(threads[i]);
    assert_int_equal(count_keys(churn->map), STABLE);
    sta_map_close(churn->map);
}

static void what_is_there_is_found_and_whole(void **state)
{
    struct churn churn = {.map = make_map(BPF_MAP_TYPE_HASH, sizeof(struct long_key), 24, 256)};
    pthread_t threads[WRITERS];

    (void)state;
    start_churn(&churn, threads);
    for (int round = 0; round < ROUNDS; round++) {
        for (uint64_t n = 0; n < STABLE; n++) {
            struct long_key key = key_of(n);
            uint64_t value[3];

            assert_non_null(churn.map->ops->lookup(churn.map, &key));
            assert_int_equal(sta_map_lookup(churn.map, &key, value, 0), 0);
            assert_int_equal(value[0], n);
            assert_int_equal(value[2], n * 31 + value[1]);
        }
    }
    end_churn(&churn, threads);
}

/* What is there throughout is met, keys are whole, and the walk ends. */
static void a_walk_ends_under_change(void **state)
{
    struct churn churn = {.map = make_map(BPF_MAP_TYPE_HASH, sizeof(struct long_key), 24, 256)};
    pthread_t threads[WRITERS];

    (void)state;
    start_churn(&churn, threads);
    for (int round = 0; round < ROUNDS / 10; round++) {
        uint64_t met = 0;
        struct long_key key;
        uint32_t steps = 0;

        for (int err = sta_map_next_key(churn.map, NULL, &key); err == 0;
             err = sta_map_next_key(churn.map, &key, &key)) {
            struct long_key wanted = key_of(key.a / 3);

            assert_memory_equal(&key, &wanted, sizeof(key));
            if (key.a / 3 < STABLE)
                met |= UINT64_C(1) << key.a / 3;
            assert_true(steps++ < 100000);
        }
        assert_int_equal(met, UINT64_MAX);
    }
    end_churn(&churn, threads);
}

/* Few buckets, and elements that go from one to another all the time: readers are led astray often.
 */
static void *wander(void *data)
{
    struct churn *churn = data;
    uint64_t key = 1000 + 100000 * (uint64_t)atomic_fetch_add(&churn->number, 1), value = 0;

    for (uint64_t turn = 0; !atomic_load(&churn->end); turn++) {
        uint64_t wandering = key + turn % 64;

        must_equal(sta_map_update(churn->map, &wandering, &value, BPF_NOEXIST), 0);
        must_equal(sta_map_delete(churn->map, &wandering), 0);
    }
    return NULL;
}

static void who_is_led_astray_begins_again(void **state)
{
    struct churn churn = {.map = make_map(BPF_MAP_TYPE_HASH, 8, 8, 4)};
    pthread_t threads[WRITERS];

    (void)state;
    for (uint64_t key = 0; key < 2; key++)
        assert_int_equal(sta_map_update(churn.map, &key, &key, BPF_NOEXIST), 0);
    for (int i = 0; i < WRITERS; i++)
        threads[i] = start(wander, &churn);
    for (uint32_t round = 0; round < 100 * ROUNDS; round++) {
        const uint64_t key = round % 2;
        const uint64_t *value = churn.map->ops->lookup(churn.map, &key);

        if (!value || *value != key) /* an assert each time would cost too much */
            fail_msg("key %llu is not found, or is another's", (unsigned long long)key);
    }
    atomic_store(&churn.end, true);
    for (int i = 0; i < WRITERS; i++)
        finish(threads[i]);
    sta_map_close(churn.map);
}

/* As many keys as there can be, or one less for each that is being exchanged: there is always an
 * element for the next one, wherever the others' keys go meanwhile. */

#define CROWD 3
#define EACH  64 /* keys of each thread: several words of free bits in all */

static const uint64_t zeroes[STA__CPUS_MAX];

static void *exchange_keys(void *data)
{
    struct churn *churn = data;
    uint64_t first = 1000000 * (uint64_t)atomic_fetch_add(&churn->number, 1);
    uint64_t oldest = first, next = first;

    for (; next < first + EACH; next++)
        must_equal(sta_map_update(churn->map, &next, zeroes, BPF_NOEXIST), 0);
    for (int round = 0; round < 100 * ROUNDS; round++, oldest++, next++) {
        must_equal(sta_map_delete(churn->map, &oldest), 0);
        must_equal(sta_map_update(churn->map, &next, zeroes, BPF_NOEXIST), 0);
    }
    return NULL;
}

static void a_map_with_room_is_never_full(void **state)
{
    static const uint32_t types[] = {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_PERCPU_HASH};
    const uint64_t key = UINT64_MAX;

    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        struct churn churn = {.map = make_map(types[i], 8, 8, CROWD * EACH)};
        pthread_t threads[CROWD];

        for (int n = 0; n < CROWD; n++)
            threads[n] = start(exchange_keys, &churn);
        for (int n = 0; n < CROWD; n++)
            finish(threads[n]);
        assert_int_equal(count_keys(churn.map), CROWD * EACH);
        for (int again = 0; again < 3; again++)
            assert_int_equal(sta_map_update(churn.map, &key, zeroes, BPF_ANY), -E2BIG);
        sta_map_close(churn.map);
    }
}

/* The moment itself: the chain that the reader is on ends as another bucket's. */
static void *end_the_chain_rightly(void *data)
{
    struct sta_map *map = data;

    dawdle();
    atomic_store(&map->hash.buckets[0].first, 0);
    return NULL;
}

static void a_chain_that_ends_elsewhere_is_read_again(void **state)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_HASH, 8, 8, 1);
    uint64_t key = 5, value = 6;
    pthread_t thread;

    (void)state;
    assert_int_equal(sta_map_update(map, &key, &value, BPF_ANY), 0);
    assert_int_equal(map->hash.buckets[0].first, 0);
    atomic_store(&map->hash.buckets[0].first, STA__CHAIN_END | 7);
    thread = start(end_the_chain_rightly, map);
    assert_int_equal(sta_map_lookup(map, &key, &value, 0), 0);
    assert_int_equal(value, 6);
    finish(thread);
    sta_map_close(map);
}

static void an_element_that_changed_hands_is_not_written_to(void **state)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_HASH, 8, 8, 1);
    uint64_t key = 5, other = 9, value = 6;
    struct sta__elem *elem;
    uint32_t version = 0;

    (void)state;
    assert_int_equal(sta_map_update(map, &key, &value, BPF_ANY), 0);
    elem = sta__hash_find_version(&map->hash, &key, 8, &version);
    assert_non_null(elem);
    assert_true(sta__hash_set_word(elem, version, 7));
    assert_int_equal(sta_map_lookup_and_delete(map, &key, &value, 0), 0);
    assert_int_equal(value, 7);
    value = 11;
    assert_int_equal(sta_map_update(map, &other, &value, BPF_ANY), 0);
    assert_ptr_equal(sta__hash_find(&map->hash, &other, 8), elem);
    assert_false(sta__hash_set_word(elem, version, 1000));
    assert_int_equal(sta_map_lookup(map, &other, &value, 0), 0);
    assert_int_equal(value, 11);
    sta_map_close(map);
}

/* Words: what is written without the lock does not end up in another key's element. */

static void *change_words(void *data)
{
    struct churn *churn = data;

    for (uint64_t turn = 1; !atomic_load(&churn->end); turn++) {
        for (uint32_t key = 0; key < 8; key++) {
            uint64_t value = (uint64_t)key << 32 | (uint32_t)turn;
            int err = sta_map_update(churn->map, &key, &value, turn % 2 ? BPF_EXIST : BPF_ANY);

            must(err == 0 || err == -ENOENT || err == -E2BIG);
        }
    }
    return NULL;
}

static void words_stay_with_their_keys(void **state)
{
    /* Fewer elements than keys: elements change hands all the time. */
    struct churn churn = {.map = make_map(BPF_MAP_TYPE_HASH, 4, 8, 4)};
    pthread_t threads[WRITERS];
    uint32_t found = 0;

    (void)state;
    for (int i = 0; i < WRITERS; i++)
        threads[i] = start(change_words, &churn);
    for (uint32_t round = 0; found < ROUNDS; round++) {
        uint32_t key = round % 8;
        uint64_t value = 0;

        if (sta_map_lookup(churn.map, &key, &value, 0) == 0) {
            found++;
            assert_int_equal(value >> 32, key);
        } else if (round % 8 == 0) {
            sched_yield();
        }
        sta_map_delete(churn.map, &key);
    }
    atomic_store(&churn.end, true);
    for (int i = 0; i < WRITERS; i++)
        finish(threads[i]);
    sta_map_close(churn.map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_exactly_as_many_as_it_says),
        cmocka_unit_test(an_lru_map_makes_room),
        cmocka_unit_test(what_is_there_is_found_and_whole),
        cmocka_unit_test(a_walk_ends_under_change),
        cmocka_unit_test(who_is_led_astray_begins_again),
        cmocka_unit_test(a_map_with_room_is_never_full),
        cmocka_unit_test(a_chain_that_ends_elsewhere_is_read_again),
        cmocka_unit_test(an_element_that_changed_hands_is_not_written_to),
        cmocka_unit_test(words_stay_with_their_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
