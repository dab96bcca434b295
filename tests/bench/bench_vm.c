/* SPDX-License-Identifier: MIT */
/*
 * What eBPF programs cost to run and to load:
 *
 *     bench_vm [--rounds N] [--quick]
 *
 * by the interpreter, by the JIT, and, as root, in the kernel by its JIT (BPF_PROG_TEST_RUN). They
 * take turns, a millisecond each, round after round; medians are printed. Each checks that its
 * program gave the right result.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "ebpf/isa.h"
#include "ebpf/jit.h"
#include "ebpf/program.h"
#include "kernel_map.h"
#include "vm/kernel_bpf.h"
#include "vm_programs.h"

static struct bench_options options = {.rounds = 31};
static double sample_ns = 1e6;
static const char *why_no_kernel; /* NULL: there is one */

enum engine { INTERPRETER, JIT, KERNEL, ENGINES };

struct row {
    const char *name;
    void (*make)(struct vm_program *out);
    struct vm_program program;
    struct sta_program *loaded[2];
    int kernel_fd;
    uint64_t n[ENGINES]; /* runs in a sample */
    double samples[ENGINES][BENCH_ROUNDS_MAX];
};

static struct row rows[] = {
    {.name = "empty", .make = vm_program_empty},
    {.name = "16 ALU", .make = vm_program_alu},
    {.name = "loop, 1,000 times", .make = vm_program_loop},
    {.name = "1,000 calls", .make = vm_program_calls},
    {.name = "array: look up, increment", .make = vm_program_array},
    {.name = "hash: look up, update", .make = vm_program_hash},
    {.name = "count a system call", .make = vm_program_count},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void print_log(void *data, enum sta_log_level level, const char *message)
{
    (void)data, (void)level;
    fprintf(stderr, "%s\n", message);
}

static struct sta_map_options map_of(const struct vm_program *program)
{
    return (struct sta_map_options){
        .size = sizeof(struct sta_map_options),
        .type = program->map_type,
        .key_size = program->key_size,
        .value_size = 8,
        .max_entries = 1024,
    };
}

static int find_map(void *data, int fd, int is_index, struct sta_map **out)
{
    (void)fd, (void)is_index;
    *out = data;
    return 0;
}

static struct sta_program *load(const struct vm_program *program, unsigned flags)
{
    struct sta_program_options how = {.size = sizeof(how), .flags = flags, .log = print_log};
    struct sta_map_options wanted = map_of(program);
    struct sta_program *loaded;
    struct sta_map *map = NULL;

