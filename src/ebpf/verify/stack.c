/* SPDX-License-Identifier: MIT */
/*
 * The stack, byte by byte: spilled registers keep all that is known of them as long as they are
 * read back as a whole; of other bytes it is only known whether they are zero.
 *
 * Programs that are loaded here count as the kernel's privileged ones: they may read what was never
 * written, as numbers.
 */
#include <errno.h>

#include "ebpf/verify/verifier.h"

/* The frame that a pointer points into. */
static struct sta__frame *frame_at(struct sta__verifier *v, const struct sta__reg *pointer)
{
    return v->state->frames[pointer->frame];
}

/* The slot of a byte, given its distance from the frame's end: -1 is the first one below it. */
static struct sta__slot *slot_at(struct sta__frame *frame, int32_t off)
{
    return &frame->slots[(uint32_t)(-off - 1) / 8];
}

static uint8_t *byte_at(struct sta__frame *frame, int32_t off)
{
    return &slot_at(frame, off)->bytes[(uint32_t)(-off - 1) % 8];
}

static void touch_slots(struct sta__verifier *v, const struct sta__frame *frame, int32_t off,
                        int32_t size)
{
    if (frame != sta__frame_of(v->state))
        return;
    for (int32_t i = off; i < off + size; i++)
        v->touched_slots |= 1ull << ((-i - 1) / 8);
}

/* What is read of the stack must be alike in every state that this proof is to hold for. */
static void need_slots(struct sta__verifier *v, struct sta__frame *frame, int32_t off, int32_t size)
{
    for (int32_t i = off; i < off + size; i++)
        sta__value_need(v, slot_at(frame, i)->value);
}

int sta__stack_bounds(struct sta__verifier *v, uint8_t reg, int32_t off, int64_t size,
                      enum sta__access access)
{
    const struct sta__reg *pointer = sta__reg_of(v->state, reg);
    struct sta__frame *frame = frame_at(v, pointer);
    struct sta__subprog *subprog = &v->code->subprogs[frame->subprog];
    bool is_known = sta__range_is_const(&pointer->n);
    const char *what = access == STA__READ ? " read from" : " write to";
    int64_t min = off, max = off;
    int err = 0;

    if (!is_known && (pointer->n.smax >= STA__OFFSET_MAX || pointer->n.smin <= -STA__OFFSET_MAX))
        return sta__deny(v, -EACCES, "invalid unbounded variable-offset%s stack R%u", what, reg);
    min += is_known ? (int64_t)pointer->n.bits.value : pointer->n.smin;
    max += (is_known ? (int64_t)pointer->n.bits.value : pointer->n.smax) + size;
    if (min < -STA__STACK_SIZE || min > -1)
        err = -EACCES;
    else if (max > 0)
        err = -EINVAL;
    if (err) {
        char bits[64];

        if (is_known)
            return sta__deny(v, err, "invalid%s stack R%u off=%lld size=%lld", what, reg,
                             (long long)min, (long long)size);
        sta__tnum_text(bits, sizeof(bits), pointer->n.bits);
        return sta__deny(v, err, "invalid variable-offset%s stack R%u var_off=%s off=%d size=%lld",
                         what, reg, bits, off, (long long)size);
    }
    if ((uint32_t)(-min + 7) / 8 * 8 > subprog->stack_depth)
        subprog->stack_depth = (uint32_t)(-min + 7) / 8 * 8;
    return sta__frame_grow(frame, (uint32_t)(-min + 7) / 8);
}

/* ---- stores ---- */

static bool is_spill_size(const struct sta__reg *reg, uint32_t size)
{
    return size >= 8 || reg->n.umax < 1ull << size * 8;
}

/* The lowest `size` bytes of a register, at the beginning of a slot. */
static void spill(struct sta__verifier *v, struct sta__slot *slot, const struct sta__reg *reg,
                  uint32_t size)
{
    int i = 8;

    slot->spilled = *reg;
    if (reg->type == STA__REG_SCALAR)
        slot->spilled.value = sta__value_new(v, reg->value, 0);
    for (; i > 8 - (int)size; i--)
        slot->bytes[i - 1] = STA__BYTE_SPILL;
    if (size == 8)
        slot->value = sta__value_new(v, 0, 0);
    for (; i; i--) {
        if (slot->bytes[i - 1] == STA__BYTE_SPILL)
            slot->bytes[i - 1] = STA__BYTE_MISC;
    }
}

