/* SPDX-License-Identifier: MIT */
/* Instructions of ALU and ALU64: of numbers, of pointers, and moves. */
#include <errno.h>

#include "ebpf/verify/verifier.h"

#define OFFSET_MAX (1ll << 29) /* BPF_MAX_VAR_OFF: what a pointer may be moved by */

int sta__read_reg(struct sta__verifier *v, uint8_t number)
{
    sta__touch(v, number);
    if (sta__reg_of(v->state, number)->type == STA__REG_NONE)
        return sta__deny(v, -EACCES, "R%u !read_ok", number);
    return 0;
}

int sta__write_reg(struct sta__verifier *v, uint8_t number)
{
    sta__touch(v, number);
    if (number == BPF_REG_10)
        return sta__deny(v, -EACCES, "frame pointer is read only");
    return 0;
}

/* Offsets stay far from wrapping around. */
static int check_offset(struct sta__verifier *v, const struct sta__reg *reg, uint8_t type)
{
    const char *name = sta__type_name(type);
    int64_t value = (int64_t)reg->n.bits.value;

    if (sta__range_is_const(&reg->n) && (value >= OFFSET_MAX || value <= -OFFSET_MAX))
        return sta__deny(v, -EINVAL, "math between %s pointer and %lld is not allowed", name,
                         (long long)value);
    if (reg->off >= OFFSET_MAX || reg->off <= -OFFSET_MAX)
        return sta__deny(v, -EINVAL, "%s pointer offset %d is not allowed", name, reg->off);
    if (reg->n.smin == INT64_MIN)
        return sta__deny(
            v, -EINVAL,
            "math between %s pointer and register with unbounded min value is not allowed", name);
    if (reg->n.smin >= OFFSET_MAX || reg->n.smin <= -OFFSET_MAX)
        return sta__deny(v, -EINVAL, "value %lld makes %s pointer be out of bounds",
                         (long long)reg->n.smin, name);
    return 0;
}

static bool is_contradictory(const struct sta__range *n)
{
    return (sta__range_is_const(n) && (n->smin != n->smax || n->umin != n->umax)) ||
           n->smin > n->smax || n->umin > n->umax;
}

static int check_pointer_op(struct sta__verifier *v, const struct bpf_insn *insn,
                            const struct sta__reg *pointer, const struct sta__reg *by)
{
    uint8_t dst = insn->dst_reg, op = BPF_OP(insn->code);
    bool is_zero = sta__range_is_const(&by->n) && by->n.bits.value == 0;

    if (sta__is_or_null(pointer->type))
        return sta__deny(v, -EACCES, "R%u pointer arithmetic on %s prohibited, null-check it first",
                         dst, sta__type_name(pointer->type));
    if (pointer->type == STA__REG_FUNC ||
        (pointer->type == STA__REG_MAP && !(is_zero && op == BPF_ADD)))
        return sta__deny(v, -EACCES, "R%u pointer arithmetic on %s prohibited", dst,
                         sta__type_name(pointer->type));
    return 0;
}

/* dst = pointer + by, or pointer - by. A known distance goes to the fixed part of the offset. */
static int move_pointer(struct sta__verifier *v, const struct bpf_insn *insn, struct sta__reg *dst,
                        const struct sta__reg *pointer, const struct sta__reg *by)
{
    uint8_t op = BPF_OP(insn->code);
    bool from_number = dst == by;
    struct sta__reg moved = *pointer;
    int64_t off;

    if (op == BPF_SUB && from_number)
        return sta__deny(v, -EACCES, "R%u tried to subtract pointer from scalar", insn->dst_reg);
    if (op == BPF_SUB && pointer->type == STA__REG_STACK)
        return sta__deny(v, -EACCES, "R%u subtraction from stack pointer prohibited",
                         insn->dst_reg);
    off = op == BPF_ADD ? pointer->off + by->n.smin : pointer->off - by->n.smin;
    if (sta__range_is_const(&by->n) && off == (int32_t)off) {
        moved.off = (int32_t)off;
    } else {
        struct sta__range distance = by->n;

        sta__range_forget_32(&distance);
        sta__range_forget_32(&moved.n);
        sta__range_alu(&moved.n, distance, op, false);
    }
    *dst = moved;
    return 0;
}

