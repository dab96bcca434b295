/* SPDX-License-Identifier: MIT */
/*
 * Random programs give the same result, and leave the same memory, by the interpreter, by the JIT
 * and in the kernel:
 *
 *     test_vm_random [--programs N] [--seed S] [--without-kernel]
 *
 * Without --programs it takes seconds: so many programs, and some of them in the kernel, where
 * loading is what takes long. (That gets many at a time, as subprograms of one.) With it, all go
 * there. Each program has a seed of its own: a failure prints it, and --programs 1 --seed THAT
 * repeats it.
 */
#ifndef _GNU_SOURCE
#    define _GNU_SOURCE
#endif

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "ebpf/interpret.h"
#include "ebpf/jit.h"
#include "vm/kernel_bpf.h"
#include "vm/native_call.h"
#include "vm/random_program.h"

#define BATCH     48
#define BATCH_MAX (BATCH * (RANDOM_INSNS_MAX + 6) + 2)
#define LOG_SIZE  (1 << 20)

#if defined(__SANITIZE_ADDRESS__) || STA__THREAD_SANITIZER
#    define DEFAULT_PROGRAMS  20000
#    define DEFAULT_IN_KERNEL 4000
#else
#    define DEFAULT_PROGRAMS  100000
#    define DEFAULT_IN_KERNEL 20000
#endif

static uint64_t seed, programs = DEFAULT_PROGRAMS, in_kernel = DEFAULT_IN_KERNEL;
static const char *why_no_kernel;

struct result {
    uint64_t r0;
    uint8_t area[RANDOM_AREA];
};

/* What the kernel's programs read and write: an area each, then a result each. */
struct shared {
    uint8_t areas[BATCH][RANDOM_AREA];
    uint64_t r0[BATCH];
};

static struct batch {
    struct random_program programs[BATCH];
    uint64_t seeds[BATCH];
    struct result interpreted[BATCH], native[BATCH];
    struct bpf_insn insns[BATCH_MAX];
    size_t insn_count;
} * batch;

static struct shared *shared;
static int shared_fd = -1;
static char *kernel_log;
static uint64_t compared_with_kernel, too_complex;

static void print_log(void *data, enum sta_log_level level, const char *message)
{
    (void)data, (void)level;
    print_error("%s\n", message);
}

static const struct sta__log log_to_stderr = {print_log, NULL};

static void fill_area(uint64_t program_seed, uint8_t *area)
{
    uint64_t random = ~program_seed;

    for (unsigned i = 0; i < RANDOM_AREA; i += 8) {
        uint64_t value = random_value(&random);

        memcpy(area + i, &value, sizeof(value));
    }
}

static void interpret(const struct sta__code *code, struct result *out)
{
    struct sta__tail_run run = {.ctx_size = RANDOM_AREA};
    struct sta__interpreted *program;

    assert_int_equal(sta__interpreted_new(&program, code, &log_to_stderr), 0);
    out->r0 = sta__interpret(program, out->area, &run);
    sta__interpreted_free(program);
}

/* By both ways in, each time with a fresh area. */
static void run_native(const struct sta__code *code, uint64_t program_seed, struct result *out)
{
    struct sta__jit_options options = {.without_shiftx = program_seed % 2};
    struct sta__tail_run run = {.ctx_size = RANDOM_AREA};
    uint8_t area[RANDOM_AREA];
    uint64_t damage = 1, r0;
    struct sta__jit jit;

    memcpy(area, out->area, sizeof(area));
    assert_int_equal(sta__jit_compile(&jit, code, &options, &log_to_stderr), 0);
    assert_int_equal(native_call(jit.run, out->area, RANDOM_AREA, &out->r0, &damage), 0);
    if (damage)
        fail_msg("seed %lu: registers of the caller are changed", program_seed);
    r0 = jit.enter(area, &run, NULL);
    if (r0 != out->r0 || memcmp(area, out->area, sizeof(area)) != 0)
        fail_msg("seed %lu: by run() r0 is %#lx, by enter() %#lx", program_seed, out->r0, r0);
    sta__jit_free(&jit);
}

static void print_result(const char *who, const struct result *result)
{
    printf("%-12s r0 %016lx, area", who, result->r0);
    for (unsigned i = 0; i < RANDOM_AREA; i++)
        printf("%s%02x", i % 8 ? "" : " ", result->area[i]);
    printf("\n");
}

static bool is_equal(const struct result *a, const struct result *b)
{
    return a->r0 == b->r0 && memcmp(a->area, b->area, RANDOM_AREA) == 0;
}

static void compare(unsigned i, const char *who, const struct result *other)
{
    const struct random_program *program = &batch->programs[i];

    if (is_equal(&batch->interpreted[i], other))
        return;
    random_program_print(program->insns, program->count);
    print_result("interpreter", &batch->interpreted[i]);
    print_result(who, other);
    fail_msg("seed %lu: interpreter and %s differ", batch->seeds[i], who);
}

static void run_here(unsigned i)
{
    const struct random_program *program = &batch->programs[i];
    struct sta__code code;

    fill_area(batch->seeds[i], batch->interpreted[i].area);
    batch->native[i] = batch->interpreted[i];
    if (sta__code_decode(&code, program->insns, program->count, NULL, &log_to_stderr) < 0) {
        random_program_print(program->insns, program->count);
        fail_msg("seed %lu: refused by the decoder", batch->seeds[i]);
    }
    interpret(&code, &batch->interpreted[i]);
    run_native(&code, batch->seeds[i], &batch->native[i]);
    sta__code_free(&code);
    compare(i, "JIT", &batch->native[i]);
}

