/* SPDX-License-Identifier: MIT */
/* Arithmetic and moves, but division. */
#include "ebpf/jit_work.h"

static bool is_wide(const struct bpf_insn *insn)
{
    return sta__insn_class(insn) == BPF_ALU64;
}

/* Sets a register's upper half to zero, which an instruction of 32 bits has to even if it changes
 * nothing else. */
static void only_zero_upper(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    if (!is_wide(insn))
        sta__x86_mov(&work->x, false, sta__jit_reg(insn->dst_reg), sta__jit_reg(insn->dst_reg));
}

static bool is_power_of_two(uint64_t value)
{
    return value && !(value & (value - 1));
}

static void add_imm(struct sta__jit_work *work, enum sta__x86_reg dst, bool wide, int32_t imm)
{
    if (imm == 1)
        sta__x86_inc(&work->x, wide, dst);
    else if (imm == -1)
        sta__x86_dec(&work->x, wide, dst);
    else if (imm == 128) /* -128 fits into a byte */
        sta__x86_alu_imm(&work->x, STA__X86_SUB, wide, dst, -128);
    else
        sta__x86_alu_imm(&work->x, STA__X86_ADD, wide, dst, imm);
}

static void sub_imm(struct sta__jit_work *work, enum sta__x86_reg dst, bool wide, int32_t imm)
{
    if (imm == INT32_MIN)
        sta__x86_alu_imm(&work->x, STA__X86_SUB, wide, dst, imm);
    else
        add_imm(work, dst, wide, -imm);
}

/* A mask of a byte or two is a move. The sign bit of one that is not negative is clear, so that 32
 * bits are enough. Returns whether the flags tell of the result. */
static bool and_imm(struct sta__jit_work *work, enum sta__x86_reg dst, bool wide, int32_t imm)
{
    if (imm == 0xff || imm == 0xffff) {
        sta__x86_movzx(&work->x, imm == 0xff ? 8 : 16, dst, dst);
        return false;
    }
    sta__x86_alu_imm(&work->x, STA__X86_AND, wide && imm < 0, dst, imm);
    return true;
}

static void mul_imm(struct sta__jit_work *work, enum sta__x86_reg dst, bool wide, int32_t imm)
{
    uint64_t value = wide ? (uint64_t)(int64_t)imm : (uint32_t)imm;

    if (imm == 0)
        sta__x86_mov_imm(&work->x, dst, 0);
    else if (is_power_of_two(value))
        sta__x86_shift_imm(&work->x, STA__X86_SHL, wide, dst, (unsigned)__builtin_ctzll(value));
    else
        sta__x86_imul_imm(&work->x, wide, dst, dst, imm);
}

/* Whether dst stays as it is. */
static bool is_identity(unsigned op, bool wide, int32_t imm)
{
    switch (op) {
    case BPF_ADD:
    case BPF_SUB:
    case BPF_OR:
    case BPF_XOR:
        return imm == 0;
    case BPF_LSH:
    case BPF_RSH:
    case BPF_ARSH:
        return (imm & (wide ? 63 : 31)) == 0; /* trusted programs may have any number */
    case BPF_AND:
        return imm == -1;
    case BPF_MUL:
        return imm == 1;
    default:
        return false;
    }
}

static enum sta__x86_shift shift_of(unsigned op)
{
    return op == BPF_LSH ? STA__X86_SHL : op == BPF_RSH ? STA__X86_SHR : STA__X86_SAR;
}

