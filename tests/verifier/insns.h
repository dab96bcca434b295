/* SPDX-License-Identifier: MIT */
/* Programs as C arrays, an instruction a macro. R0 to R10 are registers, W64 and so on sizes. */
#ifndef STA_TESTS_VERIFIER_INSNS_H
#define STA_TESTS_VERIFIER_INSNS_H

#include <linux/bpf.h>

#include "ebpf/isa.h"

/* In initialisers of static data an instruction has to be just the braces: define INSN_TYPE as
 * nothing before including this. */
#ifndef INSN_TYPE
#    define INSN_TYPE (struct bpf_insn)
#endif
#define INSN(op, d, s, o, i)                                                 \
    INSN_TYPE                                                                \
    {                                                                        \
        .code = (op), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) \
    }

/* clang-format off */
/* op: BPF_ADD .. BPF_ARSH, BPF_MOV */
#define ALU(op, d, i)       INSN(BPF_ALU64 | (op) | BPF_K, d, 0, 0, i)
#define ALUX(op, d, s)      INSN(BPF_ALU64 | (op) | BPF_X, d, s, 0, 0)
#define ALU32(op, d, i)     INSN(BPF_ALU | (op) | BPF_K, d, 0, 0, i)
#define ALUX32(op, d, s)    INSN(BPF_ALU | (op) | BPF_X, d, s, 0, 0)
#define MOV(d, i)           ALU(BPF_MOV, d, i)
#define MOVX(d, s)          ALUX(BPF_MOV, d, s)
#define MOV32(d, i)         ALU32(BPF_MOV, d, i)
#define MOVX32(d, s)        ALUX32(BPF_MOV, d, s)
#define MOVSX(d, s, bits)   INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, bits, 0)
#define MOVSX32(d, s, bits) INSN(BPF_ALU | BPF_MOV | BPF_X, d, s, bits, 0)
#define ADD(d, i)           ALU(BPF_ADD, d, i)
#define ADDX(d, s)          ALUX(BPF_ADD, d, s)
#define SUBX(d, s)          ALUX(BPF_SUB, d, s)
#define AND(d, i)           ALU(BPF_AND, d, i)
#define NEG(d)              INSN(BPF_ALU64 | BPF_NEG, d, 0, 0, 0)
#define SDIV(d, i)          INSN(BPF_ALU64 | BPF_DIV | BPF_K, d, 0, 1, i)
#define SWAP(d, bits)       INSN(BPF_ALU64 | BPF_END, d, 0, 0, bits)

/* size: BPF_B, BPF_H, BPF_W, BPF_DW */
#define LDX(size, d, s, o)        INSN(BPF_LDX | BPF_MEM | (size), d, s, o, 0)
#define LDSX(size, d, s, o)       INSN(BPF_LDX | BPF_MEMSX | (size), d, s, o, 0)
#define STX(size, d, s, o)        INSN(BPF_STX | BPF_MEM | (size), d, s, o, 0)
#define ST(size, d, o, i)         INSN(BPF_ST | BPF_MEM | (size), d, 0, o, i)
#define ATOMIC(size, op, d, s, o) INSN(BPF_STX | BPF_ATOMIC | (size), d, s, o, op)

#define LD64(d, v)                                                    \
    INSN(BPF_LD | BPF_IMM | BPF_DW, d, 0, 0, (int32_t)(uint64_t)(v)), \
        INSN(0, 0, 0, 0, (int32_t)((uint64_t)(v) >> 32))
#define LD_MAP(d, map) \
    INSN(BPF_LD | BPF_IMM | BPF_DW, d, BPF_PSEUDO_MAP_FD, 0, map), INSN(0, 0, 0, 0, 0)
#define LD_VALUE(d, map, off) \
    INSN(BPF_LD | BPF_IMM | BPF_DW, d, BPF_PSEUDO_MAP_VALUE, 0, map), INSN(0, 0, 0, 0, off)
#define LD_FUNC(d, delta) \
    INSN(BPF_LD | BPF_IMM | BPF_DW, d, BPF_PSEUDO_FUNC, 0, delta), INSN(0, 0, 0, 0, 0)

/* op: BPF_JEQ .. */
#define JMP(op, d, i, o)    INSN(BPF_JMP | (op) | BPF_K, d, 0, o, i)
#define JMPX(op, d, s, o)   INSN(BPF_JMP | (op) | BPF_X, d, s, o, 0)
#define JMP32(op, d, i, o)  INSN(BPF_JMP32 | (op) | BPF_K, d, 0, o, i)
#define JMPX32(op, d, s, o) INSN(BPF_JMP32 | (op) | BPF_X, d, s, o, 0)
#define JA(o)               INSN(BPF_JMP | BPF_JA, 0, 0, o, 0)
#define GOTOL(o)            INSN(BPF_JMP32 | BPF_JA, 0, 0, 0, o)
#define CALL(helper)        INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_##helper)
#define CALL_NUMBER(n)      INSN(BPF_JMP | BPF_CALL, 0, 0, 0, n)
#define CALL_SUB(delta)     INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, delta)
#define EXIT                INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* clang-format on */

enum { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 };

#endif