    if (program->map_type) {
        must(sta_map_create(&map, &wanted), "sta_map_create");
        how.find_map = find_map;
        how.find_data = map;
    }
    must(sta_program_load(&loaded, program->insns, program->count, &how), "sta_program_load");
    sta_map_close(map); /* the program keeps it */
    return loaded;
}

static int load_in_kernel(const struct vm_program *program)
{
    struct sta_map_options wanted = map_of(program);
    struct vm_program copy = *program;
    int map = program->map_type ? kernel_map_create(&wanted) : -1, fd;

    for (size_t i = 0; i < copy.count; i++) {
        if (copy.insns[i].code == STA__OP_LDDW && copy.insns[i].src_reg == BPF_PSEUDO_MAP_FD)
            copy.insns[i].imm = map;
    }
    fd = kernel_load(BPF_PROG_TYPE_SOCKET_FILTER, copy.insns, copy.count, NULL, 0);
    if (map >= 0)
        close(map);
    return fd;
}

/* As the dispatcher calls it. */
static double time_here(struct row *row, enum engine engine, uint64_t n)
{
    struct sta_program *program = row->loaded[engine];
    volatile sta_callback run = program->run;
    uint64_t r0 = 0, context[8] = {0};
    double start = cpu_ns();

    for (uint64_t i = 0; i < n; i++)
        run(context, sizeof(context), &r0, program);
    if (r0 != row->program.result)
        die(row->name, "the result is wrong");
    return (cpu_ns() - start) / (double)n;
}

static double time_kernel(struct row *row, uint64_t n)
{
    double ns;

    must(kernel_repeat(row->kernel_fd, (uint32_t)n, &ns), "BPF_PROG_TEST_RUN");
    return ns;
}

static double time_row(struct row *row, enum engine engine, uint64_t n)
{
    return engine == KERNEL ? time_kernel(row, n) : time_here(row, engine, n);
}

static unsigned engines(void)
{
    return why_no_kernel ? KERNEL : ENGINES;
}

static void prepare(struct row *row)
{
    row->make(&row->program);
    row->loaded[INTERPRETER] = load(&row->program, STA_PROGRAM_TRUSTED | STA_PROGRAM_INTERPRET);
    row->loaded[JIT] = load(&row->program, STA_PROGRAM_TRUSTED);
    row->kernel_fd = load_in_kernel(&row->program);
    if (row->kernel_fd < 0)
        why_no_kernel = strerror(-row->kernel_fd);
}

static void calibrate(struct row *row)
{
    for (unsigned engine = 0; engine < engines(); engine++) {
        double ns = time_row(row, engine, 100);

        row->n[engine] = (uint64_t)(sample_ns / (ns > 1 ? ns : 1)) + 1;
    }
}

static void measure_rows(void)
{
    for (unsigned round = 0; round < options.rounds; round++) {
        for (size_t i = 0; i < ROWS; i++) {
            for (unsigned engine = 0; engine < engines(); engine++)
                rows[i].samples[engine][round] = time_row(&rows[i], engine, rows[i].n[engine]);
        }
    }
}

static void print_rows(void)
{
    printf("%-32s %12s %12s %12s\n", "one run", "interpreter", "JIT", "kernel");
    for (size_t i = 0; i < ROWS; i++) {
        printf("  %-30s", rows[i].name);
        for (unsigned engine = 0; engine < engines(); engine++)
            printf(" %12.1f", median_of(rows[i].samples[engine], options.rounds));
        printf("%s\n", why_no_kernel ? "            -" : "");
    }
}

/* Loading. */

static struct vm_program large;

static double time_decode(void)
{
    static const struct sta__log no_log;
    double start = cpu_ns();
    struct sta__code code;

    must(sta__code_decode(&code, large.insns, large.count, NULL, &no_log), "decode");
    start = cpu_ns() - start;
    sta__code_free(&code);
    return start;
}

static double time_compile(void)
{
    static const struct sta__jit_options plain;
    static const struct sta__log no_log;
    struct sta__code code;
    struct sta__jit jit;
    double start;

    must(sta__code_decode(&code, large.insns, large.count, NULL, &no_log), "decode");
    start = cpu_ns();
    must(sta__jit_compile(&jit, &code, &plain, &no_log), "compile");
    start = cpu_ns() - start;
    sta__jit_free(&jit);
    sta__code_free(&code);
    return start;
}

static double time_load(unsigned flags)
{
    double start = cpu_ns();
    struct sta_program *program = load(&large, flags);

    start = cpu_ns() - start;
    sta_program_free(program);
    return start;
}

static double time_trusted(void)
{
    return time_load(STA_PROGRAM_TRUSTED);
}

static double time_verified(void)
{
    return time_load(0);
}

/* Whether the verifier takes it. */
static bool is_verifiable(void)
{
    struct sta_program *program = NULL;
    int err = sta_program_load(&program, large.insns, large.count, NULL);

    sta_program_free(program);
    return err == 0;
}

static double time_interpreted(void)
{
    return time_load(STA_PROGRAM_TRUSTED | STA_PROGRAM_INTERPRET);
}

static double time_kernel_load(void)
{
    double start = cpu_ns();
    int fd = kernel_load(BPF_PROG_TYPE_RAW_TRACEPOINT, large.insns, large.count, NULL, 0);

    start = cpu_ns() - start;
    close(must(fd, "BPF_PROG_LOAD"));
    return start;
}

static struct stage {
    const char *name;
    double (*run)(void);
    double samples[BENCH_ROUNDS_MAX];
} stages[] = {
    {.name = "decode", .run = time_decode},
    {.name = "compile", .run = time_compile},
    {.name = "load, interpreted, trusted", .run = time_interpreted},
    {.name = "load, JIT, trusted", .run = time_trusted},
    {.name = "load, JIT, verified", .run = time_verified},
    {.name = "the kernel's load", .run = time_kernel_load},
};

#define STAGES (sizeof(stages) / sizeof(stages[0]))

static void print_stages(void)
{
    printf("\n%-32s %12s %12s\n", "200 instructions", "median", "smallest");
    for (size_t i = 0; i < STAGES; i++) {
        double median;

        if ((stages[i].run == time_kernel_load && why_no_kernel) ||
            (stages[i].run == time_verified && !is_verifiable()))
            continue;
        stages[i].run();
        for (unsigned round = 0; round < options.rounds; round++)
            stages[i].samples[round] = stages[i].run();
        median = median_of(stages[i].samples, options.rounds);
        printf("  %-30s %12.0f %12.0f\n", stages[i].name, median, stages[i].samples[0]);
    }
}

int main(int argc, char **argv)
{
    bench_options_parse(&options, argc, argv);
    if (options.is_quick)
        sample_ns = 1e4;
    find_two_cpus();
    pin_to(0);
    print_machine("medians", options.rounds);
    for (size_t i = 0; i < ROWS; i++)
        prepare(&rows[i]);
    for (size_t i = 0; i < ROWS; i++)
        calibrate(&rows[i]);
    measure_rows();
    print_rows();
    vm_program_large(&large);
    print_stages();
    if (why_no_kernel)
        printf("\nnot compared with the kernel: %s\n", why_no_kernel);
    return EXIT_SUCCESS;
}
