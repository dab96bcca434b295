/* SPDX-License-Identifier: MIT */
/* Conditional jumps: which ways there are, and what is known on each. */
#include <errno.h>

#include "ebpf/verify/verifier.h"

/* Objects may be at low addresses here, and far below one of them is NULL. Moved upwards, a pointer
 * does not come round: its offset has no more than 63 bits. */
static bool is_near(const struct sta__reg *pointer)
{
    return pointer->off + pointer->n.smin >= -STA__STACK_SIZE;
}

/* Pointers that are known to be somewhere. */
static bool is_not_null(const struct sta__reg *reg)
{
    if (!is_near(reg))
        return false;
    switch (reg->type) {
    case STA__REG_MAP:
    case STA__REG_MAP_KEY:
    case STA__REG_MAP_VALUE:
    case STA__REG_MEM:
    case STA__REG_RECORD:
        return true;
    default:
        return false;
    }
}

/* 1: taken, 0: not, -1: either. The lower half of a pointer may well be 0. */
static int predict(const struct sta__reg *a, const struct sta__reg *b, uint8_t op, bool is_32)
{
    if (sta__is_pointer(a) || sta__is_pointer(b)) {
        const struct sta__reg *number = sta__is_pointer(a) ? b : a;
        const struct sta__reg *pointer = sta__is_pointer(a) ? a : b;

        if (is_32 || !sta__is_zero(number) || !is_not_null(pointer))
            return -1;
        return op == BPF_JEQ ? 0 : op == BPF_JNE ? 1 : -1;
    }
    return sta__range_compare(&a->n, &b->n, op, is_32);
}

struct group {
    struct sta__verifier *v;
    const struct sta__reg *known;
};

/* Another number of the group of `known`, which was just narrowed: it is the same, or the same but
 * for a constant. */
static void sync_one(struct sta__verifier *v, struct sta__reg *reg, void *data)
{
    const struct sta__reg *known = ((struct group *)data)->known;
    struct sta__reg delta = {.type = STA__REG_SCALAR};
    bool is_same;

    if (reg == known || reg->type != STA__REG_SCALAR ||
        (reg->id & ~STA__ID_DELTA) != (known->id & ~STA__ID_DELTA))
        return;
    is_same =
        (!(reg->id & STA__ID_DELTA) && !(known->id & STA__ID_DELTA)) || reg->off == known->off;
    /* What is known of it now is known by both of them. */
    reg->value = sta__value_new(v, reg->value, known->value);
    reg->n = known->n;
    if (is_same) {
        reg->id = known->id;
        reg->off = known->off;
        return;
    }
    sta__range_const(&delta.n, (uint64_t)((int64_t)reg->off - known->off));
    sta__range_add(&reg->n, &delta.n);
}

static void sync_group(struct sta__verifier *v, struct sta__state *state,
                       const struct sta__reg *known)
{
    struct group group = {v, known};

    if (known->type == STA__REG_SCALAR && known->id)
        sta__each_reg(v, state, sync_one, &group);
}

/* Narrows two numbers by the result of their comparison; `b` may be a copy of the immediate. */
static void refine(struct sta__verifier *v, struct sta__reg *a, struct sta__reg *b, uint8_t op,
                   bool is_32, bool holds)
{
    uint32_t of_a = a->value, of_b = b->value;

    if (a->type != STA__REG_SCALAR || b->type != STA__REG_SCALAR)
        return;
    sta__range_refine(&a->n, &b->n, op, is_32, holds);
    sta__range_check(&a->n);
    sta__range_check(&b->n);
    /* Each is known by the other. */
    a->value = sta__value_new(v, of_a, of_b);
    if (a != b)
        b->value = sta__value_new(v, of_b, of_a);
}

struct null_check {
    uint32_t id;
    bool is_null;
};

/* What is found in a map of maps is a map, and no value. */
static void set_not_null(struct sta__reg *reg)
{
    reg->type--; /* the type without _OR_NULL stands before the one with it */
    if (reg->type == STA__REG_MAP_VALUE && reg->map->inner) {
        reg->type = STA__REG_MAP;
        reg->map = reg->map->inner;
    }
}

static void set_null_or_not(struct sta__verifier *v, struct sta__reg *reg, void *data)
{
    const struct null_check *check = data;

    if (!sta__is_or_null(reg->type) || reg->id != check->id)
        return;
    if (check->is_null) {
        sta__reg_const(v, reg, 0);
        return;
    }
    set_not_null(reg);
    if (reg->type != STA__REG_MAP_VALUE || !reg->map->has_lock)
        reg->id = 0;
}

