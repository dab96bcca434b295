/* SPDX-License-Identifier: MIT */
/*
 * Calls of subprograms, and of callbacks by helpers.
 *
 * A subprogram is walked anew for each call, with the caller's registers and its stack in reach.
 *
 * How often a helper calls back is not known. So the call is walked as if it ended here, and once
 * more with the callback called first; when that returns, the call is walked again, from what the
 * callback has left behind. This ends when a round brings nothing new (see prune.c); numbers that
 * change with each round and that nothing depends on are forgotten, so that it does.
 */
#include <errno.h>
#include <stdlib.h>

#include "ebpf/verify/verifier.h"

static struct sta__reg *regs_of(const struct sta__state *state)
{
    return sta__frame_of(state)->regs;
}

static int push_frame(struct sta__verifier *v, struct sta__state *state, uint32_t subprog)
{
    struct sta__frame *frame;

    if (state->frame + 1 >= STA__CALL_DEPTH)
        return sta__deny(v, -E2BIG, "the call stack of %u frames is too deep", state->frame + 2);
    frame = sta__frame_new(subprog, v->insn);
    if (!frame)
        return -ENOMEM;
    state->frames[++state->frame] = frame;
    frame->regs[BPF_REG_10].frame = (uint8_t)state->frame;
    return 0;
}

static void forget_caller_saved(struct sta__reg *regs)
{
    for (int i = BPF_REG_0; i <= BPF_REG_5; i++)
        sta__reg_none(&regs[i]);
}

int sta__check_call(struct sta__verifier *v, const struct bpf_insn *insn)
{
    uint32_t target = (uint32_t)sta__insn_target(insn, v->insn);
    struct sta__reg *caller = regs_of(v->state), *callee;
    int err = push_frame(v, v->state, sta__code_subprog_at(v->code, target));

    if (err)
        return err;
    callee = regs_of(v->state);
    for (int i = BPF_REG_1; i <= BPF_REG_5; i++)
        callee[i] = caller[i];
    forget_caller_saved(caller);
    v->insn = target;
    v->touched = 0;
    return 0;
}

/* What a helper calls its callback with. */
static void set_callback_args(struct sta__verifier *v, int32_t id, const struct sta_map *map,
                              const struct sta__reg *caller, struct sta__reg *callee)
{
    if (id == BPF_FUNC_loop) { /* index, context */
        sta__reg_unknown(v, &callee[BPF_REG_1]);
        callee[BPF_REG_2] = caller[BPF_REG_3];
        return;
    }
    callee[BPF_REG_1] = caller[BPF_REG_1]; /* map, key, value, context */
    callee[BPF_REG_2].type = STA__REG_MAP_KEY;
    callee[BPF_REG_3].type = STA__REG_MAP_VALUE;
    callee[BPF_REG_2].map = callee[BPF_REG_3].map = map;
    callee[BPF_REG_3].id = map->has_lock ? sta__new_id(v) : 0;
    sta__range_const(&callee[BPF_REG_2].n, 0);
    sta__range_const(&callee[BPF_REG_3].n, 0);
    callee[BPF_REG_4] = caller[BPF_REG_3];
}

int sta__push_callback(struct sta__verifier *v, int32_t id, const struct sta_map *map,
                       uint32_t subprog)
{
    struct sta__frame *frame = sta__frame_of(v->state);
    struct sta__state *state;
    struct sta__reg caller[6];
    int err = 0;

    if (id != BPF_FUNC_loop && id != BPF_FUNC_for_each_map_elem)
        return sta__deny(v, -EINVAL, "func %d: its callbacks are not offered", id);
    if (id == BPF_FUNC_loop) {
        /* No more rounds than asked for. The lower bits of a pointer are not known. */
        if (frame->regs[BPF_REG_1].type != STA__REG_SCALAR)
            return sta__deny(v, -EINVAL, "R1 is not a scalar");
        sta__reg_need(v, &frame->regs[BPF_REG_1]);
        if (frame->callback_depth >= frame->regs[BPF_REG_1].n.umax) {
            frame->callback_depth = 0;
            return 0;
        }
    }
    state = sta__push(v, v->code->subprogs[subprog].start, &err);
    if (!state)
        return err;
    for (int i = 0; i < 6; i++)
        caller[i] = regs_of(state)[i];
    err = push_frame(v, state, subprog);
    if (err)
        return err;
    state->unroll_depth++;
    state->frames[state->frame - 1]->callback_depth++;
    sta__frame_of(state)->in_callback = true;
    sta__frame_of(state)->callback_max = 1;
    set_callback_args(v, id, map, caller, regs_of(state));
    frame->callback_depth = 0; /* on the path that goes on behind the call */
    return 0;
}

