/* SPDX-License-Identifier: MIT */
/*
 * Which general registers an instruction writes. Only legacy encodings that are usual between a
 * constant and a system call are known, one letter an opcode:
 *
 *     -  no general register but rsp
 *     m  what ModRM's rm field names: a register, or memory
 *     r  the register that ModRM's reg field names
 *     M  as m, R  as r, of one byte: without REX, numbers 4 to 7 are ah, ch, dh, bh
 *     o  the register that the opcode names, O  likewise, of one byte
 *     c  as m, C  as M; but /7 only compares
 *     t  as m, T  as M; but /0 and /1 only test, and /4 to /7 write rax and rdx
 *     p  as m, but /6 pushes
 *     .  anything, for all we know
 */
#include "transform/straight_line.h"

#define REX_R 0x04
#define REX_B 0x01

static const char writes_map_0[16][17] = {
    /*       0123456789abcdef */
    /* 0 */ "MmRr....MmRr....",
    /* 1 */ "MmRr....MmRr....",
    /* 2 */ "MmRr....MmRr....",
    /* 3 */ "MmRr....------..",
    /* 4 */ "................",
    /* 5 */ "--------oooooooo",
    /* 6 */ "...r....-r-r....",
    /* 7 */ "----------------",
    /* 8 */ "Cc.c--..MmRr.r..",
    /* 9 */ "................",
    /* a */ "........--......",
    /* b */ "OOOOOOOOoooooooo",
    /* c */ "Mm....Mm........",
    /* d */ "MmMm............",
    /* e */ "................",
    /* f */ "......Tt--..--Mp",
};

/* 0f. Of vector registers, the whole lot is none of ours. */
static const char writes_map_1[16][17] = {
    /*       0123456789abcdef */
    /* 0 */ "................",
    /* 1 */ "--------........",
    /* 2 */ "........----..--",
    /* 3 */ "................",
    /* 4 */ "rrrrrrrrrrrrrrrr",
    /* 5 */ ".---------------",
    /* 6 */ "----------------",
    /* 7 */ "-...---........-",
    /* 8 */ "----------------",
    /* 9 */ "MMMMMMMMMMMMMMMM",
    /* a */ "...-mm.....mmm.r",
    /* b */ "......rr....rrrr",
    /* c */ "..--..-.oooooooo",
    /* d */ "-------.--------",
    /* e */ "----------------",
    /* f */ "................",
};

static char what_is_written(const struct sta__instruction *instruction)
{
    unsigned row = instruction->opcode >> 4, column = instruction->opcode & 15;

    if (instruction->kind == STA__INSTRUCTION_NOP)
        return '-';
    if (instruction->encoding != STA__ENCODING_LEGACY || instruction->map > 1)
        return '.';
    return instruction->map == 0 ? writes_map_0[row][column] : writes_map_1[row][column];
}

/* Whether the register that a field of ModRM or the opcode names (bits 0 to 2 of its number) is a
 * part of register `reg`. */
static bool names(const struct sta__instruction *instruction, unsigned field, uint8_t rex_bit,
                  bool is_byte, unsigned reg)
{
    if (is_byte && !instruction->rex && field >= 4) /* ah, ch, dh, bh */
        return field - 4 == reg;
    return field + (instruction->rex & rex_bit ? 8 : 0) == reg;
}

static bool rm_names(const struct sta__instruction *instruction, bool is_byte, unsigned reg)
{
    return instruction->modrm >= 0xc0 &&
           names(instruction, instruction->modrm & 7, REX_B, is_byte, reg);
}

bool sta__may_write(const struct sta__instruction *instruction, unsigned reg)
{
    unsigned field = instruction->modrm >> 3 & 7;
    char written = what_is_written(instruction);
    bool is_byte = written >= 'A' && written <= 'Z';

    switch (written) {
    case '-':
        return false;
    case 'm':
    case 'M':
        return rm_names(instruction, is_byte, reg);
    case 'r':
    case 'R':
        return names(instruction, field, REX_R, is_byte, reg);
    case 'o':
    case 'O':
        return names(instruction, instruction->opcode & 7, REX_B, is_byte, reg);
    case 'c':
    case 'C':
        return field != 7 && rm_names(instruction, is_byte, reg);
    case 't':
    case 'T':
        return field >= 4 ? reg == STA__RAX || reg == STA__RDX
                          : field >= 2 && rm_names(instruction, is_byte, reg);
    case 'p':
        return field != 6 && rm_names(instruction, is_byte, reg);
    }
    return true;
}
