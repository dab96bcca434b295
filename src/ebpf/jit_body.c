/* SPDX-License-Identifier: MIT */
/* One pass over a program: everything is written once, in the order in which it will lie. */
#include "ebpf/jit_work.h"

/* Functions begin where the processor likes to fetch. */
#define ALIGNMENT 16

const uint8_t sta__jit_regs[STA__REG_COUNT] = {
    STA__RAX, STA__RDI, STA__RSI, STA__RDX, STA__RCX, STA__R8,
    STA__RBX, STA__R13, STA__R14, STA__R15, STA__RBP,
};

struct sta__x86_mem sta__jit_mem(const struct sta__jit_work *work, unsigned reg, int32_t off)
{
    if (reg == BPF_REG_10 && !work->frame->has_pointer)
        return (struct sta__x86_mem){STA__RSP, off + work->frame->bias};
    return (struct sta__x86_mem){sta__jit_reg(reg), off};
}

enum sta__x86_reg sta__jit_value(struct sta__jit_work *work, unsigned reg)
{
    if (reg != BPF_REG_10 || work->frame->has_pointer)
        return sta__jit_reg(reg);
    if (work->frame->bias == 0)
        return STA__RSP;
    sta__x86_lea(&work->x, true, STA__TEMP, sta__jit_mem(work, BPF_REG_10, 0));
    return STA__TEMP;
}

bool sta__jit_follow(const struct sta__jit_work *work, uint32_t count)
{
    const struct sta__code *code = work->code;

    for (uint32_t i = work->index + 1; i <= work->index + count; i++) {
        if (i >= code->count ||
            (code->marks[i] & (STA__MARK_TARGET | STA__MARK_TAIL | STA__MARK_DEAD)))
            return false;
    }
    return true;
}

void sta__jit_patch(struct sta__jit_work *work, int kind, uint32_t target)
{
    struct sta__jit_patch *patch;

    if (work->is_measuring)
        return;
    patch = &work->patches[work->patch_count++];
    patch->kind = kind;
    patch->end = sta__jit_here(work);
    patch->target = target;
}

/* When measuring, the next instruction overwrites this one. */
static void step(struct sta__jit_work *work)
{
    if (!work->is_measuring)
        return;
    work->base = sta__jit_here(work);
    work->x.at = work->buffer;
}

static void align(struct sta__jit_work *work)
{
    uint32_t here = sta__jit_here(work);

    sta__x86_nop(&work->x, work->is_measuring ? ALIGNMENT - 1 : -here & (ALIGNMENT - 1));
    step(work);
}

static uint32_t jump(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    uint8_t mark = work->code->marks[work->index];

    if (sta__insn_is_goto(insn) || (mark & STA__MARK_ALWAYS))
        sta__jit_goto(work, (uint32_t)sta__insn_target(insn, work->index));
    else if (insn->code == STA__OP_CALL)
        sta__jit_call(work, insn);
    else if (sta__insn_is_exit(insn))
        sta__jit_return(work);
    else if (!(mark & STA__MARK_NEVER))
        sta__jit_branch(work, insn);
    return 1;
}

static uint32_t write_insn(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    switch (sta__insn_class(insn)) {
    case BPF_ALU:
    case BPF_ALU64:
        return sta__jit_alu(work, insn);
    case BPF_JMP:
    case BPF_JMP32:
        return jump(work, insn);
    case BPF_LD:
        sta__jit_wide(work, insn);
        return 2;
    case BPF_LDX:
        sta__jit_load(work, insn);
        return 1;
    default:
        if (sta__insn_is_atomic(insn))
            sta__jit_atomic(work, insn);
        else
            sta__jit_store(work, insn);
        return 1;
    }
}

static void write_insns(struct sta__jit_work *work, const struct sta__subprog *subprog)
{
    uint32_t *offsets = work->is_measuring ? work->measured : work->offsets;
    uint32_t next = subprog->start;

    work->flags = STA__NO_REG;
    for (uint32_t i = subprog->start; i < subprog->end; i++) {
        uint8_t mark = work->code->marks[i];

        offsets[i] = sta__jit_here(work);
        if (i < next || (mark & (STA__MARK_DEAD | STA__MARK_TAIL)))
            continue;
        work->index = i;
        work->flags_before = mark & STA__MARK_TARGET ? STA__NO_REG : work->flags;
        work->flags_before_wide = work->flags_wide;
        work->flags = STA__NO_REG;
        next = i + write_insn(work, &work->code->insns[i]);
        step(work);
    }
}

static void write_subprog(struct sta__jit_work *work, uint32_t number)
{
    struct sta__jit_subprog *subprog = &work->subprogs[number];

    subprog->entry = sta__jit_here(work);
    work->frame = &subprog->frame;
    work->index = work->code->subprogs[number].start;
    sta__jit_enter_frame(work);
    step(work);
    write_insns(work, &work->code->subprogs[number]);
}

void sta__jit_pass(struct sta__jit_work *work)
{
    if (sta__jit_is_wrapped(work)) {
        sta__jit_write_run(work);
        align(work);
    }
    for (uint32_t i = 0; i < work->code->subprog_count; i++) {
        if (i > 0)
            align(work);
        write_subprog(work, i);
    }
    align(work);
    sta__jit_write_enter(work);
    step(work);
    sta__jit_write_callbacks(work);
}
