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
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <sta/program.h>

#include "base/compiler.h"
#include "ebpf/interpret.h"
#include "ebpf/jit.h"
#include "ebpf/verify.h"
#include "vm/kernel_bpf.h"
#include "vm/native_call.h"
#include "vm/random_program.h"

#define BATCH     48
#define BATCH_MAX (BATCH * (RANDOM_INSNS_MAX + 6) + 2)
#define LOG_SIZE  (1 << 20)

#if defined(__SANITIZE_ADDRESS__) || STA__THREAD_SANITIZER
#    define DEFAULT_PROGRAMS  6000
#    define DEFAULT_IN_KERNEL 1500
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

/* What joined programs read and write, the only element of an array map: an area each, then a
 * result each. */
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

static struct shared *shared; /* the kernel's */
static int shared_fd = 1;     /* of the kernel's map, if there is one; stands for ours as well */
static char *verifier_log;    /* of the one or the other */
static uint64_t compared_with_kernel, too_complex, verified, too_complex_here;

/* ... and ours. */
static struct shared own_shared;
static struct sta_map own_map = {.type = BPF_MAP_TYPE_ARRAY,
                                 .key_size = 4,
                                 .value_size = sizeof(own_shared),
                                 .max_entries = 1,
                                 .values = &own_shared,
                                 .value_stride = sizeof(own_shared)};

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

static volatile uint64_t running;

static void on_crash(int number)
{
    dprintf(STDERR_FILENO, "seed %lu: %s\n", running, strsignal(number));
    signal(number, SIG_DFL);
    raise(number);
}

