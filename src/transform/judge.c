/* SPDX-License-Identifier: MIT */
#include "transform/judge.h"

#include "transform/straight_line.h"

/* How many instructions behind a site outside all functions must make sense. */
#define CONTEXT_STEPS 4

/* What is jumped to from afar is aligned like this, at least. */
#define JUMP_ALIGNMENT 8

/* How many instructions may make sense before one that does not go on. */
#define WAY_STEPS 256

/* What no program does, but what data looks like: the kernel's instructions, and zeros. */
static bool is_odd(const struct sta__instruction *instruction)
{
    if (instruction->encoding != STA__ENCODING_LEGACY || instruction->map != 0)
        return false;
    switch (instruction->opcode) {
    case 0x00: /* add %al,(%rax) */
        return instruction->modrm == 0;
    case 0x6c ... 0x6f: /* ins, outs */
    case 0xca ... 0xcb: /* lret */
    case 0xcf:          /* iret */
    case 0xe4 ... 0xe7: /* in, out */
    case 0xec ... 0xef:
    case 0xf1:          /* int1 */
    case 0xfa ... 0xfb: /* cli, sti */
        return true;
    }
    return false;
}

/* Whether the surroundings of a site make sense as code. For code that no unwind data vouches for:
 * it may be data. */
static bool is_plausible(const struct sta__code_map *map, const struct sta__span *span,
                         uintptr_t site)
{
    struct sta__line line = {.map = map, .at = site};
    uintptr_t at = site, end = map->code->end;
    struct sta__instruction instruction;

    for (unsigned i = 0; i < CONTEXT_STEPS && sta__line_back(&line); i++)
        if (is_odd(&line.instruction))
            return false;
    if (line.at == site && site == span->start)
        return false;
    for (unsigned i = 0; i <= CONTEXT_STEPS && at < end; i++) {
        if (!sta__code_decode(at, end, &instruction) || is_odd(&instruction))
            return false;
        if (!sta__falls_through(instruction.kind))
            break;
        at += instruction.length;
    }
    return true;
}

enum sta_site_reason sta__judge_code(const struct sta__code_map *map, const struct sta__span *span,
                                     uintptr_t address)
{
    struct sta__instruction instruction;
    uintptr_t start = sta__code_map_start(map, address);

    if (!start)
        return STA_REASON_UNKNOWN_CODE;
    sta__code_map_instruction(map, start, &instruction);
    if (start + instruction.length <= address)
        return STA_REASON_UNKNOWN_CODE;
    if (instruction.kind != STA__INSTRUCTION_SYSCALL)
        return STA_REASON_NO_CODE;
    /* With prefixes, which mean nothing, it is still a system call; but a jump in its place would
     * get them, too. No compiler, assembler or library is known to do it. */
    if (start != address)
        return STA_REASON_UNKNOWN_CODE;
    if (!span->is_function && !is_plausible(map, span, address))
        return STA_REASON_UNKNOWN_CODE;
    return STA_REASON_NONE;
}

/* Where the instructions begin that go on, one into the other, up to `at`, without padding; or
 * where a branch leads on the way there. */
static uintptr_t way_begins(const struct sta__code_map *map, uintptr_t at)
{
    uintptr_t begin = at, previous;
    struct sta__instruction before;

    while (!sta__code_map_is_target(map, at, at + 1)) {
        previous = sta__code_map_before(map, at, &before);
        if (!previous || !sta__falls_through(before.kind))
            return begin;
        at = previous;
        if (!sta__is_padding(&before))
            begin = at;
    }
    return at;
}

/* Whether what begins at `at` makes sense up to an instruction that returns, or jumps to another.
 */
static bool ends_as_code(const struct sta__code_map *map, uintptr_t at)
{
    struct sta__instruction instruction;

    for (unsigned i = 0; i < WAY_STEPS; i++) {
        if (!sta__code_decode(at, map->code->end, &instruction) || is_odd(&instruction))
            return false;
        if (instruction.kind == STA__INSTRUCTION_RETURN)
            return true;
        if (instruction.kind == STA__INSTRUCTION_JUMP)
            return sta__code_map_is_start(map, at + (uintptr_t)instruction.target);
        if (!sta__falls_through(instruction.kind))
            return false;
        at += instruction.length;
    }
    return false;
}

bool sta__judge_is_reached(const struct sta__code_map *map, const struct sta__site *site)
{
    uintptr_t begin = way_begins(map, site->address);

    if (sta__code_map_is_target(map, begin, begin + 1))
        return true;
    return begin % JUMP_ALIGNMENT == 0 && begin < site->address && ends_as_code(map, begin);
}
