/* SPDX-License-Identifier: MIT */
#include "verifier/concrete.h"

#include <stdlib.h>

#include "ebpf/isa.h"
#include "verifier/concrete_run.h"

static uint64_t alu_64(uint64_t a, uint64_t b, uint8_t op, bool is_signed)
{
    switch (op) {
    case BPF_ADD:
        return a + b;
    case BPF_SUB:
        return a - b;
    case BPF_MUL:
        return a * b;
    case BPF_DIV:
        if (is_signed)
            return b == 0 ? 0 : b == UINT64_MAX ? -a : (uint64_t)((int64_t)a / (int64_t)b);
        return b ? a / b : 0;
    case BPF_MOD:
        if (is_signed)
            return b == 0 ? a : b == UINT64_MAX ? 0 : (uint64_t)((int64_t)a % (int64_t)b);
        return b ? a % b : a;
    case BPF_OR:
        return a | b;
    case BPF_AND:
        return a & b;
    case BPF_XOR:
        return a ^ b;
    case BPF_LSH:
        return a << (b & 63);
    case BPF_RSH:
        return a >> (b & 63);
    case BPF_ARSH:
        return (uint64_t)((int64_t)a >> (b & 63));
    case BPF_NEG:
        return -a;
    default:
        return b;
    }
}

static uint64_t alu_32(uint32_t a, uint32_t b, uint8_t op, bool is_signed)
{
    if (op == BPF_LSH || op == BPF_RSH)
        return (uint32_t)alu_64(a, b & 31, op, false);
    if (op == BPF_ARSH)
        return (uint32_t)((int32_t)a >> (b & 31));
    if (is_signed)
        return (uint32_t)alu_64((uint64_t)(int32_t)a, (uint64_t)(int32_t)b, op, true);
    return (uint32_t)alu_64(a, b, op, false);
}

uint64_t concrete_alu(uint64_t a, uint64_t b, uint8_t op, bool is_32, bool is_signed)
{
    return is_32 ? alu_32((uint32_t)a, (uint32_t)b, op, is_signed) : alu_64(a, b, op, is_signed);
}

static uint64_t sign_extended(uint64_t value, int bits)
{
    return bits ? (uint64_t)((int64_t)(value << (64 - bits)) >> (64 - bits)) : value;
}

static void do_alu(struct run *r, const struct bpf_insn *insn)
{
    bool is_32 = BPF_CLASS(insn->code) == BPF_ALU, by_reg = BPF_SRC(insn->code) == BPF_X;
    uint8_t op = BPF_OP(insn->code);
    uint64_t *dst = &r->regs[insn->dst_reg];
    uint64_t src = by_reg ? r->regs[insn->src_reg] : (uint64_t)(int64_t)insn->imm;

    if (op == BPF_END) {
        uint64_t value = *dst << (64 - insn->imm);

        *dst = !is_32 || by_reg ? __builtin_bswap64(value) & (UINT64_MAX >> (64 - insn->imm))
                                : value >> (64 - insn->imm);
        return;
    }
    if (op == BPF_MOV && by_reg)
        src = sign_extended(src, insn->off);
    *dst = concrete_alu(*dst, src, op, is_32, insn->off && op != BPF_MOV);
}

bool concrete_condition(uint64_t a, uint64_t b, uint8_t op, bool is_32)
{
    int64_t sa = is_32 ? (int32_t)a : (int64_t)a, sb = is_32 ? (int32_t)b : (int64_t)b;

    a = is_32 ? (uint32_t)a : a;
    b = is_32 ? (uint32_t)b : b;

    switch (op) {
    case BPF_JEQ:
        return a == b;
    case BPF_JNE:
        return a != b;
    case BPF_JGT:
        return a > b;
    case BPF_JGE:
        return a >= b;
    case BPF_JLT:
        return a < b;
    case BPF_JLE:
        return a <= b;
    case BPF_JSGT:
        return sa > sb;
    case BPF_JSGE:
        return sa >= sb;
    case BPF_JSLT:
        return sa < sb;
    case BPF_JSLE:
        return sa <= sb;
    default:
        return (a & b) != 0;
    }
}

