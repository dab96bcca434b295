/* SPDX-License-Identifier: MIT */
/*
 * What is too long for the data files, or needs more than one program: far jumps, every pair of
 * registers, many subprograms, tail calls. By the interpreter and natively.
 */
#include "core.h"

#include <sta/program.h>

#include "ebpf/isa.h"
#include "ebpf/program.h"
#include "ebpf/tail.h"
#include "ebpf_asm.h"

#define I(c, d, s, o, i) \
    ((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})
#define EXIT I(STA__OP_EXIT, 0, 0, 0, 0)

static const unsigned modes[] = {STA_PROGRAM_INTERPRET, 0};

static void print_message_of(void *data, enum sta_log_level level, const char *message)
{
    (void)data, (void)level;
    print_message("%s\n", message);
}

static struct sta_map *map_to_find;

static int give_map(void *data, int fd_or_index, int is_index, struct sta_map **out)
{
    (void)data, (void)fd_or_index, (void)is_index;
    *out = map_to_find;
    return map_to_find ? 0 : -EBADF;
}

static struct sta_program *load(const struct bpf_insn *insns, size_t count, unsigned mode)
{
    const struct sta_program_options options = {
        .size = sizeof(options),
        .flags = mode | STA_PROGRAM_TRUSTED,
        .log = print_message_of,
        .find_map = give_map,
    };
    struct sta_program *program = NULL;

    assert_int_equal(sta_program_load(&program, insns, count, &options), 0);
    return program;
}

static struct sta_program *load_text(const char *text, unsigned mode)
{
    struct bpf_insn insns[128];
    char error[128];
    size_t count = ebpf_assemble(text, insns, COUNT(insns), error, sizeof(error));

    if (count == 0)
        fail_msg("%s", error);
    return load(insns, count, mode);
}

static uint64_t run(struct sta_program *program)
{
    uint64_t ret = 0;

    assert_int_equal(sta_program_run(program, NULL, 0, &ret), 0);
    return ret;
}

static void check_insns(const struct bpf_insn *insns, size_t count, uint64_t expected)
{
    for (size_t i = 0; i < COUNT(modes); i++) {
        struct sta_program *program = load(insns, count, modes[i]);

        assert_true(run(program) == expected);
        sta_program_free(program);
    }
}

/* goto and branches as far as 16 bits reach, gotol farther, each forwards and backwards. */
static void jumps_reach_as_far_as_they_can(void **state)
{
    enum { FAR = 32767, COUNT_ALL = 200000 };
    struct bpf_insn *insns = calloc(COUNT_ALL, sizeof(*insns));
    size_t end = COUNT_ALL - 1;

    (void)state;
    for (size_t i = 0; i < COUNT_ALL; i++)
        insns[i] = I(STA__OP_ADD64K, 0, 0, 0, 1000); /* whoever runs astray */
    insns[0] = I(STA__OP_MOV64K, 0, 0, 0, 1);
    insns[1] = I(STA__OP_JA, 0, 0, FAR, 0);
    insns[2 + FAR] = I(STA__OP_JEQ64K, 0, 0, FAR, 1);
    insns[3 + 2 * FAR] = I(STA__OP_JA32, 0, 0, 0, 100000);
    insns[4 + 2 * FAR + 100000] = I(STA__OP_ADD64K, 0, 0, 0, 1);
    insns[5 + 2 * FAR + 100000] = I(STA__OP_JA32, 0, 0, 0, -100000);
    insns[6 + 2 * FAR] = I(STA__OP_JA, 0, 0, -32768, 0);
    insns[7 + 2 * FAR - 32768] = I(STA__OP_JNE32K, 0, 0, -32768, 1);
    insns[8 + 2 * FAR - 65536] = I(STA__OP_JA32, 0, 0, 0, (int32_t)(end - 9 - 2 * FAR + 65536));
    insns[end] = EXIT;
    check_insns(insns, COUNT_ALL, 2);
    free(insns);
}

