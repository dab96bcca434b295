/* SPDX-License-Identifier: MIT */
/*
 * Helpers of dynptrs: against the kernel's on the same random offsets and sizes, and records that
 * go through a ring.
 */
#include "core.h"

#include "twice.h"

static uint64_t random_state = 1;

static uint32_t pick(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state * 0x2545f4914f6cdd1dull) >> 33) % below;
}

/* Inputs and results, and the memory: as offsets in the area. */
enum {
    SIZE = 0,
    MAKE_FLAGS = 8,
    WRITE_AT = 16,
    WRITE_SIZE = 24,
    WRITE_FLAGS = 32,
    READ_AT = 40,
    READ_SIZE = 48,
    READ_FLAGS = 56,
    DATA_AT = 64,
    RESULTS = 128, /* four words */
    MEMORY = 256,
    MEMORY_SIZE = 256,
    FROM = 1024,
    TO = 2048,
};

#define RESULT(n) STX(BPF_DW, R6, R0, RESULTS + 8 * (n))
/* reg = area[at], or the end if it is more than `most`: the end is at this instruction. */
#define BOUNDED(reg, at, most, here, end) \
    LDX(BPF_DW, reg, R6, at), JMP(BPF_JGT, reg, most, (end) - (here)-2)

#define END 51
static const struct bpf_insn copies[] = {
    /* 0 */ LD_VALUE(R6, AREA, 0),
    /* 2 */ BOUNDED(R2, SIZE, MEMORY_SIZE, 2, END),
    /* 4 */ LD_VALUE(R1, AREA, MEMORY), LDX(BPF_DW, R3, R6, MAKE_FLAGS), MOVX(R4, R10),
    ADD(R4, -16), CALL(dynptr_from_mem), RESULT(0),
    /* 11 */ BOUNDED(R4, WRITE_SIZE, 64, 11, END),
    /* 13 */ MOVX(R1, R10), ADD(R1, -16), LDX(BPF_DW, R2, R6, WRITE_AT), LD_VALUE(R3, AREA, FROM),
    LDX(BPF_DW, R5, R6, WRITE_FLAGS), CALL(dynptr_write), RESULT(1),
    /* 21 */ BOUNDED(R2, READ_SIZE, 64, 21, END),
    /* 23 */ LD_VALUE(R1, AREA, TO), MOVX(R3, R10), ADD(R3, -16), LDX(BPF_DW, R4, R6, READ_AT),
    LDX(BPF_DW, R5, R6, READ_FLAGS), CALL(dynptr_read), RESULT(2),
    /* 31 */ MOVX(R1, R10), ADD(R1, -16), LDX(BPF_DW, R2, R6, DATA_AT), MOV(R3, 8),
    CALL(dynptr_data), MOV(R1, 7), JMP(BPF_JEQ, R0, 0, 1),
    /* 38 */ LDX(BPF_DW, R1, R0, 0), STX(BPF_DW, R6, R1, RESULTS + 24),
    /* 40: over itself, three bytes on */
    BOUNDED(R4, WRITE_SIZE, 64, 40, END),
    /* 42 */ MOVX(R1, R10), ADD(R1, -16), LDX(BPF_DW, R2, R6, WRITE_AT),
    LD_VALUE(R3, AREA, MEMORY + 3), MOV(R5, 0), CALL(dynptr_write), RESULT(4),
    /* 50 */ ST(BPF_DW, R10, -16, 0), MOV(R0, 0), EXIT};

static uint64_t random_offset(void)
{
    switch (pick(8)) {
    case 0:
        return UINT32_MAX - pick(4);
    case 1:
        return UINT64_C(1) << 32 | pick(16);
    default:
        return pick(MEMORY_SIZE + 8);
    }
}

static void random_input(struct twice *t)
{
    uint64_t *words = (uint64_t *)t->ours;

    for (int i = 0; i < AREA_SIZE; i++)
        t->ours[i] = (uint8_t)pick(256);
    memset(t->ours, 0, MEMORY);
    words[SIZE / 8] = pick(16) ? pick(MEMORY_SIZE + 2) : pick(8);
    words[MAKE_FLAGS / 8] = pick(16) == 0;
    words[WRITE_AT / 8] = random_offset();
    words[WRITE_SIZE / 8] = pick(66);
    words[WRITE_FLAGS / 8] = pick(16) == 0;
    words[READ_AT / 8] = random_offset();
    words[READ_SIZE / 8] = pick(66);
    words[READ_FLAGS / 8] = pick(16) == 0;
    words[DATA_AT / 8] = random_offset();
    if (t->kernels)
        memcpy(t->kernels, t->ours, AREA_SIZE);
}

