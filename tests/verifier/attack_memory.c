/* SPDX-License-Identifier: MIT */
#include "verifier/attack_parts.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- what is at stake ---- */

/* What is added to the number before may make up for one below 0; the instruction's offset does
 * not. */
static void put_use(struct attack *a, uint8_t reg, int off, bool is_added)
{
    if (is_added)
        PUT(MOVX(R2, reg), ADD(R2, off), LD_VALUE(R1, MAP_DATA, 0), ADDX(R1, R2),
            LDX(BPF_B, R2, R1, 0));
    else
        PUT(LD_VALUE(R1, MAP_DATA, 0), ADDX(R1, reg), LDX(BPF_B, R2, R1, (int16_t)off));
}

static bool is_use_accepted(struct attack *a, size_t count, uint8_t reg, int off, bool is_added)
{
    a->count = count;
    put_use(a, reg, off, is_added);
    return attack_is_accepted(a);
}

/* As far as the verifier lets it go, at one end or at the other. */
void attack_use(struct attack *a, uint8_t reg)
{
    int step = attack_pick(a, 2) ? 1 : -1, off = 0, stride;
    bool is_added = attack_pick(a, 2);
    size_t count = a->count;

    /* Nothing helps where there are no bounds. */
    if (!is_use_accepted(a, count, reg, 0, is_added) && !attack_is_bounded(a))
        return;
    for (off = -step * 144; off * step <= 144; off += 8 * step) {
        if (is_use_accepted(a, count, reg, off, is_added))
            break;
    }
    if (off * step > 144)
        return;
    for (stride = 64; stride; stride /= 2) {
        if (is_use_accepted(a, count, reg, off + step * stride, is_added))
            off += step * stride;
    }
    a->count = count;
    put_use(a, reg, off, is_added);
}

static void use_at_edge(struct attack *a)
{
    attack_use(a, attack_number(a));
}

/* Between bounds first, of itself or of what it may be linked to. */
static void check_and_use(struct attack *a)
{
    uint8_t checked = attack_number(a);
    int32_t low = (int32_t)attack_pick(a, 3) * -20, high = low + (int32_t)attack_pick(a, 50);

    if (attack_pick(a, 2)) {
        PUT(JMP(BPF_JSLT, checked, low, TO_END), JMP(BPF_JSGT, checked, high, TO_END));
    } else {
        PUT(INSN((attack_pick(a, 2) ? BPF_JMP : BPF_JMP32) | BPF_JGT | BPF_K, checked, 0, TO_END,
                 high - low));
    }
    use_at_edge(a);
}

/* Marked by the verifier if the answer is known. */
static void ask(struct attack *a)
{
    for (uint32_t i = 1 + attack_pick(a, 3); i; i--)
        attack_jump(a, 0);
}

/* ---- calls ---- */

static void put_call(struct attack *a, uint8_t reg, int16_t slot)
{
    PUT(MOVX(R1, R10), ADD(R1, slot), MOVX(R2, reg), LDX(BPF_DW, R3, R10, CONTEXT_SLOT));
    a->calls[a->call_count++] = (struct attack_call){a->count, a->random, false};
    PUT(CALL_SUB(0));
}

static void call(struct attack *a)
{
    put_call(a, attack_number(a), attack_slot(a));
    if (attack_pick(a, 2))
        PUT(MOVX(attack_number(a), R0));
}

void attack_call_back(struct attack *a, uint8_t rounds, int16_t slot)
{
    PUT(MOVX(R1, rounds), MOVX(R3, R10), ADD(R3, slot), MOV(R4, 0));
    a->calls[a->call_count++] = (struct attack_call){a->count, a->random, true};
    PUT(LD_FUNC(R2, 0), CALL(loop));
}

static void call_back(struct attack *a)
{
    attack_call_back(a, attack_number(a), attack_slot(a));
}

/* ---- the stack ---- */