static void a_million_instructions_are_run(void **state)
{
    struct bpf_insn *insns = calloc(1000000, sizeof(*insns));

    (void)state;
    insns[0] = I(STA__OP_MOV64K, 0, 0, 0, 0);
    for (size_t i = 1; i < 999999; i++)
        insns[i] = I(STA__OP_ADD64K, 0, 0, 0, (int32_t)i);
    insns[999999] = EXIT;
    check_insns(insns, 1000000, UINT64_C(999998) * 999999 / 2);
    free(insns);
}

struct operation {
    uint8_t code;
    int16_t off;
    int64_t a, b, result;
};

/* Native code has to move things around where it needs certain registers: for shifts and for
 * divisions. The registers that take no part are checked as well. */
static void check_pair(const struct operation *operation, unsigned dst, unsigned src, unsigned mode)
{
    struct bpf_insn insns[64];
    size_t count = 0;
    struct sta_program *program;

    for (unsigned reg = 0; reg < 10; reg++)
        insns[count++] = I(STA__OP_MOV64K, reg, 0, 0, 1000 + (int)reg);
    insns[count++] = I(STA__OP_MOV64K, src, 0, 0, (int32_t)operation->b);
    insns[count++] = I(STA__OP_MOV64K, dst, 0, 0, (int32_t)operation->a);
    insns[count++] = I(operation->code, dst, src, operation->off, 0);
    for (unsigned reg = 0; reg < 10; reg++) {
        int64_t value = 1000 + (int)reg;

        if (reg == dst)
            value = operation->result;
        else if (reg == src)
            value = operation->b;
        insns[count++] = I(STA__OP_JEQ64K, reg, 0, 2, (int32_t)value);
        insns[count++] = I(STA__OP_MOV64K, 0, 0, 0, (int)reg + 1);
        insns[count++] = EXIT;
    }
    insns[count++] = I(STA__OP_MOV64K, 0, 0, 0, 0);
    insns[count++] = EXIT;
    program = load(insns, count, mode);
    if (run(program) != 0)
        fail_msg("opcode %#x off %d of r%u and r%u: r%d is wrong", operation->code, operation->off,
                 dst, src, (int)run(program) - 1);
    sta_program_free(program);
}