/* The state in which the helper was called the round before. */
static const struct sta__state *previous_round(const struct sta__state *state, uint32_t insn)
{
    for (const struct sta__state *s = state->parent; s; s = s->parent) {
        if (s->insn == insn && s->frame == state->frame &&
            s->unroll_depth + 1 == state->unroll_depth)
            return s;
    }
    return NULL;
}

static void widen_reg(struct sta__verifier *v, const struct sta__reg *before, struct sta__reg *now)
{
    if (before->type != STA__REG_SCALAR || now->type != STA__REG_SCALAR ||
        sta__value_is_needed(v, before->value) || sta__value_is_needed(v, now->value) ||
        (sta__range_equal(&before->n, &now->n) && before->id == now->id))
        return;
    sta__reg_unknown(v, now);
}

/* Numbers that changed in the round and that nothing has depended on yet may be anything. */
static void widen(struct sta__verifier *v, const struct sta__state *before)
{
    for (uint32_t f = 0; f <= before->frame; f++) {
        const struct sta__frame *from = before->frames[f];
        struct sta__frame *to = v->state->frames[f];

        for (int i = 0; i < BPF_REG_10; i++)
            widen_reg(v, &from->regs[i], &to->regs[i]);
        for (uint32_t i = 0; i < from->slot_count && i < to->slot_count; i++) {
            if (sta__is_scalar_spill(&from->slots[i]) && sta__is_scalar_spill(&to->slots[i]))
                widen_reg(v, &from->slots[i].spilled, &to->slots[i].spilled);
        }
    }
}

static int check_callback_result(struct sta__verifier *v, const struct sta__frame *callee)
{
    const struct sta__reg *r0 = &callee->regs[BPF_REG_0];

    if (r0->type != STA__REG_SCALAR)
        return sta__deny(v, -EACCES, "R0 not a scalar value");
    sta__reg_need(v, r0);
    if (r0->n.smin < 0 || r0->n.smax > callee->callback_max)
        return sta__deny(v, -EINVAL,
                         "At callback return the register R0 has smin=%lld smax=%lld should have "
                         "been in [0, %u]",
                         (long long)r0->n.smin, (long long)r0->n.smax, callee->callback_max);
    return 0;
}

static int leave_subprog(struct sta__verifier *v)
{
    struct sta__state *state = v->state;
    struct sta__frame *callee = sta__frame_of(state);
    struct sta__frame *caller = state->frames[state->frame - 1];
    bool in_callback = callee->in_callback;
    uint32_t callsite = callee->callsite;
    const struct sta__state *before;
    int err;

    if (callee->regs[BPF_REG_0].type == STA__REG_STACK)
        return sta__deny(v, -EINVAL, "cannot return stack pointer to the caller");
    if (in_callback) {
        err = check_callback_result(v, callee);
        if (err)
            return err;
    } else {
        caller->regs[BPF_REG_0] = callee->regs[BPF_REG_0];
    }
    state->frames[state->frame--] = NULL;
    sta__frame_free(callee);
    v->insn = in_callback ? callsite : callsite + 1;
    before = in_callback ? previous_round(state, callsite) : NULL;
    if (before) {
        widen(v, before);
        v->rounds = before->rounds;
    }
    return 1;
}

/* A tail call that is made leaves the subprogram, with what the other program returns and without
 * what comes behind it. In the program itself that is the end; callbacks make none (tail.h). */
int sta__push_tail_call(struct sta__verifier *v)
{
    const struct sta__frame *callee = sta__frame_of(v->state);
    struct sta__state *state;
    int err = 0;

    if (!v->state->frame || callee->in_callback)
        return 0;
    state = sta__push(v, callee->callsite + 1, &err);
    if (!state)
        return err;
    sta__frame_free(state->frames[state->frame]);
    state->frames[state->frame--] = NULL;
    sta__reg_unknown(v, &regs_of(state)[BPF_REG_0]);
    return 0;
}

int sta__check_no_refs(struct sta__verifier *v, const char *what)
{
    if (!v->state->ref_count)
        return 0;
    sta__deny(v, -EINVAL, "Unreleased reference id=%u alloc_insn=%u", v->state->refs[0].id,
              v->state->refs[0].insn);
    return sta__deny(v, -EINVAL, "%s would lead to reference leak", what);
}

int sta__check_exit(struct sta__verifier *v)
{
    int err;

    if (v->state->frame)
        return leave_subprog(v);
    err = sta__check_no_refs(v, "BPF_EXIT instruction in main prog");
    if (!err && v->state->lock_map)
        err = sta__deny(v, -EINVAL,
                        "BPF_EXIT instruction in main prog cannot be used inside "
                        "bpf_spin_lock-ed region");
    return err ? err : sta__read_reg(v, BPF_REG_0);
}
