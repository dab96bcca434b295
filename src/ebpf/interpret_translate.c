/* SPDX-License-Identifier: MIT */
/*
 * From instructions to operations: one for each instruction that does something, in their order.
 * First each instruction's place is found (`place`), then it is translated.
 */
#include <errno.h>
#include <stdlib.h>

#include "ebpf/interpret.h"
#include "ebpf/interpret_ops.h"
#include "ebpf/isa.h"

struct translator {
    const struct sta__code *code;
    const struct sta__log *log;
    struct sta__interpreted *program;
    uint32_t *place; /* of each instruction: the first operation at or behind it */
};

/* The operations of an opcode that is always the same one. */
static const uint16_t simple[256] = {
#define FORMS(op, name)                                                                   \
    [STA__OP_##op##64K] = STA__DO_##name##64K, [STA__OP_##op##64X] = STA__DO_##name##64X, \
    [STA__OP_##op##32K] = STA__DO_##name##32K, [STA__OP_##op##32X] = STA__DO_##name##32X,
#define X(name, condition) FORMS(name, name)
    STA__CONDITIONS(X)
#undef X
    /* clang-format off */
    FORMS(ADD, ADD) FORMS(SUB, SUB) FORMS(MUL, MUL) FORMS(OR, OR) FORMS(AND, AND) FORMS(XOR, XOR)
    FORMS(LSH, LSH) FORMS(RSH, RSH) FORMS(ARSH, ARSH)
    FORMS(DIV, DIV) FORMS(MOD, MOD) /* and SDIV, SMOD: is_signed() */
/* clang-format on */
#define X(name, type) [STA__OP_##name] = STA__DO_##name,
    STA__LOADS(X)
#undef X
#define X(name, type) \
    [STA__OP_ST##name] = STA__DO_ST##name, [STA__OP_STX##name] = STA__DO_STX##name,
        STA__STORES(X)
#undef X
            [STA__OP_NEG64] = STA__DO_NEG64,
    [STA__OP_NEG32] = STA__DO_NEG32,
    [STA__OP_MOV64K] = STA__DO_LOAD_IMM,
    [STA__OP_MOV32K] = STA__DO_LOAD_IMM,
    [STA__OP_LDDW] = STA__DO_LOAD_IMM,
    [STA__OP_JA] = STA__DO_JUMP,
    [STA__OP_JA32] = STA__DO_JUMP,
    [STA__OP_EXIT] = STA__DO_EXIT,
};

static uint16_t signed_division(const struct bpf_insn *insn)
{
    static const uint16_t operations[256] = {FORMS(DIV, SDIV) FORMS(MOD, SMOD)};

    return operations[insn->code];
}

static uint16_t move(const struct bpf_insn *insn)
{
    bool is_64 = sta__insn_class(insn) == BPF_ALU64;

    switch (insn->off) {
    case 8:
        return is_64 ? STA__DO_MOVS8_64 : STA__DO_MOVS8_32;
    case 16:
        return is_64 ? STA__DO_MOVS16_64 : STA__DO_MOVS16_32;
    case 32:
        return STA__DO_MOVS32_64;
    default:
        return is_64 ? STA__DO_MOV64 : STA__DO_MOV32;
    }
}

/* To little-endian is to cut off. */
static uint16_t byte_order(const struct bpf_insn *insn)
{
    bool swaps = insn->code != STA__OP_LE;

    switch (insn->imm) {
    case 16:
        return swaps ? STA__DO_BSWAP16 : STA__DO_MOV16;
    case 32:
        return swaps ? STA__DO_BSWAP32 : STA__DO_MOV32;
    default:
        return swaps ? STA__DO_BSWAP64 : STA__DO_MOV64;
    }
}

static uint16_t ordered_access(const struct bpf_insn *insn)
{
    bool loads = insn->imm == BPF_LOAD_ACQ;

    switch (BPF_SIZE(insn->code)) {
    case BPF_B:
        return loads ? STA__DO_ACQB : STA__DO_RELB;
    case BPF_H:
        return loads ? STA__DO_ACQH : STA__DO_RELH;
    case BPF_W:
        return loads ? STA__DO_ACQW : STA__DO_RELW;
    default:
        return loads ? STA__DO_ACQDW : STA__DO_RELDW;
    }
}

static uint16_t atomic(const struct bpf_insn *insn)
{
    bool is_64 = BPF_SIZE(insn->code) == BPF_DW;

    switch (insn->imm) {
#define X(name, builtin)                                                      \
    case BPF_##name:                                                          \
        return is_64 ? STA__DO_ATOMIC_##name##64 : STA__DO_ATOMIC_##name##32; \
    case BPF_##name | BPF_FETCH:                                              \
        return is_64 ? STA__DO_FETCH_##name##64 : STA__DO_FETCH_##name##32;
        STA__ATOMICS(X)
#undef X
    case BPF_XCHG:
        return is_64 ? STA__DO_XCHG64 : STA__DO_XCHG32;
    case BPF_CMPXCHG:
        return is_64 ? STA__DO_CMPXCHG64 : STA__DO_CMPXCHG32;
    default:
        return ordered_access(insn);
    }
}

static uint16_t operation_of(const struct bpf_insn *insn)
{
    if (sta__insn_is_atomic(insn))
        return atomic(insn);
    switch (insn->code) {
    case STA__OP_MOV64X:
    case STA__OP_MOV32X:
        return move(insn);
    case STA__OP_LE:
    case STA__OP_BE:
    case STA__OP_BSWAP:
        return byte_order(insn);
    default:
        if (sta__insn_is_alu(insn) && insn->off == 1)
            return signed_division(insn);
        return simple[insn->code];
    }
}

static bool does_nothing(const struct sta__code *code, uint32_t index)
{
    const struct bpf_insn *insn = &code->insns[index];

    if (code->marks[index] & (STA__MARK_TAIL | STA__MARK_DEAD | STA__MARK_NEVER))
        return true;
    return sta__insn_is_goto(insn) && sta__insn_target(insn, index) == (int64_t)index + 1;
}

/* The distance of a jump, in operations behind the next one. */
static int32_t distance(const struct translator *translator, uint32_t index)
{
    int64_t target = sta__insn_target(&translator->code->insns[index], index);

    return (int32_t)translator->place[target] - (int32_t)translator->place[index] - 1;
}

/* What a wide immediate is when the program runs. */
static uint64_t wide_value(const struct translator *translator, uint32_t index)
{
    const struct sta__wide *wide = sta__code_wide(translator->code, index);

    if (!wide)
        return sta__insn_wide_value(&translator->code->insns[index]);
    if (!wide->map)
        return (uintptr_t)&translator->program->functions[wide->subprog].callback;
    if (translator->code->insns[index].src_reg == BPF_PSEUDO_MAP_FD ||
        translator->code->insns[index].src_reg == BPF_PSEUDO_MAP_IDX)
        return (uintptr_t)wide->map;
    return (uintptr_t)wide->map->values + wide->offset;
}

static int translate_call(const struct translator *translator, uint32_t index, struct sta__op *op)
{
    const struct bpf_insn *insn = &translator->code->insns[index];
    const struct sta__helper *helper;
    uint32_t subprog;

    if (sta__insn_is_subprog_call(insn)) {
        subprog = sta__code_subprog_at(translator->code, (uint32_t)sta__insn_target(insn, index));
        op->code = STA__DO_CALL;
        op->function = &translator->program->functions[subprog];
        return 0;
    }
    helper = sta__helper_find(insn->imm);
    if (!helper || !helper->fn) {
        sta__log(translator->log, STA_LOG_ERROR, "insn %u: helper %s#%d is not offered: %s", index,
                 helper ? helper->name : "unknown", insn->imm,
                 helper ? helper->why_not : "there is none of this number");
        return -EINVAL;
    }
    op->code = insn->imm == BPF_FUNC_tail_call ? STA__DO_TAIL_CALL : STA__DO_HELPER;
    op->helper = helper->fn;
    return 0;
}

static int translate(const struct translator *translator, uint32_t index, struct sta__op *op)
{
    const struct bpf_insn *insn = &translator->code->insns[index];

    if (insn->code == STA__OP_CALL)
        return translate_call(translator, index, op);
    op->code = operation_of(insn);
    op->dst = insn->dst_reg;
    op->src = insn->src_reg;
    op->off = insn->off;
    op->imm = (uint64_t)(int64_t)insn->imm;
    if (sta__insn_is_wide(insn))
        op->imm = wide_value(translator, index);
    else if (insn->code == STA__OP_MOV32K)
        op->imm = (uint32_t)insn->imm;
    else if (insn->code == STA__OP_LE || insn->code == STA__OP_BE || insn->code == STA__OP_BSWAP)
        op->src = op->dst;
    else if (sta__insn_is_goto(insn) || sta__insn_is_branch(insn))
        op->off = distance(translator, index);
    if (translator->code->marks[index] & STA__MARK_ALWAYS)
        op->code = STA__DO_JUMP;
    return 0;
}

static int alloc_program(struct translator *translator)
{
    const struct sta__code *code = translator->code;
    struct sta__interpreted *program = translator->program;
    uint32_t count = 0;

    translator->place = malloc(code->count * sizeof(*translator->place));
    if (!translator->place)
        return -ENOMEM;
    for (uint32_t i = 0; i < code->count; i++) {
        translator->place[i] = count;
        count += !does_nothing(code, i);
    }
    program->op_count = count;
    program->ops = calloc(count, sizeof(*program->ops));
    program->functions = calloc(code->subprog_count, sizeof(*program->functions));
    return program->ops && program->functions ? 0 : -ENOMEM;
}

static int translate_all(const struct translator *translator)
{
    const struct sta__code *code = translator->code;
    struct sta__interpreted *program = translator->program;
    int err = 0;

    for (uint32_t i = 0; i < code->subprog_count; i++) {
        program->functions[i].callback.run = sta__interpret_callback;
        program->functions[i].entry = &program->ops[translator->place[code->subprogs[i].start]];
        program->functions[i].stack_size = (code->subprogs[i].stack_depth + 15) & ~15u;
    }
    for (uint32_t i = 0; i < code->count && err == 0; i++) {
        if (!does_nothing(code, i))
            err = translate(translator, i, &program->ops[translator->place[i]]);
    }
    return err;
}

int sta__interpreted_new(struct sta__interpreted **out, const struct sta__code *code,
                         const struct sta__log *log)
{
    struct translator translator = {.code = code, .log = log};
    int err = -ENOMEM;

    translator.program = calloc(1, sizeof(*translator.program));
    if (translator.program)
        err = alloc_program(&translator);
    if (err == 0)
        err = translate_all(&translator);
    else
        sta__log(log, STA_LOG_ERROR, "no memory for %u operations", code->count);
    free(translator.place);
    if (err == 0)
        *out = translator.program;
    else
        sta__interpreted_free(translator.program);
    return err;
}

void sta__interpreted_free(struct sta__interpreted *program)
{
    if (!program)
        return;
    free(program->ops);
    free(program->functions);
    free(program);
}
