/* SPDX-License-Identifier: MIT */
/*
 * A function is written in one go:
 *
 *      registers and some words of the stack get values
 *      statements: arithmetic, memory, atomics, if, loop, calls
 *      r0 = all registers together
 *
 * One register is the address of the area, another may be the counter of a loop; all others are
 * numbers at any time, so that any statement may come anywhere. Registers that a call takes away
 * get new values behind it. Functions call only those with higher numbers.
 */
#include "vm/random_writer.h"

#define DEPTH_MAX 3

/* A function of moderate size is finished; there is always room for its end. */
static bool is_full(const struct writer *w)
{
    return w->out->count > RANDOM_INSNS_MAX / FUNCTIONS_MAX * (w->self + 1) - 160;
}

static void statements(struct writer *w, unsigned count);

/* Arithmetic, and a branch on whether it gave zero or less: one does not have to compare again. */
static uint32_t branch_on_result(struct writer *w)
{
    static const uint8_t ops[] = {BPF_ADD, BPF_SUB, BPF_AND, BPF_OR, BPF_XOR, BPF_LSH, BPF_ARSH};
    static const uint8_t jumps[] = {BPF_JEQ, BPF_JNE, BPF_JSLT, BPF_JSGE};
    unsigned reg = random_target_reg(w), op = ops[random_below(w, sizeof(ops))];

    if (random_one_in(w, 2))
        random_alu_imm(w, random_one_in(w, 2) ? BPF_ALU : BPF_ALU64, op, reg);
    else
        random_alu_reg(w, random_one_in(w, 2) ? BPF_ALU : BPF_ALU64, op, reg);
    random_put(w, (random_one_in(w, 2) ? BPF_JMP : BPF_JMP32) | jumps[random_below(w, 4)] | BPF_K,
               reg, 0, 0, 0);
    return w->out->count - 1;
}

/* A conditional jump whose distance is to be filled in. */
static uint32_t branch(struct writer *w)
{
    static const uint8_t ops[] = {BPF_JEQ,  BPF_JNE,  BPF_JGT,  BPF_JGE,  BPF_JLT, BPF_JLE,
                                  BPF_JSET, BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE};
    unsigned code = ops[random_below(w, sizeof(ops))] | (random_one_in(w, 2) ? BPF_JMP : BPF_JMP32);

    if (random_one_in(w, 3))
        return branch_on_result(w);
    if (random_one_in(w, 2))
        random_put(w, code | BPF_X, random_number_reg(w), random_number_reg(w), 0, 0);
    else
        random_put(w, code | BPF_K, random_number_reg(w), 0, 0,
                   random_one_in(w, 3) ? 0 : random_imm(w));
    return w->out->count - 1;
}

static uint32_t jump(struct writer *w)
{
    random_put(w, random_one_in(w, 2) ? STA__OP_JA : STA__OP_JA32, 0, 0, 0, 0);
    return w->out->count - 1;
}

static void land(struct writer *w, uint32_t from)
{
    struct bpf_insn *insn = &w->out->insns[from];
    uint32_t distance = w->out->count - from - 1;

    if (insn->code == STA__OP_JA32)
        insn->imm = (int32_t)distance;
    else
        insn->off = (int16_t)distance;
}

static void choice(struct writer *w)
{
    uint32_t from = branch(w), to;

    statements(w, random_one_in(w, 12) ? 0 : 1 + random_below(w, 4));
    if (random_one_in(w, 2)) {
        land(w, from);
        return;
    }
    to = jump(w);
    land(w, from);
    statements(w, 1 + random_below(w, 3));
    land(w, to);
}

static void loop(struct writer *w)
{
    unsigned counter = random_target_reg(w), times = 1 + random_below(w, 4);
    uint32_t start;

    if (w->counter != NO_REG)
        return;
    random_put(w, STA__OP_MOV64K, counter, 0, 0, (int32_t)times);
    start = w->out->count;
    w->counter = counter;
    statements(w, 1 + random_below(w, 3));
    w->counter = NO_REG;
    random_put(w, STA__OP_ADD64K, counter, 0, 0, -1);
    random_put(w, random_one_in(w, 2) ? STA__OP_JNE64K : STA__OP_JSGT32K, counter, 0,
               (int)start - (int)w->out->count - 1, 0);
}

/* What a call takes away; r0 is a number already. */
static void renew(struct writer *w)
{
    for (unsigned reg = BPF_REG_1; reg <= BPF_REG_5; reg++)
        random_set(w, reg);
}

static void note_call(struct writer *w, unsigned function)
{
    w->calls_made[w->call_count].index = w->out->count - 1;
    w->calls_made[w->call_count++].function = function;
}

/* How often to call it. Linux 6.18 stumbles over a callback that is known never to be called. */
static void put_times(struct writer *w, unsigned reg)
{
    if (random_one_in(w, 2)) {
        random_put(w, STA__OP_MOV64K, reg, 0, 0, 1 + (int32_t)random_below(w, 4));
        return;
    }
    random_put(w, STA__OP_LDXB, reg, w->area, (int)random_below(w, w->area_size), 0);
    random_put(w, STA__OP_AND64K, reg, 0, 0, 3);
}

static void call_callback(struct writer *w, unsigned function)
{
    random_put(w, STA__OP_LDDW, BPF_REG_2, BPF_PSEUDO_FUNC, 0, 0);
    note_call(w, function);
    random_put(w, 0, 0, 0, 0, 0);
    random_put(w, STA__OP_MOV64X, BPF_REG_3, BPF_REG_10, 0, 0);
    random_put(w, STA__OP_ADD64K, BPF_REG_3, 0, 0, w->slots[0]);
    put_times(w, BPF_REG_1);
    random_put(w, STA__OP_MOV64K, BPF_REG_4, 0, 0, 0);
    random_put(w, STA__OP_CALL, 0, 0, 0, BPF_FUNC_loop);
}

