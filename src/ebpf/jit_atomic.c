/* SPDX-License-Identifier: MIT */
/*
 * Atomic operations. A locked instruction orders everything; loads acquire and stores release as
 * they are. The result of a fetch of 32 bits is zero-extended, as by every instruction of that
 * width.
 */
#include "ebpf/jit_work.h"

static enum sta__x86_alu alu_of(int32_t imm)
{
    switch (imm & ~BPF_FETCH) {
    case BPF_OR:
        return STA__X86_OR;
    case BPF_AND:
        return STA__X86_AND;
    case BPF_XOR:
        return STA__X86_XOR;
    default:
        return STA__X86_ADD;
    }
}

/* There is no instruction that does it and tells what was there: compare and exchange until nobody
 * came between. rax is needed for it, so that r0 is in TEMP2 meanwhile. */
static void fetch_by_exchange(struct sta__jit_work *work, const struct bpf_insn *insn,
                              struct sta__x86_mem mem)
{
    bool wide = sta__insn_size(insn) == 8;
    enum sta__x86_reg src = sta__jit_reg(insn->src_reg);
    enum sta__x86_reg operand = src == STA__RAX ? STA__TEMP2 : src;
    struct sta__x86 *x = &work->x;
    uint8_t *again;

    if (mem.base == STA__RAX)
        mem.base = STA__TEMP2;
    sta__x86_mov(x, true, STA__TEMP2, STA__RAX);
    sta__x86_load(x, wide ? 8 : 4, STA__RAX, mem);
    again = x->at;
    sta__x86_mov(x, wide, STA__TEMP, STA__RAX);
    sta__x86_alu(x, alu_of(insn->imm), wide, STA__TEMP, operand);
    sta__x86_lock_cmpxchg(x, wide, mem, STA__TEMP);
    sta__x86_jcc(x, STA__X86_NE, true, (int32_t)(again - x->at) - 2);
    if (src != STA__RAX || !wide)
        sta__x86_mov(x, wide, src, STA__RAX);
    if (src != STA__RAX)
        sta__x86_mov(x, true, STA__RAX, STA__TEMP2);
}

static void change(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    struct sta__x86_mem mem = sta__jit_mem(work, insn->dst_reg, insn->off);
    enum sta__x86_reg src = sta__jit_reg(insn->src_reg);
    bool wide = sta__insn_size(insn) == 8;

    switch (insn->imm) {
    case BPF_XCHG:
        sta__x86_xchg(&work->x, wide, mem, src);
        break;
    case BPF_CMPXCHG:
        sta__x86_lock_cmpxchg(&work->x, wide, mem, src);
        if (!wide) /* if they were equal, eax was not written */
            sta__x86_mov(&work->x, false, STA__RAX, STA__RAX);
        break;
    case BPF_ADD | BPF_FETCH:
        sta__x86_lock_xadd(&work->x, wide, mem, src);
        break;
    case BPF_OR | BPF_FETCH:
    case BPF_AND | BPF_FETCH:
    case BPF_XOR | BPF_FETCH:
        fetch_by_exchange(work, insn, mem);
        break;
    default:
        sta__x86_lock_alu(&work->x, alu_of(insn->imm), wide, mem, src);
        break;
    }
}

void sta__jit_atomic(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    if (insn->imm == BPF_LOAD_ACQ)
        sta__x86_load(&work->x, sta__insn_size(insn), sta__jit_reg(insn->dst_reg),
                      sta__jit_mem(work, insn->src_reg, insn->off));
    else if (insn->imm == BPF_STORE_REL)
        sta__x86_store(&work->x, sta__insn_size(insn), sta__jit_mem(work, insn->dst_reg, insn->off),
                       sta__jit_value(work, insn->src_reg));
    else
        change(work, insn);
}