/* dst op= imm */
static void with_imm(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    enum sta__x86_reg dst = sta__jit_reg(insn->dst_reg);
    bool wide = is_wide(insn), sets_flags = true;
    unsigned op = BPF_OP(insn->code);

    if (is_identity(op, wide, insn->imm)) {
        only_zero_upper(work, insn);
        return;
    }
    switch (op) {
    case BPF_ADD:
        add_imm(work, dst, wide, insn->imm);
        break;
    case BPF_SUB:
        sub_imm(work, dst, wide, insn->imm);
        break;
    case BPF_MUL:
        mul_imm(work, dst, wide, insn->imm);
        sets_flags = false;
        break;
    case BPF_OR:
        sta__x86_alu_imm(&work->x, STA__X86_OR, wide, dst, insn->imm);
        break;
    case BPF_AND:
        sets_flags = and_imm(work, dst, wide, insn->imm);
        break;
    case BPF_XOR:
        sta__x86_alu_imm(&work->x, STA__X86_XOR, wide, dst, insn->imm);
        break;
    default:
        sta__x86_shift_imm(&work->x, shift_of(op), wide, dst,
                           (unsigned)insn->imm & (wide ? 63 : 31));
        break;
    }
    if (sets_flags)
        sta__jit_set_flags(work, insn->dst_reg, wide);
}

/* Without BMI2 the count has to be in cl, and rcx is r4. */
static void shift_by_cl(struct sta__jit_work *work, enum sta__x86_shift op, bool wide,
                        enum sta__x86_reg dst, enum sta__x86_reg count)
{
    struct sta__x86 *x = &work->x;
    enum sta__x86_reg shifted = dst == STA__RCX ? STA__TEMP : dst;

    if (count == STA__RCX && dst != STA__RCX) {
        sta__x86_shift_cl(x, op, wide, dst);
        return;
    }
    sta__x86_mov(x, true, STA__TEMP, STA__RCX);
    if (count != STA__RCX)
        sta__x86_mov(x, true, STA__RCX, count);
    sta__x86_shift_cl(x, op, wide, shifted);
    sta__x86_mov(x, true, STA__RCX, STA__TEMP);
}

static void shift(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    enum sta__x86_shift op = shift_of(BPF_OP(insn->code));
    enum sta__x86_reg dst = sta__jit_reg(insn->dst_reg), count = sta__jit_reg(insn->src_reg);

    if (work->has_shiftx)
        sta__x86_shiftx(&work->x, op, is_wide(insn), dst, dst, count);
    else
        shift_by_cl(work, op, is_wide(insn), dst, count);
}

static enum sta__x86_alu alu_of(unsigned op)
{
    switch (op) {
    case BPF_ADD:
        return STA__X86_ADD;
    case BPF_SUB:
        return STA__X86_SUB;
    case BPF_OR:
        return STA__X86_OR;
    case BPF_AND:
        return STA__X86_AND;
    default:
        return STA__X86_XOR;
    }
}

/* dst op= src */
static void with_reg(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    enum sta__x86_reg dst = sta__jit_reg(insn->dst_reg);
    unsigned op = BPF_OP(insn->code);

    switch (op) {
    case BPF_LSH:
    case BPF_RSH:
    case BPF_ARSH:
        shift(work, insn);
        break;
    case BPF_MUL:
        sta__x86_imul(&work->x, is_wide(insn), dst, sta__jit_value(work, insn->src_reg));
        break;
    default:
        sta__x86_alu(&work->x, alu_of(op), is_wide(insn), dst, sta__jit_value(work, insn->src_reg));
        sta__jit_set_flags(work, insn->dst_reg, is_wide(insn));
        break;
    }
}

static bool is_op_imm(const struct bpf_insn *insn, unsigned code, unsigned dst, int32_t imm)
{
    return insn->code == code && insn->dst_reg == dst && insn->imm == imm;
}

/* Shifts up by 32 and down again extend the lower half. */
static bool extends_half(const struct bpf_insn *insn, unsigned reg, bool *is_signed)
{
    *is_signed = is_op_imm(insn + 1, STA__OP_ARSH64K, reg, 32);
    return is_op_imm(insn, STA__OP_LSH64K, reg, 32) &&
           (*is_signed || is_op_imm(insn + 1, STA__OP_RSH64K, reg, 32));
}

static void extend_half(struct sta__jit_work *work, bool is_signed, unsigned dst, unsigned src)
{
    if (is_signed)
        sta__x86_movsx(&work->x, true, 32, sta__jit_reg(dst), sta__jit_reg(src));
    else
        sta__x86_mov(&work->x, false, sta__jit_reg(dst), sta__jit_reg(src));
}

