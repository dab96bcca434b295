/* SPDX-License-Identifier: MIT */
/* States: copying, storing, and the paths that are still to be walked. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ebpf/verify/verifier.h"

void sta__reg_none(struct sta__reg *reg)
{
    memset(reg, 0, sizeof(*reg));
    sta__range_unknown(&reg->n);
}

void sta__reg_unknown(struct sta__verifier *v, struct sta__reg *reg)
{
    sta__reg_none(reg);
    reg->type = STA__REG_SCALAR;
    reg->value = sta__value_new(v, 0, 0);
}

void sta__reg_const(struct sta__verifier *v, struct sta__reg *reg, uint64_t value)
{
    sta__reg_unknown(v, reg);
    sta__range_const(&reg->n, value);
}

void sta__reg_need(struct sta__verifier *v, const struct sta__reg *reg)
{
    if (reg->type == STA__REG_SCALAR)
        sta__value_need(v, reg->value);
}

uint32_t sta__new_id(struct sta__verifier *v)
{
    return ++v->last_id;
}

void sta__reg_give_id(struct sta__verifier *v, struct sta__reg *reg)
{
    if (reg->type != STA__REG_SCALAR)
        return;
    /* A number at a distance from its group starts a group of its own. */
    if (reg->id & STA__ID_DELTA) {
        reg->id = 0;
        reg->off = 0;
    }
    if (!reg->id && !sta__range_is_const(&reg->n))
        reg->id = sta__new_id(v);
}

struct sta__frame *sta__frame_new(uint32_t subprog, uint32_t callsite)
{
    struct sta__frame *frame = calloc(1, sizeof(*frame));

    if (!frame)
        return NULL;
    for (int i = 0; i < BPF_REG_10; i++)
        sta__reg_none(&frame->regs[i]);
    sta__reg_none(&frame->regs[BPF_REG_10]);
    sta__range_const(&frame->regs[BPF_REG_10].n, 0);
    frame->regs[BPF_REG_10].type = STA__REG_STACK;
    frame->subprog = subprog;
    frame->callsite = callsite;
    return frame;
}

void sta__frame_free(struct sta__frame *frame)
{
    if (frame)
        free(frame->slots);
    free(frame);
}

int sta__frame_grow(struct sta__frame *frame, uint32_t slots)
{
    struct sta__slot *larger;

    if (slots <= frame->slot_count)
        return 0;
    larger = realloc(frame->slots, slots * sizeof(*larger));
    if (!larger)
        return -ENOMEM;
    memset(larger + frame->slot_count, 0, (slots - frame->slot_count) * sizeof(*larger));
    frame->slots = larger;
    frame->slot_count = slots;
    return 0;
}

static struct sta__frame *copy_frame(const struct sta__frame *from)
{
    struct sta__frame *frame = malloc(sizeof(*frame));

    if (!frame)
        return NULL;
    *frame = *from;
    frame->slots = NULL;
    frame->slot_count = 0;
    if (sta__frame_grow(frame, from->slot_count)) {
        free(frame);
        return NULL;
    }
    if (from->slot_count)
        memcpy(frame->slots, from->slots, from->slot_count * sizeof(*from->slots));
    return frame;
}

struct sta__state *sta__state_copy(const struct sta__state *from)
{
    struct sta__state *state = calloc(1, sizeof(*state));

    if (!state)
        return NULL;
    state->frame = from->frame;
    state->unroll_depth = from->unroll_depth;
    state->lock_map = from->lock_map;
    state->lock_id = from->lock_id;
    state->parent = from->parent;
    state->depth = from->depth;
    for (uint32_t i = 0; i <= from->frame; i++) {
        state->frames[i] = copy_frame(from->frames[i]);
        if (!state->frames[i])
            goto fail;
    }
    if (from->ref_count) {
        state->refs = malloc(from->ref_count * sizeof(*state->refs));
        if (!state->refs)
            goto fail;
        memcpy(state->refs, from->refs, from->ref_count * sizeof(*state->refs));
        state->ref_count = from->ref_count;
    }
    return state;
fail:
    sta__state_free(state);
    return NULL;
}

void sta__state_free(struct sta__state *state)
{
    if (!state)
        return;
    for (uint32_t i = 0; i < STA__CALL_DEPTH; i++)
        sta__frame_free(state->frames[i]);
    free(state->refs);
    free(state);
}

