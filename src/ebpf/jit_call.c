/* SPDX-License-Identifier: MIT */
/*
 * Calls. Arguments and results are already where the C ABI wants them. Some helpers are written in
 * place of their call; there is a table for that.
 */
#include "ebpf/jit_work.h"

#include <errno.h>

#include "ebpf/helper.h"

void sta__jit_call_c(struct sta__jit_work *work, uintptr_t function)
{
    int64_t distance = (int64_t)(function - (work->address + sta__jit_here(work) + 5));

    if (!work->is_measuring && distance == (int32_t)distance) {
        sta__x86_call(&work->x, (int32_t)distance);
        return;
    }
    sta__x86_mov_imm(&work->x, STA__RAX, function);
    sta__x86_call_reg(&work->x, STA__RAX);
}

/* bpf_tail_call(ctx, map, index): the frame is left only once it is known where to go. */
static void tail_call(struct sta__jit_work *work)
{
    struct sta__x86_mem run = STA__JIT_TAIL_SLOT, pushed = {run.base, run.disp + 16};
    struct sta__x86 *x = &work->x;
    uint8_t *nowhere;

    sta__x86_push(x, STA__RDI);
    sta__x86_push(x, STA__RDI); /* for alignment */
    sta__x86_mov(x, true, STA__RDI, STA__RSI);
    sta__x86_mov(x, true, STA__RSI, STA__RDX);
    sta__x86_load(x, 8, STA__RDX, pushed);
    sta__jit_call_c(work, (uintptr_t)sta__tail_next);
    sta__x86_pop(x, STA__RDI);
    sta__x86_pop(x, STA__RDI);
    sta__x86_test(x, true, STA__RAX, STA__RAX);
    nowhere = sta__jit_skip(work, STA__X86_E);
    sta__x86_load(x, 8, STA__RSI, run);
    sta__x86_mov(x, true, STA__RDX, STA__RAX);
    sta__jit_leave_frame(work);
    sta__x86_jmp_mem(x, (struct sta__x86_mem){STA__RDX, 0});
    sta__jit_land(work, nowhere);
}

/* Helpers that are not simply called. */
static const struct inlined {
    int32_t helper;
    bool calls; /* something, all the same: the stack has to be aligned for it */
    void (*write)(struct sta__jit_work *work);
} inlined[] = {
    {BPF_FUNC_tail_call, true, tail_call},
};

static const struct inlined *find_inlined(int32_t helper)
{
    for (size_t i = 0; i < sizeof(inlined) / sizeof(inlined[0]); i++) {
        if (inlined[i].helper == helper)
            return &inlined[i];
    }
    return NULL;
}

bool sta__jit_is_inlined(int32_t helper)
{
    const struct inlined *found = find_inlined(helper);

    return found && !found->calls;
}

static void call_helper(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    const struct inlined *found = find_inlined(insn->imm);
    const struct sta__helper *helper;

    if (found) {
        found->write(work);
        return;
    }
    if (sta__jit_map_call(work, insn->imm))
        return;
    helper = sta__helper_find(insn->imm);
    if (helper && helper->fn) {
        sta__jit_call_c(work, (uintptr_t)helper->fn);
    } else if (!work->err) {
        sta__log(work->log, STA_LOG_ERROR, "insn %u: helper %s#%d is not offered: %s", work->index,
                 helper ? helper->name : "unknown", insn->imm,
                 helper ? helper->why_not : "there is none of this number");
        work->err = -EINVAL;
    }
}

void sta__jit_call(struct sta__jit_work *work, const struct bpf_insn *insn)
{
    uint32_t target;

    if (!sta__insn_is_subprog_call(insn)) {
        call_helper(work, insn);
        return;
    }
    target = (uint32_t)sta__insn_target(insn, work->index);
    if (work->frame->makes_tail)
        sta__x86_load(&work->x, 8, STA__R9, STA__JIT_TAIL_SLOT);
    sta__x86_call(&work->x, 0);
    sta__jit_patch(work, STA__PATCH_SUBPROG, sta__code_subprog_at(work->code, target));
}
