/* SPDX-License-Identifier: MIT */
/*
 * The beginning and end of subprograms. There are two kinds of frames.
 *
 * One that calls nothing has no frame pointer. 128 bytes below rsp are its own, by the ABI, and
 * often enough for its stack:
 *
 *      rsp at entry ─► │ return address │
 *                      │ saved registers│
 *          r10 ──────► ├────────────────┤ ◄─ rsp, if the stack fits into the red zone
 *                      │ stack          │
 *          rsp ──────► ├─ ─ ─ ─ ─ ─ ─ ─┤
 *                      │ its last 128   │
 *
 * The other can be walked, and rsp is a multiple of 16 where it calls:
 *
 *                      │ return address │
 *          rbp, r10 ─► │ rbp of caller  │
 *                      │ stack, padding │
 *                      │ saved registers│
 *          rsp ──────► │ address of the result; or where the tail calls of the run are counted │
 */
#include "ebpf/jit_work.h"

#define RED_ZONE 128u

/* Callee-saved registers of the C ABI among those of eBPF; rbp is another matter. */
static const uint8_t saved[] = {BPF_REG_6, BPF_REG_7, BPF_REG_8, BPF_REG_9};
#define SAVED_COUNT (sizeof(saved) / sizeof(saved[0]))

/* What is pushed behind the saved registers; 0: nothing. */
static enum sta__x86_reg pushed_last(const struct sta__jit_frame *frame)
{
    if (frame->home == STA__HOME_STACK)
        return STA__RDX;
    return frame->makes_tail ? STA__R9 : STA__RAX;
}

static uint32_t pushes_of(const struct sta__jit_frame *frame)
{
    uint32_t count = pushed_last(frame) != STA__RAX;

    for (size_t i = 0; i < SAVED_COUNT; i++)
        count += sta__jit_uses(frame, saved[i]);
    return count;
}

void sta__jit_layout(struct sta__jit_frame *frame)
{
    frame->has_pointer = frame->calls || frame->pins_frame;
    frame->bias = 0;
    if (!frame->has_pointer) {
        frame->lowered = frame->stack > RED_ZONE ? frame->stack - RED_ZONE : 0;
        frame->bias = (int32_t)frame->lowered;
        return;
    }
    frame->lowered = frame->stack;
    if ((frame->lowered + 8 * pushes_of(frame)) % 16)
        frame->lowered += 8;
}

static void lower(struct sta__jit_work *work, uint32_t bytes)
{
    if (bytes == 8)
        sta__x86_push(&work->x, STA__RAX); /* shorter than a sub */
    else if (bytes)
        sta__x86_alu_imm(&work->x, STA__X86_SUB, true, STA__RSP, (int32_t)bytes);
}

static void push_saved(struct sta__jit_work *work)
{
    for (size_t i = 0; i < SAVED_COUNT; i++) {
        if (sta__jit_uses(work->frame, saved[i]))
            sta__x86_push(&work->x, sta__jit_reg(saved[i]));
    }
}

static void pop_saved(struct sta__jit_work *work)
{
    for (size_t i = SAVED_COUNT; i-- > 0;) {
        if (sta__jit_uses(work->frame, saved[i]))
            sta__x86_pop(&work->x, sta__jit_reg(saved[i]));
    }
}

void sta__jit_enter_frame(struct sta__jit_work *work)
{
    const struct sta__jit_frame *frame = work->frame;

    if (frame->home == STA__HOME_R9)
        sta__x86_mov(&work->x, true, STA__R9, STA__RDX);
    if (!frame->has_pointer) {
        push_saved(work);
        lower(work, frame->lowered);
        return;
    }
    sta__x86_push(&work->x, STA__RBP);
    sta__x86_mov(&work->x, true, STA__RBP, STA__RSP);
    lower(work, frame->lowered);
    push_saved(work);
    if (pushed_last(frame) != STA__RAX)
        sta__x86_push(&work->x, pushed_last(frame));
}

static void lift(struct sta__jit_work *work, uint32_t bytes)
{
    if (bytes)
        sta__x86_alu_imm(&work->x, STA__X86_SUB, true, STA__RSP, -(int32_t)bytes);
}

void sta__jit_leave_frame(struct sta__jit_work *work)
{
    const struct sta__jit_frame *frame = work->frame;

    if (!frame->has_pointer) {
        lift(work, frame->lowered);
        pop_saved(work);
        return;
    }
    /* What was pushed last goes into a register that nothing else is in. */
    if (pushed_last(frame) != STA__RAX)
        sta__x86_pop(&work->x, STA__R9);
    pop_saved(work);
    sta__x86_leave(&work->x);
}

void sta__jit_return(struct sta__jit_work *work)
{
    const struct sta__jit_frame *frame = work->frame;

    sta__jit_leave_frame(work);
    if (frame->home != STA__HOME_NONE) {
        struct sta__x86_mem result = {frame->home == STA__HOME_RDX ? STA__RDX : STA__R9, 0};

        sta__x86_store(&work->x, 8, result, STA__RAX);
        sta__x86_mov_imm(&work->x, STA__RAX, 0);
    }
    sta__x86_ret(&work->x);
}
