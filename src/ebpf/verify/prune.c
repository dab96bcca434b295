/* SPDX-License-Identifier: MIT */
/*
 * Whether the state of the walk is covered by one that was stored at the same instruction: all that
 * can happen from here has been looked at from there.
 *
 * If the stored state's paths have all been walked, it covers any state whose numbers are among its
 * own, where the proof needed them, and whose other registers are the same. If not, the walk has
 * come round a loop. A loop must change something, or it does not end. Only the loop of a helper
 * that calls back ends by itself; there it is enough that a round led to nothing new.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ebpf/verify/verifier.h"

#define MAX_IDS ((11 + STA__STACK_SIZE / 8) * STA__CALL_DEPTH)

/* How states are compared. */
enum mode {
    NEEDED, /* numbers that the proof did not need may be anything; so may slots nobody read */
    WITHIN, /* all numbers count: what is needed is not known yet */
    EXACT,  /* nothing differs at all */
};

struct sta__id_pair {
    uint32_t stored, walked;
};

struct comparison {
    struct sta__verifier *v;
    enum mode mode;
    uint32_t count;  /* of ids that are known to correspond, in v->ids */
    uint32_t unique; /* ids for numbers without one */
};

/* Ids are names: they may differ, but one name must stand for one name throughout. */
static bool same_id(struct comparison *c, uint32_t stored, uint32_t walked)
{
    struct sta__id_pair *ids = c->v->ids;

    if (!stored != !walked)
        return false;
    if (!stored)
        return true;
    for (uint32_t i = 0; i < c->count; i++) {
        if (ids[i].stored == stored)
            return ids[i].walked == walked;
        if (ids[i].walked == walked)
            return false;
    }
    if (c->count == MAX_IDS)
        return false;
    ids[c->count++] = (struct sta__id_pair){stored, walked};
    return true;
}

/* A number without id is linked to none: as good as one that is linked, but to one number only. */
static bool same_number_id(struct comparison *c, const struct sta__reg *stored,
                           const struct sta__reg *walked)
{
    uint32_t stored_id, walked_id;

    if ((stored->id & STA__ID_DELTA) != (walked->id & STA__ID_DELTA))
        return false;
    if ((stored->id & STA__ID_DELTA) && stored->off != walked->off)
        return false;
    /* The group is what counts, for those at a distance as for those without. */
    stored_id = stored->id ? stored->id & ~STA__ID_DELTA : --c->unique;
    walked_id = walked->id ? walked->id & ~STA__ID_DELTA : --c->unique;
    return same_id(c, stored_id, walked_id);
}

static bool same_except_ids(const struct sta__reg *a, const struct sta__reg *b)
{
    return a->type == b->type && a->frame == b->frame && a->off == b->off && a->map == b->map &&
           a->size == b->size && a->subprog == b->subprog;
}

static bool same_reg(struct comparison *c, const struct sta__reg *stored,
                     const struct sta__reg *walked)
{
    return same_except_ids(stored, walked) && sta__range_equal(&stored->n, &walked->n) &&
           same_id(c, stored->id, walked->id) && same_id(c, stored->ref, walked->ref) &&
           same_id(c, stored->dynptr, walked->dynptr);
}

static bool covers_reg(struct comparison *c, const struct sta__reg *stored,
                       const struct sta__reg *walked)
{
    if (c->mode == EXACT)
        return same_reg(c, stored, walked);
    if (stored->type == STA__REG_NONE) /* nobody can have read it */
        return c->mode == NEEDED || walked->type == STA__REG_NONE;
    if (stored->type != walked->type)
        return false;
    switch (stored->type) {
    case STA__REG_SCALAR:
        if (c->mode == NEEDED && !sta__value_is_needed(c->v, stored->value))
            return true;
        return sta__range_contains(&stored->n, &walked->n) && same_number_id(c, stored, walked);
    case STA__REG_MAP_KEY:
    case STA__REG_MAP_VALUE:
    case STA__REG_MAP_VALUE_OR_NULL:
    case STA__REG_MEM:
    case STA__REG_MEM_OR_NULL:
    case STA__REG_RECORD:
    case STA__REG_RECORD_OR_NULL:
        return same_except_ids(stored, walked) && sta__range_contains(&stored->n, &walked->n) &&
               same_id(c, stored->id, walked->id) && same_id(c, stored->ref, walked->ref) &&
               same_id(c, stored->dynptr, walked->dynptr);
    default:
        return same_reg(c, stored, walked);
    }
}