static int pointer_alu(struct sta__verifier *v, const struct bpf_insn *insn, struct sta__reg *dst,
                       const struct sta__reg *pointer, const struct sta__reg *by)
{
    uint8_t op = BPF_OP(insn->code);
    int err;

    sta__reg_need(v, by);
    if (is_contradictory(&by->n)) { /* on a path that is never taken */
        sta__reg_unknown(v, dst);
        return 0;
    }
    if (BPF_CLASS(insn->code) != BPF_ALU64) {
        if (op != BPF_SUB)
            return sta__deny(v, -EACCES, "R%u 32-bit pointer arithmetic prohibited", insn->dst_reg);
        sta__reg_unknown(v, dst);
        return 0;
    }
    err = check_pointer_op(v, insn, pointer, by);
    if (!err)
        err = check_offset(v, by, pointer->type);
    if (!err)
        err = check_offset(v, pointer, pointer->type);
    if (err)
        return err;
    if (op == BPF_AND || op == BPF_OR || op == BPF_XOR)
        return sta__deny(v, -EACCES, "R%u bitwise operator %s on pointer prohibited", insn->dst_reg,
                         op == BPF_AND  ? "&="
                         : op == BPF_OR ? "|="
                                        : "^=");
    if (op != BPF_ADD && op != BPF_SUB)
        return sta__deny(v, -EACCES, "R%u pointer arithmetic with %s operator prohibited",
                         insn->dst_reg, sta__alu_text(op));
    err = move_pointer(v, insn, dst, pointer, by);
    return err ? err : check_offset(v, dst, dst->type);
}

/* A number that is another one and a constant stays in its group, at that distance. */
static void follow_link(struct sta__reg *dst, const struct sta__reg *src, uint8_t op, bool is_32)
{
    uint64_t delta = src->n.bits.value;

    if (dst->id && op == BPF_ADD && !is_32 && sta__is_const(src) && !(dst->id & STA__ID_DELTA) &&
        delta <= INT32_MAX) {
        dst->id |= STA__ID_DELTA;
        dst->off = (int32_t)delta;
        return;
    }
    dst->id = 0;
    dst->off = 0;
}

static int binary(struct sta__verifier *v, const struct bpf_insn *insn)
{
    struct sta__reg *dst = sta__reg_of(v->state, insn->dst_reg);
    bool is_32 = BPF_CLASS(insn->code) == BPF_ALU;
    uint8_t op = BPF_OP(insn->code);
    struct sta__reg imm = {.type = STA__REG_SCALAR};
    const struct sta__reg *src = &imm;

    if (BPF_SRC(insn->code) == BPF_X)
        src = sta__reg_of(v->state, insn->src_reg);
    else
        sta__range_const(&imm.n, (uint64_t)(int64_t)insn->imm);
    if (sta__is_pointer(src) && sta__is_pointer(dst)) {
        if (op != BPF_SUB)
            return sta__deny(v, -EACCES, "R%u pointer %s pointer prohibited", insn->dst_reg,
                             sta__alu_text(op));
        sta__reg_unknown(v, dst);
        return 0;
    }
    if (sta__is_pointer(src))
        return pointer_alu(v, insn, dst, src, dst);
    if (sta__is_pointer(dst))
        return pointer_alu(v, insn, dst, dst, src);
    dst->value = sta__value_new(v, dst->value, src->value);
    follow_link(dst, src, op, is_32);
    sta__range_alu(&dst->n, src->n, op, is_32);
    sta__range_check(&dst->n);
    return 0;
}

/* Numbers below 2^bits are the same when they are cut off there. */
static bool fits(const struct sta__reg *reg, unsigned bits)
{
    return bits >= 64 || reg->n.umax < 1ull << bits;
}