/* A move and an addition behind it are one lea. (With any immediate, the distance of r10 added to
 * it could overflow.) */
static bool add_to_copy(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    const struct bpf_insn *add = insn + 1;
    unsigned dst = insn->dst_reg, src = insn->src_reg;

    if (!sta__jit_follow(work, 1) || add->dst_reg != dst || dst == src)
        return false;
    if (add->code == STA__OP_ADD64K && add->imm == (int16_t)add->imm) {
        sta__x86_lea(&work->x, true, sta__jit_reg(dst), sta__jit_mem(work, src, add->imm));
        return true;
    }
    if (add->code != STA__OP_ADD64X || add->src_reg == dst || src == BPF_REG_10 ||
        add->src_reg == BPF_REG_10)
        return false;
    sta__x86_lea_sum(&work->x, true, sta__jit_reg(dst), sta__jit_reg(src),
                     sta__jit_reg(add->src_reg));
    return true;
}

/* Returns how many instructions this was. */
static uint32_t copy(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    bool is_signed;

    if (insn->src_reg != BPF_REG_10 && sta__jit_follow(work, 2) &&
        extends_half(insn + 1, insn->dst_reg, &is_signed)) {
        extend_half(work, is_signed, insn->dst_reg, insn->src_reg);
        return 3;
    }
    if (add_to_copy(work, insn))
        return 2;
    if (insn->src_reg == BPF_REG_10 && !work->frame->has_pointer && work->frame->bias)
        sta__x86_lea(&work->x, true, sta__jit_reg(insn->dst_reg),
                     sta__jit_mem(work, BPF_REG_10, 0));
    else if (insn->src_reg != insn->dst_reg)
        sta__x86_mov(&work->x, true, sta__jit_reg(insn->dst_reg),
                     sta__jit_value(work, insn->src_reg));
    return 1;
}

static uint32_t move(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    enum sta__x86_reg dst = sta__jit_reg(insn->dst_reg);

    if (BPF_SRC(insn->code) == BPF_K)
        sta__x86_mov_imm(&work->x, dst,
                         is_wide(insn) ? (uint64_t)(int64_t)insn->imm : (uint32_t)insn->imm);
    else if (insn->off)
        sta__x86_movsx(&work->x, is_wide(insn), (unsigned)insn->off, dst,
                       sta__jit_value(work, insn->src_reg));
    else if (is_wide(insn))
        return copy(work, insn);
    else
        sta__x86_mov(&work->x, false, dst, sta__jit_value(work, insn->src_reg));
    return 1;
}

static void swap_bytes(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    enum sta__x86_reg dst = sta__jit_reg(insn->dst_reg);
    bool swaps = is_wide(insn) || BPF_SRC(insn->code) == BPF_TO_BE;

    if (insn->imm == 16) {
        if (swaps)
            sta__x86_rol16(&work->x, dst, 8);
        sta__x86_movzx(&work->x, 16, dst, dst);
    } else if (swaps) {
        sta__x86_bswap(&work->x, insn->imm == 64, dst);
    } else if (insn->imm == 32) {
        sta__x86_mov(&work->x, false, dst, dst);
    }
}

uint32_t sta__jit_alu(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    bool is_signed;

    switch (BPF_OP(insn->code)) {
    case BPF_MOV:
        return move(work, insn);
    case BPF_DIV:
    case BPF_MOD:
        sta__jit_div(work, insn);
        return 1;
    case BPF_END:
        swap_bytes(work, insn);
        return 1;
    case BPF_NEG:
        sta__x86_unary(&work->x, STA__X86_NEG, is_wide(insn), sta__jit_reg(insn->dst_reg));
        sta__jit_set_flags(work, insn->dst_reg, is_wide(insn));
        return 1;
    default:
        break;
    }
    if (sta__jit_follow(work, 1) && extends_half(insn, insn->dst_reg, &is_signed)) {
        extend_half(work, is_signed, insn->dst_reg, insn->dst_reg);
        return 2;
    }
    if (BPF_SRC(insn->code) == BPF_K)
        with_imm(work, insn);
    else
        with_reg(work, insn);
    return 1;
}
