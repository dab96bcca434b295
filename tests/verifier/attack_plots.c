/* SPDX-License-Identifier: MIT */
/* Attacks of several steps, each after one way in which a proof can go wrong. */
#include "verifier/attack_parts.h"

/* One of two constants, by chance; and states that tell them apart, or not. */
static void put_one_of_two(struct attack *a, uint8_t reg)
{
    PUT(CALL(get_prandom_u32), JMP(BPF_JSET, R0, 1, 2));
    PUT(MOV(reg, attack_pick(a, 2) ? 0 : attack_constant(a)), JA(1), MOV(reg, attack_constant(a)));
    attack_store_states(a);
}

/* The number again, by way of the stack. */
static void carry(struct attack *a, uint8_t to, uint8_t from, int16_t slot)
{
    switch (attack_pick(a, 9)) {
    case 6: /* as bytes that are known to be 0, or not */
        PUT(STX(BPF_W, R10, from, (int16_t)(slot + 4)), LDX(BPF_W, to, R10, (int16_t)(slot + 4)));
        break;
    case 7:
        PUT(ST(BPF_DW, R10, slot, 0), LDX(BPF_DW, R1, R10, CONTEXT_SLOT), LDX(BPF_B, R2, R1, 40));
        PUT(INSN(BPF_ALU64 | BPF_AND | BPF_K, R2, 0, 0, 4), MOVX(R1, R10), ADD(R1, slot));
        PUT(ADDX(R1, R2), STX(BPF_W, R1, from, 0), LDX(BPF_W, to, R10, slot));
        break;
    case 5:
        PUT(MOV(R0, 3), ADDX(R0, from), MOVX(to, R0));
        break;
    case 0:
        PUT(STX(BPF_DW, R10, from, slot), LDX(BPF_DW, to, R10, slot));
        break;
    case 1:
        PUT(STX(BPF_DW, R10, from, slot), MOV(to, 0));
        PUT(ATOMIC(BPF_DW, BPF_ADD | BPF_FETCH, R10, to, slot));
        break;
    case 2:
        PUT(STX(BPF_W, R10, from, slot), LDX(BPF_W, to, R10, slot));
        break;
    case 3:
        PUT(STX(BPF_DW, R10, from, slot), MOV(R0, 1), MOV(R1, 0));
        PUT(ATOMIC(BPF_DW, BPF_CMPXCHG, R10, R1, slot), MOVX(to, R0));
        break;
    case 4:
        PUT(STX(BPF_DW, R10, from, slot), LDX(BPF_H, to, R10, (int16_t)(slot + 2)));
        break;
    default:
        PUT(MOVX(to, from));
    }
}

/* A branch that is decided by one of two numbers leads to another index. */
static void decided_branch(struct attack *a)
{
    uint8_t x = attack_number(a), y = attack_number(a);

    if (x == y)
        return;
    put_one_of_two(a, x);
    carry(a, x, x, attack_slot(a));
    PUT(MOV(y, 0));
    attack_jump_on(a, x, 1);
    PUT(MOV(y, 1000));
    attack_use(a, y);
}

/* Something happens to a slot between a store and a load. */
static void disturbed_slot(struct attack *a)
{
    uint8_t reg = attack_number(a), by = attack_number(a);
    int16_t slot = attack_slot(a);

    if (attack_pick(a, 2))
        put_one_of_two(a, by);
    if (attack_pick(a, 2))
        PUT(ST(BPF_DW, R10, slot, (int32_t)attack_pick(a, 64)));
    else
        PUT(MOV(reg, (int32_t)attack_pick(a, 64)), STX(BPF_DW, R10, reg, slot));
    attack_disturb(a, by, slot);
    if (attack_pick(a, 2))
        attack_store_states(a);
    PUT(LDX(attack_size(a), reg, R10, slot));
    attack_use(a, reg);
}

