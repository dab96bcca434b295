/* SPDX-License-Identifier: MIT */
/*
 * Native code, instruction by instruction: with every pair of registers, since some are in the way
 * of the processor's own instructions, and looking at all registers afterwards.
 */
#ifndef _GNU_SOURCE
#    define _GNU_SOURCE
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vm/build.h"

#define REGS 10 /* r0 to r9 */

struct registers {
    uint64_t r[REGS];
};

/* A program that loads all registers from its context, executes `insns`, and stores them there. */
static struct sta__jit compile_between(const struct bpf_insn *insns, size_t count,
                                       const struct sta__jit_options *options)
{
    struct bpf_insn program[64];
    struct sta__code code;
    struct sta__jit jit;
    size_t n = 0;

    program[n++] = I(STXDW, 10, 1, -8, 0);
    for (int reg = 0; reg < REGS; reg++) {
        if (reg != 1)
            program[n++] = I(LDXDW, reg, 1, 8 * reg, 0);
    }
    program[n++] = I(LDXDW, 1, 1, 8, 0);
    memcpy(program + n, insns, count * sizeof(*insns));
    n += count;
    program[n++] = I(STXDW, 10, 1, -16, 0);
    program[n++] = I(LDXDW, 1, 10, -8, 0);
    for (int reg = 0; reg < REGS; reg++) {
        if (reg != 1)
            program[n++] = I(STXDW, 1, reg, 8 * reg, 0);
    }
    program[n++] = I(LDXDW, 0, 10, -16, 0);
    program[n++] = I(STXDW, 1, 0, 8, 0);
    program[n++] = I(EXIT, 0, 0, 0, 0);
    code = decoded(program, n, NULL);
    jit = compiled_code(&code, options);
    sta__code_free(&code);
    return jit;
}

static const struct sta__jit_options plain, without_shiftx = {.without_shiftx = true};

static const uint64_t values[] = {
    0,          1,          2,          7,           UINT64_MAX,         UINT64_MAX - 1,
    INT64_MAX,  1ull << 63, UINT32_MAX, INT32_MAX,   1ull << 31,         1ull << 32,
    5ull << 32, 33,         63,         0x123456789, 0xffffffff00000000, 0xfedcba9876543210,
};

static void fill(struct registers *registers)
{
    for (int i = 0; i < REGS; i++)
        registers->r[i] = 0x0101010101010101ull * (unsigned)(i + 1);
}

static void compare(const char *what, const struct bpf_insn *insn, const struct registers *got,
                    const struct registers *expected)
{
    for (int i = 0; i < REGS; i++) {
        if (got->r[i] != expected->r[i])
            fail_msg("%s: code %#x, dst r%d, src r%d, off %d, imm %d: r%d is %#lx, not %#lx", what,
                     insn->code, insn->dst_reg, insn->src_reg, insn->off, insn->imm, i, got->r[i],
                     expected->r[i]);
    }
}

/* What the standard says, as simply as can be. */
static uint64_t divided(const struct bpf_insn *insn, uint64_t a, uint64_t b)
{
    bool wide = (insn->code & 7) == BPF_ALU64, is_modulo = BPF_OP(insn->code) == BPF_MOD;
    __int128 x, y;

    if (insn->off) {
        x = wide ? (__int128)(int64_t)a : (int32_t)a;
        y = wide ? (__int128)(int64_t)b : (int32_t)b;
    } else {
        x = wide ? (__int128)a : (uint32_t)a;
        y = wide ? (__int128)b : (uint32_t)b;
    }
    if (y == 0)
        x = is_modulo ? x : 0;
    else
        x = is_modulo ? x % y : x / y;
    return wide ? (uint64_t)x : (uint32_t)x;
}

static uint64_t shifted(const struct bpf_insn *insn, uint64_t a, uint64_t b)
{
    bool wide = (insn->code & 7) == BPF_ALU64;
    unsigned count = b & (wide ? 63 : 31);

    switch (BPF_OP(insn->code)) {
    case BPF_LSH:
        return wide ? a << count : (uint32_t)a << count;
    case BPF_RSH:
        return wide ? a >> count : (uint32_t)a >> count;
    default:
        return wide ? (uint64_t)((int64_t)a >> count) : (uint32_t)((int32_t)a >> count);
    }
}

