/* SPDX-License-Identifier: MIT */
/*
 * What is written in data/ebpf is so in the kernel: programs leave there what they are said to, and
 * what is malformed is refused. Needs root; with an argument, what the kernel refuses is listed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebpf/isa.h"
#include "ebpf_data.h"
#include "vm/kernel_bpf.h"

/* The element of an array through which a program gets its memory and gives its result. */
struct exchange {
    uint64_t result;
    uint8_t mem[EBPF_MEM_MAX];
};

struct comparison {
    int map;
    struct exchange *exchange;
    struct bpf_insn *insns;
    unsigned alike, refused, failed;
};

static bool lists_refused;

#define I(c, d, s, o, i) \
    ((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})

static size_t put_value_address(struct bpf_insn *insns, unsigned reg, int map, size_t offset)
{
    insns[0] = I(STA__OP_LDDW, reg, BPF_PSEUDO_MAP_VALUE, 0, map);
    insns[1] = I(0, 0, 0, 0, (int32_t)offset);
    return 2;
}

/* The program becomes a subprogram of one that calls it as the interpreter does and stores r0. */
static size_t wrap(const struct comparison *comparison, const struct ebpf_case *test)
{
    struct bpf_insn *insns = comparison->insns;
    size_t count = 0, call;

    if (test->mem_size)
        count += put_value_address(insns, 1, comparison->map, offsetof(struct exchange, mem));
    else
        insns[count++] = I(STA__OP_MOV64K, 1, 0, 0, 0);
    insns[count++] = I(STA__OP_MOV64K, 2, 0, 0, (int32_t)test->mem_size);
    call = count++;
    count += put_value_address(insns + count, 1, comparison->map, 0);
    insns[count++] = I(STA__OP_STXDW, 1, 0, 0, 0);
    insns[count++] = I(STA__OP_MOV64K, 0, 0, 0, 0);
    insns[count++] = I(STA__OP_EXIT, 0, 0, 0, 0);
    insns[call] = I(STA__OP_CALL, 0, BPF_PSEUDO_CALL, 0, (int32_t)(count - call - 1));
    memcpy(insns + count, test->insns, test->count * sizeof(*insns));
    return count + test->count;
}

static void compare_run(const struct ebpf_case *test, struct comparison *comparison, int program)
{
    struct exchange *exchange = comparison->exchange;

    exchange->result = 0;
    memcpy(exchange->mem, test->mem, test->mem_size);
    if (kernel_run(program) == 0 && exchange->result == test->result &&
        (!test->has_mem_after || memcmp(exchange->mem, test->mem_after, test->mem_size) == 0)) {
        comparison->alike++;
        return;
    }
    fprintf(stderr, "%s:%u: %s: in the kernel r0 is %#llx, expected %#llx\n", test->path,
            test->line, test->name, (unsigned long long)exchange->result,
            (unsigned long long)test->result);
    comparison->failed++;
}

/* The last line but one of the verifier's text is the reason. */
static void print_reason(char *log)
{
    char *line = strtok(log, "\n"), *reason = line;

    for (; line; line = strtok(NULL, "\n")) {
        if (strncmp(line, "processed ", 10) != 0)
            reason = line;
    }
    fprintf(stderr, "    %s\n", reason ? reason : "(no reason)");
}

static void run_in_kernel(const struct ebpf_case *test, void *data)
{
    static char log[1 << 20];
    struct comparison *comparison = data;
    size_t count;
    int program;

    if (test->error[0] || test->count > 4096)
        return;
    count = wrap(comparison, test);
    program = kernel_load(BPF_PROG_TYPE_RAW_TRACEPOINT, comparison->insns, count,
                          lists_refused ? log : NULL, sizeof(log));
    if (program >= 0) {
        compare_run(test, comparison, program);
        close(program);
        return;
    }
    comparison->refused++;
    if (lists_refused) {
        fprintf(stderr, "%s:%u: %s\n", test->path, test->line, test->name);
        print_reason(log);
    }
}

static void programs_do_the_same_in_the_kernel(void **state)
{
    struct comparison comparison = {0};

    (void)state;
    comparison.map = kernel_array(sizeof(struct exchange), (void **)&comparison.exchange);
    if (comparison.map < 0) {
        print_message("no bpf(2): %s\n", strerror(-comparison.map));
        skip();
    }
    comparison.insns = calloc(EBPF_INSNS_MAX + 16, sizeof(*comparison.insns));
    assert_non_null(comparison.insns);
    assert_true(ebpf_data_visit(EBPF_DATA_DIR, run_in_kernel, &comparison) > 0);
    printf("%u alike, %u that the kernel does not accept, %u different\n", comparison.alike,
           comparison.refused, comparison.failed);
    assert_int_equal(comparison.failed, 0);
    assert_true(comparison.alike > 900);
    free(comparison.insns);
    close(comparison.map);
}

/* Without types of functions, so that nothing but the instructions can be wrong. */
static int load_alone(const struct ebpf_case *test, char *log, size_t log_size)
{
    union bpf_attr attr;
    long got;

    memset(&attr, 0, sizeof(attr));
    attr.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT;
    attr.insns = (uintptr_t)test->insns;
    attr.insn_cnt = (uint32_t)test->count;
    attr.license = (uintptr_t) "Dual MIT/GPL";
    attr.log_buf = (uintptr_t)log;
    attr.log_size = (uint32_t)log_size;
    attr.log_level = 1;
    log[0] = '\0';
    got = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
    return got < 0 ? -errno : (int)got;
}

struct refusals {
    unsigned refused, accepted, in_our_words;
};

/* What the kernel has and libsta means not to have. */
static bool is_meant_to_differ(const struct ebpf_case *test)
{
    return strcmp(test->name, "may_goto") == 0; /* not in the standard */
}

static void refuse_in_kernel(const struct ebpf_case *test, void *data)
{
    static char log[1 << 16];
    struct refusals *refusals = data;
    const char *words = strstr(test->error, ": ");
    int program;

    if (!test->error[0] || is_meant_to_differ(test))
        return;
    program = load_alone(test, log, sizeof(log));
    if (program >= 0) {
        fprintf(stderr, "%s:%u: %s: the kernel accepts it\n", test->path, test->line, test->name);
        refusals->accepted++;
        close(program);
        return;
    }
    refusals->refused++;
    if (words && strstr(log, words + 2)) {
        refusals->in_our_words++;
    } else if (lists_refused) {
        fprintf(stderr, "%s:%u: %s:\n    ours %s\n", test->path, test->line, test->name,
                test->error);
        print_reason(log);
    }
}

static void the_kernel_refuses_what_is_malformed(void **state)
{
    struct refusals refusals = {0};

    (void)state;
    if (geteuid() != 0) {
        print_message("not root\n");
        skip();
    }
    assert_true(ebpf_data_visit(EBPF_DATA_DIR, refuse_in_kernel, &refusals) > 0);
    if (refusals.accepted == 0 && refusals.in_our_words == 0) {
        print_message("no bpf(2)\n");
        skip();
    }
    printf("%u refused, %u of them in our words\n", refusals.refused, refusals.in_our_words);
    assert_int_equal(refusals.accepted, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_do_the_same_in_the_kernel),
        cmocka_unit_test(the_kernel_refuses_what_is_malformed),
    };

    (void)argv;
    lists_refused = argc > 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