/* Of two numbers that are linked in one way on one path, and in another on the other path. */
static void other_link(struct attack *a)
{
    uint8_t x = R6, y = R7, z = R8;
    int32_t far = 1 + (int32_t)attack_pick(a, 8);

    PUT(LDX(BPF_DW, R1, R10, CONTEXT_SLOT), LDX(BPF_DW, y, R1, 8), LDX(BPF_DW, z, R1, 16));
    PUT(CALL(get_prandom_u32), JMP(BPF_JSET, R0, 1, 3));
    PUT(MOVX(x, attack_pick(a, 2) ? y : z), ADD(x, far), JA(2));
    PUT(MOVX(x, attack_pick(a, 2) ? y : z), ADD(x, attack_pick(a, 4) ? far : 0), MOV(z, 0));
    attack_store_states(a);
    PUT(JMP(BPF_JSLT, y, 0, TO_END), JMP(BPF_JSGT, y, 40, TO_END));
    attack_use(a, x);
}

/* A number that is cut off or extended, and what is learnt of the one taken for the other. */
static void changed_copy(struct attack *a)
{
    static const uint8_t sizes[] = {BPF_B, BPF_H, BPF_W};
    uint8_t x = attack_number(a), y = attack_number(a);
    uint32_t log2 = attack_pick(a, 3);
    uint8_t size = sizes[log2];
    int16_t slot = attack_slot(a);

    if (x == y)
        return;
    PUT(LDX(BPF_DW, R1, R10, CONTEXT_SLOT), LDX(attack_pick(a, 3) ? size : BPF_DW, x, R1, 8));
    if (attack_pick(a, 4) == 0)
        PUT(ADD(x, attack_constant(a)));
    switch (attack_pick(a, 5)) {
    case 0:
        PUT(STX(size, R10, x, slot), LDSX(size, y, R10, slot));
        break;
    case 1:
        PUT(STX(size, R10, x, slot), LDX(sizes[attack_pick(a, log2 + 1)], y, R10, slot));
        break;
    case 2:
        PUT(MOVSX(y, x, 8 << log2));
        break;
    case 3:
        PUT(MOVX32(y, x));
        break;
    default:
        PUT(MOVX(y, x), INSN((attack_pick(a, 2) ? BPF_ALU : BPF_ALU64) | BPF_ADD | BPF_K, y, 0, 0,
                             attack_constant(a)));
    }
    if (attack_pick(a, 3) == 0)
        PUT(MOVX(R0, y), ADD(R0, attack_constant(a)), MOVX(y, R0));
    if (attack_pick(a, 2))
        PUT(JMP(BPF_JSGT, y, -1, TO_END), JMP(BPF_JSLT, y, -40, TO_END));
    else
        PUT(JMP(BPF_JSGT, y, 40, TO_END), JMP(BPF_JSLT, y, 0, TO_END));
    attack_use(a, x);
}

/* An element that is known to be there, by its number. */
static void known_element(struct attack *a)
{
    uint8_t reg = attack_number(a);
    int16_t slot = attack_slot(a);

    put_one_of_two(a, reg);
    PUT(STX(BPF_W, R10, reg, slot), MOVX(R2, R10), ADD(R2, slot), LD_MAP(R1, MAP_ARRAY));
    PUT(CALL(map_lookup_elem), LDX(BPF_B, reg, R0, 63));
}

/* As many rounds as one of two numbers says. */
static void counted_rounds(struct attack *a)
{
    uint8_t reg = attack_number(a);
    int16_t slot = attack_slot(a);

    if (attack_pick(a, 2))
        put_one_of_two(a, reg);
    else
        PUT(MOV(reg, (int32_t)attack_pick(a, 4)));
    PUT(ST(BPF_DW, R10, slot, 0));
    attack_call_back(a, reg, slot);
    PUT(LDX(BPF_DW, reg, R10, slot));
    attack_use(a, reg);
}

void attack_plot(struct attack *a)
{
    static void (*const all[])(struct attack *) = {decided_branch, decided_branch, disturbed_slot,
                                                   disturbed_slot, other_link,     changed_copy,
                                                   changed_copy,   known_element,  counted_rounds};

    if (a->call_count + 2 < ATTACK_CALLS)
        all[attack_pick(a, sizeof(all) / sizeof(all[0]))](a);
}
