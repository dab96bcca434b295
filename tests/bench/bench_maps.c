/* SPDX-License-Identifier: MIT */
/*
 * What maps cost: ns of CPU time per operation, called as helpers call them.
 *
 *     bench_maps [--rounds N] [--quick]
 *
 * Keys go around over KEYS different ones, all in the cache, as those of a tracing program are.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#include <sta/program.h>

#include "ebpf/isa.h"
#include "ebpf/program.h"
#include "maps/lease.h"
#include "maps/map.h"
#include "maps/ring.h"

#define KEYS      512 /* a power of two */
#define RING_SIZE (1u << 20)
#define SAMPLE    64 /* bytes of a record */

enum what { INCREMENT, UPDATE };
enum row_id { NONE, HASH_UPDATE, RINGS, ROW_IDS };

struct row {
    const char *name;
    double (*run)(struct row *row, uint64_t n);
    uint32_t type, key_size;
    uint64_t flags;     /* of submitting */
    enum what run_what; /* by a program */
    bool needs_two_cpus;
    enum row_id id, ratio_to;
    uint64_t n;
    struct sta_map *map;
    double samples[BENCH_ROUNDS_MAX];
};

static struct bench_options options = {.rounds = 31};
static bool has_two_cpus;
static double sample_ns = 2e6;

static struct sta_map *map_of(struct row *row)
{
    struct sta_map_options wanted = {.size = sizeof(wanted), .type = row->type};
    uint64_t values[STA__CPUS_MAX] = {0}, key[4] = {0};

    if (row->map)
        return row->map;
    wanted.key_size = row->key_size;
    wanted.value_size = row->type == BPF_MAP_TYPE_RINGBUF ? 0 : 8;
    wanted.max_entries = row->type == BPF_MAP_TYPE_RINGBUF ? RING_SIZE : 4 * KEYS;
    must(sta_map_create(&row->map, &wanted), row->name);
    for (key[0] = 0; key[0] < KEYS && row->key_size; key[0]++)
        must(sta_map_update(row->map, key, values, BPF_ANY), row->name);
    return row->map;
}

static double run_empty(struct row *row, uint64_t n)
{
    double start = cpu_ns();
    uint64_t key[4] = {0};

    (void)row;
    for (uint64_t i = 0; i < n; i++) {
        key[0] = i % KEYS;
        __asm__ volatile("" : : "r"(key) : "memory");
    }
    return (cpu_ns() - start) / (double)n;
}

static uint64_t sum_of(struct sta_map *map)
{
    uint64_t values[STA__CPUS_MAX], key[4] = {0}, sum = 0;

    for (key[0] = 0; key[0] < KEYS; key[0]++) {
        must(sta_map_lookup(map, key, values, 0), "sta_map_lookup");
        for (uint32_t cpu = 0; cpu < map->cpus; cpu++)
            sum += values[cpu];
    }
    return sum;
}

static double run_increment(struct row *row, uint64_t n)
{
    struct sta_map *map = map_of(row);
    uint64_t key[4] = {0}, before = sum_of(map);
    double start = cpu_ns(), end;

    for (uint64_t i = 0; i < n; i++) {
        key[0] = i % KEYS;
        ++*(volatile uint64_t *)map->ops->lookup(map, key);
    }
    end = cpu_ns();
    if (sum_of(map) != before + n)
        die(row->name, "increments are missing");
    return (end - start) / (double)n;
}

static double run_leased(struct row *row, uint64_t n)
{
    struct sta_map *map = map_of(row);
    uint64_t key[4] = {0}, before = sum_of(map);
    double start = cpu_ns(), end;

    for (uint64_t i = 0; i < n; i++) {
        struct sta__lease lease;

        key[0] = i % KEYS;
        if (sta__lease_enter(&lease) < 0)
            die(row->name, "no CPU is free");
        ++*(volatile uint64_t *)map->ops->lookup(map, key);
        sta__lease_leave(&lease);
    }
    end = cpu_ns();
    if (sum_of(map) != before + n)
        die(row->name, "increments are missing");
    return (end - start) / (double)n;
}

static double update_all(struct row *row, struct sta_map *map, uint64_t first, uint64_t keys,
                         uint64_t n)
{
    uint64_t key[4] = {0};
    double start = cpu_ns();

    for (uint64_t i = 0; i < n; i++) {
        uint64_t value;

        key[0] = first + i % keys;
        value = *(uint64_t *)map->ops->lookup(map, key) + 1;
        if (map->ops->update(map, key, &value, BPF_ANY))
            die(row->name, "an update failed");
    }
    return (cpu_ns() - start) / (double)n;
}

