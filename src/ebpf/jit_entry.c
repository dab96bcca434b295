/* SPDX-License-Identifier: MIT */
/*
 * Ways into a program from outside. Its own first byte is one, if it can be called by the
 * dispatcher as it is; otherwise a function around it. Besides: for tail calls from other programs,
 * and for helpers that call back.
 */
#include "ebpf/jit_work.h"

#include <stddef.h>

#include "ebpf/helper.h"

#define CALLBACK_ALIGNMENT sizeof(struct sta__callback)

static void call_subprog(struct sta__jit_work *work, uint32_t number)
{
    sta__x86_call(&work->x, 0);
    sta__jit_patch(work, STA__PATCH_SUBPROG, number);
}

static void begin(struct sta__jit_work *work)
{
    sta__x86_push(&work->x, STA__RBP);
    sta__x86_mov(&work->x, true, STA__RBP, STA__RSP);
}

/* run(ctx, ctx_size, ret): with a struct sta__tail_run on the stack, whose address is in r9. */
void sta__jit_write_run(struct sta__jit_work *work)
{
    struct sta__x86 *x = &work->x;

    _Static_assert(offsetof(struct sta__tail_run, ctx_size) == 0 &&
                       offsetof(struct sta__tail_run, count) == 8 &&
                       sizeof(struct sta__tail_run) == 16,
                   "it is pushed in two words");
    begin(work);
    sta__x86_push(x, STA__RDX);
    sta__x86_push(x, STA__RDX); /* for alignment */
    sta__x86_push_imm8(x, 0);
    sta__x86_push(x, STA__RSI);
    sta__x86_mov(x, true, STA__R9, STA__RSP);
    call_subprog(work, 0);
    sta__x86_load(x, 8, STA__RDX, (struct sta__x86_mem){STA__RBP, -8});
    sta__x86_store(x, 8, (struct sta__x86_mem){STA__RDX, 0}, STA__RAX);
    sta__x86_mov_imm(x, STA__RAX, 0);
    sta__x86_leave(x);
    sta__x86_ret(x);
}

/* enter(ctx, run, self) of a program that makes no tail calls: it needs a place for its result. */
static void enter_through_run(struct sta__jit_work *work)
{
    struct sta__x86 *x = &work->x;

    begin(work);
    sta__x86_push(x, STA__RAX);
    sta__x86_push(x, STA__RAX); /* for alignment */
    sta__x86_load(x, 8, STA__RSI, (struct sta__x86_mem){STA__RSI, 0});
    sta__x86_mov(x, true, STA__RDX, STA__RSP);
    call_subprog(work, 0);
    sta__x86_pop(x, STA__RAX);
    sta__x86_leave(x);
    sta__x86_ret(x);
}

void sta__jit_write_enter(struct sta__jit_work *work)
{
    work->enter = sta__jit_here(work);
    if (!sta__jit_is_wrapped(work)) {
        enter_through_run(work);
        return;
    }
    sta__x86_mov(&work->x, true, STA__R9, STA__RSI);
    sta__x86_load(&work->x, 8, STA__RSI, (struct sta__x86_mem){STA__RSI, 0});
    sta__x86_jmp(&work->x, false, 0);
    sta__jit_patch(work, STA__PATCH_SUBPROG, 0);
}

/* callback->run(callback, r1, .., r5): all arguments move up by one. No tail calls are made. */
static uint32_t write_shifted(struct sta__jit_work *work, uint32_t number)
{
    static const uint8_t arguments[] = {STA__RDI, STA__RSI, STA__RDX, STA__RCX, STA__R8, STA__R9};
    uint32_t start = sta__jit_here(work);

    for (size_t i = 0; i + 1 < sizeof(arguments); i++)
        sta__x86_mov(&work->x, true, arguments[i], arguments[i + 1]);
    sta__x86_mov_imm(&work->x, STA__R9, 0);
    sta__x86_jmp(&work->x, false, 0);
    sta__jit_patch(work, STA__PATCH_SUBPROG, number);
    return start;
}

/* The struct sta__callback lies in front of its code: there is nothing in it but the address. */
static void write_callback(struct sta__jit_work *work, struct sta__jit_subprog *subprog,
                           uint32_t number)
{
    uint32_t start;
    uint64_t run;

    _Static_assert(sizeof(struct sta__callback) == sizeof(run), "one address");
    while (sta__jit_here(work) % CALLBACK_ALIGNMENT)
        sta__x86_nop(&work->x, 1);
    subprog->callback = sta__jit_here(work);
    work->x.at += sizeof(run);
    start = write_shifted(work, number);
    run = work->address + start;
    for (size_t i = 0; i < sizeof(run); i++)
        work->buffer[subprog->callback - work->base + i] = (uint8_t)(run >> 8 * i);
}

void sta__jit_write_callbacks(struct sta__jit_work *work)
{
    for (uint32_t i = 0; i < work->code->subprog_count; i++) {
        if (!work->subprogs[i].is_callback)
            continue;
        write_callback(work, &work->subprogs[i], i);
        if (work->is_measuring) {
            work->base = sta__jit_here(work) + CALLBACK_ALIGNMENT; /* padding may be longer */
            work->x.at = work->buffer;
        }
    }
}
