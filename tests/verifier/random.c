/* SPDX-License-Identifier: MIT */
#include "verifier/random.h"

#include <stdbool.h>
#include <string.h>

#include "verifier/both.h"
#include "verifier/insns.h"

/* What a register is believed to hold. */
enum kind { NOTHING, NUMBER, SMALL, CONTEXT, STACK, VALUE, MAYBE_VALUE, RECORD };

struct generator {
    uint64_t random;
    struct bpf_insn *insns;
    size_t count, limit;
    enum kind kinds[11];
    int sizes[11]; /* SMALL: numbers below it; VALUE, RECORD: bytes */
    size_t calls[16];
    int call_count;
    size_t exits[64]; /* jumps to the end */
    int exit_count;
    int depth;
    bool in_subprog;
};

static uint32_t pick(struct generator *g, uint32_t below)
{
    g->random ^= g->random << 13;
    g->random ^= g->random >> 7;
    g->random ^= g->random << 17;
    return (uint32_t)((g->random * 0x2545f4914f6cdd1dull) >> 33) % below;
}

static bool chance(struct generator *g, uint32_t percent)
{
    return pick(g, 100) < percent;
}

static void emit(struct generator *g, struct bpf_insn insn)
{
    if (g->count < g->limit)
        g->insns[g->count++] = insn;
}

#define EMIT(...)                                                                          \
    do {                                                                                   \
        struct bpf_insn emit_all[] = {__VA_ARGS__};                                        \
        for (size_t emit_i = 0; emit_i < sizeof(emit_all) / sizeof(emit_all[0]); emit_i++) \
            emit(g, emit_all[emit_i]);                                                     \
    } while (0)

static void set(struct generator *g, int reg, enum kind kind, int size)
{
    g->kinds[reg] = kind;
    g->sizes[reg] = size;
}

/* A register of this kind (or a NUMBER that is SMALL); -1: none. */
static int find(struct generator *g, enum kind kind)
{
    int start = (int)pick(g, 10);

    for (int i = 0; i < 10; i++) {
        int reg = (start + i) % 10;

        if (g->kinds[reg] == kind || (kind == NUMBER && g->kinds[reg] == SMALL))
            return reg;
    }
    return -1;
}

/* One that may be overwritten: not the context. */
static int any_free(struct generator *g)
{
    int reg;

    do {
        reg = (int)pick(g, 10);
    } while (g->kinds[reg] == CONTEXT && !chance(g, 3));
    return reg;
}

static int32_t interesting(struct generator *g)
{
    static const int32_t values[] = {0,  1,  2,   3,   4,     7,     8,         15,        16,
                                     31, 32, 63,  64,  100,   127,   128,       255,       256,
                                     -1, -2, -8,  -64, 65535, 65536, INT32_MAX, INT32_MIN, 4096,
                                     48, 40, 511, 512, -128,  -129,  0x0f0f0f0f};

    if (chance(g, 15))
        return (int32_t)pick(g, UINT32_MAX);
    return values[pick(g, sizeof(values) / sizeof(values[0]))];
}

static int random_size(struct generator *g)
{
    static const int sizes[] = {BPF_B, BPF_H, BPF_W, BPF_DW, BPF_DW, BPF_W};

    return sizes[pick(g, 6)];
}

static int bytes_of(int size)
{
    return size == BPF_B ? 1 : size == BPF_H ? 2 : size == BPF_W ? 4 : 8;
}

static void after_call(struct generator *g)
{
    for (int i = R1; i <= R5; i++)
        set(g, i, NOTHING, 0);
    set(g, R0, NUMBER, 0);
}

static int16_t stack_off(struct generator *g, int bytes)
{
    int off = -(int)(pick(g, 12) + 1) * 8;

    if (bytes < 8 && chance(g, 40))
        off += (int)pick(g, (uint32_t)(8 / bytes)) * bytes;
    if (chance(g, 2))
        off += (int)pick(g, 16) - 8;
    if (chance(g, 1))
        off = -(int)pick(g, 530);
    return (int16_t)off;
}

/* ---- numbers ---- */

