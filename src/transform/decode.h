/* SPDX-License-Identifier: MIT */
/*
 * Lengths of x86-64 instructions, and what a rewriter of code needs to know of each: where its
 * displacement and its immediate lie, where it branches, whether it is a system call or padding.
 *
 * It knows all of 64-bit mode up to AVX-512 (FP16 included) and AMX: legacy encodings, 3DNow!, VEX,
 * XOP, EVEX. It does not know APX: REX2 (d5) and the EVEX forms that APX added are -EILSEQ.
 *
 * It judges the opcode and its extension in ModRM, not whether the operands or prefixes are legal
 * with it: `lock nop` has a length, though a processor refuses it. The length of VEX and EVEX
 * instructions follows from their opcode map alone, except in map 1, so opcodes of other maps that
 * nothing is assigned to yet count as instructions too: code newer than this file is to be decoded.
 */
#ifndef STA_TRANSFORM_DECODE_H
#define STA_TRANSFORM_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define STA__INSTRUCTION_MAX 15 /* bytes; processors raise #GP for longer ones */

enum sta__instruction_kind {
    STA__INSTRUCTION_OTHER,
    STA__INSTRUCTION_NOP,           /* does nothing, in one byte or many; not pause, not endbr64 */
    STA__INSTRUCTION_ENDBR,         /* endbr64: what may be reached by indirect branches */
    STA__INSTRUCTION_SET_EAX,       /* mov $n,%eax; mov $n,%rax of 7 bytes; xor %eax,%eax */
    STA__INSTRUCTION_SYSCALL,       /* syscall */
    STA__INSTRUCTION_SYSENTER,      /* sysenter */
    STA__INSTRUCTION_INT,           /* int $n */
    STA__INSTRUCTION_INT1,          /* int1: #DB */
    STA__INSTRUCTION_INT3,          /* int3: #BP; padding, too */
    STA__INSTRUCTION_UD,            /* ud0, ud1, ud2: #UD */
    STA__INSTRUCTION_HLT,           /* hlt: #GP outside the kernel */
    STA__INSTRUCTION_JUMP,          /* jmp rel8, jmp rel32 */
    STA__INSTRUCTION_JUMP_IF,       /* jcc rel8, jcc rel32 */
    STA__INSTRUCTION_LOOP,          /* loop, loope, loopne, jrcxz: rel8 only */
    STA__INSTRUCTION_CALL,          /* call rel32 */
    STA__INSTRUCTION_XBEGIN,        /* xbegin: the target is where an abort goes on */
    STA__INSTRUCTION_JUMP_INDIRECT, /* jmp through a register or memory, near and far */
    STA__INSTRUCTION_CALL_INDIRECT, /* call likewise */
    STA__INSTRUCTION_RETURN,        /* ret, lret, iret */
};

/* How the opcode is introduced. */
enum sta__instruction_encoding {
    STA__ENCODING_LEGACY, /* maps 0: no escape, 1: 0f, 2: 0f 38, 3: 0f 3a */
    STA__ENCODING_VEX,    /* c5 (map 1), c4: maps 1, 2, 3, 5, 7 */
    STA__ENCODING_XOP,    /* 8f: maps 8, 9, 10 */
    STA__ENCODING_EVEX,   /* 62: maps 1, 2, 3, 5, 6 */
};

struct sta__instruction {
    uint8_t length;
    uint8_t kind;     /* enum sta__instruction_kind */
    uint8_t encoding; /* enum sta__instruction_encoding */
    uint8_t map;
    uint8_t opcode;
    uint8_t modrm;  /* 0 if there is none */
    uint8_t rex;    /* the REX prefix in effect; 0: none */
    uint8_t repeat; /* the last of prefixes f2 and f3; 0: none */

    /* Where in the instruction; sizes are in bytes, and 0 means that there is none. */
    uint8_t opcode_offset;
    uint8_t modrm_offset;
    uint8_t disp_offset, disp_size; /* of a memory operand; the address of moffs (a0–a3) too */
    uint8_t imm_offset, imm_size;   /* all immediates together; of branches, the distance */

    bool operand_size;     /* prefix 66 */
    bool address_size;     /* prefix 67 */
    bool rip_relative;     /* the displacement counts from the instruction's end */
    bool differs_by_maker; /* see below */

    uint32_t eax;   /* SET_EAX: what eax is afterwards */
    int64_t target; /* of kinds with a distance: counted from the instruction's first byte */
};

/*
 * Decodes the instruction at `code`, of which `size` bytes may be read. Returns its length (1 to
 * 15), or
 *   -EILSEQ   no instruction begins so, or it would be longer than 15 bytes
 *   -ENODATA  `size` ends before the instruction does
 * and then leaves *out undefined. Reads nothing but its arguments and constants, calls nothing:
 * async-signal-safe, from any thread.
 *
 * Of near branches with prefix 66 and without REX.W, Intel's processors ignore the prefix; AMD's
 * take a distance of 2 bytes where 4 are usual, and cut the target to 16 bits. Compilers emit none.
 * The length given is AMD's, as objdump has it, and differs_by_maker is set: do not go on behind
 * it.
 */
int sta__decode(struct sta__instruction *out, const uint8_t *code, size_t size);

/*
 * The usual instructions, in a fifth of the time: those with no prefix but 66 and REX that only
 * compute, and near branches and returns. Never nops, system calls, endbr64 and what is undefined.
 * Tells what has to be known in order to go on behind it; 0: sta__decode() has to be asked. At
 * least STA__INSTRUCTION_MAX bytes can be read. See decode_step.c.
 */
#define STA__STEP_LENGTH   0x00ff
#define STA__STEP_DISTANCE 0x0f00 /* bytes at its end that say where it branches to: 0, 1, 4 */
#define STA__STEP_ENDS     0x1000 /* nobody goes on behind it: ret, jmp */
uint32_t sta__decode_step(const uint8_t *code);

STA__INLINE unsigned sta__step_distance(uint32_t step)
{
    return (step & STA__STEP_DISTANCE) >> 8;
}

/* The second half of sta__decode: from what its first half has found out, kind, target and eax. */
void sta__instruction_classify(struct sta__instruction *out, const uint8_t *code);

#define STA__REX_W 0x08

/* Operands that are of 32 bits by default are of 16: prefix 66, unless REX.W overrides it. */
STA__INLINE bool sta__has_word_operands(const struct sta__instruction *instruction)
{
    return instruction->operand_size && !(instruction->rex & STA__REX_W);
}

#endif