static void move_number(struct sta__verifier *v, const struct bpf_insn *insn)
{
    struct sta__reg *dst = sta__reg_of(v->state, insn->dst_reg),
                    *src = sta__reg_of(v->state, insn->src_reg);
    bool is_32 = BPF_CLASS(insn->code) == BPF_ALU;
    unsigned bits = insn->off ? (unsigned)insn->off : is_32 ? 32 : 64;
    bool is_same = fits(src, insn->off ? bits - 1 : bits);
    uint32_t value;

    if (is_same)
        sta__reg_give_id(v, src);
    value = sta__value_new(v, src->value, 0);
    *dst = *src;
    dst->value = value;
    if (!is_same) {
        dst->id = 0;
        dst->off = 0;
    }
    if (insn->off && is_32)
        sta__range_sign_extend_32(&dst->n, bits / 8);
    else if (insn->off)
        sta__range_sign_extend(&dst->n, bits / 8);
    if (is_32) {
        sta__range_zero_extend(&dst->n);
        sta__range_sync(&dst->n);
    }
}

static void set_part_of_pointer(struct sta__verifier *v, struct sta__reg *dst, bool is_32)
{
    sta__reg_unknown(v, dst);
    if (!is_32)
        return;
    sta__range_zero_extend(&dst->n);
    sta__range_sync(&dst->n);
}

static int check_move(struct sta__verifier *v, const struct bpf_insn *insn)
{
    struct sta__reg *dst = sta__reg_of(v->state, insn->dst_reg);
    bool is_32 = BPF_CLASS(insn->code) == BPF_ALU;
    int err = 0;

    if (BPF_SRC(insn->code) == BPF_X)
        err = sta__read_reg(v, insn->src_reg);
    if (!err)
        err = sta__write_reg(v, insn->dst_reg);
    if (err)
        return err;
    if (BPF_SRC(insn->code) == BPF_K)
        sta__reg_const(v, dst, is_32 ? (uint32_t)insn->imm : (uint64_t)(int64_t)insn->imm);
    else if (sta__reg_of(v->state, insn->src_reg)->type == STA__REG_SCALAR)
        move_number(v, insn);
    else if (is_32 || insn->off) /* a part of a pointer is just a number */
        set_part_of_pointer(v, dst, is_32);
    else
        *dst = *sta__reg_of(v->state, insn->src_reg);
    return 0;
}

static int check_unary(struct sta__verifier *v, const struct bpf_insn *insn)
{
    struct sta__reg *dst = sta__reg_of(v->state, insn->dst_reg);
    bool is_64 = BPF_CLASS(insn->code) == BPF_ALU64;
    int err = sta__read_reg(v, insn->dst_reg);

    if (!err)
        err = sta__write_reg(v, insn->dst_reg);
    if (err)
        return err;
    if (dst->type != STA__REG_SCALAR) {
        sta__reg_unknown(v, dst);
        return 0;
    }
    dst->value = sta__value_new(v, dst->value, 0);
    dst->id = 0;
    dst->off = 0;
    if (BPF_OP(insn->code) == BPF_END)
        sta__range_bytes(&dst->n, (unsigned)insn->imm / 8,
                         is_64 || BPF_SRC(insn->code) == BPF_TO_BE);
    else
        sta__range_alu(&dst->n, dst->n, BPF_NEG, !is_64);
    sta__range_check(&dst->n);
    return 0;
}

int sta__check_alu(struct sta__verifier *v, const struct bpf_insn *insn)
{
    uint8_t op = BPF_OP(insn->code);
    int err = 0;

    if (op == BPF_MOV)
        return check_move(v, insn);
    if (op == BPF_NEG || op == BPF_END)
        return check_unary(v, insn);
    if (BPF_SRC(insn->code) == BPF_X)
        err = sta__read_reg(v, insn->src_reg);
    if (!err)
        err = sta__read_reg(v, insn->dst_reg);
    if (!err)
        err = sta__write_reg(v, insn->dst_reg);
    return err ? err : binary(v, insn);
}
