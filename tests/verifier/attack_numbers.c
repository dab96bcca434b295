/* SPDX-License-Identifier: MIT */
#include "verifier/attack_parts.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int32_t attack_constant(struct attack *a)
{
    static const int32_t edges[] = {0,   1,   2,     7,     8,         15,       16, 31, 32,
                                    63,  64,  100,   127,   128,       -1,       -2, -8, -16,
                                    -32, -64, -128,  -129,  255,       256,      5,  10, 511,
                                    512, 40,  65535, 32768, INT32_MAX, INT32_MIN};

    if (attack_pick(a, 4) == 0)
        return (int32_t)attack_pick(a, 80) - 8;
    return edges[attack_pick(a, COUNT(edges))];
}

uint8_t attack_size(struct attack *a)
{
    static const uint8_t sizes[] = {BPF_B, BPF_H, BPF_W, BPF_DW, BPF_DW, BPF_W};

    return sizes[attack_pick(a, COUNT(sizes))];
}

int attack_bytes(uint8_t size)
{
    return size == BPF_B ? 1 : size == BPF_H ? 2 : size == BPF_W ? 4 : 8;
}

static uint8_t random_op(struct attack *a)
{
    static const uint8_t ops[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_OR,   BPF_AND, BPF_XOR, BPF_LSH,
                                  BPF_RSH, BPF_DIV, BPF_MOD, BPF_ARSH, BPF_ADD, BPF_AND, BPF_SUB};

    return ops[attack_pick(a, COUNT(ops))];
}

static void by_constant(struct attack *a)
{
    uint8_t class = attack_pick(a, 2) ? BPF_ALU64 : BPF_ALU, op = random_op(a);
    int32_t imm = attack_constant(a);
    bool divides = op == BPF_DIV || op == BPF_MOD;

    if (op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH)
        imm = (int32_t)attack_pick(a, class == BPF_ALU64 ? 64 : 32);
    PUT(INSN(class | op | BPF_K, attack_number(a), 0, divides && attack_pick(a, 2),
             divides && !imm ? 3 : imm));
}

static void by_number(struct attack *a)
{
    uint8_t op = random_op(a);
    bool divides = op == BPF_DIV || op == BPF_MOD;

    PUT(INSN((attack_pick(a, 2) ? BPF_ALU64 : BPF_ALU) | op | BPF_X, attack_number(a),
             attack_number(a), divides && attack_pick(a, 2), 0));
}

static void move(struct attack *a)
{
    uint8_t to = attack_number(a), from = attack_number(a);

    switch (attack_pick(a, 6)) {
    case 0:
        PUT(MOVX32(to, from));
        break;
    case 1:
        PUT(MOVSX(to, from, 8 << attack_pick(a, 3)));
        break;
    case 2:
        PUT(MOVSX32(to, from, 8 << attack_pick(a, 2)));
        break;
    case 3: /* linked, at a distance */
        PUT(MOVX(to, from));
        PUT(INSN((attack_pick(a, 4) ? BPF_ALU64 : BPF_ALU) | BPF_ADD | BPF_K,
                 attack_pick(a, 2) ? to : from, 0, 0, attack_constant(a)));
        break;
    case 4:
        PUT(MOV(to, attack_constant(a)));
        break;
    default:
        PUT(MOVX(to, from));
    }
}

static void bytes(struct attack *a)
{
    uint8_t reg = attack_number(a);

    switch (attack_pick(a, 3)) {
    case 0:
        PUT(SWAP(reg, 16 << attack_pick(a, 3)));
        break;
    case 1:
        PUT(INSN(BPF_ALU | BPF_END | (attack_pick(a, 2) ? BPF_TO_BE : BPF_TO_LE), reg, 0, 0,
                 16 << attack_pick(a, 3)));
        break;
    default:
        PUT(INSN((attack_pick(a, 2) ? BPF_ALU64 : BPF_ALU) | BPF_NEG, reg, 0, 0, 0));
    }
}

static int16_t place(struct attack *a, uint8_t size)
{
    int16_t off = attack_slot(a);

    if (attack_pick(a, 4) == 0)
        off = (int16_t)(off + (int)attack_pick(a, 8u / (unsigned)attack_bytes(size)) *
                                  attack_bytes(size));
    return off;
}

static void spill(struct attack *a)
{
    uint8_t size = attack_size(a);

    if (attack_pick(a, 4) == 0)
        PUT(ST(size, R10, place(a, size), attack_constant(a)));
    else
        PUT(STX(size, R10, attack_number(a), place(a, size)));
}

static void fill(struct attack *a)
{
    uint8_t size = attack_size(a);

    if (size != BPF_DW && attack_pick(a, 3) == 0)
        PUT(LDSX(size, attack_number(a), R10, place(a, size)));
    else
        PUT(LDX(size, attack_number(a), R10, place(a, size)));
}

static void spill_and_fill(struct attack *a)
{
    uint8_t size = attack_size(a);
    int16_t off = place(a, size);

    PUT(STX(size, R10, attack_number(a), off));
    if (size != BPF_DW && attack_pick(a, 2))
        PUT(LDSX(size, attack_number(a), R10, off));
    else
        PUT(LDX(size, attack_number(a), R10, off));
}

static void atomic(struct attack *a)
{
    static const int32_t ops[] = {
        BPF_ADD, BPF_OR, BPF_AND | BPF_FETCH, BPF_XOR, BPF_ADD | BPF_FETCH, BPF_XCHG, BPF_CMPXCHG};
    int32_t op = ops[attack_pick(a, COUNT(ops))];
    uint8_t size = attack_pick(a, 3) ? BPF_DW : BPF_W;

    PUT(MOVX(R0, attack_number(a)), ATOMIC(size, op, R10, attack_number(a), place(a, size)));
    if (op == BPF_CMPXCHG)
        PUT(MOVX(attack_number(a), R0));
}

void attack_simple(struct attack *a)
{
    static void (*const all[])(struct attack *) = {
        by_constant, by_constant, by_number, move,           move,           move,  bytes,
        spill,       spill,       fill,      spill_and_fill, spill_and_fill, atomic};

    all[attack_pick(a, COUNT(all))](a);
}

void attack_jump_on(struct attack *a, uint8_t reg, int16_t off)
{
    static const uint8_t ops[] = {BPF_JEQ,  BPF_JNE,  BPF_JGT,  BPF_JGE,  BPF_JLT, BPF_JLE,
                                  BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE, BPF_JSET};
    uint8_t op = ops[attack_pick(a, COUNT(ops))];
    uint8_t class = attack_pick(a, 3) ? BPF_JMP : BPF_JMP32;

    if (attack_pick(a, 4) == 0)
        PUT(INSN(class | op | BPF_X, reg, attack_number(a), off, 0));
    else
        PUT(INSN(class | op | BPF_K, reg, 0, off, attack_constant(a)));
}

void attack_jump(struct attack *a, int16_t off)
{
    attack_jump_on(a, attack_number(a), off);
}
