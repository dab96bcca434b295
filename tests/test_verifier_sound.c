/* SPDX-License-Identifier: MIT */
/*
 * Nothing unsafe is accepted: what the verifier believes is held against what happens.
 *
 *     test_verifier_sound [--programs N] [--seed S]
 *
 * Programs are made to get around it (verifier/attack.h) and run with many inputs, with every
 * access looked at, and every branch and instruction that it marked. And its arithmetic is done
 * with numbers at its side. A failure prints the program and its seed; --programs 1 --seed THAT
 * repeats it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sta/program.h>

#include "base/compiler.h"
#include "ebpf/isa.h"
#include "ebpf/verify/range.h"
#include "verifier/attack.h"
#include "verifier/both.h"
#include "verifier/concrete.h"
#include "verifier/random.h"

#if defined(__SANITIZE_ADDRESS__) || STA__THREAD_SANITIZER
#    define DEFAULT_PROGRAMS 250
#else
#    define DEFAULT_PROGRAMS 1000
#endif
#define RUNS 40

static uint64_t seed = 1, programs = DEFAULT_PROGRAMS;
static char text[1 << 20];

/* ---- programs ---- */

static void check(const struct bpf_insn *insns, size_t count, uint64_t of_seed, bool must_pass)
{
    struct both_verdict verdict = {.runs = RUNS};

    both_ours(insns, count, BPF_PROG_TYPE_TRACEPOINT, 0, 0, &verdict);
    if (must_pass)
        assert_int_equal(verdict.err, 0);
    if (!verdict.wrong)
        return;
    verdict.log = text;
    verdict.log_size = sizeof(text);
    both_ours(insns, count, BPF_PROG_TYPE_TRACEPOINT, 0, STA_VERIFIER_LOG_FULL, &verdict);
    print_error("%s\n", text);
    fail_msg("seed %llu, insn %u: %s", (unsigned long long)of_seed, verdict.wrong_insn,
             verdict.wrong);
}

static void attacks_fail(void **state)
{
    static struct bpf_insn insns[ATTACK_MAX];

    (void)state;
    for (uint64_t i = seed; i < seed + programs; i++)
        check(insns, attack_program(insns, i), i, true);
}

static void random_programs_keep_to_what_is_theirs(void **state)
{
    static struct bpf_insn insns[RANDOM_PROGRAM_MAX];

    (void)state;
    for (uint64_t i = seed; i < seed + programs; i++) {
        random_has_locks = i % 2;
        check(insns, random_program(insns, i), i, false);
    }
}

/* ---- numbers ---- */

struct numbers {
    uint64_t random;
    uint64_t values[4]; /* .. that are known as */
    struct sta__range ranges[4];
};

static uint64_t any(struct numbers *n)
{
    n->random ^= n->random << 13;
    n->random ^= n->random >> 7;
    n->random ^= n->random << 17;
    return n->random * 0x2545f4914f6cdd1dull;
}

static uint64_t edge(struct numbers *n)
{
    uint64_t number = any(n) >> (any(n) >> 40) % 64, at = 1ull << (any(n) >> 40) % 64;

    switch ((any(n) >> 40) % 4) {
    case 0:
        return at + (any(n) >> 40) % 3 - 1;
    case 1:
        return -(at + (any(n) >> 40) % 3 - 1);
    case 2:
        return (any(n) >> 40) % 100 - 50;
    default:
        return number;
    }
}

static bool is_in(const struct sta__range *r, uint64_t value)
{
    return (value & ~r->bits.mask) == r->bits.value && value >= r->umin && value <= r->umax &&
           (int64_t)value >= r->smin && (int64_t)value <= r->smax && (uint32_t)value >= r->umin32 &&
           (uint32_t)value <= r->umax32 && (int32_t)value >= r->smin32 &&
           (int32_t)value <= r->smax32;
}

