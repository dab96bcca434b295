/* SPDX-License-Identifier: MIT */
/*
 * Which instructions leave eax alone. Only legacy encodings that are usual between a constant and a
 * system call are known, by what they write, one letter an opcode:
 *
 *     -  no general register but rsp
 *     m  what ModRM's rm field names: a register, or memory
 *     r  the register that ModRM's reg field names
 *     M  as m, R  as r, of one byte: without REX, numbers 4 to 7 are ah, ch, dh, bh
 *     o  the register that the opcode names, O  likewise, of one byte
 *     c  as m, C  as M; but /7 only compares
 *     t  as m, T  as M; but /0 and /1 only test, and /4 to /7 write rax
 *     p  as m, but /6 pushes
 *     .  anything: eax, for all we know
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

/* Whether the register with this number (bits 0 to 2) is a part of eax. */
static bool is_eax(const struct sta__instruction *instruction, unsigned number, uint8_t rex_bit,
                   bool is_byte)
{
    if (is_byte && !instruction->rex && number == 4) /* ah */
        return true;
    return number == 0 && !(instruction->rex & rex_bit);
}

static bool rm_is_eax(const struct sta__instruction *instruction, bool is_byte)
{
    return instruction->modrm >= 0xc0 &&
           is_eax(instruction, instruction->modrm & 7, REX_B, is_byte);
}

bool sta__may_write_eax(const struct sta__instruction *instruction)
{
    unsigned reg = instruction->modrm >> 3 & 7;
    char written = what_is_written(instruction);
    bool is_byte = written >= 'A' && written <= 'Z';

    switch (written) {
    case '-':
        return false;
    case 'm':
    case 'M':
        return rm_is_eax(instruction, is_byte);
    case 'r':
    case 'R':
        return is_eax(instruction, reg, REX_R, is_byte);
    case 'o':
    case 'O':
        return is_eax(instruction, instruction->opcode & 7, REX_B, is_byte);
    case 'c':
    case 'C':
        return reg != 7 && rm_is_eax(instruction, is_byte);
    case 't':
    case 'T':
        return reg >= 4 || (reg >= 2 && rm_is_eax(instruction, is_byte));
    case 'p':
        return reg != 6 && rm_is_eax(instruction, is_byte);
    }
    return true;
}
