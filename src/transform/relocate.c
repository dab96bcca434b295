/* SPDX-License-Identifier: MIT */
/*
 * Moving instructions to another address. What they refer to relative to themselves stays where it
 * is, so those distances change; all else is copied.
 */
#include <errno.h>

#include "transform/straight_line.h"

/* x87 instructions note their own address, for fnstenv and its like. */
static bool is_x87(const struct sta__instruction *instruction)
{
    return instruction->encoding == STA__ENCODING_LEGACY && instruction->map == 0 &&
           instruction->opcode >= 0xd8 && instruction->opcode <= 0xdf;
}

bool sta__is_movable(const struct sta__instruction *instruction)
{
    switch (instruction->kind) {
    case STA__INSTRUCTION_OTHER:
    case STA__INSTRUCTION_NOP:
    case STA__INSTRUCTION_SET_EAX:
        break;
    default: /* branches, and what raises a signal that tells its address */
        return false;
    }
    /* With prefix 67 the sum is cut to 32 bits, and it would matter where it overflows. */
    return !is_x87(instruction) && !(instruction->rip_relative && instruction->address_size);
}

/* Changes the displacement of the copy at `out`: it was made for `distance` bytes further up. */
static int fix_displacement(uint8_t *out, const struct sta__instruction *instruction,
                            int64_t distance)
{
    uint8_t *field = out + instruction->disp_offset;
    int32_t displacement;
    int64_t fixed;

    __builtin_memcpy(&displacement, field, sizeof(displacement));
    if (__builtin_add_overflow(displacement, distance, &fixed) || fixed != (int32_t)fixed)
        return -ERANGE;
    displacement = (int32_t)fixed;
    __builtin_memcpy(field, &displacement, sizeof(displacement));
    return 0;
}

int sta__relocate(uint8_t *out, size_t size, uintptr_t out_address, uintptr_t from, uintptr_t end,
                  intptr_t delta)
{
    /* The same for all: the copies lie as the originals do. */
    int64_t distance = (int64_t)(from + (uintptr_t)delta - out_address);
    struct sta__instruction instruction;
    size_t done = 0;

    while (from + done < end) {
        const uint8_t *code = (const uint8_t *)(from + done);

        if (sta__decode(&instruction, code, end - (from + done)) < 0 ||
            !sta__is_movable(&instruction))
            return -EILSEQ;
        if (instruction.length > size - done)
            return -ENOSPC;
        for (unsigned i = 0; i < instruction.length; i++)
            out[done + i] = code[i];
        if (instruction.rip_relative && fix_displacement(out + done, &instruction, distance) < 0)
            return -ERANGE;
        done += instruction.length;
    }
    return (int)done;
}
