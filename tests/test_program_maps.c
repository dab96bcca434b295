/* SPDX-License-Identifier: MIT */
/*
 * Programs with maps: verified, interpreted and native.
 */
#include "maps.h"

#include <sta/program.h>

#undef COUNT
#include "vm/build.h"

#define THREADS 4
#define RUNS    (UNDER_TSAN ? 5000 : 200000)

static struct sta_map *maps[4]; /* by the number that instructions have */

static int find_map(void *data, int fd, int is_index, struct sta_map **out)
{
    (void)data;
    if (is_index || fd < 0 || fd >= 4 || !maps[fd])
        return -EBADF;
    *out = maps[fd];
    return 0;
}

static void print_line(void *data, enum sta_log_level level, const char *message)
{
    (void)data, (void)level;
    print_message("%s\n", message);
}

static struct sta_program *load(const struct bpf_insn *insns, size_t count, unsigned flags)
{
    const struct sta_program_options options = {
        .size = sizeof(options), .flags = flags, .find_map = find_map, .log = print_line};
    struct sta_program *program = NULL;

    assert_int_equal(sta_program_load(&program, insns, count, &options), 0);
    return program;
}

static uint64_t run(struct sta_program *program)
{
    uint64_t ret = UINT64_MAX;
    char ctx[64] = {0};

    must_equal(sta_program_run(program, ctx, sizeof(ctx), &ret), 0);
    return ret;
}

static const unsigned modes[] = {STA_PROGRAM_INTERPRET, 0};

#define CALL(name) I(CALL, 0, 0, 0, BPF_FUNC_##name)

/* ++*lookup(map 0, &0): a load, an addition and a store. */
static const struct bpf_insn counting[] = {
    I(STW, 10, 0, -4, 0),  I(MOV64X, 2, 10, 0, 0), I(ADD64K, 2, 0, 0, -4), WIDE_MAP(1, 1, 0, 0),
    CALL(map_lookup_elem), I(JEQ64K, 0, 0, 4, 0),  I(LDXDW, 1, 0, 0, 0),   I(ADD64K, 1, 0, 0, 1),
    I(STXDW, 0, 1, 0, 0),  I(MOV64K, 0, 0, 0, 7),  I(EXIT, 0, 0, 0, 0),
};

static void *run_often(void *program)
{
    for (int i = 0; i < RUNS; i++)
        must_equal(run(program), 7);
    return NULL;
}

static void no_run_loses_an_increment(void **state)
{
    uint64_t values[1024];
    const uint32_t key = 0;

    (void)state;
    for (size_t mode = 0; mode < COUNT(modes); mode++) {
        struct sta_program *program;
        pthread_t threads[THREADS];
        uint64_t sum = 0;

        maps[0] = make_map(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 1);
        program = load(counting, COUNT(counting), modes[mode]);
        for (int i = 0; i < THREADS; i++)
            threads[i] = start(run_often, program);
        for (int i = 0; i < THREADS; i++)
            finish(threads[i]);
        assert_int_equal(sta_map_lookup(maps[0], &key, values, 0), 0);
        for (uint32_t cpu = 0; cpu < sta_map_cpus(); cpu++)
            sum += values[cpu];
        assert_int_equal(sum, (uint64_t)THREADS * RUNS);
        sta_program_free(program);
        sta_map_close(maps[0]);
    }
}

/* A record of two words, the second the CPU. */
static const struct bpf_insn recording[] = {
    CALL(get_smp_processor_id), I(MOV64X, 6, 0, 0, 0),  WIDE_MAP(1, 1, 1, 0),
    I(MOV64K, 2, 0, 0, 16),     I(MOV64K, 3, 0, 0, 0),  CALL(ringbuf_reserve),
    I(JEQ64K, 0, 0, 6, 0),      I(STDW, 0, 0, 0, 0x77), I(STXDW, 0, 6, 8, 0),
    I(MOV64X, 1, 0, 0, 0),      I(MOV64K, 2, 0, 0, 0),  CALL(ringbuf_submit),
    I(JA, 0, 0, 0, 0),          I(MOV64K, 0, 0, 0, 0),  I(EXIT, 0, 0, 0, 0),
};

