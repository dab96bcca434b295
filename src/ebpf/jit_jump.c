/* SPDX-License-Identifier: MIT */
/*
 * Jumps. A backward one knows how far it goes. For a forward one the first pass has measured it,
 * with everything between in its longest form: if that is near enough for the short form, so is
 * what will lie there.
 */
#include "ebpf/jit_work.h"

/* So many dead instructions are looked over for where a jump leads. */
#define NEXT_LIMIT 16

static bool is_backward(const struct sta__jit_work *work, uint32_t target)
{
    return target <= work->index;
}

/* Of a jump whose short form has `size` bytes. */
static bool is_near(const struct sta__jit_work *work, uint32_t target, uint32_t size)
{
    if (work->is_measuring)
        return false;
    if (is_backward(work, target))
        return sta__jit_here(work) + size - work->offsets[target] <= 128;
    return work->measured[target] - work->measured[work->index + 1] <= 127;
}

/* What a jump of `size` bytes from here counts. */
static int32_t distance(const struct sta__jit_work *work, uint32_t target, uint32_t size)
{
    if (work->is_measuring || !is_backward(work, target))
        return 0;
    return (int32_t)(work->offsets[target] - (sta__jit_here(work) + size));
}

static void fill_in(struct sta__jit_work *work, uint32_t target, bool is_short)
{
    if (!is_backward(work, target))
        sta__jit_patch(work, is_short ? STA__PATCH_SHORT : STA__PATCH_LONG, target);
}

/* Whether nothing lies between. */
static bool is_next(const struct sta__jit_work *work, uint32_t target)
{
    if (target <= work->index || target - work->index > NEXT_LIMIT)
        return false;
    for (uint32_t i = work->index + 1; i < target; i++) {
        if (!(work->code->marks[i] & (STA__MARK_DEAD | STA__MARK_TAIL)))
            return false;
    }
    return true;
}

void sta__jit_goto(struct sta__jit_work *work, uint32_t target)
{
    bool is_short = is_near(work, target, 2);

    if (is_next(work, target))
        return;
    sta__x86_jmp(&work->x, is_short, distance(work, target, is_short ? 2 : 5));
    fill_in(work, target, is_short);
}

static const uint8_t conditions[16] = {
    [BPF_JEQ >> 4] = STA__X86_E,  [BPF_JNE >> 4] = STA__X86_NE,  [BPF_JSET >> 4] = STA__X86_NE,
    [BPF_JGT >> 4] = STA__X86_A,  [BPF_JGE >> 4] = STA__X86_AE,  [BPF_JLT >> 4] = STA__X86_B,
    [BPF_JLE >> 4] = STA__X86_BE, [BPF_JSGT >> 4] = STA__X86_G,  [BPF_JSGE >> 4] = STA__X86_GE,
    [BPF_JSLT >> 4] = STA__X86_L, [BPF_JSLE >> 4] = STA__X86_LE,
};

/* Whether the instruction before has left flags that say it already: whether its result is zero,
 * or negative. (Not whether it is less than zero: that needs the overflow flag cleared.) */
static bool is_known(const struct sta__jit_work *work, const struct bpf_insn *insn, bool wide,
                     enum sta__x86_cond *cond)
{
    if (work->flags_before != (int)insn->dst_reg || work->flags_before_wide != wide)
        return false;
    switch (BPF_OP(insn->code)) {
    case BPF_JEQ:
    case BPF_JNE:
        return true;
    case BPF_JSLT:
        *cond = STA__X86_S;
        return true;
    case BPF_JSGE:
        *cond = STA__X86_NS;
        return true;
    default:
        return false;
    }
}

static void compare_imm(struct sta__jit_work *work, const struct bpf_insn *insn, bool wide,
                        enum sta__x86_cond *cond)
{
    enum sta__x86_reg dst = sta__jit_reg(insn->dst_reg);

    if (BPF_OP(insn->code) == BPF_JSET)
        sta__x86_test_imm(&work->x, wide, dst, insn->imm);
    else if (insn->imm != 0)
        sta__x86_alu_imm(&work->x, STA__X86_CMP, wide, dst, insn->imm);
    else if (!is_known(work, insn, wide, cond))
        sta__x86_test(&work->x, wide, dst, dst); /* as cmp with 0, shorter */
}

static void compare_reg(struct sta__jit_work *work, const struct bpf_insn *insn, bool wide)
{
    enum sta__x86_reg dst = sta__jit_reg(insn->dst_reg), src = sta__jit_reg(insn->src_reg);

    if (BPF_OP(insn->code) == BPF_JSET)
        sta__x86_test(&work->x, wide, dst, src);
    else
        sta__x86_alu(&work->x, STA__X86_CMP, wide, dst, src);
}

void sta__jit_branch(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    uint32_t target = (uint32_t)sta__insn_target(insn, work->index);
    enum sta__x86_cond cond = conditions[BPF_OP(insn->code) >> 4];
    bool wide = sta__insn_class(insn) == BPF_JMP, is_short;

    if (is_next(work, target))
        return;
    if (BPF_SRC(insn->code) == BPF_K)
        compare_imm(work, insn, wide, &cond);
    else
        compare_reg(work, insn, wide);
    is_short = is_near(work, target, 2);
    sta__x86_jcc(&work->x, cond, is_short, distance(work, target, is_short ? 2 : 6));
    fill_in(work, target, is_short);
}