static void every_pair_of_registers_works(void **state)
{
    static const struct operation operations[] = {
        {STA__OP_ADD64X, 0, 5, 8, 13},
        {STA__OP_SUB64X, 0, 5, 8, -3},
        {STA__OP_MUL64X, 0, 77, 1001, 77077},
        {STA__OP_LSH64X, 0, 5, 3, 40},
        {STA__OP_LSH32X, 0, 5, 3, 40},
        {STA__OP_RSH64X, 0, 0x7000, 4, 0x700},
        {STA__OP_ARSH64X, 0, -4096, 5, -128},
        {STA__OP_RSH32X, 0, 0x7000, 4, 0x700},
        {STA__OP_DIV64X, 0, 1000001, 7, 142857},
        {STA__OP_MOD64X, 0, 1000001, 7, 2},
        {STA__OP_DIV32X, 0, 1000001, 7, 142857},
        {STA__OP_MOD32X, 0, 1000001, 7, 2},
        {STA__OP_DIV64X, 1, -1000001, 7, -142857},
        {STA__OP_MOD64X, 1, -1000001, 7, -2},
        {STA__OP_DIV64X, 0, 5, 0, 0},
        {STA__OP_MOD64X, 0, 5, 0, 5},
        {STA__OP_DIV64X, 1, 5, -1, -5},
        {STA__OP_MOD64X, 1, 5, -1, 0},
        {STA__OP_MOV64X, 0, 5, 9, 9},
        {STA__OP_MOV64X, 8, 5, 0x1ff, -1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(operations); i++) {
        for (unsigned dst = 0; dst < 10; dst++) {
            for (unsigned src = 0; src < 10; src++) {
                if (dst == src)
                    continue;
                check_pair(&operations[i], dst, src, STA_PROGRAM_INTERPRET);
                check_pair(&operations[i], dst, src, 0);
            }
        }
    }
}

/* 256 subprograms, each of which adds its number. */
static void as_many_subprograms_as_there_may_be(void **state)
{
    enum { SUBPROGS = 255 };
    struct bpf_insn insns[2 + 5 * SUBPROGS];
    size_t count = 0, first = 4 * SUBPROGS / 2 + 2;

    (void)state;
    insns[count++] = I(STA__OP_MOV64K, 6, 0, 0, 0);
    for (int i = 0; i < SUBPROGS; i++) {
        insns[count] = I(STA__OP_CALL, 0, BPF_PSEUDO_CALL, 0,
                         (int32_t)(first + 1 + 2 * (size_t)i - count - 1));
        count++;
        insns[count++] = I(STA__OP_ADD64X, 6, 0, 0, 0);
    }
    insns[count++] = I(STA__OP_MOV64X, 0, 6, 0, 0);
    insns[count++] = EXIT;
    assert_int_equal(count, first + 1);
    for (int i = 0; i < SUBPROGS; i++) {
        insns[count++] = I(STA__OP_MOV64K, 0, 0, 0, i + 1);
        insns[count++] = EXIT;
    }
    check_insns(insns, count, SUBPROGS * (SUBPROGS + 1) / 2);
}

/* A program array for tests. */
struct programs {
    struct sta_map map;
    struct sta_program *elements[4];
};

static const struct sta__tail_target *element(struct sta_map *map, uint32_t index)
{
    const struct programs *programs = (const struct programs *)map;

    return programs->elements[index] ? &programs->elements[index]->tail : NULL;
}

static const struct sta__map_ops program_array_ops = {.tail_target = element};

static void begin_programs(struct programs *programs)
{
    *programs = (struct programs){.map = {.ops = &program_array_ops,
                                          .type = BPF_MAP_TYPE_PROG_ARRAY,
                                          .key_size = 4,
                                          .value_size = 4,
                                          .max_entries = 4}};
    map_to_find = &programs->map;
}

static void end_programs(struct programs *programs)
{
    for (size_t i = 0; i < COUNT(programs->elements); i++)
        sta_program_free(programs->elements[i]);
    map_to_find = NULL;
}

/* Whatever runs them, programs go on in each other, with the context that they were given. */
static void a_tail_call_goes_on_in_the_other_program(void **state)
{
    for (unsigned pair = 0; pair < 4; pair++) {
        struct programs programs;
        uint64_t ctx = 40, ret = 0;

        (void)state;
        begin_programs(&programs);
        programs.elements[2] = load_text("ldxdw %r0, [%r1]\nadd %r0, %r2\nexit", modes[pair & 1]);
        programs.elements[0] = load_text("mov %r6, %r1\nlddw %r2, map 3\nmov %r3, 2\ncall 12\n"
                                         "mov %r0, -1\nexit",
                                         modes[pair >> 1]);
        assert_int_equal(sta_program_run(programs.elements[0], &ctx, sizeof(ctx), &ret), 0);
        assert_int_equal(ret, 40 + sizeof(ctx));
        end_programs(&programs);
    }
}

static void a_tail_call_to_nowhere_goes_on_behind(void **state)
{
    static const char *const indexes[] = {"1", "3", "4", "0xffffffff", "-1"};

    (void)state;
    for (size_t mode = 0; mode < COUNT(modes); mode++) {
        for (size_t i = 0; i < COUNT(indexes); i++) {
            struct programs programs;
            char text[256];

            snprintf(text, sizeof(text),
                     "mov %%r6, 5\nlddw %%r2, map 3\nmov %%r3, %s\ncall 12\nmov %%r0, %%r6\nexit",
                     indexes[i]);
            begin_programs(&programs);
            programs.elements[0] = load_text(text, modes[mode]);
            assert_int_equal(run(programs.elements[0]), 5);
            end_programs(&programs);
        }
    }
}

/* The kernel's limit is 33 tail calls for one run. Each program counts in the context. */
static void a_run_has_33_tail_calls(void **state)
{
    static const char text[] = "ldxdw %r6, [%r1]\nadd %r6, 1\nstxdw [%r1], %r6\n"
                               "lddw %r2, map 3\nmov %r3, 0\ncall 12\nmov %r0, 77\nexit";

    (void)state;
    for (size_t mode = 0; mode < COUNT(modes); mode++) {
        struct programs programs;
        uint64_t ctx, ret;

        begin_programs(&programs);
        programs.elements[0] = load_text(text, modes[mode]);
        for (int round = 0; round < 3; round++) {
            ctx = ret = 0;
            assert_int_equal(sta_program_run(programs.elements[0], &ctx, sizeof(ctx), &ret), 0);
            assert_int_equal(ctx, 34);
            assert_int_equal(ret, 77);
        }
        end_programs(&programs);
    }
}

/* What the other program returns is what the subprogram returns; calls of all frames count. */
static void a_subprogram_may_make_tail_calls(void **state)
{
    static const char text[] = "mov %r6, %r1\nmov %r7, 0\nmov %r8, 40\n"
                               "again:\nmov %r1, %r6\ncall local leave\nadd %r7, %r0\n"
                               "sub %r8, 1\njne %r8, 0, again\nmov %r0, %r7\nexit\n"
                               "leave:\nlddw %r2, map 3\nmov %r3, 1\ncall 12\nmov %r0, 1000\nexit";

    (void)state;
    for (unsigned pair = 0; pair < 4; pair++) {
        struct programs programs;

        begin_programs(&programs);
        programs.elements[0] = load_text(text, modes[pair & 1]);
        programs.elements[1] = load_text("mov %r0, 1\nexit", modes[pair >> 1]);
        assert_int_equal(run(programs.elements[0]), 33 * 1 + 7 * 1000);
        end_programs(&programs);
    }
}

/* Tail calls leave no frames behind: 33 of them need no more stack than one. */
static void tail_calls_give_up_their_frames(void **state)
{
    static const char text[] = "stxdw [%r10-512], %r1\nldxdw %r6, [%r1]\n"
                               "jne %r6, 0, +1\nstxdw [%r1], %r10\nstxdw [%r1+8], %r10\n"
                               "lddw %r2, map 3\nmov %r3, 0\ncall 12\nmov %r0, 0\nexit";

    (void)state;
    for (size_t mode = 0; mode < COUNT(modes); mode++) {
        struct programs programs;
        uint64_t ctx[2] = {0}, ret = 0;

        begin_programs(&programs);
        programs.elements[0] = load_text(text, modes[mode]);
        assert_int_equal(sta_program_run(programs.elements[0], ctx, sizeof(ctx), &ret), 0);
        assert_true(ctx[0] != 0 && ctx[1] != 0);
        /* Where the first frame was, and the last one. */
        assert_true(ctx[0] - ctx[1] < 33 * 512);
        end_programs(&programs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jumps_reach_as_far_as_they_can),
        cmocka_unit_test(a_million_instructions_are_run),
        cmocka_unit_test(every_pair_of_registers_works),
        cmocka_unit_test(as_many_subprograms_as_there_may_be),
        cmocka_unit_test(a_tail_call_goes_on_in_the_other_program),
        cmocka_unit_test(a_tail_call_to_nowhere_goes_on_behind),
        cmocka_unit_test(a_run_has_33_tail_calls),
        cmocka_unit_test(a_subprogram_may_make_tail_calls),
        cmocka_unit_test(tail_calls_give_up_their_frames),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
