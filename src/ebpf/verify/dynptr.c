/* SPDX-License-Identifier: MIT */
/*
 * Dynptrs in the stack: two slots, whose bytes are all STA__BYTE_DYNPTR, and whose `spilled` says
 * what the dynptr is:
 *
 *      frame    1: the slot with the lower address, 0: the other one
 *      subprog  STA__DYNPTR_LOCAL, of a map's value, or _RING, a record
 *      id       its own
 *      ref      _RING: what was acquired and has to be submitted or discarded
 *
 * Nobody reads these bytes. Who writes to one of them destroys a local dynptr; one of a record may
 * not be destroyed like that. Pointers into its memory (`dynptr` of a register) end with it.
 */
#include <errno.h>

#include "ebpf/dynptr.h"
#include "ebpf/verify/verifier.h"

#define SLOTS (STA__DYNPTR_SIZE / 8)

static struct sta__slot *slot_of(struct sta__frame *frame, int32_t off)
{
    return &frame->slots[(uint32_t)(-off - 1) / 8];
}

static void forget_slice(struct sta__verifier *v, struct sta__reg *reg, void *id)
{
    if (reg->dynptr == *(const uint32_t *)id)
        sta__reg_unknown(v, reg);
}

/* `slot` is one of its two. */
static void destroy(struct sta__verifier *v, struct sta__slot *slot)
{
    /* Slots are numbered downwards. */
    struct sta__slot *first = slot->spilled.frame ? slot : slot + 1;
    uint32_t id = first->spilled.id;

    for (struct sta__slot *s = first - 1; s <= first; s++) {
        for (int i = 0; i < 8; i++)
            s->bytes[i] = STA__BYTE_NONE;
        sta__reg_none(&s->spilled);
        s->value = sta__value_new(v, 0, 0);
    }
    sta__each_reg(v, v->state, forget_slice, &id);
}

int sta__dynptr_overwrite(struct sta__verifier *v, struct sta__frame *frame, int32_t min,
                          int32_t end)
{
    for (int32_t off = min; off < end; off++) {
        struct sta__slot *slot = slot_of(frame, off);

        if (!sta__is_dynptr(slot))
            continue;
        if (slot->spilled.ref)
            return sta__deny(v, -EINVAL, "cannot overwrite referenced dynptr");
        destroy(v, slot);
    }
    return 0;
}

int sta__dynptr_find(const struct sta__frame *frame, int32_t min, int32_t end)
{
    for (int32_t off = min; off < end; off++) {
        if (sta__is_dynptr(&frame->slots[(uint32_t)(-off - 1) / 8]))
            return off;
    }
    return 0;
}

/* Where it is, from the end of the frame. */
static int find_offset(struct sta__verifier *v, uint8_t reg, int32_t *off)
{
    const struct sta__reg *pointer = sta__reg_of(v->state, reg);

    if (!sta__range_is_const(&pointer->n))
        return sta__deny(v, -EINVAL, "dynptr has to be at a constant offset");
    *off = pointer->off + (int32_t)pointer->n.bits.value;
    if (*off % 8 || *off > -STA__DYNPTR_SIZE)
        return sta__deny(v, -EINVAL, "cannot pass in dynptr at an offset=%d", *off);
    return 0;
}

int sta__dynptr_check_room(struct sta__verifier *v, uint8_t reg)
{
    struct sta__memory_access a = {
        .reg = reg, .size = 8, .access = STA__WRITE, .value_reg = -1, .is_aligned = true};
    int32_t off;
    int err = find_offset(v, reg, &off);

    for (a.off = 0; !err && a.off < STA__DYNPTR_SIZE; a.off += 8)
        err = sta__check_access(v, &a);
    return err;
}

void sta__dynptr_make(struct sta__verifier *v, uint8_t reg, uint32_t kind, uint32_t ref)
{
    const struct sta__reg *pointer = sta__reg_of(v->state, reg);
    struct sta__frame *frame = v->state->frames[pointer->frame];
    int32_t off = pointer->off + (int32_t)pointer->n.bits.value;
    uint32_t id = sta__new_id(v);

    for (int32_t i = 0; i < SLOTS; i++) {
        struct sta__slot *slot = slot_of(frame, off + 8 * i);

        sta__reg_none(&slot->spilled);
        slot->spilled.type = STA__REG_DYNPTR;
        slot->spilled.frame = i == 0;
        slot->spilled.subprog = kind;
        slot->spilled.id = id;
        slot->spilled.ref = ref;
        for (int b = 0; b < 8; b++)
            slot->bytes[b] = STA__BYTE_DYNPTR;
        slot->value = sta__value_new(v, 0, 0);
    }
}

/* The dynptr that a register points to; NULL: it points to none. */
static struct sta__slot *find_dynptr(struct sta__verifier *v, uint8_t reg)
{
    const struct sta__reg *pointer = sta__reg_of(v->state, reg);
    struct sta__frame *frame = v->state->frames[pointer->frame];
    struct sta__slot *slot;
    int32_t off = 0;

    if (find_offset(v, reg, &off) || (uint32_t)-off > frame->slot_count * 8)
        return NULL;
    slot = slot_of(frame, off);
    return sta__is_dynptr(slot) && slot->spilled.frame ? slot : NULL;
}

int sta__dynptr_check(struct sta__verifier *v, uint8_t reg, uint32_t kind, uint32_t *id)
{
    const struct sta__slot *slot = find_dynptr(v, reg);

    if (!slot)
        return sta__deny(v, -EINVAL, "Expected an initialized dynptr as arg #%d", reg - 1);
    if (kind && slot->spilled.subprog != kind)
        return sta__deny(v, -EINVAL, "Expected a dynptr of type %s as arg #%d",
                         kind == STA__DYNPTR_RING ? "ringbuf" : "local", reg - 1);
    /* Both: states that are to be covered by this one have it, too. */
    sta__value_need(v, slot->value);
    sta__value_need(v, slot[-1].value);
    *id = slot->spilled.id;
    return 0;
}

uint32_t sta__dynptr_end(struct sta__verifier *v, uint8_t reg)
{
    struct sta__slot *slot = find_dynptr(v, reg);
    uint32_t ref = slot->spilled.ref;

    destroy(v, slot);
    return ref;
}