static void try_operands(const struct bpf_insn *insn, const struct sta__jit *jit, uint64_t a,
                         uint64_t b, uint64_t (*model)(const struct bpf_insn *, uint64_t, uint64_t))
{
    struct registers got, expected;

    fill(&got);
    got.r[insn->dst_reg] = a;
    if (BPF_SRC(insn->code) == BPF_X)
        got.r[insn->src_reg] = b;
    else
        b = (uint64_t)(int64_t)insn->imm;
    expected = got;
    expected.r[insn->dst_reg] = model(insn, got.r[insn->dst_reg], b);
    if (BPF_SRC(insn->code) == BPF_X && insn->src_reg == insn->dst_reg)
        expected.r[insn->dst_reg] = model(insn, got.r[insn->dst_reg], got.r[insn->dst_reg]);
    run_jit(jit, &got, sizeof(got));
    compare("operands", insn, &got, &expected);
}

static void try_insn(const struct bpf_insn *insn, const struct sta__jit_options *options,
                     uint64_t (*model)(const struct bpf_insn *, uint64_t, uint64_t))
{
    struct sta__jit jit = compile_between(insn, 1, options);

    for (size_t i = 0; i < COUNT(values); i++) {
        for (size_t k = 0; k < COUNT(values); k++)
            try_operands(insn, &jit, values[i], values[k], model);
    }
    sta__jit_free(&jit);
}

static void divisions_by_registers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8 * REGS * REGS; i++) {
        struct bpf_insn insn = {
            .code = (uint8_t)((i & 1 ? BPF_ALU : BPF_ALU64) | (i & 2 ? BPF_MOD : BPF_DIV) | BPF_X),
            .off = i >> 2 & 1,
            .dst_reg = i / 8 % REGS & 15,
            .src_reg = i / 8 / REGS & 15,
        };

        try_insn(&insn, &plain, divided);
    }
}

static void divisions_by_numbers(void **state)
{
    static const int32_t numbers[] = {1, 2, 3, 8, 10, 1 << 30, INT32_MAX, INT32_MIN, -1, -2, -7};

    (void)state;
    for (unsigned i = 0; i < 8 * REGS * COUNT(numbers); i++) {
        struct bpf_insn insn = {
            .code = (uint8_t)((i & 1 ? BPF_ALU : BPF_ALU64) | (i & 2 ? BPF_MOD : BPF_DIV) | BPF_K),
            .off = i >> 2 & 1,
            .dst_reg = i / 8 % REGS & 15,
            .imm = numbers[i / 8 / REGS],
        };

        try_insn(&insn, &plain, divided);
    }
}

/* By both ways that there are. */
static void shifts_by_registers(void **state)
{
    static const uint8_t ops[] = {BPF_LSH, BPF_RSH, BPF_ARSH};

    (void)state;
    for (unsigned i = 0; i < 2 * COUNT(ops) * REGS * REGS; i++) {
        struct bpf_insn insn = {
            .code = (uint8_t)((i & 1 ? BPF_ALU : BPF_ALU64) | ops[i / 2 % COUNT(ops)] | BPF_X),
            .dst_reg = i / 2 / COUNT(ops) % REGS & 15,
            .src_reg = i / 2 / COUNT(ops) / REGS & 15,
        };

        try_insn(&insn, &plain, shifted);
        try_insn(&insn, &without_shiftx, shifted);
    }
}

/* The frame's address is a number, too; with and without a frame pointer. */
static void r10_can_be_any_source(void **state)
{
    static const struct {
        int depth;
        bool calls;
    } frames[] = {{8, false}, {128, false}, {256, false}, {8, true}};

    (void)state;
    for (unsigned code = 0; code < 256; code++) {
        unsigned class = code & 7, op = BPF_OP(code);

        if ((class != BPF_ALU && class != BPF_ALU64) || BPF_SRC(code) != BPF_X || op == BPF_END ||
            op == BPF_NEG || op > BPF_ARSH)
            continue;
        for (unsigned i = 0; i < COUNT(frames); i++) {
            /* r0 = (r op r10) - (r op copy of r10), which is made by another instruction */
            const struct bpf_insn insns[] = {
                I(STDW, 10, 0, -frames[i].depth, 0),
                frames[i].calls ? I(CALL, 0, 0, 0, BPF_FUNC_get_prandom_u32)
                                : I(MOV64K, 0, 0, 0, 0),
                I(MOV64X, 5, 10, 0, 0),
                I(ADD64K, 5, 0, 0, -8),
                I(ADD64K, 5, 0, 0, 4),
                I(ADD64K, 5, 0, 0, 4),
                WIDE(0, 0, 0x123456789abcdefull),
                WIDE(4, 0, 0x123456789abcdefull),
                {.code = (uint8_t)code, .dst_reg = 0, .src_reg = 10},
                {.code = (uint8_t)code, .dst_reg = 4, .src_reg = 5},
                I(SUB64X, 0, 4, 0, 0),
                I(EXIT, 0, 0, 0, 0),
            };

            if (RUN(insns, NULL, 0) != 0)
                fail_msg("code %#x with r10, stack of %d bytes: differs", code, frames[i].depth);
        }
    }
}