/* A slot that reads as a number of 64 bits: one that was spilled, or just bytes. */
static const struct sta__reg *slot_number(const struct sta__slot *slot, struct sta__reg *unknown)
{
    if (sta__is_scalar_spill(slot) && slot->bytes[0] == STA__BYTE_SPILL)
        return &slot->spilled;
    for (int i = 0; i < 8; i++) {
        if (slot->bytes[i] != STA__BYTE_MISC && slot->bytes[i] != STA__BYTE_NONE)
            return NULL;
    }
    sta__reg_none(unknown);
    unknown->type = STA__REG_SCALAR;
    return unknown;
}

/* A byte that was never written reads as anything, like one that may be anything. */
static bool covers_byte(uint8_t stored, uint8_t walked)
{
    return stored == STA__BYTE_NONE || stored == STA__BYTE_MISC || stored == walked;
}

static bool covers_slot(struct comparison *c, const struct sta__slot *stored,
                        const struct sta__slot *walked)
{
    static const struct sta__slot none;
    struct sta__reg unknown_stored, unknown_walked;
    const struct sta__reg *a, *b;

    if (!walked)
        walked = &none;
    if (c->mode == EXACT && memcmp(stored->bytes, walked->bytes, sizeof(stored->bytes)) != 0)
        return false;
    if (sta__is_dynptr(stored))
        return sta__is_dynptr(walked) && same_reg(c, &stored->spilled, &walked->spilled);
    if (c->mode == NEEDED && !sta__value_is_needed(c->v, stored->value))
        return true;
    if (sta__is_dynptr(walked))
        return false; /* what was read as bytes from there must not be */
    a = slot_number(stored, &unknown_stored);
    b = slot_number(walked, &unknown_walked);
    /* What was proved for any bytes holds for these, be they a pointer's. */
    if (c->mode != EXACT && a == &unknown_stored)
        return true;
    if (a && b)
        return covers_reg(c, a, b);
    for (int i = 0; i < 8; i++) {
        if (!covers_byte(stored->bytes[i], walked->bytes[i]))
            return false;
    }
    return !sta__is_spill(stored) || covers_reg(c, &stored->spilled, &walked->spilled);
}

static bool covers_frame(struct comparison *c, const struct sta__frame *stored,
                         const struct sta__frame *walked, uint32_t insn)
{
    uint16_t live = c->v->info[insn].live;

    if (stored->callsite != walked->callsite || stored->subprog != walked->subprog ||
        stored->callback_depth > walked->callback_depth ||
        stored->in_callback != walked->in_callback)
        return false;
    for (int i = 0; i < BPF_REG_10; i++) {
        if ((live & 1u << i) && !covers_reg(c, &stored->regs[i], &walked->regs[i]))
            return false;
    }
    for (uint32_t i = 0; i < stored->slot_count; i++) {
        if (!covers_slot(c, &stored->slots[i], i < walked->slot_count ? &walked->slots[i] : NULL))
            return false;
    }
    return c->mode != EXACT || stored->slot_count == walked->slot_count;
}

static bool covers(struct sta__verifier *v, const struct sta__state *stored, enum mode mode)
{
    const struct sta__state *walked = v->state;
    struct comparison c = {.v = v, .mode = mode, .unique = STA__ID_DELTA};

    if (stored->ref_count != walked->ref_count || stored->lock_map != walked->lock_map ||
        !same_id(&c, stored->lock_id, walked->lock_id))
        return false;
    for (uint32_t f = 0; f <= walked->frame; f++) {
        uint32_t insn = f == walked->frame ? v->insn : walked->frames[f + 1]->callsite;

        if (!covers_frame(&c, stored->frames[f], walked->frames[f], insn))
            return false;
    }
    for (uint32_t i = 0; i < stored->ref_count; i++) {
        if (!same_id(&c, stored->refs[i].id, walked->refs[i].id))
            return false;
    }
    return true;
}

static bool same_callsites(const struct sta__state *a, const struct sta__state *b)
{
    if (a->frame != b->frame)
        return false;
    for (uint32_t f = 0; f <= a->frame; f++) {
        if (a->frames[f]->callsite != b->frames[f]->callsite)
            return false;
    }
    return true;
}

/* Nothing at all has changed, not even what nobody will read. */
static bool may_be_looping(const struct sta__state *stored, const struct sta__state *walked)
{
    const struct sta__frame *a = sta__frame_of(stored), *b = sta__frame_of(walked);

    for (int i = 0; i < BPF_REG_10; i++) {
        if (!same_except_ids(&a->regs[i], &b->regs[i]) ||
            !sta__range_equal(&a->regs[i].n, &b->regs[i].n) || a->regs[i].id != b->regs[i].id ||
            a->regs[i].ref != b->regs[i].ref)
            return false;
    }
    return stored->unroll_depth == walked->unroll_depth;
}