static int count_record(void *data, const void *record, size_t size)
{
    const uint64_t *words = record;

    must_equal(size, 16);
    must_equal(words[0], 0x77);
    must(words[1] < sta_map_cpus());
    ++*(int *)data;
    return 0;
}

static void records_reach_the_consumer(void **state)
{
    (void)state;
    maps[1] = make_map(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096);
    for (size_t mode = 0; mode < COUNT(modes); mode++) {
        struct sta_program *program = load(recording, COUNT(recording), modes[mode]);
        int count = 0;

        for (int i = 0; i < 1000; i++) {
            run(program);
            assert_int_equal(sta_ring_consume(maps[1], count_record, &count), 1);
        }
        assert_int_equal(count, 1000);
        sta_program_free(program);
    }
    sta_map_close(maps[1]);
}

/* push(5) to the queue of map 2; r0 = what is popped, from the stack. */
static const struct bpf_insn queueing[] = {
    I(STDW, 10, 0, -8, 5),  I(MOV64X, 2, 10, 0, 0), I(ADD64K, 2, 0, 0, -8), WIDE_MAP(1, 1, 2, 0),
    I(MOV64K, 3, 0, 0, 0),  CALL(map_push_elem),    I(MOV64X, 2, 10, 0, 0), I(ADD64K, 2, 0, 0, -16),
    I(STDW, 10, 0, -16, 0), WIDE_MAP(1, 1, 2, 0),   CALL(map_pop_elem),     I(LDXDW, 0, 10, -16, 0),
    I(EXIT, 0, 0, 0, 0),
};

static void queues_work_in_programs(void **state)
{
    (void)state;
    maps[2] = make_map(BPF_MAP_TYPE_QUEUE, 0, 8, 4);
    for (size_t mode = 0; mode < COUNT(modes); mode++) {
        struct sta_program *program = load(queueing, COUNT(queueing), modes[mode]);

        for (int i = 0; i < 10; i++)
            assert_int_equal(run(program), 5);
        sta_program_free(program);
    }
    sta_map_close(maps[2]);
}

/* for_each(map 3, add, &sum, 0): sum += *value; r0 = sum. */
static const struct bpf_insn walking[] = {
    I(STDW, 10, 0, -8, 0),   WIDE_MAP(1, 1, 3, 0),   WIDE(2, BPF_PSEUDO_FUNC, 8),
    I(MOV64X, 3, 10, 0, 0),  I(ADD64K, 3, 0, 0, -8), I(MOV64K, 4, 0, 0, 0),
    CALL(for_each_map_elem), I(LDXDW, 0, 10, -8, 0), I(EXIT, 0, 0, 0, 0),

};

static void walks_visit_every_element(void **state)
{
    struct bpf_insn insns[32];
    size_t count = 0;
    uint64_t wanted = 0;

    (void)state;
    for (; count < COUNT(walking); count++)
        insns[count] = walking[count];
    insns[3].imm = (int32_t)(count - 4); /* the subprogram that follows */
    insns[count++] = I(LDXDW, 1, 3, 0, 0);
    insns[count++] = I(LDXDW, 2, 4, 0, 0);
    insns[count++] = I(ADD64X, 2, 1, 0, 0);
    insns[count++] = I(STXDW, 4, 2, 0, 0);
    insns[count++] = I(MOV64K, 0, 0, 0, 0);
    insns[count++] = I(EXIT, 0, 0, 0, 0);
    maps[3] = make_map(BPF_MAP_TYPE_HASH, 8, 8, 100);
    for (uint64_t key = 0; key < 60; key++) {
        uint64_t value = key * key;

        wanted += value;
        assert_int_equal(sta_map_update(maps[3], &key, &value, BPF_ANY), 0);
    }
    for (size_t mode = 0; mode < COUNT(modes); mode++) {
        struct sta_program *program = load(insns, count, modes[mode]);

        assert_int_equal(run(program), wanted);
        sta_program_free(program);
    }
    sta_map_close(maps[3]);
}

/* Look-ups that are compiled in place are the map's own: r0 = what is at the key that the context
 * has, or 99. */