/* Upper halves are zeroed by all atomic operations of 32 bits that fetch, and r0 by cmpxchg whether
 * it exchanged or not. */
static void fetched_halves_are_zero_extended(void **state)
{
    static const int32_t ops[] = {BPF_ADD | BPF_FETCH, BPF_OR | BPF_FETCH, BPF_AND | BPF_FETCH,
                                  BPF_XOR | BPF_FETCH, BPF_XCHG,           BPF_CMPXCHG};

    (void)state;
    for (unsigned i = 0; i < COUNT(ops) * REGS * 2; i++) {
        unsigned src = i % REGS, written = ops[i / 2 / REGS] == BPF_CMPXCHG ? 0 : src;
        uint32_t there = i / REGS & 1 ? 0x80000001 : 0x01010101;
        const struct bpf_insn insns[] = {
            I(STW, 10, 0, -24, there),
            {.code = STA__OP_ATOMICW,
             .dst_reg = 10,
             .src_reg = src & 15,
             .off = -24,
             .imm = ops[i / 2 / REGS]},
        };
        struct sta__jit jit = compile_between(insns, COUNT(insns), &plain);
        struct registers got;

        fill(&got);
        got.r[written] = 0xffffffff01010101;
        run_jit(&jit, &got, sizeof(got));
        if (got.r[written] != there)
            fail_msg("imm %#x, src r%u: r%u is %#lx, not %#x", ops[i / 2 / REGS], src, written,
                     got.r[written], there);
        sta__jit_free(&jit);
    }
}

/* r0 = 1 if the jump over `count` fillers of five bytes is taken, forward or back. */
static size_t write_jump(struct bpf_insn *to, unsigned count, bool is_backward, bool is_taken)
{
    size_t n = 0, fillers = 0;

    to[n++] = I(MOV64K, 0, 0, 0, 0);
    to[n++] = I(MOV64K, 2, 0, 0, is_taken);
    if (is_backward) { /* goto there; here: r0 += 1; exit; there: fillers; if r2 goto here; exit */
        to[n++] = I(JA, 0, 0, 2, 0);
        to[n++] = I(ADD64K, 0, 0, 0, 1);
        to[n++] = I(EXIT, 0, 0, 0, 0);
    } else {
        to[n++] = I(JNE64K, 2, 0, (int16_t)(count + 1), 0);
    }
    for (; fillers < count; fillers++)
        to[n++] = I(MOV64K, 4, 0, 0, 0x12345678);
    if (is_backward)
        to[n++] = I(JNE64K, 2, 0, (int16_t)(-3 - (int)count), 0);
    else
        to[n++] = I(EXIT, 0, 0, 0, 0);
    if (!is_backward)
        to[n++] = I(ADD64K, 0, 0, 0, 1);
    to[n++] = I(EXIT, 0, 0, 0, 0);
    return n;
}

static void jumps_of_every_distance(void **state)
{
    static struct bpf_insn insns[4096];

    (void)state;
    for (unsigned count = 0; count < 3000; count = count < 60 ? count + 1 : count * 3) {
        for (unsigned i = 0; i < 4; i++) {
            size_t n = write_jump(insns, count, i & 1, i & 2);

            if (run_insns(insns, n, NULL, 0) != (i & 2 ? 1 : 0))
                fail_msg("over %u instructions, %s: wrong way", count, i & 1 ? "back" : "forward");
        }
    }
}