/* Whether it jumps, and whether the verifier thought so. */
static bool do_jump(struct run *r, const struct bpf_insn *insn)
{
    uint64_t a = r->regs[insn->dst_reg], b = r->regs[insn->src_reg];
    uint8_t mark = r->code->marks[r->insn];
    bool taken;

    if (BPF_SRC(insn->code) == BPF_K)
        b = (uint64_t)(int64_t)insn->imm;
    taken = concrete_condition(a, b, BPF_OP(insn->code), BPF_CLASS(insn->code) == BPF_JMP32);
    if (mark & (taken ? STA__MARK_NEVER : STA__MARK_ALWAYS))
        r->wrong = "a jump that is marked otherwise";
    return taken;
}

static void do_atomic(struct run *r, const struct bpf_insn *insn)
{
    unsigned size = sta__insn_size(insn);
    uint64_t at = r->regs[insn->dst_reg] + (uint64_t)insn->off, src = r->regs[insn->src_reg], old;

    if (insn->imm == BPF_LOAD_ACQ) {
        r->regs[insn->dst_reg] = load(r, src + (uint64_t)insn->off, size);
        return;
    }
    if (insn->imm == BPF_STORE_REL) {
        store(r, at, size, src);
        return;
    }
    if (at % size)
        r->wrong = "an atomic that is not aligned";
    old = load(r, at, size);
    if (insn->imm == BPF_CMPXCHG) {
        uint64_t expected = size == 4 ? (uint32_t)r->regs[0] : r->regs[0];

        store(r, at, size, old == expected ? src : old);
        r->regs[0] = old;
        return;
    }
    store(r, at, size,
          insn->imm == BPF_XCHG ? src : alu_64(old, src, (uint8_t)(insn->imm & ~BPF_FETCH), false));
    if (insn->imm & BPF_FETCH)
        r->regs[insn->src_reg] = old;
}

static void do_memory(struct run *r, const struct bpf_insn *insn)
{
    unsigned size = sta__insn_size(insn);
    uint64_t value;

    if (sta__insn_is_atomic(insn)) {
        do_atomic(r, insn);
    } else if (sta__insn_class(insn) == BPF_LDX) {
        value = load(r, r->regs[insn->src_reg] + (uint64_t)insn->off, size);
        r->regs[insn->dst_reg] =
            BPF_MODE(insn->code) == BPF_MEMSX ? sign_extended(value, (int)size * 8) : value;
    } else {
        value = sta__insn_class(insn) == BPF_STX ? r->regs[insn->src_reg]
                                                 : (uint64_t)(int64_t)insn->imm;
        store(r, r->regs[insn->dst_reg] + (uint64_t)insn->off, size, value);
    }
}

static void do_wide(struct run *r, const struct bpf_insn *insn)
{
    const struct sta__wide *wide = sta__code_wide(r->code, r->insn);
    uint64_t *dst = &r->regs[insn->dst_reg];

    if (!wide)
        *dst = sta__insn_wide_value(insn);
    else if (!wide->map)
        *dst = FUNC_BASE + wide->subprog;
    else if (insn->src_reg == BPF_PSEUDO_MAP_VALUE)
        *dst = concrete_value_of(r, wide->map) + wide->offset;
    else
        *dst = (uint64_t)(uintptr_t)wide->map;
}

static void do_call(struct run *r, const struct bpf_insn *insn)
{
    if (sta__insn_is_subprog_call(insn)) {
        uint32_t insn_before = r->insn;
        uint64_t saved[11];

        memcpy(saved, r->regs, sizeof(saved));
        concrete_run_subprog(
            r, sta__code_subprog_at(r->code, (uint32_t)sta__insn_target(insn, r->insn)));
        r->insn = r->is_over || r->wrong ? r->insn : insn_before;
        memcpy(&r->regs[6], &saved[6], 5 * sizeof(saved[0]));
    } else {
        uint32_t insn_before = r->insn;

        r->regs[0] = concrete_call_helper(r, insn->imm);
        if (!r->wrong)
            r->insn = insn_before;
    }
    for (int i = 1; i <= 5; i++)
        r->regs[i] = any(r);
}