static void do_arithmetic(struct numbers *n, int a, int b)
{
    static const uint8_t ops[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR,  BPF_AND,
                                  BPF_LSH, BPF_RSH, BPF_NEG, BPF_MOD, BPF_XOR, BPF_ARSH};
    uint8_t op = ops[(any(n) >> 40) % sizeof(ops)];
    bool is_32 = any(n) >> 40 & 1;

    if ((op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH) && (any(n) >> 40) % 4) {
        n->values[b] = (any(n) >> 40) % (is_32 ? 32 : 64);
        sta__range_const(&n->ranges[b], n->values[b]);
    }
    n->values[a] = concrete_alu(n->values[a], n->values[b], op, is_32, false);
    sta__range_alu(&n->ranges[a], n->ranges[b], op, is_32);
}

/* The way that the numbers go. */
static void do_comparison(struct numbers *n, int a, int b)
{
    static const uint8_t ops[] = {BPF_JEQ,  BPF_JNE,  BPF_JGT,  BPF_JGE,  BPF_JLT, BPF_JLE,
                                  BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE, BPF_JSET};
    uint8_t op = ops[(any(n) >> 40) % sizeof(ops)];
    bool is_32 = any(n) >> 40 & 1, taken;
    int known;

    if ((any(n) >> 40) % 3) {
        n->values[b] = (any(n) >> 40) % 4 ? n->values[a] + (any(n) >> 40) % 40 - 20 : edge(n);
        sta__range_const(&n->ranges[b], n->values[b]);
    }
    taken = concrete_condition(n->values[a], n->values[b], op, is_32);
    known = sta__range_compare(&n->ranges[a], &n->ranges[b], op, is_32);
    assert_true(known < 0 || known == taken);
    if (known < 0)
        sta__range_refine(&n->ranges[a], &n->ranges[b], op, is_32, taken);
}

static void do_extension(struct numbers *n, int a)
{
    unsigned size = 1u << (any(n) >> 40) % 3, up = 64 - size * 8;
    uint64_t value = n->values[a] << up;

    switch ((any(n) >> 40) % 4) {
    case 0:
        n->values[a] = value >> up;
        sta__range_truncate(&n->ranges[a], size);
        break;
    case 1:
        n->values[a] = (uint64_t)((int64_t)value >> up);
        sta__range_sign_extend(&n->ranges[a], size);
        break;
    case 2:
        size = size == 4 ? 2 : size;
        up = 64 - size * 8;
        n->values[a] = (uint32_t)((int64_t)(n->values[a] << up) >> up);
        sta__range_sign_extend_32(&n->ranges[a], size);
        sta__range_zero_extend(&n->ranges[a]);
        sta__range_sync(&n->ranges[a]);
        break;
    default:
        size *= 2;
        n->values[a] = __builtin_bswap64(n->values[a] << (64 - size * 8));
        n->values[a] &= size < 8 ? (1ull << size * 8) - 1 : UINT64_MAX;
        sta__range_bytes(&n->ranges[a], size, true);
    }
}

static void begin(struct numbers *n)
{
    for (int i = 0; i < 4; i++) {
        n->values[i] = edge(n);
        sta__range_unknown(&n->ranges[i]);
        if ((any(n) >> 40) % 4 == 0)
            sta__range_const(&n->ranges[i], n->values[i]);
    }
}

static void numbers_are_what_is_known_of_them(void **state)
{
    struct numbers n = {.random = seed * 0x9e3779b97f4a7c15ull + 7};

    (void)state;
    for (uint64_t step = 0; step < programs * 1000; step++) {
        int a = (any(&n) >> 40) % 4, b = (a + 1 + (int)((any(&n) >> 40) % 3)) % 4;

        if (step % 16 == 0)
            begin(&n);
        switch ((any(&n) >> 40) % 5) {
        case 0:
        case 1:
            do_arithmetic(&n, a, b);
            break;
        case 2:
            do_extension(&n, a);
            break;
        default:
            do_comparison(&n, a, b);
        }
        for (int i = 0; i < 4; i++) {
            sta__range_check(&n.ranges[i]);
            if (!is_in(&n.ranges[i], n.values[i]))
                fail_msg("step %llu: number %d, %#llx, is not where it should be",
                         (unsigned long long)step, i, (unsigned long long)n.values[i]);
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_what_is_known_of_them),
        cmocka_unit_test(attacks_fail),
        cmocka_unit_test(random_programs_keep_to_what_is_theirs),
    };

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--programs") == 0)
            programs = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 0);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