static double run_update(struct row *row, uint64_t n)
{
    struct sta_map *map = map_of(row);
    uint64_t before = sum_of(map);
    double ns = update_all(row, map, 0, KEYS, n);

    if (sum_of(map) != before + n)
        die(row->name, "updates are missing");
    return ns;
}

static double run_insert(struct row *row, uint64_t n)
{
    struct sta_map *map = map_of(row);
    uint64_t key[4] = {0}, value = 0;
    double start = cpu_ns();

    for (uint64_t i = 0; i < n; i++) {
        key[0] = KEYS + i % KEYS;
        if (map->ops->update(map, key, &value, BPF_NOEXIST) || map->ops->remove(map, key))
            die(row->name, "an insertion or removal failed");
    }
    return (cpu_ns() - start) / (double)n;
}

/* Programs: a run of one, as the dispatcher calls it. */

#define INSN(name, d, s, o, i)                                                         \
    {                                                                                  \
        .code = STA__OP_##name, .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) \
    }
#define CALL(name)  INSN(CALL, 0, 0, 0, BPF_FUNC_##name)
#define KEY_IS(reg) INSN(MOV64X, reg, 10, 0, 0), INSN(ADD64K, reg, 0, 0, -8)
#define MAP_IN_R1                           \
    INSN(LDDW, 1, BPF_PSEUDO_MAP_FD, 0, 0), \
    {                                       \
        0                                   \
    }

/* The key is the context's first eight bytes that are its own; its value is counted up. */
static const struct bpf_insn increment[] = {INSN(LDXDW, 6, 1, 8, 0),
                                            INSN(STXDW, 10, 6, -8, 0),
                                            KEY_IS(2),
                                            MAP_IN_R1,
                                            CALL(map_lookup_elem),
                                            INSN(JEQ64K, 0, 0, 3, 0),
                                            INSN(LDXDW, 1, 0, 0, 0),
                                            INSN(ADD64K, 1, 0, 0, 1),
                                            INSN(STXDW, 0, 1, 0, 0),
                                            INSN(MOV64K, 0, 0, 0, 0),
                                            INSN(EXIT, 0, 0, 0, 0)};
static const struct bpf_insn update[] = {INSN(LDXDW, 6, 1, 8, 0),
                                         INSN(STXDW, 10, 6, -8, 0),
                                         KEY_IS(2),
                                         MAP_IN_R1,
                                         CALL(map_lookup_elem),
                                         INSN(JEQ64K, 0, 0, 11, 0),
                                         INSN(LDXDW, 1, 0, 0, 0),
                                         INSN(ADD64K, 1, 0, 0, 1),
                                         INSN(STXDW, 10, 1, -16, 0),
                                         KEY_IS(2),
                                         INSN(MOV64X, 3, 10, 0, 0),
                                         INSN(ADD64K, 3, 0, 0, -16),
                                         MAP_IN_R1,
                                         INSN(MOV64K, 4, 0, 0, 0),
                                         CALL(map_update_elem),
                                         INSN(MOV64K, 0, 0, 0, 0),
                                         INSN(EXIT, 0, 0, 0, 0)};

static int find_map(void *data, int fd, int is_index, struct sta_map **out)
{
    (void)fd, (void)is_index;
    *out = data;
    return 0;
}

static double run_program(struct row *row, uint64_t n)
{
    struct sta_map *map = map_of(row);
    struct sta_program_options how = {.size = sizeof(how), .find_map = find_map, .find_data = map};
    bool updates = row->run_what == UPDATE;
    struct sta_program *program;
    uint64_t before = sum_of(map), context[8] = {0}, r0;
    volatile sta_callback run;
    double start;

    must(sta_program_load(&program, updates ? update : increment,
                          updates ? sizeof(update) / sizeof(*update)
                                  : sizeof(increment) / sizeof(*increment),
                          &how),
         row->name);
    run = program->run;
    start = cpu_ns();
    for (uint64_t i = 0; i < n; i++) {
        context[1] = i % KEYS;
        run(context, sizeof(context), &r0, program);
    }
    start = cpu_ns() - start;
    sta_program_free(program);
    if (sum_of(map) != before + n)
        die(row->name, "increments are missing");
    return start / (double)n;
}