/* Sets r->insn; true: the subprogram ends. */
static bool step(struct run *r)
{
    const struct bpf_insn *insn = &r->code->insns[r->insn];

    if (r->code->marks[r->insn] & STA__MARK_DEAD)
        r->wrong = "an instruction that is marked dead";
    if (++r->steps > STEPS_MAX)
        r->is_over = true;
    if (r->wrong || r->is_over || sta__insn_is_exit(insn))
        return true;
    if (sta__insn_is_goto(insn)) {
        r->insn = (uint32_t)sta__insn_target(insn, r->insn);
        return false;
    }
    if (sta__insn_is_branch(insn)) {
        bool taken = do_jump(r, insn);

        if (!r->wrong)
            r->insn += 1 + (uint32_t)(taken ? insn->off : 0);
        return false;
    }
    /* Made or not, except in callbacks (tail.h): as what the other program returns. */
    if (sta__insn_is_helper_call(insn) && insn->imm == BPF_FUNC_tail_call && !r->callbacks &&
        any(r) % 2) {
        r->regs[0] = any(r);
        return true;
    }
    if (sta__insn_is_wide(insn))
        do_wide(r, insn);
    else if (insn->code == STA__OP_CALL)
        do_call(r, insn);
    else if (sta__insn_is_alu(insn))
        do_alu(r, insn);
    else
        do_memory(r, insn);
    if (!r->wrong && !r->is_over)
        r->insn += sta__insn_is_wide(insn) ? 2 : 1;
    return false;
}

/* A multiple of eight bytes. */
static void put_anything(struct run *r, char *at, size_t size)
{
    for (size_t i = 0; i < size; i += 8) {
        uint64_t value = any(r);

        memcpy(at + i, &value, sizeof(value));
    }
}

void concrete_run_subprog(struct run *r, uint32_t subprog)
{
    const struct sta__subprog *s = &r->code->subprogs[subprog];
    uint32_t regions = r->region_count;
    char *stack;

    if (r->frames == FRAMES_MAX) {
        r->wrong = "too many frames";
        return;
    }
    if (s->stack_depth > STA__STACK_SIZE) {
        r->wrong = "too large a frame";
        return;
    }
    stack = r->stacks[r->frames++];
    put_anything(r, stack + STA__STACK_SIZE - s->stack_depth, s->stack_depth);
    add_region(r, stack + STA__STACK_SIZE - s->stack_depth, s->stack_depth, false);
    r->regs[10] = (uint64_t)(uintptr_t)(stack + STA__STACK_SIZE);
    r->insn = s->start;
    while (!step(r))
        ;
    r->frames--;
    /* The frame is gone; what else came up meanwhile may be used on. */
    for (uint32_t i = regions; i < r->region_count; i++) {
        if (r->regions[i].at == (uint64_t)(uintptr_t)(stack + STA__STACK_SIZE - s->stack_depth)) {
            r->regions[i] = r->regions[--r->region_count];
            break;
        }
    }
}

const char *concrete_run(const struct sta__code *code, const struct sta__verify_result *result,
                         uint64_t seed, uint32_t *insn)
{
    struct run *r = calloc(1, sizeof(*r));
    const char *wrong;

    r->code = code;
    r->random = seed * 0x9e3779b97f4a7c15ull + 1;
    put_anything(r, r->context, (result->context_size + 7) & ~7u);
    for (int i = 0; i < 11; i++)
        r->regs[i] = any(r);
    r->regs[1] = add_region(r, r->context, result->context_size, true);
    concrete_run_subprog(r, 0);
    if (r->held && !r->wrong && !r->is_over)
        r->wrong = "an end under a lock";
    *insn = r->insn;
    wrong = r->wrong;
    free(r);
    return wrong;
}