static const struct bpf_insn looking_up[] = {
    I(LDXW, 6, 1, 16, 0), I(STXW, 10, 6, -4, 0),  I(MOV64X, 2, 10, 0, 0), I(ADD64K, 2, 0, 0, -4),
    WIDE_MAP(1, 1, 0, 0), CALL(map_lookup_elem),  I(JEQ64K, 0, 0, 2, 0),  I(LDXDW, 0, 0, 0, 0),
    I(EXIT, 0, 0, 0, 0),  I(MOV64K, 0, 0, 0, 99), I(EXIT, 0, 0, 0, 0),
};
/* The same with map 0 for keys below 3, else with map 1: the call does not know which. */
static const struct bpf_insn choosing[] = {
    I(LDXW, 6, 1, 16, 0),  I(STXW, 10, 6, -4, 0), I(MOV64X, 2, 10, 0, 0), I(ADD64K, 2, 0, 0, -4),
    WIDE_MAP(1, 1, 0, 0),  I(JLT64K, 6, 0, 2, 3), WIDE_MAP(1, 1, 1, 0),   CALL(map_lookup_elem),
    I(JEQ64K, 0, 0, 2, 0), I(LDXDW, 0, 0, 0, 0),  I(EXIT, 0, 0, 0, 0),    I(MOV64K, 0, 0, 0, 99),
    I(EXIT, 0, 0, 0, 0),
};

static uint64_t run_with(struct sta_program *program, uint32_t key)
{
    uint64_t ret = UINT64_MAX;
    uint32_t ctx[16] = {[4] = key};

    must_equal(sta_program_run(program, ctx, sizeof(ctx), &ret), 0);
    return ret;
}

static void fill_with_keys(struct sta_map *map, uint32_t base)
{
    uint64_t value[8] = {0};

    for (uint32_t key = 0; key < map->max_entries; key++) {
        value[0] = base + key;
        must_equal(sta_map_update(map, &key, value, BPF_ANY), 0);
    }
}

static void look_ups_in_place_are_the_maps_own(void **state)
{
    static const struct {
        uint32_t type, value_size, max_entries;
    } kinds[] = {{BPF_MAP_TYPE_ARRAY, 8, 1},   {BPF_MAP_TYPE_ARRAY, 8, 5},
                 {BPF_MAP_TYPE_ARRAY, 24, 5},  {BPF_MAP_TYPE_ARRAY, 64, 1},
                 {BPF_MAP_TYPE_ARRAY, 20, 1},  {BPF_MAP_TYPE_HASH, 8, 5},
                 {BPF_MAP_TYPE_LRU_HASH, 8, 5}};

    (void)state;
    maps[1] = make_map(BPF_MAP_TYPE_ARRAY, 4, 16, 7);
    fill_with_keys(maps[1], 500);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        maps[0] = make_map(kinds[i].type, 4, kinds[i].value_size, kinds[i].max_entries);
        fill_with_keys(maps[0], 100);
        for (size_t mode = 0; mode < COUNT(modes); mode++) {
            struct sta_program *program = load(looking_up, COUNT(looking_up), modes[mode]);
            struct sta_program *chooser = load(choosing, COUNT(choosing), modes[mode]);

            for (uint32_t key = 0; key < 9; key++) {
                uint64_t first = key < kinds[i].max_entries ? 100 + key : 99;

                assert_int_equal(run_with(program, key), first);
                assert_int_equal(run_with(chooser, key), key < 3   ? first
                                                         : key < 7 ? 500 + key
                                                                   : 99);
            }
            assert_int_equal(run_with(program, UINT32_MAX), 99);
            sta_program_free(program);
            sta_program_free(chooser);
        }
        sta_map_close(maps[0]);
    }
    sta_map_close(maps[1]);
}

/* r0 = 1; tail call to element r2 = 2 of map 0; r0 = 3 if there is none. */
static const struct bpf_insn jumping[] = {
    WIDE_MAP(2, 1, 0, 0),  I(MOV64K, 3, 0, 0, 2), CALL(tail_call),
    I(MOV64K, 0, 0, 0, 3), I(EXIT, 0, 0, 0, 0),
};
static const struct bpf_insn answering[] = {I(MOV64K, 0, 0, 0, 42), I(EXIT, 0, 0, 0, 0)};