/* What was spilled there is bytes now. */
static void break_spill(struct sta__slot *slot)
{
    if (sta__is_spill(slot)) {
        for (int i = 0; i < 8; i++) {
            if (slot->bytes[i] != STA__BYTE_NONE)
                slot->bytes[i] = STA__BYTE_MISC;
        }
    }
    sta__reg_none(&slot->spilled);
}

static void store_bytes(struct sta__verifier *v, struct sta__frame *frame, int32_t off,
                        const struct sta__memory_access *a)
{
    bool is_zero = a->value_reg >= 0 ? sta__is_zero(sta__reg_of(v->state, a->value_reg))
                                     : a->store_imm && a->store_imm->imm == 0;

    if (is_zero && a->value_reg >= 0)
        sta__reg_need(v, sta__reg_of(v->state, a->value_reg));
    break_spill(slot_at(frame, off));
    for (uint32_t i = 0; i < a->size; i++)
        *byte_at(frame, off + (int32_t)i) = is_zero ? STA__BYTE_ZERO : STA__BYTE_MISC;
    if (a->size == 8)
        slot_at(frame, off)->value = sta__value_new(v, 0, 0);
}

static int store_known(struct sta__verifier *v, struct sta__frame *frame, int32_t off,
                       const struct sta__memory_access *a)
{
    struct sta__slot *slot = slot_at(frame, off);
    struct sta__reg *reg = a->value_reg >= 0 ? sta__reg_of(v->state, a->value_reg) : NULL;
    bool at_slot = off % 8 == 0;

    touch_slots(v, frame, off, (int32_t)a->size);
    if (reg && at_slot && reg->type == STA__REG_SCALAR) {
        if (is_spill_size(reg, a->size))
            sta__reg_give_id(v, reg);
        spill(v, slot, reg, a->size);
        if (!is_spill_size(reg, a->size))
            slot->spilled.id = 0;
        return 0;
    }
    if (!reg && at_slot && a->store_imm) {
        struct sta__reg imm;

        sta__reg_const(v, &imm, (uint64_t)(int64_t)a->store_imm->imm);
        spill(v, slot, &imm, a->size);
        return 0;
    }
    if (reg && sta__is_pointer(reg)) {
        if (a->size != 8)
            return sta__deny(v, -EACCES, "invalid size of register spill");
        if (frame != sta__frame_of(v->state) && reg->type == STA__REG_STACK)
            return sta__deny(v, -EINVAL,
                             "cannot spill pointers to stack into stack frame of the caller");
        spill(v, slot, reg, 8);
        return 0;
    }
    store_bytes(v, frame, off, a);
    return 0;
}

/* Any of these bytes may be written, but none is sure to be. */
static void store_unknown(struct sta__verifier *v, struct sta__frame *frame, int32_t min,
                          int32_t end, const struct sta__memory_access *a)
{
    struct sta__reg *reg = a->value_reg >= 0 ? sta__reg_of(v->state, a->value_reg) : NULL;
    bool is_zero = reg ? sta__is_zero(reg) : a->store_imm && a->store_imm->imm == 0;
    bool zero_matters = false;

    for (int32_t i = min; i < end; i++) {
        struct sta__slot *slot = slot_at(frame, i);
        uint8_t *byte = byte_at(frame, i);

        if (is_zero && *byte == STA__BYTE_SPILL && sta__is_scalar_spill(slot) &&
            sta__is_zero(&slot->spilled)) {
            zero_matters = true;
            continue;
        }
        if (sta__is_spill(slot))
            break_spill(slot);
        if (is_zero && *byte == STA__BYTE_ZERO)
            zero_matters = true;
        else
            *byte = STA__BYTE_MISC;
    }
    if (zero_matters && reg)
        sta__reg_need(v, reg);
    touch_slots(v, frame, min, end - min);
}

