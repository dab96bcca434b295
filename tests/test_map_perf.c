/* SPDX-License-Identifier: MIT */
/*
 * Rings of perf events, read as perf_event_open(2) says.
 */
#include "maps.h"

#include "maps/lease.h"
#include "maps/object_array.h"
#include "maps/perf_ring.h"

#define PAGE 4096

struct fixture {
    struct sta_map *map;
    struct sta__perf_ring *rings[STA__CPUS_MAX];
};

static void make_rings(struct fixture *fixture)
{
    fixture->map = make_map(BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, sta_map_cpus() + 1);
    for (uint32_t cpu = 0; cpu < sta_map_cpus(); cpu++) {
        assert_int_equal(sta__perf_ring_create(&fixture->rings[cpu], 1, cpu), 0);
        assert_int_equal(sta__objects_set(fixture->map, &cpu, fixture->rings[cpu], BPF_ANY), 0);
    }
}

static void free_rings(struct fixture *fixture)
{
    for (uint32_t cpu = 0; cpu < sta_map_cpus(); cpu++)
        sta__perf_ring_free(fixture->rings[cpu]);
    sta_map_close(fixture->map);
}

/* What a ring held. */
struct read {
    int samples;
    uint64_t lost;
};

/* Every sample is `size` bytes, all of them its number's. */
static struct read read_all(struct sta__perf_ring *ring, uint32_t size, uint32_t first)
{
    struct perf_event_mmap_page *page = ring->page;
    const char *data = (const char *)page + page->data_offset;
    uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE), tail = page->data_tail;
    struct read read = {0, 0};

    while (tail < head) {
        char record[PAGE];
        const struct perf_event_header *header = (const void *)record;

        for (uint64_t i = 0; i < PAGE && tail + i < head; i++)
            record[i] = data[(tail + i) % page->data_size];
        assert_int_equal(header->size % 8, 0);
        if (header->type == PERF_RECORD_LOST) {
            read.lost += *(const uint64_t *)(record + 16);
        } else {
            assert_int_equal(header->type, PERF_RECORD_SAMPLE);
            assert_in_range(*(const uint32_t *)(record + 8), size, size + 7);
            for (uint32_t i = 0; i < size; i++)
                assert_int_equal((uint8_t)record[12 + i], (uint8_t)(first + read.samples));
            read.samples++;
        }
        tail += header->size;
    }
    assert_int_equal(tail, head);
    __atomic_store_n(&page->data_tail, tail, __ATOMIC_RELEASE);
    return read;
}

static void samples_come_in_order(void **state)
{
    struct fixture fixture;
    struct sta__lease lease;
    char data[100];

    (void)state;
    make_rings(&fixture);
    assert_int_equal(sta__lease_enter(&lease), 0);
    for (uint32_t round = 0; round < 50; round++) { /* around the end many times */
        for (uint32_t n = 0; n < 7; n++) {
            memset(data, (uint8_t)(7 * round + n), sizeof(data));
            assert_int_equal(
                sta__perf_output(fixture.map, BPF_F_CURRENT_CPU, data, sizeof(data) - round), 0);
        }
        assert_int_equal(
            read_all(fixture.rings[lease.cpu], sizeof(data) - round, 7 * round).samples, 7);
    }
    sta__lease_leave(&lease);
    free_rings(&fixture);
}

static void what_is_lost_is_said(void **state)
{
    struct fixture fixture;
    struct sta__lease lease;
    char data[1000] = {0};
    struct read read;
    int written = 0, lost = 0;

    (void)state;
    make_rings(&fixture);
    assert_int_equal(sta__lease_enter(&lease), 0);
    for (int n = 0; n < 10; n++) {
        long err = sta__perf_output(fixture.map, BPF_F_CURRENT_CPU, data, sizeof(data));

        written += err == 0;
        lost += err == -ENOSPC;
        memset(data, n + 1, sizeof(data));
    }
    assert_int_equal(written, 4); /* 1,016 bytes each */
    assert_int_equal(lost, 6);
    read = read_all(fixture.rings[lease.cpu], sizeof(data), 0);
    assert_int_equal(read.samples, 4);
    assert_int_equal(read.lost, 0);
    assert_int_equal(sta__perf_output(fixture.map, BPF_F_CURRENT_CPU, data, sizeof(data)), 0);
    read = read_all(fixture.rings[lease.cpu], sizeof(data), 10);
    assert_int_equal(read.samples, 1);
    assert_int_equal(read.lost, 6);
    sta__lease_leave(&lease);
    free_rings(&fixture);
}

static void errors_are_the_kernels(void **state)
{
    struct fixture fixture;
    struct sta__lease lease;
    uint32_t other;

    (void)state;
    make_rings(&fixture);
    assert_int_equal(sta__lease_enter(&lease), 0);
    other = (lease.cpu + 1) % sta_map_cpus();
    assert_int_equal(sta__perf_output(fixture.map, UINT64_C(1) << 40, "x", 1), -EINVAL);
    assert_int_equal(sta__perf_output(fixture.map, sta_map_cpus() + 1, "x", 1), -E2BIG);
    assert_int_equal(sta__perf_output(fixture.map, sta_map_cpus(), "x", 1), -ENOENT);
    if (other != lease.cpu)
        assert_int_equal(sta__perf_output(fixture.map, other, "x", 1), -EOPNOTSUPP);
    assert_int_equal(sta__perf_output(fixture.map, lease.cpu, "x", 1), 0);
    assert_int_equal(sta__perf_output(fixture.map, lease.cpu, "x", 0), 0);
    assert_int_equal(sta_map_delete(fixture.map, &lease.cpu), 0);
    assert_int_equal(sta__perf_output(fixture.map, lease.cpu, "x", 1), -ENOENT);
    sta__lease_leave(&lease);
    free_rings(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_come_in_order),
        cmocka_unit_test(what_is_lost_is_said),
        cmocka_unit_test(errors_are_the_kernels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