static void bytes_are_copied_as_in_the_kernel(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags <= STA_PROGRAM_INTERPRET; flags += STA_PROGRAM_INTERPRET) {
        struct twice t;
        long worked = 0;

        twice_load(&t, copies, COUNT(copies), NULL, flags);
        assert_string_equal(t.log, "");
        for (int i = 0; i < 20000; i++) {
            const int64_t *results = (int64_t *)(t.ours + RESULTS);

            random_input(&t);
            twice_run(&t);
            worked += results[0] == 0 && results[1] == 0 && results[2] == 0;
            if (twice_has_kernel(&t) && memcmp(t.ours, t.kernels, AREA_SIZE) != 0)
                fail_msg("%lld %lld %lld %lld; the kernel: %lld %lld %lld %lld",
                         (long long)results[0], (long long)results[1], (long long)results[2],
                         (long long)results[3], (long long)((int64_t *)t.kernels)[RESULTS / 8],
                         (long long)((int64_t *)t.kernels)[RESULTS / 8 + 1],
                         (long long)((int64_t *)t.kernels)[RESULTS / 8 + 2],
                         (long long)((int64_t *)t.kernels)[RESULTS / 8 + 3]);
        }
        assert_true(worked > 1000);
        twice_free(&t);
    }
}

/* ---- records ---- */

static struct sta_map *ring, *area;

static int find_map(void *data, int fd, int is_index, struct sta_map **out)
{
    (void)data, (void)is_index;
    *out = fd ? ring : area;
    return 0;
}

/* A record of area[0] bytes, with area[8] in its last eight; submitted, or discarded if area[16]
 * says so. area[24]: what reserving said, area[32]: what writing said. */
static const struct bpf_insn records[] = {LD_VALUE(R6, AREA, 0),
                                          LDX(BPF_DW, R7, R6, 0),
                                          LD_MAP(R1, 1),
                                          MOVX(R2, R7),
                                          MOV(R3, 0),
                                          MOVX(R4, R10),
                                          ADD(R4, -16),
                                          CALL(ringbuf_reserve_dynptr),
                                          STX(BPF_DW, R6, R0, 24),
                                          MOVX(R1, R10),
                                          ADD(R1, -16),
                                          MOVX(R2, R7),
                                          ADD(R2, -8),
                                          LD_VALUE(R3, AREA, 8),
                                          MOV(R4, 8),
                                          MOV(R5, 0),
                                          CALL(dynptr_write),
                                          STX(BPF_DW, R6, R0, 32),
                                          LDX(BPF_DW, R7, R6, 16),
                                          MOVX(R1, R10),
                                          ADD(R1, -16),
                                          MOV(R2, 0),
                                          JMP(BPF_JNE, R7, 0, 3),
                                          CALL(ringbuf_submit_dynptr),
                                          MOV(R0, 0),
                                          EXIT,
                                          CALL(ringbuf_discard_dynptr),
                                          MOV(R0, 0),
                                          EXIT};

struct seen {
    int count;
    size_t size;
    uint64_t last;
};

static int see(void *data, const void *record, size_t size)
{
    struct seen *seen = data;

    seen->count++;
    seen->size = size;
    memcpy(&seen->last, (const char *)record + size - 8, 8);
    return 0;
}

static struct sta_map *make(uint32_t type, uint32_t key, uint32_t value, uint32_t entries)
{
    const struct sta_map_options options = {.size = sizeof(options),
                                            .type = type,
                                            .key_size = key,
                                            .value_size = value,
                                            .max_entries = entries};
    struct sta_map *map = NULL;

    assert_int_equal(sta_map_create(&map, &options), 0);
    return map;
}

static void records_of_any_size_go_through_the_ring(void **state)
{
    const struct sta_program_options options = {.size = sizeof(options), .find_map = find_map};
    struct sta_program *program;
    uint64_t *words, ctx[8] = {0}, ret;
    struct seen seen = {0};

    (void)state;
    area = make(BPF_MAP_TYPE_ARRAY, 4, 64, 1);
    ring = make(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096);
    words = area->values;
    assert_int_equal(sta_program_load(&program, records, COUNT(records), &options), 0);
    for (uint64_t size = 8; size < 3000; size += 13) {
        words[0] = size;
        words[1] = 0x1122334455667700 + size;
        words[2] = size % 2;
        assert_int_equal(sta_program_run(program, ctx, sizeof(ctx), &ret), 0);
        assert_int_equal(words[3], 0);
        assert_int_equal(words[4], 0);
        seen.count = 0;
        assert_int_equal(sta_ring_consume(ring, see, &seen), size % 2 == 0);
        if (size % 2)
            continue;
        assert_int_equal(seen.count, 1);
        assert_int_equal(seen.size, size);
        assert_true(seen.last == words[1]);
    }
    words[0] = 5000; /* more than the ring has */
    assert_int_equal(sta_program_run(program, ctx, sizeof(ctx), &ret), 0);
    assert_true((int64_t)words[3] == -EINVAL && (int64_t)words[4] == -EINVAL);
    words[0] = UINT32_C(1) << 24;
    assert_int_equal(sta_program_run(program, ctx, sizeof(ctx), &ret), 0);
    assert_true((int64_t)words[3] == -E2BIG && (int64_t)words[4] == -EINVAL);
    assert_int_equal(sta_ring_consume(ring, see, &seen), 0);
    sta_program_free(program);
    sta_map_close(ring);
    sta_map_close(area);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_copied_as_in_the_kernel),
        cmocka_unit_test(records_of_any_size_go_through_the_ring),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
