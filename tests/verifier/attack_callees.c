/* SPDX-License-Identifier: MIT */
/* Subprograms get a place in the caller's stack, a number and the context; callbacks the number of
 * the round and the place. */
#include <string.h>

#include "verifier/attack_parts.h"

static void left_by_tail_call(struct attack *a)
{
    PUT(MOVX(R6, R1), MOVX(R1, R3), LD_MAP(R2, MAP_PROGS), MOV(R3, 0));
    if (attack_pick(a, 3) == 0)
        PUT(ST(BPF_DW, R6, 0, attack_constant(a)));
    PUT(CALL(tail_call));
    if (attack_pick(a, 2))
        PUT(ST(BPF_DW, R6, 0, attack_constant(a)));
    PUT(MOV(R0, attack_constant(a)), EXIT);
}

static void one_of_two(struct attack *a)
{
    PUT(MOVX(R6, R1), CALL(get_prandom_u32), JMP(BPF_JSET, R0, 1, 3));
    PUT(ST(BPF_DW, R6, 0, attack_constant(a)), MOV(R0, attack_constant(a)), EXIT);
    PUT(MOV(R0, attack_constant(a)), EXIT);
}

static void bounded(struct attack *a)
{
    PUT(MOVX(R0, R2), JMP(BPF_JSGT, R0, attack_constant(a), 2), JMP(BPF_JSLT, R0, 0, 1), EXIT);
    PUT(MOV(R0, attack_constant(a)), EXIT);
}

static void changes(struct attack *a)
{
    uint8_t size = attack_size(a);

    PUT(LDX(size, R0, R1, 0), ADD(R0, attack_constant(a)));
    PUT(STX(size, R1, attack_pick(a, 2) ? R0 : R2, 0), EXIT);
}

/* ---- callbacks ---- */

static void counts(struct attack *a)
{
    PUT(LDX(BPF_DW, R1, R2, 0));
    if (attack_pick(a, 2))
        PUT(JMP(BPF_JGT, R1, attack_constant(a), 2));
    else
        PUT(JA(0));
    PUT(ADD(R1, attack_constant(a)), STX(BPF_DW, R2, R1, 0), MOV(R0, 0), EXIT);
}

static void stops(struct attack *a)
{
    PUT(MOVX(R6, R2), CALL(get_prandom_u32), JMP(BPF_JSET, R0, 1, 3));
    PUT(ST(attack_size(a), R6, 0, attack_constant(a)), MOV(R0, 0), EXIT);
    PUT(ST(BPF_DW, R6, 0, attack_constant(a)), MOV(R0, 1), EXIT);
}

static void uses(struct attack *a)
{
    PUT(LDX(BPF_DW, R3, R2, 0), JMP(BPF_JGT, R3, 63, 5), LD_VALUE(R4, MAP_DATA, 0), ADDX(R4, R3));
    PUT(LDX(BPF_B, R5, R4, 0), STX(BPF_DW, R2, attack_pick(a, 2) ? R5 : R1, 0), MOV(R0, 0), EXIT);
}

size_t attack_callee(struct bpf_insn *out, const struct attack_call *call)
{
    static void (*const subprograms[])(struct attack *) = {left_by_tail_call, one_of_two, bounded,
                                                           changes};
    static void (*const callbacks[])(struct attack *) = {counts, counts, stops, uses};
    struct attack a = {.random = call->seed};

    (call->is_callback ? callbacks : subprograms)[attack_pick(&a, 4)](&a);
    memcpy(out, a.insns, a.count * sizeof(*out));
    return a.count;
}
