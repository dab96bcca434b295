/* SPDX-License-Identifier: MIT */
/* Branches, loops, calls; and what is wrong. */
#include "verifier/random.h"

#include <string.h>

#include "verifier/random_parts.h"

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

/* bpf_loop and bpf_for_each_map_elem, on a context in the stack. */
static void call_back(struct generator *g)
{
    bool is_loop = chance(g, 60);
    int small = find(g, SMALL);

    if (g->callback_count == 8 || g->in_subprog || g->depth > 1)
        return;
    if (is_loop && small >= 0 && chance(g, 40))
        EMIT(MOVX(R1, small));
    else if (is_loop)
        EMIT(MOV(R1, (int32_t)pick(g, 20)));
    else
        EMIT(LD_MAP(R1, chance(g, 50) ? MAP_HASH : MAP_ARRAY));
    EMIT(MOVX(R3, R10), ADD(R3, -16), MOV(R4, 0));
    g->callbacks[g->callback_count++] = g->count | (is_loop ? 0 : EACH);
    EMIT(LD_FUNC(R2, 0));
    EMIT(is_loop ? CALL(loop) : CALL(for_each_map_elem));
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

bool random_has_locks;

static void statement(struct generator *g)
{
    static void (*const all[])(struct generator *) = {random_new_number,
                                                      random_new_number,
                                                      random_arithmetic,
                                                      random_arithmetic,
                                                      random_arithmetic,
                                                      random_make_small,
                                                      random_make_small,
                                                      random_make_small,
                                                      random_stack_access,
                                                      random_stack_access,
                                                      random_stack_pointer,
                                                      random_lookup,
                                                      random_direct_value,
                                                      random_memory_access,
                                                      random_memory_access,
                                                      random_memory_access,
                                                      random_ring_record,
                                                      random_helper,
                                                      random_dynptr,
                                                      random_text,
                                                      branch,
                                                      branch,
                                                      branch,
                                                      loop,
                                                      call,
                                                      call_back,
                                                      pointer_games};

    if (random_has_locks && chance(g, 15))
        random_lock(g);
    else
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

static void callback(struct generator *g, bool is_each)
{
    int context = is_each ? R4 : R2;

    memset(g->kinds, 0, sizeof(g->kinds));
    set(g, R1, is_each ? NOTHING : NUMBER, 0);
    set(g, R3, is_each ? VALUE : NOTHING, 48);
    if (chance(g, 60)) { /* something that changes with each round */
        EMIT(LDX(BPF_DW, R0, context, 0), ADD(R0, (int32_t)pick(g, 3)));
        EMIT(STX(BPF_DW, context, R0, 0));
        set(g, R0, NUMBER, 0);
    }
    statements(g, (int)pick(g, 5));
    if (chance(g, 20))
        EMIT(CALL(get_prandom_u32), AND(R0, 1), EXIT);
    end(g);
}

/* One for loops, one for elements of maps. */
static void callbacks(struct generator *g)
{
    size_t start[2] = {0};

    for (int i = 0; i < g->callback_count; i++) {
        bool is_each = g->callbacks[i] & EACH;
        size_t at = g->callbacks[i] & ~(size_t)EACH;

        if (!start[is_each]) {
            start[is_each] = g->count;
            callback(g, is_each);
        }
        g->insns[at].imm = (int32_t)(start[is_each] - at - 1);
    }
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
    g->in_subprog = true;
    callbacks(g);
    if (chance(g, 30))
        mutate(g);
    if (chance(g, 8))
        mutate(g);
    return g->count;
}
