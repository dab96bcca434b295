/* SPDX-License-Identifier: MIT */
/*
 * Ring buffers.
 */
#include "maps.h"

#include <sys/mman.h>

#include "maps/ring.h"

#define PAGE 4096

static struct sta_map *make_ring(uint32_t size)
{
    return make_map(BPF_MAP_TYPE_RINGBUF, 0, 0, size);
}

/* What was consumed: one byte of each record, and its size. */
struct consumed {
    int count;
    uint8_t bytes[64];
    size_t sizes[64];
    int result;
};

static int take_record(void *data, const void *record, size_t size)
{
    struct consumed *consumed = data;

    must(consumed->count < 64);
    consumed->bytes[consumed->count] = *(const uint8_t *)record;
    consumed->sizes[consumed->count++] = size;
    return consumed->result;
}

static uint8_t *reserve(struct sta_map *map, uint64_t size, uint8_t fill)
{
    uint8_t *sample = sta__ring_reserve(map, size);

    assert_non_null(sample);
    memset(sample, fill, size);
    return sample;
}

static void records_come_in_order_and_discarded_ones_do_not(void **state)
{
    struct sta_map *map = make_ring(PAGE);
    struct consumed consumed = {.count = 0};
    uint8_t *first = reserve(map, 10, 1), *second = reserve(map, 20, 2),
            *third = reserve(map, 1, 3);

    (void)state;
    sta__ring_commit(third, 0, false);
    assert_int_equal(sta_ring_consume(map, take_record, &consumed), 0); /* the first is busy */
    sta__ring_commit(first, 0, false);
    assert_int_equal(sta_ring_consume(map, take_record, &consumed), 1);
    sta__ring_commit(second, 0, true);
    assert_int_equal(sta_ring_consume(map, take_record, &consumed), 1);
    assert_int_equal(consumed.count, 2);
    assert_int_equal(consumed.bytes[0], 1);
    assert_int_equal(consumed.sizes[0], 10);
    assert_int_equal(consumed.bytes[1], 3);
    assert_int_equal(consumed.sizes[1], 1);
    assert_int_equal(sta__ring_output(map, "abc", 3, 0), 0);
    consumed.result = -42;
    assert_int_equal(sta_ring_consume(map, take_record, &consumed), -42);
    assert_int_equal(sta__ring_query(map, BPF_RB_AVAIL_DATA), 0);
    sta_map_close(map);
}

/* One byte of room less than the ring has is the most. */
static void it_is_full_when_it_says(void **state)
{
    struct sta_map *map = make_ring(PAGE);
    struct consumed consumed = {.count = 0};
    uint8_t *sample;

    (void)state;
    assert_null(sta__ring_reserve(map, PAGE - 8)); /* all of it: the positions would be equal */
    assert_null(sta__ring_reserve(map, UINT32_MAX));
    assert_null(sta__ring_reserve(map, UINT64_MAX - 3));
    sample = reserve(map, PAGE - 16, 7);
    assert_null(sta__ring_reserve(map, 1));
    assert_int_equal(sta__ring_output(map, "x", 1, 0), -EAGAIN);
    assert_int_equal(sta__ring_output(map, "x", 1, 8), -EINVAL);
    sta__ring_commit(sample, 0, false);
    assert_null(sta__ring_reserve(map, 1)); /* until it is consumed */
    assert_int_equal(sta_ring_consume(map, take_record, &consumed), 1);
    /* Around the end: in one piece all the same. */
    for (uint32_t i = 0; i < 40; i++) {
        sample = reserve(map, 1000, (uint8_t)i);
        sta__ring_commit(sample, 0, false);
        assert_int_equal(sta_ring_consume(map, take_record, &consumed), 1);
        assert_int_equal(consumed.bytes[consumed.count - 1], i);
    }
    assert_int_equal(sta__ring_query(map, BPF_RB_RING_SIZE), PAGE);
    assert_int_equal(sta__ring_query(map, BPF_RB_PROD_POS), PAGE - 8 + 40 * 1008);
    assert_int_equal(sta__ring_query(map, BPF_RB_CONS_POS), PAGE - 8 + 40 * 1008);
    sta_map_close(map);
}