static void new_number(struct generator *g)
{
    int reg = any_free(g), ctx = find(g, CONTEXT), size = random_size(g);

    switch (pick(g, 8)) {
    case 0:
        EMIT(MOV(reg, interesting(g)));
        break;
    case 1:
        EMIT(LD64(reg, (uint64_t)(uint32_t)interesting(g) << pick(g, 33) | pick(g, 256)));
        break;
    case 2:
        EMIT(CALL(get_prandom_u32));
        after_call(g);
        return;
    case 3:
        EMIT(MOV32(reg, interesting(g)));
        break;
    case 4:
    case 5:
        if (ctx < 0 || reg == ctx)
            return;
        EMIT(LDX(size, reg, ctx, (int16_t)(pick(g, 8) * 8 + (chance(g, 3) ? pick(g, 9) : 0))));
        break;
    case 6:
        EMIT(LDX(size, reg, R10, stack_off(g, bytes_of(size))));
        break;
    default:
        EMIT(LD_VALUE(reg, MAP_RODATA, (int32_t)pick(g, 7) * 8));
        EMIT(LDX(size, reg, reg, 0));
        break;
    }
    set(g, reg, NUMBER, 0);
}

static const uint8_t alu_ops[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV,  BPF_OR,  BPF_AND, BPF_LSH,
                                  BPF_RSH, BPF_MOD, BPF_XOR, BPF_ARSH, BPF_ADD, BPF_AND};

static void arithmetic(struct generator *g)
{
    int dst = find(g, NUMBER), src = find(g, NUMBER);
    uint8_t op = alu_ops[pick(g, sizeof(alu_ops))];
    uint8_t class = chance(g, 60) ? BPF_ALU64 : BPF_ALU;
    int32_t imm = interesting(g);

    if (dst < 0)
        return;
    set(g, dst, NUMBER, 0);
    if (op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH)
        imm = (int32_t)pick(g, class == BPF_ALU64 ? 64 : 32);
    if ((op == BPF_DIV || op == BPF_MOD) && imm == 0)
        imm = 3;
    switch (pick(g, 9)) {
    case 0:
        EMIT(INSN(class | BPF_NEG, dst, 0, 0, 0));
        break;
    case 1:
        EMIT(INSN(BPF_ALU | BPF_END | (chance(g, 50) ? BPF_TO_BE : BPF_TO_LE), dst, 0, 0,
                  16 << pick(g, 3)));
        break;
    case 2:
        if (class == BPF_ALU64)
            EMIT(MOVSX(dst, src, 8 << pick(g, 3)));
        else
            EMIT(MOVSX32(dst, src, 8 << pick(g, 2)));
        break;
    case 3:
    case 4:
        EMIT(INSN(class | op | BPF_X, dst, src, 0, 0));
        break;
    case 5: {
        int to = any_free(g);

        EMIT(INSN(class | BPF_MOV | BPF_X, to, src, 0, 0));
        set(g, to, g->kinds[src], g->sizes[src]);
        break;
    }
    default:
        EMIT(INSN(class | op | BPF_K, dst, 0, 0, imm));
    }
}

static const uint8_t jump_ops[] = {BPF_JEQ,  BPF_JNE,  BPF_JGT,  BPF_JGE,  BPF_JLT, BPF_JLE,
                                   BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE, BPF_JSET};

static void exit_if(struct generator *g, struct bpf_insn jump)
{
    if (g->exit_count == 64)
        return;
    g->exits[g->exit_count++] = g->count;
    emit(g, jump);
}

static void make_small(struct generator *g)
{
    int reg = find(g, NUMBER), below = 2 << pick(g, 6);

    if (reg < 0)
        return;
    switch (pick(g, 6)) {
    case 0:
    case 1:
        EMIT(INSN((chance(g, 50) ? BPF_ALU64 : BPF_ALU) | BPF_AND | BPF_K, reg, 0, 0, below - 1));
        break;
    case 2:
        exit_if(
            g, INSN((chance(g, 60) ? BPF_JMP : BPF_JMP32) | BPF_JGT | BPF_K, reg, 0, 0, below - 1));
        break;
    case 3:
        exit_if(g, JMP(BPF_JSLT, reg, 0, 0));
        exit_if(g, JMP(BPF_JSGE, reg, below, 0));
        break;
    case 4:
        EMIT(ALU(BPF_RSH, reg, 64 - __builtin_ctz((unsigned)below)));
        break;
    default:
        EMIT(ALU(BPF_MOD, reg, below));
        exit_if(g, JMP(BPF_JGE, reg, below, 0));
    }
    set(g, reg, SMALL, below);
}

