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

int32_t sta__line_number(const struct sta__code_map *map, uintptr_t site)
{
    struct sta__line line = {.map = map, .at = site};

    for (unsigned i = 0; i < NUMBER_STEPS && sta__line_back(&line); i++) {
        if (line.instruction.kind == STA__INSTRUCTION_SET_EAX)
            return line.instruction.eax <= INT32_MAX ? (int32_t)line.instruction.eax
                                                     : STA__NR_UNKNOWN;
        if (sta__may_write_eax(&line.instruction))
            break;
    }
    return STA__NR_UNKNOWN;
}