/* Two threads at once, each on a CPU of its own. */

struct partner {
    struct row *row;
    uint64_t n, number;
    double (*work)(struct partner *partner);
    double ns;
    atomic_uint *at_start;
};

static double work_together(struct partner *partner)
{
    atomic_fetch_add(partner->at_start, 1);
    while (atomic_load(partner->at_start) < 2)
        __builtin_ia32_pause();
    return partner->work(partner);
}

static void *run_partner(void *data)
{
    struct partner *partner = data;

    pin_to(1);
    partner->ns = work_together(partner);
    return NULL;
}

static double run_together(struct row *row, uint64_t n, double (*work)(struct partner *))
{
    atomic_uint at_start = 0;
    struct partner partners[2] = {{row, n, 0, work, 0, &at_start}, {row, n, 1, work, 0, &at_start}};
    pthread_t thread;

    must(-pthread_create(&thread, NULL, run_partner, &partners[1]), "pthread_create");
    partners[0].ns = work_together(&partners[0]);
    pthread_join(thread, NULL);
    return (partners[0].ns + partners[1].ns) / 2;
}

static double update_half(struct partner *partner)
{
    return update_all(partner->row, partner->row->map, partner->number * (KEYS / 2), KEYS / 2,
                      partner->n);
}

static double run_update_together(struct row *row, uint64_t n)
{
    struct sta_map *map = map_of(row);
    uint64_t before = sum_of(map);
    double ns = run_together(row, n, update_half);

    if (sum_of(map) != before + 2 * n)
        die(row->name, "updates are missing");
    return ns;
}

/* Ring buffers. What was produced is consumed afterwards, and is all there. */

#define RECORDS_MAX (RING_SIZE / (SAMPLE + 8) / 2 - 1) /* of each of two producers */

static uint64_t consumed[2];

static int check_record(void *data, const void *record, size_t size)
{
    const uint64_t *words = record;

    (void)data;
    if (size != SAMPLE || words[0] > 1 || words[1] != consumed[words[0]]++)
        die("ring buffer", "a record was lost");
    for (unsigned i = 2; i < SAMPLE / 8; i++) {
        if (words[i] != words[1])
            die("ring buffer", "a record is torn");
    }
    return 0;
}

static double produce(struct partner *partner)
{
    struct sta_map *map = partner->row->map;
    double start = cpu_ns();

    for (uint64_t n = 0; n < partner->n; n++) {
        uint64_t *words = sta__ring_reserve(map, SAMPLE);

        if (!words)
            die(partner->row->name, "there is no room");
        words[0] = partner->number;
        for (unsigned i = 1; i < SAMPLE / 8; i++)
            words[i] = n;
        sta__ring_commit(words, partner->row->flags, false);
    }
    return (cpu_ns() - start) / (double)partner->n;
}

static void consume_all(struct row *row, uint64_t each, unsigned producers)
{
    consumed[0] = consumed[1] = 0;
    must(sta_ring_consume(row->map, check_record, NULL), row->name);
    if (consumed[0] != each || consumed[1] != (producers == 2 ? each : 0))
        die(row->name, "records are missing");
}

static double run_ring(struct row *row, uint64_t n)
{
    struct partner partner = {.row = row, .n = n < RECORDS_MAX ? n : RECORDS_MAX};
    double ns;

    map_of(row);
    ns = produce(&partner);
    consume_all(row, partner.n, 1);
    return ns;
}

static double run_ring_together(struct row *row, uint64_t n)
{
    double ns;

    map_of(row);
    n = n < RECORDS_MAX ? n : RECORDS_MAX;
    ns = run_together(row, n, produce);
    consume_all(row, n, 2);
    return ns;
}