/* ---- stack ---- */

static void stack_access(struct generator *g)
{
    int size = random_size(g), reg;
    int16_t off = stack_off(g, bytes_of(size));

    switch (pick(g, 4)) {
    case 0:
        EMIT(ST(size, R10, off, chance(g, 50) ? 0 : interesting(g)));
        break;
    case 1:
        reg = any_free(g);
        EMIT(LDX(size, reg, R10, off));
        set(g, reg, NUMBER, 0);
        break;
    default:
        reg = (int)pick(g, 10);
        if (g->kinds[reg] == NOTHING && !chance(g, 3))
            return;
        if (g->kinds[reg] > SMALL && chance(g, 95))
            size = BPF_DW, off &= ~7;
        EMIT(STX(size, R10, reg, off));
        if (chance(g, 60)) {
            int to = any_free(g);

            EMIT(chance(g, 10) ? LDSX(size == BPF_DW ? BPF_W : size, to, R10, off)
                               : LDX(size, to, R10, off));
            set(g, to, g->kinds[reg], g->sizes[reg]);
        }
    }
}

static void stack_pointer(struct generator *g)
{
    int reg = any_free(g), small = find(g, SMALL), size = random_size(g), bytes = bytes_of(size);

    EMIT(MOVX(reg, R10), ADD(reg, -(int)(pick(g, 10) + 1) * 8));
    set(g, reg, STACK, 0);
    if (small >= 0 && small != reg && chance(g, 60)) {
        if (bytes > 1 && chance(g, 90))
            EMIT(ALU(BPF_AND, small, ~(bytes - 1)));
        EMIT(ADD(reg, -g->sizes[small]), ADDX(reg, small));
    }
    if (chance(g, 50))
        EMIT(small >= 0 ? STX(size, reg, small, 0) : ST(size, reg, 0, 7));
    else
        EMIT(ST(size, reg, 0, 0));
    if (chance(g, 50)) {
        EMIT(LDX(size, reg, reg, 0));
        set(g, reg, NUMBER, 0);
    }
}

/* ---- maps and memory ---- */

static void lookup(struct generator *g)
{
    static const struct {
        int map, key, value;
    } kinds[] = {{MAP_HASH, 8, 48}, {MAP_ARRAY, 4, 64},  {MAP_PERCPU, 4, 16},
                 {MAP_DATA, 4, 64}, {MAP_RODATA, 4, 64}, {MAP_RDONLY, 4, 64}};
    int i = (int)pick(g, 6), number = find(g, NUMBER), to = 6 + (int)pick(g, 4);
    int16_t off = (int16_t)(-8 - 8 * (int)pick(g, 4));
    bool checked;

    if (number >= 0 && chance(g, 50))
        EMIT(STX(kinds[i].key == 8 ? BPF_DW : BPF_W, R10, number, off));
    else
        EMIT(ST(kinds[i].key == 8 ? BPF_DW : BPF_W, R10, off, (int32_t)pick(g, 6)));
    EMIT(MOVX(R2, R10), ADD(R2, off), LD_MAP(R1, kinds[i].map), CALL(map_lookup_elem));
    after_call(g);
    set(g, R0, MAYBE_VALUE, kinds[i].value);
    checked = chance(g, 95);
    if (chance(g, 30)) {
        EMIT(MOVX(to, R0));
        set(g, to, checked ? VALUE : MAYBE_VALUE, kinds[i].value);
    }
    if (checked) {
        exit_if(g, JMP(BPF_JEQ, R0, 0, 0));
        set(g, R0, VALUE, kinds[i].value);
    }
}

static void direct_value(struct generator *g)
{
    int reg = any_free(g), off = chance(g, 60) ? 0 : (int)pick(g, 64);

    EMIT(LD_VALUE(reg, chance(g, 70) ? MAP_DATA : MAP_RODATA, off));
    set(g, reg, VALUE, 64 - off);
}

