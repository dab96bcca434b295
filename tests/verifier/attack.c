/* SPDX-License-Identifier: MIT */
#include "verifier/attack.h"

#include <string.h>

#include "verifier/attack_parts.h"

/* The program with its end and all that it calls. */
static size_t put_together(struct bpf_insn *out, const struct attack *a)
{
    size_t count = a->count, end = a->count;

    memcpy(out, a->insns, count * sizeof(*out));
    for (size_t i = 0; i < end; i++) {
        if (out[i].off == TO_END)
            out[i].off = (int16_t)(end - i);
    }
    out[count++] = MOV(R0, 1); /* only those come here that did not leave before */
    out[count++] = MOV(R0, 0);
    out[count++] = EXIT;
    for (size_t i = 0; i < a->call_count; i++) {
        out[a->calls[i].at].imm = (int32_t)(count - a->calls[i].at - 1);
        count += attack_callee(&out[count], &a->calls[i]);
    }
    return count;
}

bool attack_is_accepted(const struct attack *a)
{
    struct bpf_insn insns[ATTACK_MAX];
    struct both_verdict verdict = {.watched = (uint32_t)a->count};
    size_t count = put_together(insns, a);

    both_ours(insns, count, BPF_PROG_TYPE_TRACEPOINT, 0, 0, &verdict);
    /* Those that take long to prove take long with every piece that follows, too. */
    return !verdict.err && !verdict.is_dead && verdict.processed < 3000;
}

bool attack_is_bounded(const struct attack *a)
{
    struct bpf_insn insns[ATTACK_MAX];
    static char text[4096];
    struct both_verdict verdict = {.log = text, .log_size = sizeof(text)};

    both_ours(insns, put_together(insns, a), BPF_PROG_TYPE_TRACEPOINT, 0, 1, &verdict);
    return strstr(text, "value_size=64 off=") || strstr(text, "min value is negative") ||
           strstr(text, "unbounded memory access");
}

static void begin(struct attack *a)
{
    PUT(STX(BPF_DW, R10, R1, CONTEXT_SLOT));
    for (int i = 0; i < 4; i++)
        PUT(LDX(attack_size(a), R6 + i, R1, (int16_t)(8 + 8 * i)));
}

/* Two ways to the same place, which do not leave the same behind. */
static void fork_and_join(struct attack *a)
{
    size_t fork = a->count, join;

    if (attack_pick(a, 2))
        PUT(CALL(get_prandom_u32), JMP(BPF_JSET, R0, 1 << attack_pick(a, 8), 0));
    else
        attack_jump(a, 0);
    fork = a->count - 1;
    for (uint32_t i = 1 + attack_pick(a, 2); i; i--)
        attack_simple(a);
    join = a->count;
    PUT(JA(0));
    if (a->count == ATTACK_BODY)
        return;
    a->insns[fork].off = (int16_t)(a->count - fork - 1);
    for (uint32_t i = attack_pick(a, 3); i; i--)
        attack_simple(a);
    a->insns[join].off = (int16_t)(a->count - join - 1);
}

void attack_store_states(struct attack *a)
{
    PUT(CALL(get_prandom_u32), JMP(BPF_JEQ, R0, 1, 0), JMP(BPF_JEQ, R0, 2, 0), MOV(R1, 0));
    PUT(MOV(R2, 0), MOV(R3, 0), MOV(R4, 0), MOV(R5, 0), MOV(R0, 0), JA(0), JA(0));
    PUT(CALL(get_prandom_u32), JMP(BPF_JEQ, R0, 1, 0));
}

static void loop(struct attack *a)
{
    uint8_t counter = attack_number(a);
    size_t start;

    PUT(MOV(counter, 0));
    start = a->count;
    for (uint32_t i = 1 + attack_pick(a, 2); i; i--)
        attack_simple(a);
    PUT(ADD(counter, 1));
    PUT(JMP(attack_pick(a, 2) ? BPF_JLT : BPF_JNE, counter, 1 + (int32_t)attack_pick(a, 8),
            (int16_t)(start - a->count - 1)));
}

static void piece(struct attack *a)
{
    switch (attack_pick(a, 20)) {
    case 0:
    case 1:
        fork_and_join(a);
        break;
    case 2:
        fork_and_join(a);
        attack_store_states(a);
        break;
    case 3:
        loop(a);
        break;
    case 4:
        attack_jump(a, TO_END);
        break;
    case 5:
    case 6:
    case 7:
    case 8:
        attack_simple(a);
        break;
    case 9:
    case 10:
    case 11:
    case 12:
    case 13:
    case 14:
    case 15:
        attack_plot(a);
        break;
    default:
        attack_memory(a);
    }
}

size_t attack_program(struct bpf_insn insns[ATTACK_MAX], uint64_t seed)
{
    struct attack a = {.random = seed * 0x9e3779b97f4a7c15ull + 99}, before;
    uint32_t pieces;

    for (int i = 0; i < 4; i++)
        (void)attack_pick(&a, 2);
    a.numbers = 2 + attack_pick(&a, 3);
    a.slots = 1 + attack_pick(&a, 4);
    begin(&a);
    pieces = 1 + attack_pick(&a, attack_pick(&a, 4) ? 5 : 20);
    for (uint32_t i = 0; i < pieces && a.count + 40 < ATTACK_BODY; i++) {
        before = a;
        piece(&a);
        if (attack_is_accepted(&a))
            continue;
        before.random = a.random;
        a = before;
    }
    return put_together(insns, &a);
}