static void variable_write(struct attack *a)
{
    uint8_t size = attack_size(a);

    PUT(MOVX(R1, R10), ADD(R1, -8 * (1 + (int)attack_pick(a, 8))), ADDX(R1, attack_number(a)));
    if (attack_pick(a, 2))
        PUT(ST(size, R1, 0, attack_pick(a, 2) ? 0 : attack_constant(a)));
    else
        PUT(STX(size, R1, attack_number(a), 0));
}

/* Just inside of the frame, or just outside. */
static void edge_of_stack(struct attack *a)
{
    uint8_t size = attack_size(a);
    int16_t off = (int16_t)((attack_pick(a, 2) ? -512 : 0) +
                            ((int)attack_pick(a, 5) - 2) * attack_bytes(size));

    if (attack_pick(a, 2))
        PUT(ST(size, R10, off, 1));
    else
        PUT(LDX(size, attack_number(a), R10, off));
}

static void variable_read(struct attack *a)
{
    PUT(MOVX(R1, R10), ADD(R1, -8 * (1 + (int)attack_pick(a, 8))), ADDX(R1, attack_number(a)));
    PUT(LDX(attack_size(a), attack_number(a), R1, 0));
}

static void bounded_place(struct attack *a)
{
    PUT(INSN(BPF_ALU64 | BPF_AND | BPF_K, attack_number(a), 0, 0, 8 << attack_pick(a, 2)));
    attack_pick(a, 2) ? variable_write(a) : variable_read(a);
}

static void put_helper_write(struct attack *a, uint8_t reg, int off)
{
    PUT(MOVX(R1, R10), ADD(R1, off));
    switch (attack_pick(a, 4)) {
    case 0:
        PUT(MOV(R2, 1 + (int32_t)attack_pick(a, 24)));
        break;
    case 1:
        PUT(LDX(BPF_DW, R2, R10, CONTEXT_SLOT), LDX(BPF_B, R2, R2, 48));
        PUT(INSN(BPF_ALU64 | BPF_AND | BPF_K, R2, 0, 0, 15), ADD(R2, 1));
        break;
    default:
        PUT(MOVX(R2, reg));
    }
    PUT(MOV(R3, 0), attack_pick(a, 2) ? CALL(probe_read_kernel) : CALL(probe_read_kernel_str));
}

static void helper_write(struct attack *a)
{
    put_helper_write(a, attack_number(a), attack_slot(a) - 4 * (int)attack_pick(a, 3));
    if (attack_pick(a, 2))
        PUT(MOVX(attack_number(a), R0));
}

void attack_disturb(struct attack *a, uint8_t by, int16_t slot)
{
    uint8_t size = attack_size(a);

    switch (attack_pick(a, 6)) {
    case 0:
        put_helper_write(a, by, slot - 8 * (int)attack_pick(a, 3));
        break;
    case 1: /* here or there */
        PUT(LDX(BPF_DW, R1, R10, CONTEXT_SLOT), LDX(BPF_B, R2, R1, 40));
        PUT(INSN(BPF_ALU64 | BPF_AND | BPF_K, R2, 0, 0, 8), MOVX(R1, R10), ADD(R1, slot - 8));
        PUT(ADDX(R1, R2));
        PUT(attack_pick(a, 2) ? STX(size, R1, by, 0) : ST(size, R1, 0, attack_constant(a)));
        break;
    case 2:
        PUT(MOVX(R1, R10), ADD(R1, slot), ADDX(R1, by), ST(size, R1, 0, attack_constant(a)));
        break;
    case 3:
        PUT(ATOMIC(attack_pick(a, 2) ? BPF_DW : BPF_W, BPF_ADD, R10, by, slot));
        break;
    case 4:
        PUT(STX(size, R10, by,
                (int16_t)(slot + (int)attack_pick(a, 8u / (uint32_t)attack_bytes(size)) *
                                     attack_bytes(size))));
        break;
    default:
        put_call(a, by, slot);
    }
}