int sta__stack_store(struct sta__verifier *v, const struct sta__memory_access *a)
{
    const struct sta__reg *pointer = sta__reg_of(v->state, a->reg);
    struct sta__frame *frame = frame_at(v, pointer);
    bool is_known = sta__range_is_const(&pointer->n);
    int32_t min = a->off + (int32_t)(is_known ? (int64_t)pointer->n.bits.value : pointer->n.smin);
    int32_t end = a->off + (int32_t)(is_known ? (int64_t)pointer->n.bits.value : pointer->n.smax) +
                  (int32_t)a->size;
    int err = sta__dynptr_overwrite(v, frame, min, end);

    if (err || is_known)
        return err ? err : store_known(v, frame, min, a);
    store_unknown(v, frame, min, end, a);
    return 0;
}

/* ---- loads ---- */

/* Bytes that are no number that was spilled: zero if they all are. */
static void load_bytes(struct sta__verifier *v, struct sta__frame *frame, int32_t off, int32_t end,
                       int to)
{
    bool all_zero = true;

    for (int32_t i = off; i < end; i++)
        all_zero &= *byte_at(frame, i) == STA__BYTE_ZERO;
    if (all_zero)
        sta__reg_const(v, sta__reg_of(v->state, to), 0);
    else
        sta__reg_unknown(v, sta__reg_of(v->state, to));
}

static void fill(struct sta__verifier *v, struct sta__reg *to, const struct sta__reg *spilled)
{
    *to = *spilled;
    if (to->type == STA__REG_SCALAR)
        to->value = sta__value_new(v, spilled->value, 0);
}

static uint32_t spilled_size(const struct sta__slot *slot)
{
    uint32_t size = 1;

    while (size < 8 && slot->bytes[7 - size] == STA__BYTE_SPILL)
        size++;
    return size;
}

/* A part of a slot with a spilled number. */
static void fill_part(struct sta__verifier *v, struct sta__frame *frame, int32_t off, uint32_t size,
                      int to)
{
    struct sta__slot *slot = slot_at(frame, off);
    uint32_t of_spill = 0, of_zero = 0;
    struct sta__reg *spilled = &slot->spilled;

    if (size <= spilled_size(slot) && off % 8 == 0) {
        if (size == 4 && spilled_size(slot) == 4 && spilled->n.umax <= UINT32_MAX)
            sta__reg_give_id(v, spilled);
        fill(v, sta__reg_of(v->state, to), spilled);
        if (!is_spill_size(spilled, size)) {
            sta__reg_of(v->state, to)->id = 0;
            sta__reg_of(v->state, to)->off = 0;
        }
        return;
    }
    for (uint32_t i = 0; i < size; i++) {
        of_spill += *byte_at(frame, off + (int32_t)i) == STA__BYTE_SPILL;
        of_zero += *byte_at(frame, off + (int32_t)i) == STA__BYTE_ZERO;
    }
    if ((of_spill == size && sta__is_zero(spilled)) || of_zero == size) {
        if (of_zero != size)
            sta__reg_need(v, spilled);
        sta__reg_const(v, sta__reg_of(v->state, to), 0);
    } else {
        sta__reg_unknown(v, sta__reg_of(v->state, to));
    }
}

/* Bytes of a dynptr are for helpers. */
static int deny_dynptr(struct sta__verifier *v, const struct sta__frame *frame, int32_t off,
                       int32_t min, int32_t size)
{
    return sta__deny(v, -EACCES, "invalid read from stack off %d+%d size %d", off,
                     sta__dynptr_find(frame, min, min + size) - min, size);
}

static int load_known(struct sta__verifier *v, struct sta__frame *frame, int32_t off, uint32_t size,
                      int to)
{
    struct sta__slot *slot = slot_at(frame, off);

    need_slots(v, frame, off, (int32_t)size);
    touch_slots(v, frame, off, (int32_t)size);
    if (sta__dynptr_find(frame, off, off + (int32_t)size))
        return deny_dynptr(v, frame, off, off, (int32_t)size);
    if (!sta__is_spill(slot)) {
        if (to >= 0)
            load_bytes(v, frame, off, off + (int32_t)size, to);
        return 0;
    }
    if (size == 8 && spilled_size(slot) == 8) {
        if (to >= 0) {
            sta__reg_give_id(v, &slot->spilled);
            fill(v, sta__reg_of(v->state, to), &slot->spilled);
        }
        return 0;
    }
    if (slot->spilled.type != STA__REG_SCALAR)
        return sta__deny(v, -EACCES, "invalid size of register fill");
    if (to >= 0)
        fill_part(v, frame, off, size, to);
    return 0;
}