/* r1 = address in the map's value */
static void put_address(size_t offset)
{
    batch->insns[batch->insn_count++] = (struct bpf_insn){.code = BPF_LD | BPF_IMM | BPF_DW,
                                                          .dst_reg = BPF_REG_1,
                                                          .src_reg = BPF_PSEUDO_MAP_VALUE,
                                                          .imm = shared_fd};
    batch->insns[batch->insn_count++] = (struct bpf_insn){.imm = (int32_t)offset};
}

/* A program that calls `count` of them, from `first` on, and notes their results. */
static void join_programs(unsigned first, unsigned count)
{
    size_t calls[BATCH];

    batch->insn_count = 0;
    for (unsigned i = first; i < first + count; i++) {
        put_address(offsetof(struct shared, areas) + i * RANDOM_AREA);
        calls[i] = batch->insn_count;
        batch->insns[batch->insn_count++] =
            (struct bpf_insn){.code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_CALL};
        put_address(offsetof(struct shared, r0) + i * sizeof(uint64_t));
        batch->insns[batch->insn_count++] =
            (struct bpf_insn){.code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_1};
    }
    batch->insns[batch->insn_count++] = (struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_K};
    batch->insns[batch->insn_count++] = (struct bpf_insn){.code = BPF_JMP | BPF_EXIT};
    for (unsigned i = first; i < first + count; i++) {
        const struct random_program *program = &batch->programs[i];

        batch->insns[calls[i]].imm = (int32_t)(batch->insn_count - calls[i] - 1);
        memcpy(batch->insns + batch->insn_count, program->insns,
               program->count * sizeof(*program->insns));
        batch->insn_count += program->count;
    }
}

static void compare_with_kernel(unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        struct result result = {.r0 = shared->r0[i]};

        memcpy(result.area, shared->areas[i], RANDOM_AREA);
        compare(i, "kernel", &result);
    }
    compared_with_kernel += count;
}

static void report_refusal(unsigned i, int err)
{
    const char *reason = kernel_log;

    random_program_print(batch->programs[i].insns, batch->programs[i].count);
    if (strlen(reason) > 2000)
        reason += strlen(reason) - 2000;
    printf("%s\n", reason);
    fail_msg("seed %lu: refused by the kernel: %s", batch->seeds[i], strerror(-err));
}

/* A batch that is refused, because it is too complex in all, is halved. */
static void run_in_kernel(unsigned first, unsigned count)
{
    int program, err;

    join_programs(first, count);
    for (unsigned i = first; i < first + count; i++)
        fill_area(batch->seeds[i], shared->areas[i]);
    program = kernel_load(BPF_PROG_TYPE_RAW_TRACEPOINT, batch->insns, batch->insn_count,
                          count == 1 ? kernel_log : NULL, LOG_SIZE);
    if (program < 0 && count > 1) {
        run_in_kernel(first, count / 2);
        run_in_kernel(first + count / 2, count - count / 2);
        return;
    }
    if (program == -E2BIG) {
        too_complex++;
        return;
    }
    if (program < 0)
        report_refusal(first, program);
    err = kernel_run(program);
    close(program);
    assert_int_equal(err, 0);
    compare_with_kernel(first, count);
}

static void run_batch(uint64_t first_seed, unsigned count, bool also_in_kernel)
{
    for (unsigned i = 0; i < count; i++) {
        batch->seeds[i] = first_seed + i;
        random_program_make(&batch->programs[i], batch->seeds[i]);
        run_here(i);
    }
    if (also_in_kernel)
        run_in_kernel(0, count);
}

static void random_programs_run_alike(void **state)
{
    (void)state;
    for (uint64_t done = 0; done < programs; done += BATCH) {
        uint64_t left = programs - done;

        run_batch(seed + done, left < BATCH ? (unsigned)left : BATCH,
                  !why_no_kernel && done < in_kernel);
    }
    print_message("%lu programs from seed %lu: the same by interpreter and JIT\n", programs, seed);
}

/* What was compared above. */
static void they_run_alike_in_the_kernel(void **state)
{
    (void)state;
    if (why_no_kernel) {
        print_message("skipped: %s\n", why_no_kernel);
        skip();
    }
    print_message("%lu compared with the kernel; %lu too complex for it\n", compared_with_kernel,
                  too_complex);
    assert_true(compared_with_kernel + too_complex >= in_kernel);
    assert_true(compared_with_kernel > in_kernel / 2);
}

static int setup(void **state)
{
    void *value;

    (void)state;
    batch = malloc(sizeof(*batch));
    kernel_log = malloc(LOG_SIZE);
    if (!batch || !kernel_log)
        return -1;
    if (why_no_kernel)
        return 0;
    shared_fd = kernel_array(sizeof(*shared), &value);
    if (shared_fd < 0)
        why_no_kernel = shared_fd == -EPERM ? "bpf(2) is not permitted" : strerror(-shared_fd);
    else
        shared = value;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(batch);
    free(kernel_log);
    return 0;
}

static bool parse_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        uint64_t *number = strcmp(argv[i], "--programs") == 0 ? &programs
                           : strcmp(argv[i], "--seed") == 0   ? &seed
                                                              : NULL;

        if (number && i + 1 < argc)
            *number = strtoull(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--without-kernel") == 0)
            why_no_kernel = "not asked for";
        else
            return false;
    }
    if (programs != DEFAULT_PROGRAMS)
        in_kernel = programs;
    return programs > 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_programs_run_alike),
        cmocka_unit_test(they_run_alike_in_the_kernel),
    };

    if (!parse_options(argc, argv)) {
        fprintf(stderr, "usage: %s [--programs N] [--seed S] [--without-kernel]\n", argv[0]);
        return 2;
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
