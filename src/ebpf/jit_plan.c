/* SPDX-License-Identifier: MIT */
/* What each subprogram needs of registers and stack, so that it gets no more. */
#include "ebpf/jit_work.h"

#define TAIL_CALL BPF_FUNC_tail_call

/* How r10 is used: as the base of an access, whose bytes below it are noted, or in a way that can
 * reach all of the subprogram's stack. */
struct stack_use {
    uint32_t depth;
    bool is_everywhere;
};

static void note_access(struct stack_use *use, const struct bpf_insn *insn)
{
    if (insn->off >= 0)
        use->is_everywhere = true;
    else if ((uint32_t)-insn->off > use->depth)
        use->depth = (uint32_t)-insn->off;
}

static void note_memory(struct sta__jit_frame *frame, struct stack_use *use,
                        const struct bpf_insn *insn)
{
    bool is_load = sta__insn_class(insn) == BPF_LDX ||
                   (sta__insn_is_atomic(insn) && insn->imm == BPF_LOAD_ACQ);
    unsigned base = is_load ? insn->src_reg : insn->dst_reg;
    unsigned other = is_load ? insn->dst_reg : insn->src_reg;

    frame->regs |= (uint16_t)(1u << base);
    if (sta__insn_class(insn) != BPF_ST)
        frame->regs |= (uint16_t)(1u << other);
    if (base == BPF_REG_10)
        note_access(use, insn);
    if (other == BPF_REG_10 && sta__insn_class(insn) != BPF_ST)
        use->is_everywhere = true;
    if (sta__insn_is_atomic(insn) && !is_load && other == BPF_REG_10)
        frame->pins_frame = true;
}

static void note_alu(struct sta__jit_frame *frame, struct stack_use *use,
                     const struct bpf_insn *insn)
{
    unsigned op = BPF_OP(insn->code);
    bool divides = op == BPF_DIV || op == BPF_MOD;

    frame->regs |= (uint16_t)(1u << insn->dst_reg);
    frame->divides |= divides;
    /* The source of BPF_END says which way, not where from. */
    if (BPF_SRC(insn->code) != BPF_X || op == BPF_END || op == BPF_NEG)
        return;
    frame->regs |= (uint16_t)(1u << insn->src_reg);
    if (insn->src_reg != BPF_REG_10)
        return;
    use->is_everywhere = true;
    if (divides || op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH)
        frame->pins_frame = true;
}

static void note_jump(struct sta__jit_work *work, struct sta__jit_frame *frame,
                      const struct bpf_insn *insn)
{
    if (sta__insn_is_subprog_call(insn)) {
        frame->calls = true;
        frame->makes_tail = true;
    } else if (sta__insn_is_helper_call(insn)) {
        frame->calls |= !sta__jit_is_inlined(insn->imm);
        frame->makes_tail |= insn->imm == TAIL_CALL;
        work->makes_tails |= insn->imm == TAIL_CALL;
    } else if (sta__insn_is_branch(insn)) {
        frame->regs |= (uint16_t)(1u << insn->dst_reg);
        if (BPF_SRC(insn->code) == BPF_X)
            frame->regs |= (uint16_t)(1u << insn->src_reg);
        if (insn->dst_reg == BPF_REG_10 ||
            (BPF_SRC(insn->code) == BPF_X && insn->src_reg == BPF_REG_10))
            frame->pins_frame = true;
    }
}

static void note_subprogs(struct sta__jit_work *work, uint32_t index)
{
    const struct bpf_insn *insn = &work->code->insns[index];

    if (work->code->marks[index] & STA__MARK_CALLBACK) {
        uint32_t subprog = sta__code_wide(work->code, index)->subprog;

        work->subprogs[subprog].is_callback = true;
        work->is_called |= subprog == 0;
    } else if (sta__insn_is_subprog_call(insn) && sta__insn_target(insn, index) == 0) {
        work->is_called = true;
    }
}

static void note_insn(struct sta__jit_work *work, struct sta__jit_frame *frame,
                      struct stack_use *use, uint32_t index)
{
    const struct bpf_insn *insn = &work->code->insns[index];

    switch (sta__insn_class(insn)) {
    case BPF_ALU:
    case BPF_ALU64:
        note_alu(frame, use, insn);
        break;
    case BPF_JMP:
    case BPF_JMP32:
        note_jump(work, frame, insn);
        break;
    case BPF_LD:
        frame->regs |= (uint16_t)(1u << insn->dst_reg);
        break;
    default:
        note_memory(frame, use, insn);
        break;
    }
    note_subprogs(work, index);
}

static void plan_subprog(struct sta__jit_work *work, uint32_t number)
{
    const struct sta__subprog *subprog = &work->code->subprogs[number];
    struct sta__jit_frame *frame = &work->subprogs[number].frame;
    struct stack_use use = {0};

    for (uint32_t i = subprog->start; i < subprog->end; i++) {
        if (!(work->code->marks[i] & (STA__MARK_TAIL | STA__MARK_DEAD)))
            note_insn(work, frame, &use, i);
    }
    if (!sta__jit_uses(frame, BPF_REG_10))
        frame->stack = 0;
    else if (use.is_everywhere || use.depth > subprog->stack_depth)
        frame->stack = subprog->stack_depth > use.depth ? subprog->stack_depth : use.depth;
    else
        frame->stack = use.depth;
    frame->stack = (frame->stack + 7) & ~7u;
}

/* rdx stays where it is unless something needs it; a division would save it each time. */
static enum sta__jit_home home_of_result(const struct sta__jit_frame *frame)
{
    if (frame->calls)
        return STA__HOME_STACK;
    if (sta__jit_uses(frame, BPF_REG_3) || frame->divides)
        return STA__HOME_R9;
    return STA__HOME_RDX;
}

void sta__jit_plan(struct sta__jit_work *work)
{
    for (uint32_t i = 0; i < work->code->subprog_count; i++)
        plan_subprog(work, i);
    for (uint32_t i = 0; i < work->code->subprog_count; i++) {
        struct sta__jit_frame *frame = &work->subprogs[i].frame;

        frame->makes_tail = frame->makes_tail && work->makes_tails;
        if (i == 0 && !sta__jit_is_wrapped(work))
            frame->home = home_of_result(frame);
        sta__jit_layout(frame);
    }
}
