/* SPDX-License-Identifier: MIT */
/*
 * Whatever decodes compiles, though it would make no sense to run it: the code fits where it was
 * measured to fit, is made of whole instructions, and touches general registers only.
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

#include "ebpf/form.h"
#include "vm/build.h"
#include "vm/objdump.h"
#include "vm/random_program.h"

#define PROGRAMS  3000
#define INSNS_MAX 80
#define CODE_MAX  (16u << 20)

static const uint8_t opcodes[] = {
#define X(name, code, fields) (code),
    STA__OPCODES(X)
#undef X
};

static uint64_t random_state = 1;

static unsigned below(unsigned limit)
{
    return (unsigned)(random_next(&random_state) >> 33) % limit;
}

static struct sta_map map = {
    .type = BPF_MAP_TYPE_ARRAY, .value_size = 64, .max_entries = 1, .values = &map};

static int find_map(void *data, int fd_or_index, int is_index, struct sta_map **out)
{
    (void)data, (void)fd_or_index, (void)is_index;
    *out = &map;
    return 0;
}

/* What an instruction of this opcode may have in its fields, more or less. */
static struct bpf_insn any_insn(uint8_t code)
{
    static const int32_t atomics[] = {BPF_ADD,
                                      BPF_ADD | BPF_FETCH,
                                      BPF_OR,
                                      BPF_AND,
                                      BPF_XOR,
                                      BPF_OR | BPF_FETCH,
                                      BPF_AND | BPF_FETCH,
                                      BPF_CMPXCHG,
                                      BPF_XOR | BPF_FETCH,
                                      BPF_XCHG,
                                      BPF_LOAD_ACQ,
                                      BPF_STORE_REL};
    static const int32_t helpers[] = {BPF_FUNC_ktime_get_ns, BPF_FUNC_tail_call, BPF_FUNC_loop};
    struct bpf_insn insn = {.code = code,
                            .dst_reg = below(11) & 15,
                            .src_reg = below(2) ? 0 : below(11) & 15,
                            .off = below(2) ? 0 : (int16_t)random_value(&random_state),
                            .imm = below(4) ? (int32_t)random_value(&random_state) : 0};

    if (sta__insn_is_atomic(&insn))
        insn.imm = atomics[below(COUNT(atomics))];
    if (insn.code == STA__OP_CALL)
        insn.imm = helpers[below(COUNT(helpers))];
    if (sta__insn_is_alu(&insn)) {
        insn.off = (int16_t)(below(4) ? 0 : 8 << below(3));
        if (BPF_OP(insn.code) == BPF_END)
            insn.imm = 16 << below(3);
    }
    return insn;
}

/* Callbacks have an address in front of them, which is no code. */
static bool is_callback(const struct bpf_insn *insn)
{
    return sta__insn_is_wide(insn) && insn->src_reg == BPF_PSEUDO_FUNC;
}

static struct bpf_insn well_formed_insn(void)
{
    uint8_t code = opcodes[below(COUNT(opcodes))];
    struct sta__refusal why;

    for (;;) {
        struct bpf_insn insn = any_insn(code);

        if (sta__form_check(&insn, &why) && !is_callback(&insn))
            return insn;
    }
}

/* Calls lead to the beginning, so that there is one subprogram. */
static size_t write_program(struct bpf_insn *to)
{
    size_t count = 2 + below(INSNS_MAX - 4), n = 0;

    while (n < count) {
        struct bpf_insn *insn = &to[n];

        *insn = well_formed_insn();
        if (sta__insn_is_subprog_call(insn))
            insn->imm = -(int32_t)n - 1;
        else if (insn->code == STA__OP_JA32)
            insn->imm = (int32_t)below((unsigned)count) - (int32_t)n - 1;
        else if (sta__insn_is_branch(insn) || insn->code == STA__OP_JA)
            insn->off = (int16_t)((int)below((unsigned)count) - (int)n - 1);
        n++;
        if (sta__insn_is_wide(insn))
            to[n++] = (struct bpf_insn){.imm = insn->src_reg ? 0 : (int32_t)below(INT32_MAX)};
    }
    to[n++] = I(EXIT, 0, 0, 0, 0);
    return n;
}

/* Appends the code; returns its size, or 0 if it does not decode: a jump leads to half of an
 * instruction. */
static size_t compile_program(uint8_t *to, size_t room)
{
    struct bpf_insn insns[INSNS_MAX];
    const struct sta__map_finder finder = {find_map, NULL};
    size_t count = write_program(insns);
    const struct sta__jit_options options = {.without_shiftx = below(2)};
    struct sta__code code;
    struct sta__jit jit;
    size_t size;

    if (sta__code_decode(&code, insns, count, &finder, &build_log) < 0)
        return 0;
    jit = compiled_code(&code, &options);
    size = jit.size;
    assert_in_range(size, 1, jit.mapped);
    assert_in_range(size, 1, room);
    memcpy(to, (const void *)(uintptr_t)jit.run, size);
    sta__jit_free(&jit);
    sta__code_free(&code);
    return size;
}

static bool is_of_general_registers(const char *text)
{
    return !strstr(text, "(bad)") && !strstr(text, "mm") && !strstr(text, "st(");
}

static void disassemble(const uint8_t *code, size_t size)
{
    char line[512], text[OBJDUMP_TEXT_MAX];
    FILE *output = objdump_open(code, size);
    unsigned long offset = 0;
    size_t lines = 0;

    while (fgets(line, sizeof(line), output)) {
        if (!objdump_parse(line, &offset, text))
            continue;
        if (!is_of_general_registers(text))
            fail_msg("at %#lx: %s", offset, text);
        lines++;
    }
    pclose(output);
    assert_true(lines > 10 * PROGRAMS);
}

static void whatever_decodes_compiles(void **state)
{
    uint8_t *code = malloc(CODE_MAX);
    size_t size = 0;
    unsigned done = 0;

    (void)state;
    assert_non_null(code);
    for (unsigned i = 0; i < 20 * PROGRAMS && done < PROGRAMS; i++) {
        size_t more = compile_program(code + size, CODE_MAX - size);

        done += more != 0;
        size += more;
    }
    assert_int_equal(done, PROGRAMS);
    disassemble(code, size);
    free(code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_decodes_compiles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