int sta__stack_load(struct sta__verifier *v, const struct sta__memory_access *a)
{
    const struct sta__reg *pointer = sta__reg_of(v->state, a->reg);
    struct sta__frame *frame = frame_at(v, pointer);
    int32_t min, end;

    if (sta__range_is_const(&pointer->n))
        return load_known(v, frame, a->off + (int32_t)pointer->n.bits.value, a->size, a->value_reg);
    if (a->value_reg < 0) {
        char bits[64];

        sta__tnum_text(bits, sizeof(bits), pointer->n.bits);
        return sta__deny(v, -EACCES,
                         "variable offset stack pointer cannot be passed into helper function; "
                         "var_off=%s off=%d size=%u",
                         bits, a->off, a->size);
    }
    min = a->off + (int32_t)pointer->n.smin;
    end = a->off + (int32_t)pointer->n.smax + (int32_t)a->size;
    need_slots(v, frame, min, end - min);
    touch_slots(v, frame, min, end - min);
    if (sta__dynptr_find(frame, min, end))
        return deny_dynptr(v, frame, min, min, end - min);
    load_bytes(v, frame, min, end, a->value_reg);
    return 0;
}

/* ---- helpers ---- */

/* A helper that may write there leaves bytes. */
static void clobber(struct sta__frame *frame, int32_t off)
{
    struct sta__slot *slot = slot_at(frame, off);
    uint8_t *byte = byte_at(frame, off);

    if (*byte == STA__BYTE_SPILL)
        break_spill(slot);
    if (*byte != STA__BYTE_NONE)
        *byte = STA__BYTE_MISC;
}

int sta__stack_helper(struct sta__verifier *v, uint8_t reg, uint32_t size, bool zero_allowed,
                      enum sta__access access, struct sta__fill *fill)
{
    const struct sta__reg *pointer = sta__reg_of(v->state, reg);
    struct sta__frame *frame = frame_at(v, pointer);
    bool is_known = sta__range_is_const(&pointer->n);
    int32_t min, end;
    int err;

    if (size == 0 && !zero_allowed)
        return sta__deny(v, -EACCES, "invalid zero-sized read");
    err = sta__stack_bounds(v, reg, pointer->off, size, access);
    if (err)
        return err;
    min = pointer->off + (int32_t)(is_known ? (int64_t)pointer->n.bits.value : pointer->n.smin);
    end = pointer->off + (int32_t)(is_known ? (int64_t)pointer->n.bits.value : pointer->n.smax) +
          (int32_t)size;
    if (sta__dynptr_find(frame, min, end))
        return sta__deny(v, -EACCES,
                         access == STA__WRITE ? "potential write to dynptr at off=%d disallowed"
                                              : "invalid read from dynptr at off=%d",
                         sta__dynptr_find(frame, min, end));
    if (fill && is_known) {
        *fill = (struct sta__fill){reg, size};
        return 0;
    }
    need_slots(v, frame, min, end - min);
    for (int32_t i = min; access == STA__WRITE && i < end; i++)
        clobber(frame, i);
    return 0;
}

bool sta__stack_constant(struct sta__verifier *v, const struct sta__reg *reg, uint32_t size,
                         uint64_t *out)
{
    struct sta__frame *frame;
    struct sta__slot *slot;
    uint32_t zeros = 0;
    int32_t off;

    if (reg->type != STA__REG_STACK || !sta__range_is_const(&reg->n))
        return false;
    frame = frame_at(v, reg);
    off = reg->off + (int32_t)reg->n.bits.value;
    slot = slot_at(frame, off);
    while (zeros < size && (int32_t)zeros + off < 0 &&
           slot_at(frame, off + (int32_t)zeros) == slot &&
           *byte_at(frame, off + (int32_t)zeros) == STA__BYTE_ZERO)
        zeros++;
    if (zeros == size) {
        *out = 0;
        return true;
    }
    if (!sta__is_scalar_spill(slot) || spilled_size(slot) != size + (uint32_t)(off & 7) ||
        !sta__is_const(&slot->spilled))
        return false;
    sta__reg_need(v, &slot->spilled);
    *out = slot->spilled.n.bits.value >> (off & 7) * 8;
    return true;
}