/*
 * The layout that consumers of the kernel's rings know: they map the consumer's page for writing,
 * and the producers' page with the data, twice, for reading.
 */
static void its_memory_is_laid_out_as_the_kernels(void **state)
{
    struct sta_map *map = make_ring(PAGE);
    int fd = sta_map_fd(map);
    uint64_t *consumer = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, PAGE);
    char *producer = mmap(NULL, 3 * PAGE, PROT_READ, MAP_SHARED, fd, 2 * PAGE);
    uint32_t seen = 0;

    (void)state;
    assert_true(consumer != MAP_FAILED && producer != MAP_FAILED);
    assert_true(mmap(producer + 2 * PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 3 * PAGE) ==
                producer + 2 * PAGE);
    for (uint32_t n = 0; n < 300; n++) {
        uint64_t at = *consumer, end = *(volatile uint64_t *)producer;
        const char *data = producer + PAGE;

        assert_int_equal(sta__ring_output(map, &n, sizeof(n), BPF_RB_NO_WAKEUP), 0);
        end = *(volatile uint64_t *)producer;
        assert_int_equal(end - at, 16);
        assert_int_equal(*(const uint32_t *)(data + at % PAGE), sizeof(n)); /* no bits: submitted */
        assert_int_equal(*(const uint32_t *)(data + at % PAGE + 4), 3 + at % PAGE / PAGE);
        assert_int_equal(*(const uint32_t *)(data + at % PAGE + 8), n);
        *(volatile uint64_t *)consumer = end;
        seen++;
    }
    assert_int_equal(seen, 300);
    munmap(consumer, PAGE);
    munmap(producer, 3 * PAGE);
    sta_map_close(map);
}

/* Producers at once. */

#define RECORDS (UNDER_TSAN ? 20000u : 400000u)

struct record {
    uint64_t producer, number, words[6];
};

struct production {
    struct sta_map *map;
    uint64_t producer;
};

static void *produce(void *data)
{
    const struct production *production = data;

    for (uint64_t n = 0; n < RECORDS;) {
        struct record *record = sta__ring_reserve(production->map, sizeof(*record));

        if (!record) {
            sched_yield();
            continue;
        }
        record->producer = production->producer;
        record->number = n;
        for (size_t i = 0; i < COUNT(record->words); i++)
            record->words[i] = n * 3 + i + production->producer;
        if (n % 5 == 4) { /* discarded, and made again */
            record->number = UINT64_MAX;
            sta__ring_commit(record, 0, true);
            record = sta__ring_reserve(production->map, sizeof(*record));
            if (!record)
                continue;
            record->producer = production->producer;
            record->number = n;
            for (size_t i = 0; i < COUNT(record->words); i++)
                record->words[i] = n * 3 + i + production->producer;
        }
        sta__ring_commit(record, 0, false);
        n++;
    }
    return NULL;
}

static uint64_t next_number[2];

static int check_record(void *data, const void *bytes, size_t size)
{
    const struct record *record = bytes;

    (void)data;
    must_equal(size, sizeof(*record));
    must(record->producer < 2);
    must_equal(record->number, next_number[record->producer]);
    next_number[record->producer]++;
    for (size_t i = 0; i < COUNT(record->words); i++)
        must_equal(record->words[i], record->number * 3 + i + record->producer);
    return 0;
}

static void nothing_is_lost_or_torn(void **state)
{
    struct sta_map *map = make_ring(16 * PAGE);
    struct production productions[2] = {{map, 0}, {map, 1}};
    pthread_t threads[2];

    (void)state;
    for (int i = 0; i < 2; i++)
        threads[i] = start(produce, &productions[i]);
    while (next_number[0] < RECORDS || next_number[1] < RECORDS)
        must(sta_ring_poll(map, 10000, check_record, NULL) > 0);
    for (int i = 0; i < 2; i++)
        finish(threads[i]);
    assert_int_equal(sta_ring_consume(map, check_record, NULL), 0);
    sta_map_close(map);
}