static void memory_access(struct generator *g)
{
    int base = find(g, chance(g, 70) ? VALUE : RECORD), small = find(g, SMALL), size, bytes, limit;
    int other;

    if (base < 0)
        return;
    size = random_size(g);
    bytes = bytes_of(size);
    limit = g->sizes[base] - bytes;
    if (limit < 0)
        limit = 0;
    if (small >= 0 && chance(g, 50)) {
        int pointer = any_free(g);

        if (pointer == small || pointer == base)
            return;
        EMIT(MOVX(pointer, base));
        EMIT(chance(g, 8) ? SUBX(pointer, small) : ADDX(pointer, small));
        set(g, pointer, VALUE, g->sizes[base] - g->sizes[small] + 1);
        base = pointer;
        limit = g->sizes[pointer] - bytes;
        if (limit < 0)
            limit = chance(g, 90) ? 0 : -4;
    }
    other = find(g, NUMBER);
    switch (pick(g, 5)) {
    case 0:
        EMIT(ST(size, base, (int16_t)pick(g, (uint32_t)limit + 1), interesting(g)));
        break;
    case 1:
        EMIT(STX(other >= 0 ? size : BPF_DW, base, other >= 0 ? other : R10,
                 (int16_t)(pick(g, (uint32_t)limit + 1) + chance(g, 2))));
        break;
    case 2: {
        static const int32_t ops[] = {
            BPF_ADD,  BPF_OR,     BPF_AND, BPF_XOR, BPF_ADD | BPF_FETCH, BPF_XOR | BPF_FETCH,
            BPF_XCHG, BPF_CMPXCHG};

        if (other >= 0)
            EMIT(ATOMIC(chance(g, 50) ? BPF_W : BPF_DW, ops[pick(g, 8)], base, other,
                        (int16_t)(pick(g, (uint32_t)limit + 1) & ~7u)));
        break;
    }
    default:
        other = any_free(g);
        EMIT(chance(g, 10) && size != BPF_DW
                 ? LDSX(size, other, base, (int16_t)pick(g, (uint32_t)limit + 1))
                 : LDX(size, other, base, (int16_t)(pick(g, (uint32_t)limit + 1) + chance(g, 2))));
        set(g, other, NUMBER, 0);
    }
}

static void ring_record(struct generator *g)
{
    int size = 8 << pick(g, 4), to = 6 + (int)pick(g, 4),
        off = (int)pick(g, (uint32_t)size / 8) * 8;
    int number = find(g, NUMBER);

    EMIT(LD_MAP(R1, MAP_RING), MOV(R2, size), MOV(R3, 0), CALL(ringbuf_reserve));
    after_call(g);
    if (chance(g, 97))
        exit_if(g, JMP(BPF_JEQ, R0, 0, 0));
    EMIT(MOVX(to, R0));
    set(g, to, NOTHING, 0);
    if (number >= 6 && number != to)
        EMIT(STX(BPF_DW, R0, number, (int16_t)(off + 8 * chance(g, 3))));
    EMIT(ST(BPF_DW, to, (int16_t)off, 1), MOVX(R1, to), MOV(R2, 0));
    if (chance(g, 96))
        EMIT(chance(g, 50) ? CALL(ringbuf_submit) : CALL(ringbuf_discard));
    after_call(g);
    set(g, R0, NOTHING, 0);
    set(g, to, chance(g, 96) ? NOTHING : RECORD, size);
}