static void run_here(unsigned i)
{
    const struct random_program *program = &batch->programs[i];
    struct sta__code code;

    running = batch->seeds[i];
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

static void compare_shared(unsigned first, unsigned count, const struct shared *with,
                           const char *who)
{
    for (unsigned i = first; i < first + count; i++) {
        struct result result = {.r0 = with->r0[i]};

        memcpy(result.area, with->areas[i], RANDOM_AREA);
        compare(i, who, &result);
    }
}

static void fill_shared(unsigned first, unsigned count, struct shared *to)
{
    for (unsigned i = first; i < first + count; i++) {
        fill_area(batch->seeds[i], to->areas[i]);
        to->r0[i] = ~0ull;
    }
}

static void report_refusal(unsigned i, int err, const char *who)
{
    const char *reason = verifier_log;

    random_program_print(batch->programs[i].insns, batch->programs[i].count);
    if (strlen(reason) > 2000)
        reason += strlen(reason) - 2000;
    printf("%s\n", reason);
    fail_msg("seed %lu: refused by %s: %s", batch->seeds[i], who, strerror(-err));
}

/* Loads and runs them. Returns 0, or -errno if they are refused. */
static int try_in_kernel(unsigned first, unsigned count)
{
    int program = kernel_load(BPF_PROG_TYPE_RAW_TRACEPOINT, batch->insns, batch->insn_count,
                              count == 1 ? verifier_log : NULL, LOG_SIZE);
    int err;

    if (program < 0)
        return program;
    fill_shared(first, count, shared);
    err = kernel_run(program);
    close(program);
    assert_int_equal(err, 0);
    compare_shared(first, count, shared, "kernel");
    compared_with_kernel += count;
    return 0;
}

static int find_own_map(void *data, int fd_or_index, int is_index, struct sta_map **out)
{
    (void)data, (void)is_index;
    *out = &own_map;
    return fd_or_index == shared_fd ? 0 : -EBADF;
}

/* With what the verifier found out of them: dead code, decided branches, depth of the stack. */
static void run_verified(const struct sta__code *code, unsigned first, unsigned count)
{
    static const struct sta__jit_options plain;
    struct sta__interpreted *interpreted;
    struct sta__tail_run run = {0};
    struct sta__jit jit;
    uint64_t r0;

    assert_int_equal(sta__interpreted_new(&interpreted, code, &log_to_stderr), 0);
    assert_int_equal(sta__jit_compile(&jit, code, &plain, &log_to_stderr), 0);
    fill_shared(first, count, &own_shared);
    sta__interpret(interpreted, NULL, &run);
    compare_shared(first, count, &own_shared, "interpreter, verified");
    fill_shared(first, count, &own_shared);
    jit.run(NULL, 0, &r0, NULL);
    compare_shared(first, count, &own_shared, "JIT, verified");
    sta__jit_free(&jit);
    sta__interpreted_free(interpreted);
    verified += count;
}

static int try_verified(unsigned first, unsigned count)
{
    const struct sta__verify_options options = {.type = BPF_PROG_TYPE_RAW_TRACEPOINT,
                                                .log_buf = verifier_log,
                                                .log_size = count == 1 ? LOG_SIZE : 0,
                                                .log_level =
                                                    count == 1 ? STA_VERIFIER_LOG_STATE : 0};
    const struct sta__map_finder finder = {find_own_map, NULL};
    const struct sta__log silent = {NULL, NULL};
    struct sta__verify_result result;
    struct sta__code code;
    int err;

    assert_int_equal(
        sta__code_decode(&code, batch->insns, batch->insn_count, &finder, &log_to_stderr), 0);
    err = sta__verify(&code, &options, &result, &silent);
    if (err == 0)
        run_verified(&code, first, count);
    sta__code_free(&code);
    return err;
}

/* All of a batch; if they are too complex together, which the verifiers say after a while, halves.
 */
static void run_joined(unsigned first, unsigned count, int (*try)(unsigned first, unsigned count),
                       uint64_t *refused_as_complex, const char *who)
{
    int err;

    join_programs(first, count);
    err = try(first, count);
    if (err == 0)
        return;
    if (count > 1) {
        run_joined(first, count / 2, try, refused_as_complex, who);
        run_joined(first + count / 2, count - count / 2, try, refused_as_complex, who);
    } else if (err == -E2BIG) {
        ++*refused_as_complex;
    } else {
        report_refusal(first, err, who);
    }
}

static void run_batch(uint64_t first_seed, unsigned count, bool also_in_kernel)
{
    for (unsigned i = 0; i < count; i++) {
        batch->seeds[i] = first_seed + i;
        random_program_make(&batch->programs[i], batch->seeds[i]);
        run_here(i);
    }
    run_joined(0, count, try_verified, &too_complex_here, "the verifier");
    if (also_in_kernel)
        run_joined(0, count, try_in_kernel, &too_complex, "the kernel");
}

static void random_programs_run_alike(void **state)
{
    (void)state;
    signal(SIGFPE, on_crash); /* instead of cmocka's */
    signal(SIGSEGV, on_crash);
    for (uint64_t done = 0; done < programs; done += BATCH) {
        uint64_t left = programs - done;

        run_batch(seed + done, left < BATCH ? (unsigned)left : BATCH,
                  !why_no_kernel && done < in_kernel);
    }
    print_message("%lu programs from seed %lu: the same by interpreter and JIT\n", programs, seed);
}

/* What was compared above. */
static void verified_programs_run_alike(void **state)
{
    (void)state;
    print_message("%lu verified; %lu too complex\n", verified, too_complex_here);
    assert_int_equal(verified + too_complex_here, programs);
    assert_true(verified > programs / 2);
}

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
    int fd;

    (void)state;
    batch = malloc(sizeof(*batch));
    verifier_log = malloc(LOG_SIZE);
    if (!batch || !verifier_log)
        return -1;
    if (why_no_kernel)
        return 0;
    fd = kernel_array(sizeof(*shared), &value);
    if (fd < 0) {
        why_no_kernel = fd == -EPERM ? "bpf(2) is not permitted" : strerror(-fd);
        return 0;
    }
    shared_fd = fd;
    shared = value;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(batch);
    free(verifier_log);
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
        cmocka_unit_test(verified_programs_run_alike),
        cmocka_unit_test(they_run_alike_in_the_kernel),
    };

    if (!parse_options(argc, argv)) {
        fprintf(stderr, "usage: %s [--programs N] [--seed S] [--without-kernel]\n", argv[0]);
        return 2;
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