static void *submit_later(void *data)
{
    dawdle();
    must_equal(sta__ring_output(data, "late", 4, 0), 0);
    return NULL;
}

static void who_waits_is_woken(void **state)
{
    struct sta_map *map = make_ring(PAGE);
    struct consumed consumed = {.count = 0};
    pthread_t thread;

    (void)state;
    assert_int_equal(sta_ring_poll(map, 1, take_record, &consumed), 0);
    thread = start(submit_later, map);
    assert_int_equal(sta_ring_poll(map, -1, take_record, &consumed), 1);
    assert_int_equal(consumed.bytes[0], 'l');
    finish(thread);
    sta_map_close(map);
}

/* Killed between reserve and submit. */

static void reserve_and_die(void *data)
{
    must(sta__ring_reserve(data, 16));
    kill(getpid(), SIGKILL);
}

static void a_dead_producers_record_is_discarded(void **state)
{
    struct sta_map *map = make_ring(PAGE);
    struct consumed consumed = {.count = 0};
    uint8_t *living;

    (void)state;
    for (int i = 0; i < 3; i++)
        wait_for_child(start_child(reserve_and_die, map));
    assert_int_equal(sta__ring_output(map, "x", 1, 0), 0);
    assert_int_equal(sta_ring_poll(map, 10000, take_record, &consumed), 1);
    assert_int_equal(consumed.bytes[0], 'x');
    /* One that lives is waited for. */
    living = reserve(map, 1, 'l');
    assert_int_equal(sta_ring_poll(map, 1, take_record, &consumed), 0);
    sta__ring_commit(living, 0, false);
    assert_int_equal(sta_ring_poll(map, 1, take_record, &consumed), 1);
    sta_map_close(map);
}

/* Without a consumer that knows of it: the producers see to it. */
static void producers_discard_what_the_dead_left(void **state)
{
    struct sta_map *map = make_ring(PAGE);
    const struct sta__ring_header *first = (const void *)map->ring.data;

    (void)state;
    wait_for_child(start_child(reserve_and_die, map));
    assert_true(first->word & STA__RING_BUSY);
    while (sta__ring_output(map, "x", 1, 0) == 0)
        ;
    assert_false(first->word & STA__RING_BUSY);
    assert_true(first->word & STA__RING_DISCARD);
    sta_map_close(map);
}

static void produce_for_ever(void *data)
{
    for (uint64_t n = 0;; n++) {
        uint64_t *sample = sta__ring_reserve(data, 32);

        if (!sample)
            continue;
        sample[0] = sample[1] = sample[2] = sample[3] = n;
        sta__ring_commit(sample, 0, false);
    }
}

static int check_words(void *data, const void *record, size_t size)
{
    const uint64_t *words = record;

    (void)data;
    must_equal(size, 32);
    must_equal(words[0], words[3]);
    return 0;
}

static void producers_can_be_killed_at_any_moment(void **state)
{
    struct sta_map *map = make_ring(4 * PAGE);

    (void)state;
    for (int i = 0; i < 200; i++) {
        pid_t child = start_child(produce_for_ever, map);

        usleep(100 + (unsigned)i);
        must(sta_ring_consume(map, check_words, NULL) >= 0);
        kill_after(child, 20);
        while (sta_ring_consume(map, check_words, NULL) > 0)
            ;
        assert_int_equal(sta__ring_query(map, BPF_RB_AVAIL_DATA), 0);
    }
    sta_map_close(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_in_order_and_discarded_ones_do_not),
        cmocka_unit_test(it_is_full_when_it_says),
        cmocka_unit_test(its_memory_is_laid_out_as_the_kernels),
        cmocka_unit_test(nothing_is_lost_or_torn),
        cmocka_unit_test(who_waits_is_woken),
        cmocka_unit_test(a_dead_producers_record_is_discarded),
        cmocka_unit_test(producers_discard_what_the_dead_left),
        cmocka_unit_test(producers_can_be_killed_at_any_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
