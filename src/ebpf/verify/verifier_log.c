/* SPDX-License-Identifier: MIT */
/* The verifier's text, in the form that users know from the kernel's log. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ebpf/verify/verifier.h"

#define COMMENT_COLUMN 40 /* where the state begins, behind an instruction */

/* If there is no room, the beginning goes: the reason stands at the end. */
static void append(struct sta__text *text, const char *line, size_t length)
{
    if (text->size < 2)
        return;
    if (length > text->size / 2) {
        text->dropped += length - text->size / 2;
        line += length - text->size / 2;
        length = text->size / 2;
    }
    if (text->used + length >= text->size) {
        size_t keep = (text->size - 1) / 2;

        if (keep > text->used)
            keep = text->used;
        if (keep + length >= text->size)
            keep = text->size - 1 - length;
        text->dropped += text->used - keep;
        memmove(text->buf, text->buf + text->used - keep, keep);
        text->used = keep;
    }
    memcpy(text->buf + text->used, line, length);
    text->used += length;
    text->buf[text->used] = 0;
}

void sta__text_cut(struct sta__text *text, size_t at)
{
    size_t used = at > text->dropped ? at - text->dropped : 0;

    if (used >= text->used)
        return;
    text->used = used;
    text->buf[used] = 0;
}

bool sta__says(const struct sta__verifier *v, uint32_t level)
{
    return v->text.size && (v->options->log_level & level);
}

static void append_list(struct sta__verifier *v, const char *format, va_list arguments)
{
    char line[512];
    int length = vsnprintf(line, sizeof(line), format, arguments);

    if (length < 0)
        return;
    append(&v->text, line, (size_t)length < sizeof(line) ? (size_t)length : sizeof(line) - 1);
}

void sta__say(struct sta__verifier *v, const char *format, ...)
{
    va_list arguments;

    if (!v->text.size)
        return;
    va_start(arguments, format);
    append_list(v, format, arguments);
    va_end(arguments);
}

/* Ends the line of an instruction that something is to be said about. */
static void end_line(struct sta__verifier *v)
{
    if (v->line_length)
        sta__say(v, "\n");
    v->line_length = 0;
}