static void drop_ref(struct sta__state *state, uint32_t id)
{
    for (uint32_t i = 0; i < state->ref_count; i++) {
        if (state->refs[i].id == id) {
            state->refs[i] = state->refs[--state->ref_count];
            return;
        }
    }
}

/* All copies of a pointer that was compared with NULL. Nothing was acquired if it is NULL. */
static void check_null(struct sta__verifier *v, struct sta__state *state, uint8_t number,
                       bool is_null)
{
    const struct sta__reg *reg = sta__reg_of(state, number);
    struct null_check check = {reg->id, is_null};

    if (reg->ref && is_null)
        drop_ref(state, reg->ref);
    sta__each_reg(v, state, set_null_or_not, &check);
}

/* A pointer that equals one that is not NULL. */
static void check_equal_pointers(struct sta__state *state, uint8_t a, uint8_t b)
{
    struct sta__reg *ra = sta__reg_of(state, a), *rb = sta__reg_of(state, b);

    if (sta__is_or_null(ra->type) && is_near(rb))
        set_not_null(ra);
    else if (sta__is_or_null(rb->type) && is_near(ra))
        set_not_null(rb);
}

static void split_pointers(struct sta__verifier *v, const struct bpf_insn *insn,
                           struct sta__state *other)
{
    uint8_t op = BPF_OP(insn->code);
    bool by_reg = BPF_SRC(insn->code) == BPF_X;
    const struct sta__reg *dst = sta__reg_of(v->state, insn->dst_reg);
    const struct sta__reg *src = sta__reg_of(v->state, insn->src_reg);

    if (BPF_CLASS(insn->code) == BPF_JMP32 || (op != BPF_JEQ && op != BPF_JNE))
        return;
    if (by_reg && sta__is_pointer(dst) && sta__is_pointer(src) &&
        sta__is_or_null(dst->type) != sta__is_or_null(src->type))
        check_equal_pointers(op == BPF_JEQ ? other : v->state, insn->dst_reg, insn->src_reg);
    if (!by_reg && insn->imm == 0 && sta__is_or_null(dst->type)) {
        check_null(v, v->state, insn->dst_reg, op == BPF_JNE);
        check_null(v, other, insn->dst_reg, op == BPF_JEQ);
    }
}

/* The path of `state` on one side of the jump. */
static void split_numbers(struct sta__verifier *v, const struct bpf_insn *insn,
                          struct sta__state *state, bool holds)
{
    bool by_reg = BPF_SRC(insn->code) == BPF_X;
    struct sta__reg imm = {.type = STA__REG_SCALAR};
    struct sta__reg *dst = sta__reg_of(state, insn->dst_reg);
    struct sta__reg *src = by_reg ? sta__reg_of(state, insn->src_reg) : &imm;

    sta__range_const(&imm.n, (uint64_t)(int64_t)insn->imm);
    refine(v, dst, src, BPF_OP(insn->code), BPF_CLASS(insn->code) == BPF_JMP32, holds);
    if (by_reg)
        sync_group(v, state, src);
    sync_group(v, state, dst);
}

int sta__check_jump(struct sta__verifier *v, const struct bpf_insn *insn, int32_t offset)
{
    bool by_reg = BPF_SRC(insn->code) == BPF_X;
    struct sta__reg imm = {.type = STA__REG_SCALAR};
    const struct sta__reg *dst = sta__reg_of(v->state, insn->dst_reg), *src = &imm;
    struct sta__state *other;
    int err, taken;

    err = by_reg ? sta__read_reg(v, insn->src_reg) : 0;
    if (!err)
        err = sta__read_reg(v, insn->dst_reg);
    if (err)
        return err;
    sta__range_const(&imm.n, (uint64_t)(int64_t)insn->imm);
    if (by_reg)
        src = sta__reg_of(v->state, insn->src_reg);
    taken = predict(dst, src, BPF_OP(insn->code), BPF_CLASS(insn->code) == BPF_JMP32);
    if (taken >= 0) {
        sta__reg_need(v, dst);
        if (by_reg)
            sta__reg_need(v, src);
        v->info[v->insn].ways |= taken ? 2 : 1;
        return taken;
    }
    v->info[v->insn].ways = 3;
    other = sta__push(v, v->insn + 1 + offset, &err);
    if (!other)
        return err;
    split_numbers(v, insn, other, true);
    split_numbers(v, insn, v->state, false);
    split_pointers(v, insn, other);
    return 0;
}