static void call_subprog(struct writer *w, unsigned function)
{
    random_put(w, STA__OP_MOV64X, BPF_REG_1, w->area, 0, 0);
    random_put(w, STA__OP_CALL, 0, BPF_PSEUDO_CALL, 0, 0);
    note_call(w, function);
}

/* Helpers whose results are not the same everywhere. */
static void call_helper(struct writer *w)
{
    static const int32_t helpers[] = {BPF_FUNC_ktime_get_ns, BPF_FUNC_get_prandom_u32,
                                      BPF_FUNC_get_smp_processor_id};

    random_put(w, STA__OP_CALL, 0, 0, 0, helpers[random_below(w, 3)]);
    random_set(w, BPF_REG_0);
}

static void call(struct writer *w)
{
    unsigned function = w->self + 1 + random_below(w, w->function_count - w->self);

    /* The area's address and a loop's counter have to survive it. */
    if (!w->calls || w->counter < BPF_REG_6 || w->call_count == 64)
        return;
    if (function >= w->function_count)
        call_helper(w);
    else if (w->functions[function].kind == CALLBACK)
        call_callback(w, function);
    else if (w->area != NO_REG)
        call_subprog(w, function);
    else
        return;
    renew(w);
}

static void statement(struct writer *w)
{
    unsigned what = random_below(w, 32);

    if (what < 13)
        random_arithmetic(w);
    else if (what < 16)
        random_idiom(w);
    else if (what < 21)
        random_memory(w);
    else if (what < 23)
        random_ordered(w);
    else if (what < 26)
        random_atomic(w);
    else if (what < 29 && w->depth < DEPTH_MAX)
        choice(w);
    else if (what < 30 && w->depth < DEPTH_MAX)
        loop(w);
    else if (what < 31 && w->depth < DEPTH_MAX)
        call(w);
    else
        random_set(w, random_target_reg(w));
}

static void statements(struct writer *w, unsigned count)
{
    w->depth++;
    while (count-- && !is_full(w))
        statement(w);
    w->depth--;
}

/* Words at random below r10; those of a function that is called take part in 512 bytes of all. */
static void choose_slots(struct writer *w)
{
    static const unsigned depths[] = {8, 16, 32, 64, 128, 136, 192, 256};
    unsigned words = depths[random_below(w, w->kind == PROGRAM ? 8 : 3)] / 8;

    w->slot_count = SLOTS;
    for (unsigned i = 0; i < SLOTS; i++)
        w->slots[i] = (int16_t)(-8 * (int)(1 + random_below(w, words)));
}

static void begin(struct writer *w)
{
    w->counter = NO_REG;
    w->depth = 0;
    w->calls = random_one_in(w, 2) && w->kind != CALLBACK;
    w->area_size = w->kind == CALLBACK ? 8 : RANDOM_AREA;
    w->area = w->kind == CALLBACK ? BPF_REG_2 : BPF_REG_1;
    choose_slots(w);
    if (w->calls || random_one_in(w, 2)) {
        unsigned reg = BPF_REG_6 + random_below(w, 4);

        random_put(w, STA__OP_MOV64X, reg, w->area, 0, 0);
        w->area = reg;
    }
    for (unsigned i = 0; i < w->slot_count; i++)
        random_put(w, STA__OP_STDW, BPF_REG_10, 0, w->slots[i], random_imm(w));
    for (unsigned reg = 0; reg < BPF_REG_10; reg++) {
        if (reg != w->area)
            random_set(w, reg);
    }
}

static void end(struct writer *w)
{
    for (unsigned reg = BPF_REG_1; reg < BPF_REG_10; reg++) {
        if (reg == w->area)
            continue;
        random_put(w, STA__OP_MUL64K, BPF_REG_0, 0, 0, 0x61c88647);
        random_put(w, STA__OP_XOR64X, BPF_REG_0, reg, 0, 0);
    }
    if (w->kind == CALLBACK) /* 1 ends the loop */
        random_put(w, STA__OP_AND64K, BPF_REG_0, 0, 0, 1);
    random_put(w, STA__OP_EXIT, 0, 0, 0, 0);
}

static void write_function(struct writer *w, unsigned number)
{
    w->self = number;
    w->kind = w->functions[number].kind;
    w->functions[number].start = w->out->count;
    begin(w);
    statements(w, 2 + random_below(w, number ? 12 : 30));
    end(w);
}

/* A function that nobody calls would be refused as unreachable: it is cut off. */
static void resolve_calls(struct writer *w)
{
    for (unsigned i = 0; i < w->call_count; i++) {
        uint32_t index = w->calls_made[i].index;

        w->out->insns[index].imm =
            (int32_t)(w->functions[w->calls_made[i].function].start - index - 1);
    }
}

static bool is_called(const struct writer *w, unsigned function)
{
    for (unsigned i = 0; i < w->call_count; i++) {
        if (w->calls_made[i].function == function)
            return true;
    }
    return false;
}

void random_program_make(struct random_program *out, uint64_t seed)
{
    struct writer w = {.out = out, .random = seed};

    out->count = 0;
    w.function_count = 1 + random_below(&w, FUNCTIONS_MAX);
    for (unsigned i = 1; i < w.function_count; i++)
        w.functions[i].kind = random_one_in(&w, 3) ? CALLBACK : SUBPROG;
    for (unsigned i = 0; i < w.function_count; i++) {
        if (i == 0 || is_called(&w, i))
            write_function(&w, i);
    }
    resolve_calls(&w);
}