/* The first byte of the conditional jump in write_jump(). Before it are: two moves, of 2 and 5
 * bytes, a test of 3 and, if it is backward, a short jump, 9 bytes that it jumps over, and the
 * fillers. */
static uint8_t opcode_of_jump(unsigned count, bool is_backward)
{
    static struct bpf_insn insns[64];
    struct sta__jit jit = compiled(insns, write_jump(insns, count, is_backward, true), NULL);
    const uint8_t *code = (const uint8_t *)(uintptr_t)jit.run;
    uint8_t opcode = code[2 + 5 + 3 + (is_backward ? 2 + 9 + 5 * count : 0)];

    sta__jit_free(&jit);
    return opcode;
}

#define SHORT_JNE 0x75
#define TWO_BYTES 0x0f

/* Forward, 6 bytes that return are jumped over as well; back, the test, the jump and those 9. */
static void near_jumps_are_short(void **state)
{
    (void)state;
    assert_int_equal(opcode_of_jump(1, false), SHORT_JNE);
    assert_int_equal(opcode_of_jump((127 - 6) / 5, false), SHORT_JNE);
    assert_int_equal(opcode_of_jump((127 - 6) / 5 + 1, false), TWO_BYTES);
    assert_int_equal(opcode_of_jump(1, true), SHORT_JNE);
    assert_int_equal(opcode_of_jump((128 - 5 - 9) / 5, true), SHORT_JNE);
    assert_int_equal(opcode_of_jump((128 - 5 - 9) / 5 + 1, true), TWO_BYTES);
}

static void marks_are_believed(void **state)
{
    const struct bpf_insn insns[] = {
        I(MOV64K, 0, 0, 0, 1),    I(JNE64K, 0, 0, 1, 2), /* never, against the truth */
        I(ADD64K, 0, 0, 0, 10),   I(JEQ64K, 0, 0, 2, 2), /* always, likewise */
        I(ADD64K, 0, 0, 0, 100),                         /* dead */
        I(ADD64K, 0, 0, 0, 1000), I(ADD64K, 0, 0, 0, 10000), I(EXIT, 0, 0, 0, 0),
    };
    struct sta__code code = decoded(insns, COUNT(insns), NULL);
    struct sta__jit all = compiled_code(&code, &plain), some;

    (void)state;
    assert_int_equal(run_jit(&all, NULL, 0), 1 + 100 + 1000 + 10000);
    code.marks[1] |= STA__MARK_NEVER;
    code.marks[3] |= STA__MARK_ALWAYS;
    code.marks[4] |= STA__MARK_DEAD;
    code.marks[5] |= STA__MARK_DEAD;
    some = compiled_code(&code, &plain);
    assert_int_equal(run_jit(&some, NULL, 0), 1 + 10 + 10000);
    assert_true(some.size < all.size);
    sta__jit_free(&all);
    sta__jit_free(&some);
    sta__code_free(&code);
}

/* An instruction of arithmetic leaves flags that the branch behind it uses; not if one can come
 * there another way, nor if it compares something else. */
static void flags_are_used_only_where_they_are_right(void **state)
{
    static const uint8_t ops[] = {BPF_ADD, BPF_SUB, BPF_AND, BPF_OR, BPF_XOR};
    static const uint8_t jumps[] = {BPF_JEQ, BPF_JNE, BPF_JSLT, BPF_JSGE, BPF_JSGT, BPF_JLT};

    (void)state;
    for (unsigned i = 0; i < COUNT(ops) * COUNT(jumps) * 8; i++) {
        unsigned op = ops[i % COUNT(ops)], jump = jumps[i / COUNT(ops) % COUNT(jumps)];
        unsigned form = i / COUNT(ops) / COUNT(jumps);
        unsigned alu_class = form & 1 ? BPF_ALU : BPF_ALU64;
        unsigned jmp_class = form & 2 ? BPF_JMP32 : BPF_JMP;
        struct bpf_insn alu = {.code = (uint8_t)(alu_class | op | (form & 4 ? BPF_X : BPF_K)),
                               .dst_reg = 6,
                               .src_reg = form & 4 ? 7 : 0,
                               .imm = form & 4 ? 0 : 0x7fffffff};
        /* r8 = whether it jumps; r9 the same with something in between */
        const struct bpf_insn insns[] = {
            I(MOV64X, 5, 6, 0, 0),
            I(MOV64K, 8, 0, 0, 1),
            alu,
            {.code = (uint8_t)(jmp_class | jump | BPF_K), .dst_reg = 6, .off = 1},
            I(MOV64K, 8, 0, 0, 0),
            I(MOV64X, 6, 5, 0, 0),
            alu,
            I(MOV64K, 9, 0, 0, 1),
            I(MOV64K, 4, 0, 0, 0), /* written by xor, which changes the flags */
            {.code = (uint8_t)(jmp_class | jump | BPF_K), .dst_reg = 6, .off = 1},
            I(MOV64K, 9, 0, 0, 0),
        };
        struct sta__jit jit = compile_between(insns, COUNT(insns), &plain);

        for (size_t k = 0; k < COUNT(values) * COUNT(values); k++) {
            struct registers got;

            fill(&got);
            got.r[6] = values[k % COUNT(values)];
            got.r[7] = values[k / COUNT(values)];
            run_jit(&jit, &got, sizeof(got));
            if (got.r[8] != got.r[9])
                fail_msg("alu %#x, jump %#x, %#lx and %#lx: taken %lu, else %lu", alu.code,
                         insns[3].code, values[k % COUNT(values)], values[k / COUNT(values)],
                         got.r[8], got.r[9]);
        }
        sta__jit_free(&jit);
    }
}

