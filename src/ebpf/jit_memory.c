/* SPDX-License-Identifier: MIT */
/* Loads, stores and wide immediates. */
#include "ebpf/jit_work.h"

void sta__jit_load(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    struct sta__x86_mem mem = sta__jit_mem(work, insn->src_reg, insn->off);

    if (BPF_MODE(insn->code) == BPF_MEMSX)
        sta__x86_load_signed(&work->x, sta__insn_size(insn), sta__jit_reg(insn->dst_reg), mem);
    else
        sta__x86_load(&work->x, sta__insn_size(insn), sta__jit_reg(insn->dst_reg), mem);
}

void sta__jit_store(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    struct sta__x86_mem mem = sta__jit_mem(work, insn->dst_reg, insn->off);

    if (sta__insn_class(insn) == BPF_ST)
        sta__x86_store_imm(&work->x, sta__insn_size(insn), mem, insn->imm);
    else
        sta__x86_store(&work->x, sta__insn_size(insn), mem, sta__jit_value(work, insn->src_reg));
}

void sta__jit_wide(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    const struct sta__wide *wide = sta__code_wide(work->code, work->index);
    enum sta__x86_reg dst = sta__jit_reg(insn->dst_reg);

    if (!wide) {
        sta__x86_mov_imm(&work->x, dst, sta__insn_wide_value(insn));
    } else if (work->code->marks[work->index] & STA__MARK_CALLBACK) {
        sta__x86_lea_rip(&work->x, dst, 0);
        sta__jit_patch(work, STA__PATCH_CALLBACK, wide->subprog);
    } else if (insn->src_reg == BPF_PSEUDO_MAP_FD || insn->src_reg == BPF_PSEUDO_MAP_IDX) {
        sta__x86_mov_imm(&work->x, dst, (uintptr_t)wide->map);
    } else {
        sta__x86_mov_imm(&work->x, dst, (uintptr_t)wide->map->values + wide->offset);
    }
}