int sta__deny(struct sta__verifier *v, int err, const char *format, ...)
{
    size_t before = v->reason[0] ? strlen(v->reason) : 0;
    size_t room = sizeof(v->reason) - before;
    char line[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    end_line(v);
    sta__say(v, "%s\n", line);
    snprintf(v->reason + before, room, "%s%s", before ? "; " : "", line);
    return err;
}

const char *sta__type_name(uint8_t type)
{
    static const char *const names[] = {
        [STA__REG_NONE] = "?",
        [STA__REG_SCALAR] = "scalar",
        [STA__REG_CTX] = "ctx",
        [STA__REG_STACK] = "fp",
        [STA__REG_MAP] = "map_ptr",
        [STA__REG_MAP_KEY] = "map_key",
        [STA__REG_MAP_VALUE] = "map_value",
        [STA__REG_MAP_VALUE_OR_NULL] = "map_value_or_null",
        [STA__REG_MEM] = "mem",
        [STA__REG_MEM_OR_NULL] = "mem_or_null",
        [STA__REG_RECORD] = "ringbuf_mem",
        [STA__REG_RECORD_OR_NULL] = "ringbuf_mem_or_null",
        [STA__REG_DYNPTR] = "dynptr_ptr",
        [STA__REG_FUNC] = "func",
    };

    return names[type];
}

void sta__tnum_text(char *out, size_t size, struct sta__tnum t)
{
    snprintf(out, size, "(0x%llx; 0x%llx)", (unsigned long long)t.value,
             (unsigned long long)t.mask);
}

/* ---- state ---- */

/* Text of one register, put together piece by piece. */
struct piece {
    char text[400];
    size_t used;
    const char *separator;
};

static void add(struct piece *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct piece *p, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(p->text + p->used, sizeof(p->text) - p->used, format, arguments);
    va_end(arguments);
    if (length > 0)
        p->used += (size_t)length;
    if (p->used >= sizeof(p->text))
        p->used = sizeof(p->text) - 1;
}

/* Small numbers in decimal. */
static void add_signed(struct piece *p, int64_t n)
{
    if (n >= INT16_MIN && n <= INT16_MAX)
        add(p, "%lld", (long long)n);
    else
        add(p, "0x%llx", (unsigned long long)n);
}

static void add_unsigned(struct piece *p, uint64_t n)
{
    if (n <= UINT16_MAX)
        add(p, "%llu", (unsigned long long)n);
    else
        add(p, "0x%llx", (unsigned long long)n);
}

/* Bounds that say something; those of the same value share it: smin=umin=1. */
static void add_bounds(struct piece *p, const struct sta__range *n)
{
    int64_t smin32 = n->smin32 >= INT16_MIN ? n->smin32 : (int64_t)(uint32_t)n->smin32;
    int64_t smax32 = n->smax32 >= INT16_MIN ? n->smax32 : (int64_t)(uint32_t)n->smax32;
    struct {
        const char *name;
        uint64_t value;
        bool is_silent;
    } bounds[] = {
        {"smin", (uint64_t)n->smin, n->smin == INT64_MIN},
        {"smax", (uint64_t)n->smax, n->smax == INT64_MAX},
        {"umin", n->umin, n->umin == 0},
        {"umax", n->umax, n->umax == UINT64_MAX},
        {"smin32", (uint64_t)smin32, n->smin32 == INT32_MIN},
        {"smax32", (uint64_t)smax32, n->smax32 == INT32_MAX},
        {"umin32", n->umin32, n->umin32 == 0},
        {"umax32", n->umax32, n->umax32 == UINT32_MAX},
    };

    for (int i = 0; i < 8; i++) {
        bool is_signed = bounds[i].name[0] == 's';
        bool is_negative = is_signed && (int64_t)bounds[i].value < 0;

        if (bounds[i].is_silent)
            continue;
        add(p, "%s%s", p->separator, bounds[i].name);
        p->separator = ",";
        for (int j = i + 2; j < 8; j += 2) {
            bool other_negative = bounds[j].name[0] == 's' && (int64_t)bounds[j].value < 0;

            if (bounds[j].is_silent || bounds[j].value != bounds[i].value ||
                other_negative != is_negative)
                continue;
            bounds[j].is_silent = true;
            add(p, "=%s", bounds[j].name);
        }
        add(p, "=");
        is_signed ? add_signed(p, (int64_t)bounds[i].value) : add_unsigned(p, bounds[i].value);
    }
}

static void add_number(struct piece *p, const struct sta__range *n)
{
    add_bounds(p, n);
    if (n->bits.mask == UINT64_MAX)
        return;
    add(p, "%svar_off=(0x%llx; 0x%llx)", p->separator, (unsigned long long)n->bits.value,
        (unsigned long long)n->bits.mask);
    p->separator = ",";
}

static void add_field(struct piece *p, const char *name, long long value)
{
    add(p, "%s%s=%lld", p->separator, name, value);
    p->separator = ",";
}

static void add_reg(struct piece *p, const struct sta__reg *reg, uint32_t frame)
{
    p->separator = "";
    if (reg->type == STA__REG_SCALAR && sta__range_is_const(&reg->n)) {
        add_signed(p, (int64_t)reg->n.bits.value);
        return;
    }
    add(p, "%s", sta__type_name(reg->type));
    if (reg->type == STA__REG_STACK) {
        if (reg->frame != frame)
            add(p, "[%u]", reg->frame);
        if (sta__range_is_const(&reg->n)) {
            add_signed(p, (int64_t)reg->n.bits.value + reg->off);
            return;
        }
    }
    add(p, "(");
    if (reg->id) {
        add_field(p, "id", reg->id & ~STA__ID_DELTA);
        if (reg->id & STA__ID_DELTA)
            add(p, "%+d", reg->off);
    }
    if (reg->ref)
        add_field(p, "ref_obj_id", reg->ref);
    if (reg->map) {
        add_field(p, "ks", reg->map->key_size);
        add_field(p, "vs", reg->map->value_size);
    }
    if (reg->type != STA__REG_SCALAR && reg->off)
        add_field(p, "off", reg->off);
    if (reg->size)
        add_field(p, "sz", reg->size);
    if (!sta__range_is_const(&reg->n))
        add_number(p, &reg->n);
    else if (reg->n.bits.value)
        add_field(p, "imm", (long long)reg->n.bits.value);
    add(p, ")");
}

static void add_slot(struct piece *p, const struct sta__slot *slot, uint32_t frame)
{
    static const char letters[] = {[STA__BYTE_NONE] = '?',
                                   [STA__BYTE_MISC] = 'm',
                                   [STA__BYTE_ZERO] = '0',
                                   [STA__BYTE_SPILL] = 's',
                                   [STA__BYTE_DYNPTR] = 'd'};

    if (sta__is_spill(slot) && slot->bytes[0] == STA__BYTE_SPILL) {
        add_reg(p, &slot->spilled, frame);
        return;
    }
    if (sta__is_spill(slot)) {
        for (int i = 7; i >= 0 && slot->bytes[i] != STA__BYTE_SPILL; i--)
            ;
        for (int i = 0; i < 8 && slot->bytes[i] != STA__BYTE_SPILL; i++)
            add(p, "%c", letters[slot->bytes[i]]);
        add_reg(p, &slot->spilled, frame);
        return;
    }
    for (int i = 0; i < 8; i++)
        add(p, "%c", letters[slot->bytes[i]]);
}

void sta__say_state(struct sta__verifier *v, const struct sta__state *state, uint32_t f, bool all)
{
    const struct sta__frame *frame = state->frames[f];

    if (f)
        sta__say(v, " frame%u:", f);
    for (unsigned i = 0; i <= BPF_REG_10; i++) {
        struct piece p = {.used = 0};

        if (frame->regs[i].type == STA__REG_NONE || (!all && !(v->touched & 1u << i)))
            continue;
        add_reg(&p, &frame->regs[i], f);
        sta__say(v, " R%u=%s", i, p.text);
    }
    for (uint32_t i = 0; i < frame->slot_count; i++) {
        static const uint8_t none[8];
        struct piece p = {.used = 0};

        if ((!all && !(v->touched_slots & 1ull << i)) ||
            memcmp(frame->slots[i].bytes, none, sizeof(none)) == 0)
            continue;
        add_slot(&p, &frame->slots[i], f);
        sta__say(v, " fp-%u=%s", (i + 1) * 8, p.text);
    }
    for (uint32_t i = 0; i < state->ref_count; i++)
        sta__say(v, "%s%u", i ? "," : " refs=", state->refs[i].id);
}

void sta__say_whole_state(struct sta__verifier *v)
{
    sta__say(v, "%u:", v->insn);
    sta__say_state(v, v->state, v->state->frame, true);
    sta__say(v, "\n");
}

void sta__say_insn(struct sta__verifier *v)
{
    char text[200];
    int length = snprintf(text, sizeof(text), "%u: ", v->insn);

    v->touched = 0;
    v->touched_slots = 0;
    length += sta__disasm(text + length, sizeof(text) - (size_t)length, v->code, v->insn);
    sta__say(v, "%s", text);
    v->line_length = length;
}

void sta__say_effect(struct sta__verifier *v, uint32_t frame)
{
    bool is_same_frame = frame == v->state->frame;

    if (is_same_frame && (v->touched || v->touched_slots)) {
        int pad = v->line_length < COMMENT_COLUMN ? COMMENT_COLUMN - v->line_length : 1;

        sta__say(v, "%*s;", pad, "");
        sta__say_state(v, v->state, frame, false);
    }
    end_line(v);
    if (!is_same_frame)
        sta__say_whole_state(v);
}