/* Whether what this state's proof needs is not known yet: the loop that it leads back to is still
 * being walked, or the one that this loop leads back to. Loops that are done are skipped for good,
 * since there may be thousands. */
static bool is_incomplete(struct sta__state *state)
{
    while (state->loop && !state->loop->branches)
        state->loop = state->loop->loop;
    return state->loop != NULL;
}

/* What the stored state needs, now or later, the walked one needs. */
static void link_values(struct sta__verifier *v, const struct sta__state *stored, bool is_loop)
{
    for (uint32_t f = 0; f <= stored->frame; f++) {
        const struct sta__frame *from = stored->frames[f], *to = v->state->frames[f];

        for (int i = 0; i < BPF_REG_10; i++) {
            if (from->regs[i].type == STA__REG_SCALAR && to->regs[i].type == STA__REG_SCALAR &&
                (is_loop || sta__value_is_needed(v, from->regs[i].value)))
                sta__value_link(v, from->regs[i].value, to->regs[i].value);
        }
        for (uint32_t i = 0; i < from->slot_count && i < to->slot_count; i++) {
            const struct sta__slot *a = &from->slots[i], *b = &to->slots[i];

            if (is_loop || sta__value_is_needed(v, a->value))
                sta__value_link(v, a->value, b->value);
            if (sta__is_scalar_spill(a) && sta__is_scalar_spill(b) &&
                (is_loop || sta__value_is_needed(v, a->spilled.value)))
                sta__value_link(v, a->spilled.value, b->spilled.value);
        }
    }
}

/* The walked path ends in a state whose loop is not done: so do all states since that one. Where
 * one is met that has noted as much, those before it have, too. */
static void note_loop(struct sta__verifier *v, struct sta__state *loop)
{
    loop->is_pinned = true;
    for (struct sta__state *s = v->state->parent; s && s->depth > loop->depth; s = s->parent) {
        if (s->loop && s->loop->depth <= loop->depth)
            break;
        s->loop = loop;
    }
}

static int hit(struct sta__verifier *v, struct sta__state *stored, bool is_loop)
{
    stored->hits++;
    link_values(v, stored, is_loop);
    if (is_loop) {
        note_loop(v, stored->branches ? stored : stored->loop);
    }
    return 1;
}

/* States that never match cost time and memory. Those of calls that call back are met in vain by
 * each round of a loop around the call, and are what keeps its rounds from being walked 2^rounds
 * times. */
static bool is_useless(const struct sta__state *stored, bool calls_back)
{
    uint32_t patience = calls_back ? 64 : 3;

    return stored->misses > stored->hits * patience + patience;
}

int sta__prune(struct sta__verifier *v)
{
    struct sta__insn_info *info = &v->info[v->insn];
    struct sta__state *walked = v->state;
    uint32_t jumps = v->jumps - v->jumps_stored;
    uint32_t insns = v->result->processed - v->insns_stored;
    uint32_t rounds = v->rounds;
    int err;
    bool store = info->calls_callback || (jumps >= 2 && insns >= 8);

    v->rounds = 0;
    if (!v->ids && !(v->ids = malloc(MAX_IDS * sizeof(*v->ids))))
        return -ENOMEM;
    for (struct sta__state **at = &info->states, *stored; (stored = *at);) {
        if (!same_callsites(stored, walked)) {
            at = &stored->next;
            continue;
        }
        if (!stored->branches) {
            bool is_loop = is_incomplete(stored);

            if (covers(v, stored, is_loop ? WITHIN : NEEDED))
                return hit(v, stored, is_loop);
        } else {
            /* Only rounds of one call end by themselves. A loop around the call does not. */
            if (rounds && stored->rounds == rounds) {
                if (covers(v, stored, WITHIN))
                    return hit(v, stored, true);
            } else if (may_be_looping(stored, walked) && covers(v, stored, EXACT)) {
                return sta__deny(v, -EINVAL, "infinite loop detected at insn %u", v->insn);
            }
            /* Rounds of a loop differ, so a state of each is of little use. */
            if (!info->calls_callback && jumps < 20 && insns < 100)
                store = false;
        }
        stored->misses += store;
        if (!is_useless(stored, info->calls_callback)) {
            at = &stored->next;
            continue;
        }
        *at = stored->next;
        stored->is_listed = false;
        sta__state_release(v, stored);
    }
    if (!store)
        return 0;
    err = sta__state_store(v);
    if (!err && info->calls_callback)
        info->states->rounds = rounds ? rounds : ++v->last_rounds;
    return err;
}
