/* SPDX-License-Identifier: MIT */
/*
 * Decoding lengths of instructions. An instruction is
 *
 *     legacy prefixes │ REX │ opcode               │ ModRM │ SIB │ displacement │ immediate
 *     66 67 f0 f2 f3    4x    xx   0f xx
 *     2e 36 3e 26 64 65       0f 38 xx   0f 3a xx
 *                             c5 .. xx   c4 .. .. xx        VEX
 *                             8f .. .. xx                   XOP
 *                             62 .. .. .. xx                EVEX
 *
 * and decode_tables.h says of each opcode which of the later parts it has. A byte is claimed before
 * it is read, by claim(), which keeps to the caller's size and to the limit of 15.
 */
#include "transform/decode.h"

#include <errno.h>

#include "transform/decode_tables.h"

struct decoder {
    const uint8_t *code;
    size_t size;
    unsigned at; /* bytes claimed so far */
    char form;   /* a letter of decode_tables.h */
    struct sta__instruction *out;
};

/* The next `count` bytes belong to the instruction. */
static int claim(struct decoder *decoder, unsigned count)
{
    if (count > STA__INSTRUCTION_MAX - decoder->at)
        return -EILSEQ;
    if (count > decoder->size - decoder->at)
        return -ENODATA;
    decoder->at += count;
    return 0;
}

/* The next byte, or -errno. */
static int next_byte(struct decoder *decoder)
{
    int result = claim(decoder, 1);

    return result < 0 ? result : decoder->code[decoder->at - 1];
}

static char form_of(const char forms[16][17], int opcode)
{
    return forms[opcode >> 4][opcode & 15];
}

/* The first byte that is no prefix, or -errno. REX is in effect only if it is the last prefix. */
static int read_prefixes(struct decoder *decoder)
{
    struct sta__instruction *out = decoder->out;
    int byte;

    while ((byte = next_byte(decoder)) >= 0) {
        switch (form_of(legacy_map_0, byte)) {
        case 'R':
            out->rex = (uint8_t)byte;
            break;
        case 'p':
            out->rex = 0;
            out->operand_size |= byte == 0x66;
            out->address_size |= byte == 0x67;
            if (byte == 0xf2 || byte == 0xf3)
                out->repeat = (uint8_t)byte;
            break;
        default:
            return byte;
        }
    }
    return byte;
}

/* The last byte of an opcode in the map that `forms` describes. */
static int read_mapped(struct decoder *decoder, uint8_t map, const char forms[16][17])
{
    int opcode = next_byte(decoder);

    if (opcode < 0)
        return opcode;
    decoder->out->map = map;
    decoder->out->opcode = (uint8_t)opcode;
    decoder->form = form_of(forms, opcode);
    return 0;
}

static int read_escaped(struct decoder *decoder)
{
    int result = read_mapped(decoder, 1, legacy_map_1);

    if (result < 0 || decoder->form != 'x')
        return result;
    if (decoder->out->opcode == 0x38)
        return read_mapped(decoder, 2, legacy_map_2);
    return read_mapped(decoder, 3, legacy_map_3);
}

/* The opcode behind what introduces VEX, XOP and EVEX instructions, which tells the map. */
static int read_vector(struct decoder *decoder, enum sta__instruction_encoding encoding,
                       uint8_t map)
{
    int result = read_mapped(decoder, map, vector_map_1);

    decoder->out->encoding = (uint8_t)encoding;
    if (result < 0)
        return result;
    if (map != 1)
        decoder->form = map < VECTOR_MAPS ? vector_map_forms[encoding][map] : '.';
    else if (encoding == STA__ENCODING_EVEX && decoder->out->opcode == 0x77)
        decoder->form = '.';
    return 0;
}

static int read_vex2(struct decoder *decoder)
{
    int result = claim(decoder, 1);

    return result < 0 ? result : read_vector(decoder, STA__ENCODING_VEX, 1);
}

/* VEX of three bytes and XOP. */
static int read_vex3(struct decoder *decoder, enum sta__instruction_encoding encoding)
{
    int result = claim(decoder, 2);

    if (result < 0)
        return result;
    return read_vector(decoder, encoding, decoder->code[decoder->at - 2] & 0x1f);
}

static int read_evex(struct decoder *decoder)
{
    int result = claim(decoder, 3);
    const uint8_t *payload;

    if (result < 0)
        return result;
    payload = decoder->code + decoder->at - 3;
    if ((payload[0] & 0x08) || !(payload[1] & 0x04)) /* reserved but for APX */
        return -EILSEQ;
    return read_vector(decoder, STA__ENCODING_EVEX, payload[0] & 0x07);
}

/* 8f is XOP if its second byte names a map past 7; else pop, and that byte is ModRM. */
static int read_xop_or_pop(struct decoder *decoder)
{
    int second = next_byte(decoder);

    if (second < 0)
        return second;
    decoder->at--;
    if ((second & 0x1f) < 8)
        return 0;
    return read_vex3(decoder, STA__ENCODING_XOP);
}