static void helper(struct generator *g)
{
    static const int32_t readers[] = {BPF_FUNC_probe_read_user, BPF_FUNC_probe_read_kernel,
                                      BPF_FUNC_probe_read_user_str};
    int ctx = find(g, CONTEXT), small = find(g, SMALL), value = find(g, VALUE);

    switch (pick(g, 7)) {
    case 0:
        EMIT(CALL(ktime_get_ns));
        break;
    case 1:
        EMIT(CALL(get_current_pid_tgid));
        break;
    case 2: /* to the stack */
        if (small >= 0 && chance(g, 50))
            EMIT(MOVX(R2, small));
        else
            EMIT(MOV(R2, (int32_t)pick(g, 65)));
        EMIT(MOVX(R1, R10), ADD(R1, -64 - 8 * (int)pick(g, 3)), MOV(R3, 0),
             CALL_NUMBER(readers[pick(g, 3)]));
        break;
    case 3: /* to a map's value */
        if (value < 0)
            return;
        EMIT(MOVX(R1, value), MOV(R2, g->sizes[value] + chance(g, 5)), MOV(R3, 0),
             CALL_NUMBER(readers[pick(g, 3)]));
        break;
    case 4:
        if (ctx < 0)
            return;
        EMIT(MOVX(R1, ctx), LD_MAP(R2, MAP_PERF), MOV(R3, -1), MOVX(R4, R10), ADD(R4, -40),
             MOV(R5, 40), CALL(perf_event_output));
        break;
    case 5:
        EMIT(ST(BPF_DW, R10, -8, 5), MOVX(R2, R10), ADD(R2, -8), MOVX(R3, R10), ADD(R3, -56),
             MOV(R4, 0), LD_MAP(R1, MAP_HASH), CALL(map_update_elem));
        break;
    default:
        EMIT(MOVX(R1, R10), ADD(R1, -16), MOV(R2, 16), CALL(get_current_comm));
    }
    after_call(g);
}

/* ---- control ---- */

static void statements(struct generator *g, int count);

/* What is known in a branch is not known behind it. */
static void branch(struct generator *g)
{
    int reg = find(g, NUMBER), src = find(g, NUMBER), jump = (int)g->count;
    uint8_t class = chance(g, 65) ? BPF_JMP : BPF_JMP32;
    uint8_t op = jump_ops[pick(g, sizeof(jump_ops))];
    enum kind kinds[11];
    int sizes[11];

    if (reg < 0 || g->depth > 3)
        return;
    if (chance(g, 30))
        emit(g, INSN(class | op | BPF_X, reg, src, 0, 0));
    else
        emit(g, INSN(class | op | BPF_K, reg, 0, 0, interesting(g)));
    memcpy(kinds, g->kinds, sizeof(kinds));
    memcpy(sizes, g->sizes, sizeof(sizes));
    g->depth++;
    statements(g, 1 + (int)pick(g, 4));
    g->depth--;
    if ((int)g->count == jump)
        return;
    g->insns[jump].off = (int16_t)((int)g->count - jump - 1);
    for (int i = 0; i < 11; i++) {
        if (g->kinds[i] != kinds[i] && !chance(g, 3))
            set(g, i, kinds[i] == NUMBER || kinds[i] == SMALL ? NUMBER : NOTHING, 0);
        if (g->kinds[i] == SMALL && sizes[i] > g->sizes[i])
            g->sizes[i] = sizes[i];
    }
}

static void loop(struct generator *g)
{
    int counter = 6 + (int)pick(g, 4), start;

    if (g->depth > 1 || g->kinds[counter] == CONTEXT)
        return;
    EMIT(MOV(counter, 0));
    set(g, counter, NOTHING, 0); /* the body shall not change it */
    start = (int)g->count;
    g->depth++;
    statements(g, 1 + (int)pick(g, 3));
    g->depth--;
    EMIT(ADD(counter, chance(g, 98) ? 1 : 0));
    emit(g,
         INSN((chance(g, 80) ? BPF_JMP : BPF_JMP32) | (chance(g, 70) ? BPF_JLT : BPF_JNE) | BPF_K,
              counter, 0, (int16_t)(start - (int)g->count - 1), 1 + (int32_t)pick(g, 20)));
    set(g, counter, NUMBER, 0);
}

static void call(struct generator *g)
{
    int value = find(g, VALUE), small = find(g, SMALL);

    if (g->call_count == 16 || g->in_subprog)
        return;
    EMIT(MOVX(R1, R10), ADD(R1, -16), MOV(R2, interesting(g)));
    if (small >= 0 && small != R1)
        EMIT(MOVX(R2, small));
    if (value > R2)
        EMIT(MOVX(R3, value));
    g->calls[g->call_count++] = g->count;
    EMIT(CALL_SUB(0));
    after_call(g);
}

