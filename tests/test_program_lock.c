/* SPDX-License-Identifier: MIT */
/*
 * Programs that change values under their lock: nothing is lost, and whoever is killed meanwhile
 * holds up nobody.
 */
#include "maps.h"

#include <sta/program.h>

#include "verifier/insns.h"

#define THREADS 4
#define RUNS    (UNDER_TSAN ? 2000 : 50000)

struct value {
    uint64_t first;
    uint32_t lock, unused;
    uint64_t second;
};

static struct sta_map *map;

static int find_map(void *data, int fd, int is_index, struct sta_map **out)
{
    (void)data, (void)fd, (void)is_index;
    *out = map;
    return 0;
}

/* first++, second++ */
static const struct bpf_insn counting[] = {LD_VALUE(R6, 0, 0),
                                           MOVX(R1, R6),
                                           ADD(R1, 8),
                                           CALL(spin_lock),
                                           LDX(BPF_DW, R1, R6, 0),
                                           ADD(R1, 1),
                                           STX(BPF_DW, R6, R1, 0),
                                           LDX(BPF_DW, R1, R6, 16),
                                           ADD(R1, 1),
                                           STX(BPF_DW, R6, R1, 16),
                                           MOVX(R1, R6),
                                           ADD(R1, 8),
                                           CALL(spin_unlock),
                                           MOV(R0, 0),
                                           EXIT};

static struct sta_program *load(unsigned flags)
{
    const struct sta_program_options options = {
        .size = sizeof(options), .flags = flags, .find_map = find_map, .log = print_log};
    struct sta_program *program = NULL;

    must_equal(sta_program_load(&program, counting, COUNT(counting), &options), 0);
    return program;
}

static int setup(void **state)
{
    struct sta_map_options options = {.size = sizeof(options),
                                      .type = BPF_MAP_TYPE_ARRAY,
                                      .key_size = 4,
                                      .value_size = sizeof(struct value),
                                      .max_entries = 1,
                                      .has_spin_lock = 1,
                                      .spin_lock_at = offsetof(struct value, lock),
                                      .log = print_log};

    (void)state;
    return sta_map_create(&map, &options);
}

static int teardown(void **state)
{
    (void)state;
    sta_map_close(map);
    return 0;
}

static void run(struct sta_program *program)
{
    uint64_t ctx[8] = {0}, ret;

    must_equal(sta_program_run(program, ctx, sizeof(ctx), &ret), 0);
}

static void *run_often(void *program)
{
    for (int i = 0; i < RUNS; i++)
        run(program);
    return NULL;
}

static void no_increment_is_lost(void **state)
{
    struct value *value = map->values;

    (void)state;
    for (unsigned flags = 0; flags <= STA_PROGRAM_INTERPRET; flags += STA_PROGRAM_INTERPRET) {
        struct sta_program *program = load(flags);
        pthread_t threads[THREADS];

        memset(value, 0, sizeof(*value));
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, run_often, program), 0);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(value->first, THREADS * RUNS);
        assert_int_equal(value->second, THREADS * RUNS);
        assert_int_equal(value->lock, 0);
        sta_program_free(program);
    }
}

static void run_for_ever(void *program)
{
    for (;;)
        run(program);
}

/* Each child is killed at some instruction, now and then under the lock. */
static void the_killed_hold_up_nobody(void **state)
{
    struct sta_program *program = load(0);
    struct value *value = map->values;
    uint64_t before;

    (void)state;
    for (int i = 0; i < 200; i++) {
        kill_after(start_child(run_for_ever, program), 300 + 7 * (unsigned)i);
        before = value->first;
        run(program);
        assert_int_equal(value->first, before + 1);
        assert_int_equal(value->lock, 0);
    }
    /* Those that were killed between both stores. */
    assert_true(value->first - value->second <= 200);
    sta_program_free(program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_increment_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(the_killed_hold_up_nobody, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