/* clang-format off */
static struct row rows[] = {
    {.name = "One thread"},
    {.name = "the loop alone", .run = run_empty},
    {.name = "array: look up, increment", .run = run_increment, .type = BPF_MAP_TYPE_ARRAY, .key_size = 4},
    {.name = "array per CPU: likewise", .run = run_increment, .type = BPF_MAP_TYPE_PERCPU_ARRAY, .key_size = 4},
    {.name = "array per CPU: with a lease", .run = run_leased, .type = BPF_MAP_TYPE_PERCPU_ARRAY, .key_size = 4},
    {.name = "hash, 4-byte keys: look up, increment", .run = run_increment, .type = BPF_MAP_TYPE_HASH, .key_size = 4},
    {.name = "hash, 4-byte keys: look up, update", .run = run_update, .type = BPF_MAP_TYPE_HASH, .key_size = 4},
    {.name = "hash, 8-byte keys: look up, update", .run = run_update, .type = BPF_MAP_TYPE_HASH, .key_size = 8, .id = HASH_UPDATE},
    {.name = "hash, 16-byte keys: look up, update", .run = run_update, .type = BPF_MAP_TYPE_HASH, .key_size = 16},
    {.name = "hash, 8-byte keys: insert, delete", .run = run_insert, .type = BPF_MAP_TYPE_HASH, .key_size = 8},
    {.name = "LRU hash: look up, update", .run = run_update, .type = BPF_MAP_TYPE_LRU_HASH, .key_size = 8},
    {.name = "ring buffer: reserve, 64 bytes, submit", .run = run_ring, .type = BPF_MAP_TYPE_RINGBUF, .id = RINGS},
    {.name = "ring buffer: likewise, no wake-up", .run = run_ring, .type = BPF_MAP_TYPE_RINGBUF, .flags = BPF_RB_NO_WAKEUP},
    {.name = "A run of a compiled program"},
    {.name = "array: look up, increment", .run = run_program, .type = BPF_MAP_TYPE_ARRAY, .key_size = 4},
    {.name = "array per CPU: likewise", .run = run_program, .type = BPF_MAP_TYPE_PERCPU_ARRAY, .key_size = 4},
    {.name = "hash, 8-byte keys: look up, increment", .run = run_program, .type = BPF_MAP_TYPE_HASH, .key_size = 8},
    {.name = "hash, 8-byte keys: look up, update", .run = run_program, .type = BPF_MAP_TYPE_HASH, .key_size = 8, .run_what = UPDATE},
    {.name = "Two threads at once, per operation of each"},
    {.name = "hash, 8-byte keys: look up, update", .run = run_update_together, .type = BPF_MAP_TYPE_HASH, .key_size = 8, .needs_two_cpus = true, .ratio_to = HASH_UPDATE},
    {.name = "ring buffer: reserve, 64 bytes, submit", .run = run_ring_together, .type = BPF_MAP_TYPE_RINGBUF, .needs_two_cpus = true, .ratio_to = RINGS},
};
/* clang-format on */

#define ROWS_END (rows + sizeof(rows) / sizeof(*rows))

static bool is_measured(const struct row *row)
{
    return row->run && (has_two_cpus || !row->needs_two_cpus);
}

static void measure(void)
{
    for (struct row *row = rows; row < ROWS_END; row++) {
        if (!is_measured(row))
            continue;
        for (row->n = 1; row->run(row, row->n) * (double)row->n < sample_ns / 2; row->n *= 2)
            ;
    }
    for (unsigned round = 0; round < options.rounds; round++)
        for (struct row *row = rows; row < ROWS_END; row++)
            if (is_measured(row))
                row->samples[round] = row->run(row, row->n);
}

static void print_table(void)
{
    double medians[ROW_IDS];

    for (struct row *row = rows; row < ROWS_END; row++)
        if (is_measured(row))
            medians[row->id] = median_of(row->samples, options.rounds);
    print_machine("median and min", options.rounds);
    printf("%-44s  %10s  %10s   together\n", "", "median", "min");
    for (struct row *row = rows; row < ROWS_END; row++) {
        double median = row->samples[options.rounds / 2];

        if (!row->run) {
            printf("%s%s\n", row == rows ? "" : "\n", row->name);
            continue;
        }
        printf("    %-40s", row->name);
        if (is_measured(row))
            printf("  %10.1f  %10.1f", median, row->samples[0]);
        else
            printf("  needs two CPUs");
        if (is_measured(row) && row->ratio_to)
            printf("  %5.2f x as much as one, %.1f M/s", 2 * medians[row->ratio_to] / median,
                   2e3 / median);
        printf("\n");
    }
}

int main(int argc, char **argv)
{
    bench_options_parse(&options, argc, argv);
    if (options.is_quick)
        sample_ns = 1e5;
    has_two_cpus = find_two_cpus();
    pin_to(0);
    measure();
    print_table();
    for (struct row *row = rows; row < ROWS_END; row++)
        sta_map_close(row->map);
    return EXIT_SUCCESS;
}