/* ---- pointers ---- */

static void spilled_pointer(struct attack *a)
{
    PUT(LD_VALUE(R1, MAP_DATA, (int32_t)attack_pick(a, 60)), STX(BPF_DW, R10, R1, attack_slot(a)));
}

static void use_of_slot(struct attack *a)
{
    PUT(LDX(BPF_DW, R1, R10, attack_slot(a)));
    PUT(LDX(attack_size(a), attack_number(a), R1, (int16_t)attack_pick(a, 64)));
}

static void pointer_atomic(struct attack *a)
{
    int16_t off = attack_slot(a);

    PUT(LD_VALUE(R1, MAP_DATA, 0), STX(BPF_DW, R10, R1, off));
    PUT(MOVX(R0, R10), ADD(R0, off), MOVX(R2, R0));
    PUT(ATOMIC(BPF_DW, attack_pick(a, 2) ? BPF_XCHG : BPF_CMPXCHG, attack_pick(a, 2) ? R2 : R0,
               attack_pick(a, 2) ? R2 : R1, 0));
    PUT(LDX(BPF_DW, R1, R10, off), ST(BPF_B, R1, (int16_t)attack_pick(a, 64), 1));
}

static void looked_up(struct attack *a)
{
    bool is_hash = attack_pick(a, 2);
    int16_t off = attack_slot(a);
    uint8_t size = is_hash ? BPF_DW : BPF_W;

    if (attack_pick(a, 2))
        PUT(ST(size, R10, off, (int32_t)attack_pick(a, 6)));
    else
        PUT(STX(size, R10, attack_number(a), off));
    attack_simple(a);
    PUT(MOVX(R2, R10), ADD(R2, off), LD_MAP(R1, is_hash ? MAP_HASH : MAP_ARRAY));
    PUT(CALL(map_lookup_elem), STX(BPF_DW, R10, R0, attack_slot(a)), MOVX(R3, R0));
    switch (attack_pick(a, 5)) {
    case 0:
        PUT(JMP(BPF_JEQ, R0, 0, TO_END));
        break;
    case 1:
        PUT(JMP(BPF_JNE, R3, 0, 1), JA(TO_END));
        break;
    case 2:
        PUT(LD_VALUE(R4, MAP_DATA, 0), JMPX(BPF_JNE, R0, R4, TO_END));
        break;
    case 3:
        PUT(JMP32(BPF_JEQ, R0, 0, TO_END));
        break;
    default:
        break; /* an array's element that is known to be there */
    }
    PUT(LDX(BPF_B, attack_number(a), attack_pick(a, 2) ? R0 : R3, (int16_t)attack_pick(a, 64)));
}

static void record(struct attack *a)
{
    int16_t off = attack_slot(a);

    PUT(LD_MAP(R1, MAP_RING), MOV(R2, 16), MOV(R3, 0), CALL(ringbuf_reserve));
    PUT(JMP(BPF_JEQ, R0, 0, TO_END), STX(BPF_DW, R10, R0, off), ST(BPF_B, R0, 15, 1));
    PUT(MOVX(R1, R0), MOV(R2, 0), CALL(ringbuf_submit));
    PUT(LDX(BPF_DW, R1, R10, off), LDX(BPF_B, attack_number(a), R1, 0));
}

void attack_memory(struct attack *a)
{
    static void (*const all[])(struct attack *) = {
        edge_of_stack, check_and_use,  check_and_use,  check_and_use, use_at_edge,  ask,
        ask,           variable_write, variable_read,  bounded_place, helper_write, spilled_pointer,
        use_of_slot,   use_of_slot,    pointer_atomic, looked_up,     record,       call,
        call,          call_back,      check_and_use};

    if (a->call_count < ATTACK_CALLS)
        all[attack_pick(a, COUNT(all))](a);
}
