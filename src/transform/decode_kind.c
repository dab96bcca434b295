/* SPDX-License-Identifier: MIT */
/*
 * What a decoded instruction is to a rewriter.
 */
#include "transform/decode.h"

/* REX.R, X or B: a register is one of r8 to r15. */
static bool has_rex_rxb(const struct sta__instruction *out)
{
    return out->rex & 0x07;
}

/* The immediate, sign-extended, if it has 1, 2 or 4 bytes. */
static int32_t immediate_value(const struct sta__instruction *out, const uint8_t *code)
{
    uint32_t value = 0;

    for (unsigned i = out->imm_size; i > 0; i--)
        value = value << 8 | code[out->imm_offset + i - 1];
    if (out->imm_size == 1)
        return (int8_t)value;
    if (out->imm_size == 2)
        return (int16_t)value;
    return (int32_t)value;
}

/* ModRM and prefixes name eax or rax, in all their fields. */
static bool names_only_eax(const struct sta__instruction *out)
{
    return out->modrm == 0xc0 && !has_rex_rxb(out) && !sta__has_word_operands(out);
}

static bool sets_eax(const struct sta__instruction *out)
{
    switch (out->opcode) {
    case 0x31: /* xor */
    case 0x33:
    case 0xc7: /* mov */
        return names_only_eax(out);
    case 0xb8: /* mov */
        return out->imm_size == 4 && !has_rex_rxb(out);
    }
    return false;
}

/* 90 is also pause (with f3) and xchg of rax with r8 (with REX.B). */
static bool is_short_nop(const struct sta__instruction *out)
{
    return out->opcode == 0x90 && out->repeat != 0xf3 && !has_rex_rxb(out);
}

/* Group 5. */
static enum sta__instruction_kind kind_of_ff(const struct sta__instruction *out)
{
    switch (out->modrm >> 3 & 7) {
    case 2:
    case 3:
        return STA__INSTRUCTION_CALL_INDIRECT;
    case 4:
    case 5:
        return STA__INSTRUCTION_JUMP_INDIRECT;
    }
    return STA__INSTRUCTION_OTHER;
}

static enum sta__instruction_kind kind_in_map_0(const struct sta__instruction *out)
{
    if (sets_eax(out))
        return STA__INSTRUCTION_SET_EAX;
    if (is_short_nop(out))
        return STA__INSTRUCTION_NOP;
    switch (out->opcode) {
    case 0x70 ... 0x7f:
        return STA__INSTRUCTION_JUMP_IF;
    case 0xc2: /* near, far, from an interrupt */
    case 0xc3:
    case 0xca:
    case 0xcb:
    case 0xcf:
        return STA__INSTRUCTION_RETURN;
    case 0xc7:
        return out->modrm == 0xf8 ? STA__INSTRUCTION_XBEGIN : STA__INSTRUCTION_OTHER;
    case 0xcc:
        return STA__INSTRUCTION_INT3;
    case 0xcd:
        return STA__INSTRUCTION_INT;
    case 0xe0 ... 0xe3:
        return STA__INSTRUCTION_LOOP;
    case 0xe8:
        return STA__INSTRUCTION_CALL;
    case 0xe9:
    case 0xeb:
        return STA__INSTRUCTION_JUMP;
    case 0xf1:
        return STA__INSTRUCTION_INT1;
    case 0xf4:
        return STA__INSTRUCTION_HLT;
    case 0xff:
        return kind_of_ff(out);
    }
    return STA__INSTRUCTION_OTHER;
}

static enum sta__instruction_kind kind_in_map_1(const struct sta__instruction *out)
{
    switch (out->opcode) {
    case 0x05:
        return STA__INSTRUCTION_SYSCALL;
    case 0x0b:
    case 0xb9:
    case 0xff:
        return STA__INSTRUCTION_UD;
    case 0x1e:
        return out->repeat == 0xf3 && out->modrm == 0xfa ? STA__INSTRUCTION_ENDBR
                                                         : STA__INSTRUCTION_OTHER;
    case 0x1f:
        return STA__INSTRUCTION_NOP;
    case 0x34:
        return STA__INSTRUCTION_SYSENTER;
    case 0x80 ... 0x8f:
        return STA__INSTRUCTION_JUMP_IF;
    }
    return STA__INSTRUCTION_OTHER;
}

static enum sta__instruction_kind kind_of(const struct sta__instruction *out)
{
    if (out->encoding != STA__ENCODING_LEGACY)
        return STA__INSTRUCTION_OTHER;
    switch (out->map) {
    case 0:
        return kind_in_map_0(out);
    case 1:
        return kind_in_map_1(out);
    }
    return STA__INSTRUCTION_OTHER;
}

void sta__instruction_classify(struct sta__instruction *out, const uint8_t *code)
{
    out->kind = (uint8_t)kind_of(out);
    switch (out->kind) {
    case STA__INSTRUCTION_SET_EAX:
        out->eax = (uint32_t)immediate_value(out, code); /* of xor, which has none: 0 */
        break;
    case STA__INSTRUCTION_JUMP:
    case STA__INSTRUCTION_JUMP_IF:
    case STA__INSTRUCTION_LOOP:
    case STA__INSTRUCTION_CALL:
        out->differs_by_maker = sta__has_word_operands(out);
        /* fall through */
    case STA__INSTRUCTION_XBEGIN:
        out->target = (int64_t)out->length + immediate_value(out, code);
        break;
    }
}