/* Trusted programs may shift by as much; the processor leaves the flags alone then. */
static void shifts_by_whole_widths_change_nothing(void **state)
{
    static const uint8_t ops[] = {BPF_LSH, BPF_RSH, BPF_ARSH};

    (void)state;
    for (unsigned i = 0; i < COUNT(ops); i++) {
        const struct bpf_insn insns[] = {
            I(MOV64K, 0, 0, 0, 0),
            WIDE(2, 0, 0xffffffff80000001ull),
            I(MOV64K, 3, 0, 0, 0),
            {.code = (uint8_t)(BPF_ALU64 | ops[i] | BPF_K), .dst_reg = 2, .imm = 64},
            I(JEQ64K, 2, 0, 3, 0),
            {.code = (uint8_t)(BPF_ALU | ops[i] | BPF_K), .dst_reg = 2, .imm = 32},
            I(JEQ32K, 2, 0, 1, 0),
            I(MOV64X, 0, 2, 0, 0),
            I(EXIT, 0, 0, 0, 0),
        };
        const struct sta__map_finder none = {NULL, NULL};
        struct sta__code code;
        struct sta__jit jit;

        assert_int_equal(sta__code_decode_trusted(&code, insns, COUNT(insns), &none, &build_log),
                         0);
        jit = compiled_code(&code, &plain);
        assert_int_equal(run_jit(&jit, NULL, 0), 0x80000001);
        sta__jit_free(&jit);
        sta__code_free(&code);
    }
}

static void large_programs(void **state)
{
    size_t count = 200000, n = 0;
    struct bpf_insn *insns = malloc((count + 8) * sizeof(*insns));

    (void)state;
    assert_non_null(insns);
    insns[n++] = I(MOV64K, 0, 0, 0, 0);
    insns[n++] = I(MOV64K, 2, 0, 0, 3);
    while (n < count)
        insns[n++] = I(ADD64K, 0, 0, 0, 1000);
    insns[n++] = I(ADD64K, 2, 0, 0, -1);
    insns[n++] = I(JEQ64K, 2, 0, 1, 0);
    insns[n] = I(JA32, 0, 0, 0, 2 - (int)n - 1);
    n++;
    insns[n++] = I(EXIT, 0, 0, 0, 0);
    assert_int_equal(run_insns(insns, n, NULL, 0), 3 * 1000 * (count - 2));
    free(insns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(divisions_by_registers),
        cmocka_unit_test(divisions_by_numbers),
        cmocka_unit_test(shifts_by_registers),
        cmocka_unit_test(r10_can_be_any_source),
        cmocka_unit_test(fetched_halves_are_zero_extended),
        cmocka_unit_test(jumps_of_every_distance),
        cmocka_unit_test(near_jumps_are_short),
        cmocka_unit_test(marks_are_believed),
        cmocka_unit_test(flags_are_used_only_where_they_are_right),
        cmocka_unit_test(shifts_by_whole_widths_change_nothing),
        cmocka_unit_test(large_programs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
