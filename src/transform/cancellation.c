/* SPDX-License-Identifier: MIT */
/*
 * The system call of the C library's cancellation points: __syscall_cancel_arch of glibc since
 * 2.41, __syscall_cp_asm of musl.
 *
 *          mov   (%rdi),%eax          has the thread been cancelled?
 *          test  ...                  several ways
 *          jne   ...
 *          mov   %rdi,%r11
 *          mov   %rsi,%rax            the number comes as an argument
 *          mov   %rdx,%rdi            and all that follow move up
 *          ...
 *          syscall
 *
 * The handler of the cancellation signal compares the interrupted program counter with the range
 * from the first instruction to the one behind the system call. If the call were made elsewhere,
 * the handler would not see that the thread waits in it.
 */
#include "transform/straight_line.h"

#define STEPS_MAX 16

/* Whether the instruction is the one of these bytes, REX first, or the other encoding of a mov
 * between registers. */
static bool is_move(const struct sta__instruction *instruction, uint8_t store, uint8_t load)
{
    return instruction->encoding == STA__ENCODING_LEGACY && instruction->map == 0 &&
           instruction->rex == 0x48 && instruction->repeat == 0 &&
           ((instruction->opcode == 0x89 && instruction->modrm == store) ||
            (instruction->opcode == 0x8b && instruction->modrm == load));
}

/* mov (%rdi),%eax */
static bool is_flag_load(const struct sta__instruction *instruction)
{
    return instruction->length == 2 && instruction->map == 0 && instruction->opcode == 0x8b &&
           instruction->modrm == 0x07;
}

bool sta__is_cancellation_point(const struct sta__code_map *map, uintptr_t site)
{
    struct sta__line line = {.map = map, .at = site};
    bool number_moved = false, argument_moved = false, may_jump = false;

    for (unsigned i = 0; i < STEPS_MAX && sta__line_back(&line); i++) {
        number_moved |= is_move(&line.instruction, 0xf0, 0xc6);   /* mov %rsi,%rax */
        argument_moved |= is_move(&line.instruction, 0xd7, 0xfa); /* mov %rdx,%rdi */
        may_jump |= number_moved && line.instruction.kind == STA__INSTRUCTION_JUMP_IF;
        if (may_jump && is_flag_load(&line.instruction))
            return argument_moved;
    }
    return false;
}