static void tail_calls_go_where_the_array_says(void **state)
{
    (void)state;
    for (size_t mode = 0; mode < COUNT(modes); mode++) {
        struct sta_program *jumper, *answerer;
        const uint32_t index = 2;

        maps[0] = make_map(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 3);
        jumper = load(jumping, COUNT(jumping), modes[mode]);
        answerer = load(answering, COUNT(answering), modes[1 - mode]);
        assert_int_equal(run(jumper), 3);
        assert_int_equal(sta_map_set_program(maps[0], 3, answerer), -E2BIG);
        assert_int_equal(sta_map_set_program(maps[0], index, answerer), 0);
        assert_int_equal(run(jumper), 42);
        assert_int_equal(sta_map_delete(maps[0], &index), 0);
        assert_int_equal(run(jumper), 3);
        assert_int_equal(sta_map_set_program(maps[0], index, answerer), 0);
        sta_program_free(answerer); /* the element keeps it */
        assert_int_equal(run(jumper), 42);
        assert_int_equal(sta_map_delete(maps[0], &index), 0);
        assert_int_equal(run(jumper), 3);
        sta_program_free(jumper);
        sta_map_close(maps[0]);
    }
}

/* ++*lookup(lookup(map 0, &0), &0) */
static const struct bpf_insn through[] = {
    I(STW, 10, 0, -4, 0),   I(MOV64X, 2, 10, 0, 0), I(ADD64K, 2, 0, 0, -4), WIDE_MAP(1, 1, 0, 0),
    CALL(map_lookup_elem),  I(JEQ64K, 0, 0, 8, 0),  I(MOV64X, 1, 0, 0, 0),  I(MOV64X, 2, 10, 0, 0),
    I(ADD64K, 2, 0, 0, -4), CALL(map_lookup_elem),  I(JEQ64K, 0, 0, 3, 0),  I(LDXDW, 1, 0, 0, 0),
    I(ADD64K, 1, 0, 0, 1),  I(STXDW, 0, 1, 0, 0),   I(MOV64K, 0, 0, 0, 7),  I(EXIT, 0, 0, 0, 0),
};

static void programs_go_through_maps_of_maps(void **state)
{
    static const uint32_t types[] = {BPF_MAP_TYPE_ARRAY_OF_MAPS, BPF_MAP_TYPE_HASH_OF_MAPS};
    const uint32_t key = 0;
    uint64_t value;

    (void)state;
    for (size_t i = 0; i < 2 * COUNT(modes); i++) {
        struct sta_map *inner = make_map(BPF_MAP_TYPE_HASH, 4, 8, 4);
        const struct sta_map_options options = {.size = sizeof(options),
                                                .type = types[i % 2],
                                                .key_size = 4,
                                                .value_size = 4,
                                                .max_entries = 2,
                                                .inner = inner};
        struct sta_program *program;

        must_equal(sta_map_create(&maps[0], &options), 0);
        program = load(through, COUNT(through), modes[i / 2]);
        assert_int_equal(run(program), 7); /* there is none */
        assert_int_equal(sta_map_set_map(maps[0], &key, inner, 0), 0);
        assert_int_equal(run(program), 7); /* nothing in it */
        value = 41;
        assert_int_equal(sta_map_update(inner, &key, &value, 0), 0);
        assert_int_equal(run(program), 7);
        assert_int_equal(sta_map_lookup(inner, &key, &value, 0), 0);
        assert_int_equal(value, 42);
        sta_program_free(program);
        sta_map_close(maps[0]);
        sta_map_close(inner);
    }
}

