/* SPDX-License-Identifier: MIT */
/*
 * Not every branch is known: jump tables are not read. What they lead to is the beginning of an
 * instruction, and with all methods the code stays valid from each instruction on that is not
 * replaced itself: a thread that comes by such a branch makes its call as ever, and unseen.
 */
#include "transform/straight_line.h"

/* How far a number is looked for. */
#define NUMBER_STEPS 64

static bool just_goes_on(uint8_t kind)
{
    switch (kind) {
    case STA__INSTRUCTION_OTHER:
    case STA__INSTRUCTION_NOP:
    case STA__INSTRUCTION_SET_EAX:
    case STA__INSTRUCTION_JUMP_IF:
        return true;
    }
    return false;
}

bool sta__line_back(struct sta__line *line)
{
    uintptr_t before = sta__code_map_before(line->map, line->at, &line->instruction);

    if (!before || !just_goes_on(line->instruction.kind) ||
        sta__code_map_is_target(line->map, before + 1, line->at + 1))
        return false;
    line->at = before;
    return true;
}

/* The number of the register in ModRM's fields, REX included. */
static unsigned rm_register(const struct sta__instruction *instruction)
{
    return (instruction->modrm & 7u) | (instruction->rex & 1u) << 3;
}

static unsigned reg_register(const struct sta__instruction *instruction)
{
    return (instruction->modrm >> 3 & 7u) | (instruction->rex & 4u) << 1;
}

static bool is_plain(const struct sta__instruction *instruction)
{
    return instruction->encoding == STA__ENCODING_LEGACY && instruction->map == 0 &&
           !sta__has_word_operands(instruction);
}

static bool is_between_registers(const struct sta__instruction *instruction)
{
    return is_plain(instruction) && instruction->modrm >= 0xc0;
}

/* mov $n,%reg; xor %reg,%reg. */
static bool is_constant(const struct sta__line *line, unsigned reg, int32_t *value)
{
    const struct sta__instruction *instruction = &line->instruction;
    unsigned opcode_reg = (instruction->opcode & 7u) | (instruction->rex & 1u) << 3;

    switch (is_plain(instruction) ? instruction->opcode : 0) {
    case 0x31:
    case 0x33:
        *value = 0;
        return instruction->modrm >= 0xc0 && rm_register(instruction) == reg &&
               reg_register(instruction) == reg;
    case 0xb8 ... 0xbf:
        if (instruction->imm_size != sizeof(*value) || opcode_reg != reg)
            return false;
        break;
    case 0xc7:
        if (instruction->modrm < 0xc0 || rm_register(instruction) != reg)
            return false;
        break;
    default:
        return false;
    }
    __builtin_memcpy(value, (const void *)(line->at + instruction->imm_offset), sizeof(*value));
    return true;
}

/* mov %other,%reg. Sets *reg to the other. */
static bool is_copy(const struct sta__instruction *instruction, unsigned *reg)
{
    unsigned from, to;

    if (!is_between_registers(instruction))
        return false;
    switch (instruction->opcode) {
    case 0x89:
        from = reg_register(instruction);
        to = rm_register(instruction);
        break;
    case 0x8b:
        from = rm_register(instruction);
        to = reg_register(instruction);
        break;
    default:
        return false;
    }
    if (to != *reg || from == STA__RSP)
        return false;
    *reg = from;
    return true;
}

int32_t sta__line_number(const struct sta__code_map *map, uintptr_t site)
{
    struct sta__line line = {.map = map, .at = site};
    unsigned reg = STA__RAX;
    int32_t value;

    for (unsigned i = 0; i < NUMBER_STEPS && sta__line_back(&line); i++) {
        if (is_constant(&line, reg, &value))
            return value >= 0 ? value : STA__NR_UNKNOWN;
        if (!is_copy(&line.instruction, &reg) && sta__may_write(&line.instruction, reg))
            break;
    }
    return STA__NR_UNKNOWN;
}