void sta__each_reg(struct sta__verifier *v, struct sta__state *state, sta__reg_fn fn, void *data)
{
    for (uint32_t f = 0; f <= state->frame; f++) {
        struct sta__frame *frame = state->frames[f];

        for (int i = 0; i < BPF_REG_10; i++)
            fn(v, &frame->regs[i], data);
        for (uint32_t i = 0; i < frame->slot_count; i++) {
            if (sta__is_spill(&frame->slots[i]))
                fn(v, &frame->slots[i].spilled, data);
        }
    }
}

struct sta__state *sta__push(struct sta__verifier *v, uint32_t insn, int *err)
{
    struct sta__state *state;

    if (v->pending_count == v->pending_room) {
        uint32_t room = v->pending_room ? v->pending_room * 2 : 32;
        struct sta__pending *larger = realloc(v->pending, room * sizeof(*larger));

        if (!larger) {
            *err = -ENOMEM;
            return NULL;
        }
        v->pending = larger;
        v->pending_room = room;
    }
    if (v->pending_count >= 8192) { /* BPF_COMPLEXITY_LIMIT_JMP_SEQ */
        *err =
            sta__deny(v, -E2BIG, "The sequence of %u jumps is too complex.", v->pending_count + 1);
        return NULL;
    }
    state = sta__state_copy(v->state);
    if (!state) {
        *err = -ENOMEM;
        return NULL;
    }
    if (state->parent)
        state->parent->branches++;
    v->pending[v->pending_count++] = (struct sta__pending){
        .state = state, .insn = insn, .from = v->insn, .log_used = v->text.dropped + v->text.used};
    return state;
}

bool sta__pop(struct sta__verifier *v)
{
    struct sta__pending *last;

    if (!v->pending_count)
        return false;
    last = &v->pending[--v->pending_count];
    sta__state_free(v->state);
    v->state = last->state;
    v->insn = last->insn;
    v->previous_insn = last->from;
    /* The text of a path that was good is of no interest, unless all is asked for. */
    if (!sta__says(v, STA_VERIFIER_LOG_FULL))
        sta__text_cut(&v->text, last->log_used);
    return true;
}

void sta__path_done(struct sta__verifier *v)
{
    struct sta__state *state = v->state->parent;

    while (state && --state->branches == 0) {
        struct sta__state *parent = state->parent;

        sta__state_release(v, state);
        state = parent;
    }
}

void sta__state_release(struct sta__verifier *v, struct sta__state *state)
{
    if (state->is_listed || state->is_pinned || state->branches)
        return;
    if (state->newer)
        state->newer->older = state->older;
    else
        v->newest = state->older;
    if (state->older)
        state->older->newer = state->newer;
    sta__state_free(state);
}

/* The stored state keeps its nodes; the walk goes on with others, computed from them. */
static void renew_values(struct sta__verifier *v, struct sta__state *state)
{
    for (uint32_t f = 0; f <= state->frame; f++) {
        struct sta__frame *frame = state->frames[f];

        for (int i = 0; i < BPF_REG_10; i++) {
            struct sta__reg *reg = &frame->regs[i];

            if (reg->type == STA__REG_SCALAR)
                reg->value = sta__value_new(v, reg->value, 0);
        }
        for (uint32_t i = 0; i < frame->slot_count; i++) {
            struct sta__slot *slot = &frame->slots[i];

            slot->value = sta__value_new(v, slot->value, 0);
            if (sta__is_scalar_spill(slot))
                slot->spilled.value = sta__value_new(v, slot->spilled.value, 0);
        }
    }
}

int sta__state_store(struct sta__verifier *v)
{
    struct sta__insn_info *info = &v->info[v->insn];
    struct sta__state *state;

    /* The nodes that the stored state gets are new ones, too: a slot that nobody wrote has none. */
    renew_values(v, v->state);
    state = sta__state_copy(v->state);
    if (!state)
        return -ENOMEM;
    renew_values(v, v->state);
    state->insn = v->insn;
    state->branches = 1;
    state->is_listed = true;
    state->next = info->states;
    info->states = state;
    state->older = v->newest;
    if (v->newest)
        v->newest->newer = state;
    v->newest = state;
    v->state->parent = state;
    v->state->depth++;
    v->result->states++;
    v->jumps_stored = v->jumps;
    v->insns_stored = v->result->processed;
    return 0;
}