/* What is found in a map of maps is no memory: the kernel's words. */
static void a_map_in_a_map_is_no_value(void **state)
{
    /* Reads, writes what was found; looks up an element of what may not have been found; changes
     * the outer map. */
    static const struct bpf_insn reads[] = {I(LDXW, 0, 0, 0, 0)};
    static const struct bpf_insn writes[] = {I(STW, 0, 0, 0, 0)};
    static const struct bpf_insn moves[] = {I(ADD64K, 0, 0, 0, 8)};
    static const struct bpf_insn *const bodies[] = {reads, writes, moves};
    struct sta_map *inner = make_map(BPF_MAP_TYPE_ARRAY, 4, 8, 4);
    const struct sta_map_options map_options = {.size = sizeof(map_options),
                                                .type = BPF_MAP_TYPE_ARRAY_OF_MAPS,
                                                .key_size = 4,
                                                .value_size = 4,
                                                .max_entries = 2,
                                                .inner = inner};
    const struct sta_program_options options = {.size = sizeof(options), .find_map = find_map};

    (void)state;
    must_equal(sta_map_create(&maps[0], &map_options), 0);
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct bpf_insn insns[] = {
            I(STW, 10, 0, -4, 0), I(MOV64X, 2, 10, 0, 0), I(ADD64K, 2, 0, 0, -4),
            WIDE_MAP(1, 1, 0, 0), CALL(map_lookup_elem),  I(JEQ64K, 0, 0, 1, 0),
            bodies[i][0],         I(MOV64K, 0, 0, 0, 0),  I(EXIT, 0, 0, 0, 0),
        };
        struct sta_program *program = NULL;
        int err = sta_program_load(&program, insns, COUNT(insns), &options);

        if (err != -EACCES && err != -EINVAL)
            fail_msg("body %zu: %d", i, err);
    }
    for (int32_t id = BPF_FUNC_map_update_elem; id <= BPF_FUNC_map_delete_elem; id++) {
        struct bpf_insn insns[] = {
            I(STW, 10, 0, -4, 0),  I(MOV64X, 2, 10, 0, 0), I(ADD64K, 2, 0, 0, -4),
            I(MOV64X, 3, 2, 0, 0), I(MOV64K, 4, 0, 0, 0),  WIDE_MAP(1, 1, 0, 0),
            I(CALL, 0, 0, 0, id),  I(MOV64K, 0, 0, 0, 0),  I(EXIT, 0, 0, 0, 0),
        };
        struct sta_program *program = NULL;

        assert_int_equal(sta_program_load(&program, insns, COUNT(insns), &options), -EINVAL);
    }
    sta_map_close(maps[0]);
    sta_map_close(inner);
}

static int load_as(struct sta_program **out, uint32_t type, const struct bpf_insn *insns,
                   size_t count)
{
    const struct sta_program_options options = {
        .size = sizeof(options), .type = type, .find_map = find_map};

    return sta_program_load(out, insns, count, &options);
}

/* A raw tracepoint's context is shorter than what a tracepoint's program may read: one must not
 * come to the other by a tail call. */
static void an_array_is_for_programs_of_one_type(void **state)
{
    struct sta_program *plain, *raw, *user = NULL;

    (void)state;
    assert_int_equal(load_as(&plain, BPF_PROG_TYPE_TRACEPOINT, answering, COUNT(answering)), 0);
    assert_int_equal(load_as(&raw, BPF_PROG_TYPE_RAW_TRACEPOINT, answering, COUNT(answering)), 0);
    /* The first one is put into it, */
    maps[0] = make_map(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 3);
    assert_int_equal(sta_map_set_program(maps[0], 0, raw), 0);
    assert_int_equal(sta_map_set_program(maps[0], 1, plain), -EINVAL);
    assert_int_equal(load_as(&user, BPF_PROG_TYPE_TRACEPOINT, jumping, COUNT(jumping)), -EINVAL);
    assert_int_equal(load_as(&user, BPF_PROG_TYPE_RAW_TRACEPOINT, jumping, COUNT(jumping)), 0);
    sta_program_free(user);
    sta_map_close(maps[0]);
    /* or uses it. */
    maps[0] = make_map(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 3);
    assert_int_equal(load_as(&user, BPF_PROG_TYPE_TRACEPOINT, jumping, COUNT(jumping)), 0);
    assert_int_equal(sta_map_set_program(maps[0], 0, raw), -EINVAL);
    assert_int_equal(sta_map_set_program(maps[0], 0, plain), 0);
    sta_program_free(user);
    sta_program_free(plain);
    sta_program_free(raw);
    sta_map_close(maps[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_run_loses_an_increment),
        cmocka_unit_test(records_reach_the_consumer),
        cmocka_unit_test(queues_work_in_programs),
        cmocka_unit_test(walks_visit_every_element),
        cmocka_unit_test(look_ups_in_place_are_the_maps_own),
        cmocka_unit_test(tail_calls_go_where_the_array_says),
        cmocka_unit_test(an_array_is_for_programs_of_one_type),
        cmocka_unit_test(programs_go_through_maps_of_maps),
        cmocka_unit_test(a_map_in_a_map_is_no_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