static int read_opcode(struct decoder *decoder)
{
    int byte = read_prefixes(decoder);

    if (byte < 0)
        return byte;
    decoder->out->opcode = (uint8_t)byte;
    decoder->form = form_of(legacy_map_0, byte);
    switch (byte) {
    case 0x0f:
        return read_escaped(decoder);
    case 0x62:
        return read_evex(decoder);
    case 0x8f:
        return read_xop_or_pop(decoder);
    case 0xc4:
        return read_vex3(decoder, STA__ENCODING_VEX);
    case 0xc5:
        return read_vex2(decoder);
    }
    return 0;
}

static bool form_has_modrm(char form)
{
    switch (form) {
    case 'm':
    case 'r':
    case 'g':
    case 's':
    case 'B':
    case 'D':
    case 'W':
    case 'Z':
        return true;
    }
    return false;
}

static bool names_register(const struct decoder *decoder)
{
    return decoder->out->modrm >= 0xc0 || decoder->form == 'r';
}

/* The form of an opcode that ModRM's reg field extends. */
static char form_in_group(const struct decoder *decoder)
{
    const struct sta__instruction *out = decoder->out;
    const struct opcode_group *group = opcode_groups;
    unsigned bit = 1u << (decoder->out->modrm >> 3 & 7);

    while (group->map != out->map || group->opcode != out->opcode)
        group++;
    if (!(bit & (names_register(decoder) ? group->with_register : group->with_memory)))
        return '.';
    return bit & group->immediate_regs ? group->immediate : 'm';
}

/* Opcodes that prefixes make into instructions of different forms. */
static char form_by_prefix(const struct decoder *decoder)
{
    uint8_t repeat = decoder->out->repeat;

    if (decoder->out->opcode == 0xb8) /* popcnt */
        return repeat == 0xf3 ? 'm' : '.';
    /* 0f 78: insertq with f2, extrq with 66 (SSE4a), else vmread. */
    if (repeat == 0xf3)
        return '.';
    if (repeat == 0xf2 || decoder->out->operand_size)
        return names_register(decoder) ? 'W' : '.';
    return 'm';
}

static char final_form(const struct decoder *decoder)
{
    switch (decoder->form) {
    case 'g':
        return form_in_group(decoder);
    case 's':
        return form_by_prefix(decoder);
    }
    return decoder->form;
}

static int read_displacement(struct decoder *decoder, uint8_t size)
{
    decoder->out->disp_offset = (uint8_t)decoder->at;
    decoder->out->disp_size = size;
    return claim(decoder, size);
}

/* What follows ModRM with an operand in memory. */
static int read_memory_operand(struct decoder *decoder)
{
    unsigned mod = decoder->out->modrm >> 6;
    unsigned base = decoder->out->modrm & 7;
    bool has_sib = base == 4;

    if (has_sib) {
        int sib = next_byte(decoder);

        if (sib < 0)
            return sib;
        base = (unsigned)sib & 7;
    }
    if (mod == 1)
        return read_displacement(decoder, 1);
    if (mod == 2 || base == 5) {
        decoder->out->rip_relative = mod == 0 && !has_sib;
        return read_displacement(decoder, 4);
    }
    return 0;
}

static int read_modrm(struct decoder *decoder)
{
    int modrm;

    if (!form_has_modrm(decoder->form))
        return 0;
    decoder->out->modrm_offset = (uint8_t)decoder->at;
    modrm = next_byte(decoder);
    if (modrm < 0)
        return modrm;
    decoder->out->modrm = (uint8_t)modrm;
    decoder->form = final_form(decoder);
    if (decoder->form == '.' || names_register(decoder))
        return 0;
    return read_memory_operand(decoder);
}

static uint8_t immediate_size(const struct decoder *decoder)
{
    uint8_t operand = sta__has_word_operands(decoder->out) ? 2 : 4;

    switch (decoder->form) {
    case 'b':
    case 'B':
    case 'j':
        return 1;
    case 'w':
    case 'W':
        return 2;
    case 'e':
        return 3;
    case 'D':
        return 4;
    case 'z':
    case 'Z':
    case 'J':
        return operand;
    case 'v':
        return decoder->out->rex & STA__REX_W ? 8 : operand;
    }
    return 0;
}

static int read_immediate(struct decoder *decoder)
{
    struct sta__instruction *out = decoder->out;

    if (decoder->form == 'o')
        return read_displacement(decoder, out->address_size ? 4 : 8);
    out->imm_size = immediate_size(decoder);
    out->imm_offset = out->imm_size ? (uint8_t)decoder->at : 0;
    return claim(decoder, out->imm_size);
}

int sta__decode(struct sta__instruction *out, const uint8_t *code, size_t size)
{
    struct decoder decoder = {.code = code, .size = size, .out = out};
    int result;

    *out = (struct sta__instruction){0};
    result = read_opcode(&decoder);
    if (result < 0)
        return result;
    out->opcode_offset = (uint8_t)(decoder.at - 1);
    result = read_modrm(&decoder);
    if (result < 0)
        return result;
    if (decoder.form == '.')
        return -EILSEQ;
    result = read_immediate(&decoder);
    if (result < 0)
        return result;
    out->length = (uint8_t)decoder.at;
    sta__instruction_classify(out, code);
    return out->length;
}
