/* SPDX-License-Identifier: MIT */
/*
 * Division and modulo. The processor's instructions want the dividend in rdx:rax, leave quotient
 * and remainder in rax and rdx, and trap where eBPF defines a result:
 *
 *      x / 0 = 0                       x % 0 = x
 *      smallest / -1 = smallest        x % -1 = 0      (signed)
 *
 * What is compared with 0 is what is divided by: of a division of 32 bits the lower half.
 */
#include "ebpf/jit_work.h"

struct division {
    enum sta__x86_reg dst;
    enum sta__x86_reg divisor; /* where it is when the dividend has been loaded */
    bool wide, is_signed, is_modulo;
    bool saves_rdx;
};

static struct division describe(const struct sta__jit_work *work, const struct bpf_insn *insn)
{
    return (struct division){
        .dst = sta__jit_reg(insn->dst_reg),
        .wide = sta__insn_class(insn) == BPF_ALU64,
        .is_signed = insn->off == 1,
        .is_modulo = BPF_OP(insn->code) == BPF_MOD,
        .saves_rdx = sta__jit_uses(work->frame, BPF_REG_3) || work->frame->home == STA__HOME_RDX,
    };
}

/* dst % 0 and such. */
static void keep(struct sta__jit_work *work, const struct division *division)
{
    if (!division->wide)
        sta__x86_mov(&work->x, false, division->dst, division->dst);
}

static void by_minus_one(struct sta__jit_work *work, const struct division *division)
{
    if (division->is_modulo)
        sta__x86_mov_imm(&work->x, division->dst, 0);
    else
        sta__x86_unary(&work->x, STA__X86_NEG, division->wide, division->dst);
}

/* rax goes to TEMP2 and rdx to TEMP, but for the one that is overwritten with the result. */
static void save(struct sta__jit_work *work, const struct division *division)
{
    if (division->dst != STA__RAX)
        sta__x86_mov(&work->x, true, STA__TEMP2, STA__RAX);
    if (division->dst != STA__RDX && division->saves_rdx)
        sta__x86_mov(&work->x, true, STA__TEMP, STA__RDX);
    if (division->dst != STA__RAX)
        sta__x86_mov(&work->x, division->wide, STA__RAX, division->dst);
}

/* The dividend is in rax, the divisor where it was said to be. */
static void divide(struct sta__jit_work *work, const struct division *division)
{
    enum sta__x86_reg result = division->is_modulo ? STA__RDX : STA__RAX;
    struct sta__x86 *x = &work->x;

    if (division->is_signed)
        sta__x86_cqo(x, division->wide);
    else
        sta__x86_mov_imm(x, STA__RDX, 0);
    sta__x86_unary(x, division->is_signed ? STA__X86_IDIV : STA__X86_DIV, division->wide,
                   division->divisor);
    if (division->dst != result)
        sta__x86_mov(x, division->wide, division->dst, result);
    if (division->dst != STA__RAX)
        sta__x86_mov(x, true, STA__RAX, STA__TEMP2);
    if (division->dst != STA__RDX && division->saves_rdx)
        sta__x86_mov(x, true, STA__RDX, STA__TEMP);
}

/* A register that is in the way is found where it was saved to; if nothing was saved there as it is
 * the dividend, too, it is copied. */
static enum sta__x86_reg place_divisor(struct sta__jit_work *work, const struct division *division,
                                       enum sta__x86_reg src)
{
    enum sta__x86_reg saved = src == STA__RAX ? STA__TEMP2 : STA__TEMP;

    if (src != STA__RAX && src != STA__RDX)
        return src;
    if (division->dst == src)
        sta__x86_mov(&work->x, true, saved, src);
    return saved;
}

static void by_reg(struct sta__jit_work *work, struct division *division, enum sta__x86_reg src)
{
    uint8_t *to_zero, *to_minus_one = NULL, *to_end[2] = {NULL, NULL};

    sta__x86_test(&work->x, division->wide, src, src);
    to_zero = sta__jit_skip(work, STA__X86_E);
    if (division->is_signed) {
        sta__x86_alu_imm(&work->x, STA__X86_CMP, division->wide, src, -1);
        to_minus_one = sta__jit_skip(work, STA__X86_E);
    }
    division->divisor = place_divisor(work, division, src);
    save(work, division);
    divide(work, division);
    if (!division->is_modulo || !division->wide || division->is_signed) {
        sta__x86_jmp(&work->x, true, 0);
        to_end[0] = work->x.at;
    }
    if (division->is_signed) {
        sta__jit_land(work, to_minus_one);
        by_minus_one(work, division);
        sta__x86_jmp(&work->x, true, 0);
        to_end[1] = work->x.at;
    }
    sta__jit_land(work, to_zero);
    if (division->is_modulo)
        keep(work, division);
    else
        sta__x86_mov_imm(&work->x, division->dst, 0);
    for (int i = 0; i < 2; i++) {
        if (to_end[i])
            sta__jit_land(work, to_end[i]);
    }
}

/* The divisor goes where nothing is saved; else into dst, once the dividend is in rax. */
static void by_other_imm(struct sta__jit_work *work, struct division *division, int32_t imm)
{
    division->divisor = division->dst == STA__RAX   ? STA__TEMP2
                        : division->dst == STA__RDX ? STA__TEMP
                                                    : division->dst;
    save(work, division);
    sta__x86_mov_imm(&work->x, division->divisor,
                     division->wide ? (uint64_t)(int64_t)imm : (uint32_t)imm);
    divide(work, division);
}

/* Unsigned, by 1 << shift. */
static void by_power_of_two(struct sta__jit_work *work, const struct division *division,
                            unsigned shift)
{
    if (division->is_modulo) /* the mask is positive */
        sta__x86_alu_imm(&work->x, STA__X86_AND, false, division->dst,
                         (int32_t)((1u << shift) - 1));
    else if (shift)
        sta__x86_shift_imm(&work->x, STA__X86_SHR, division->wide, division->dst, shift);
    else
        keep(work, division);
}

static void by_imm(struct sta__jit_work *work, struct division *division, int32_t imm)
{
    uint64_t value = division->wide ? (uint64_t)(int64_t)imm : (uint32_t)imm;

    if (imm == 0 && division->is_modulo)
        keep(work, division);
    else if (imm == 0)
        sta__x86_mov_imm(&work->x, division->dst, 0);
    else if (division->is_signed && imm == -1)
        by_minus_one(work, division);
    else if (!division->is_signed && !(value & (value - 1)))
        by_power_of_two(work, division, (unsigned)__builtin_ctzll(value));
    else
        by_other_imm(work, division, imm);
}

void sta__jit_div(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    struct division division = describe(work, insn);

    if (BPF_SRC(insn->code) == BPF_K)
        by_imm(work, &division, insn->imm);
    else
        by_reg(work, &division, sta__jit_reg(insn->src_reg));
}