static void pointer_games(struct generator *g)
{
    int a = find(g, chance(g, 50) ? VALUE : STACK), b = find(g, STACK), to = any_free(g);

    if (a < 0)
        return;
    switch (pick(g, 6)) {
    case 0:
        EMIT(MOVX(to, R10), SUBX(to, b >= 0 ? b : R10));
        set(g, to, NUMBER, 0);
        break;
    case 1:
        EMIT(JMP(BPF_JNE, a, 0, 1), MOV(R0, 0));
        break;
    case 2:
        EMIT(MOVX32(to, a));
        set(g, to, NUMBER, 0);
        break;
    case 3:
        EMIT(ALU(alu_ops[pick(g, sizeof(alu_ops))], a, interesting(g) & 31));
        break;
    case 4:
        EMIT(JMPX(jump_ops[pick(g, 11)], a, R10, 1), MOV(to, 0));
        set(g, to, NUMBER, 0);
        break;
    default:
        EMIT(MOVX(to, a));
        set(g, to, g->kinds[a], g->sizes[a]);
    }
}

static void statement(struct generator *g)
{
    static void (*const all[])(struct generator *) = {
        new_number,   new_number,    arithmetic,    arithmetic,    arithmetic,    make_small,
        make_small,   make_small,    stack_access,  stack_access,  stack_pointer, lookup,
        direct_value, memory_access, memory_access, memory_access, ring_record,   helper,
        branch,       branch,        branch,        loop,          call,          pointer_games};

    all[pick(g, sizeof(all) / sizeof(all[0]))](g);
}

static void statements(struct generator *g, int count)
{
    while (count-- > 0 && g->count + 40 < g->limit)
        statement(g);
}

static void end(struct generator *g)
{
    size_t at = g->count;

    EMIT(MOV(R0, 0), EXIT);
    for (int i = 0; i < g->exit_count; i++)
        g->insns[g->exits[i]].off = (int16_t)(at - g->exits[i] - 1);
    g->exit_count = 0;
}

static void subprogs(struct generator *g)
{
    int count = g->call_count;
    size_t start[2];

    if (!count)
        return;
    g->in_subprog = true;
    for (int s = 0; s < 1 + (count > 1); s++) {
        start[s] = g->count;
        memset(g->kinds, 0, sizeof(g->kinds));
        set(g, R1, STACK, 0);
        set(g, R2, NUMBER, 0);
        set(g, R3, chance(g, 20) ? VALUE : NOTHING, 48);
        statements(g, 1 + (int)pick(g, 6));
        end(g);
    }
    for (int i = 0; i < count; i++)
        g->insns[g->calls[i]].imm = (int32_t)(start[i & (count > 1)] - g->calls[i] - 1);
}

/* Something small goes wrong. */
static void mutate(struct generator *g)
{
    struct bpf_insn *insn = &g->insns[pick(g, (uint32_t)g->count)];

    switch (pick(g, 8)) {
    case 0:
        insn->imm = interesting(g);
        break;
    case 1:
        insn->imm += (int32_t)pick(g, 3) - 1;
        break;
    case 2:
        insn->off = (int16_t)(insn->off + (int)pick(g, 17) - 8);
        break;
    case 3:
        insn->dst_reg = pick(g, 11) & 15;
        break;
    case 4:
        if (insn->src_reg || (insn->code & BPF_X))
            insn->src_reg = pick(g, 11) & 15;
        break;
    case 5:
        insn->code ^= (uint8_t)(1u << pick(g, 8));
        break;
    case 6:
        *insn = MOV((int)pick(g, 10), interesting(g));
        break;
    default:
        *insn = g->insns[pick(g, (uint32_t)g->count)];
    }
}

size_t random_program(struct bpf_insn *insns, uint64_t seed)
{
    struct generator generator = {.insns = insns, .limit = RANDOM_PROGRAM_MAX - 100};
    struct generator *g = &generator;

    g->random = seed * 0x9e3779b97f4a7c15ull + 0x1234567;
    for (int i = 0; i < 4; i++)
        (void)pick(g, 2);
    set(g, R1, CONTEXT, 0);
    if (chance(g, 90)) {
        EMIT(MOVX(R6, R1));
        set(g, R6, CONTEXT, 0);
    }
    statements(g, 2 + (int)pick(g, chance(g, 20) ? 60 : 20));
    g->limit = RANDOM_PROGRAM_MAX;
    end(g);
    g->limit = RANDOM_PROGRAM_MAX - 50;
    subprogs(g);
    if (chance(g, 30))
        mutate(g);
    if (chance(g, 8))
        mutate(g);
    return g->count;
}
