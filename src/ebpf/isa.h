/* SPDX-License-Identifier: MIT */
/*
 * The instruction set: RFC 9669, with the load-acquire and store-release that came after it.
 *
 * An instruction is a word of 64 bits, struct bpf_insn:
 *
 *      63                              32 31             16 15   12 11    8 7             0
 *     +----------------------------------+-----------------+-------+-------+---------------+
 *     | imm (signed)                     | off (signed)    | src   | dst   | code          |
 *     +----------------------------------+-----------------+-------+-------+---------------+
 *
 *     code of ALU, ALU64, JMP, JMP32       of LD, LDX, ST, STX
 *      7        4  3   2       0            7     5 4    3 2       0
 *     +----------+---+----------+          +-------+------+---------+
 *     | BPF_OP   | S | class    |          | mode  | size | class   |      S: BPF_X, the source is
 *     +----------+---+----------+          +-------+------+---------+         src; BPF_K, it is imm
 *
 * The wide immediate load (BPF_LD | BPF_IMM | BPF_DW) takes two words: the upper half of its value
 * is the imm of the second, whose other fields are 0.
 *
 * Jumps count from the next instruction: `off` words, or `imm` words for gotol and calls.
 *
 * linux/bpf.h gives names to all of it but what is newer than the header; that is named here.
 */
#ifndef STA_EBPF_ISA_H
#define STA_EBPF_ISA_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>

#ifndef BPF_MEMSX
#    define BPF_MEMSX 0x80 /* mode of LDX: the loaded value is sign-extended to 64 bits */
#endif
#ifndef BPF_JCOND
#    define BPF_JCOND 0xe0 /* may_goto: not offered */
#endif
#ifndef BPF_LOAD_ACQ
#    define BPF_LOAD_ACQ  0x100 /* imm of BPF_ATOMIC: dst = load_acquire(src + off) */
#    define BPF_STORE_REL 0x110 /* store_release(dst + off, src) */
#endif
#ifndef BPF_PSEUDO_MAP_IDX
#    define BPF_PSEUDO_MAP_IDX       5
#    define BPF_PSEUDO_MAP_IDX_VALUE 6
#endif

#define STA__REG_COUNT 11 /* r0 to r10; r10, the frame, cannot be written */

/* Which fields an instruction uses; the others have to be 0. The table below names them so. */
enum sta__fields {
    STA__FIELDS_NONE = 0,
    STA__FIELDS_D = 1, /* dst */
    STA__FIELDS_S = 2, /* src */
    STA__FIELDS_O = 4, /* off */
    STA__FIELDS_I = 8, /* imm */
    STA__FIELDS_DS = STA__FIELDS_D | STA__FIELDS_S,
    STA__FIELDS_DI = STA__FIELDS_D | STA__FIELDS_I,
    STA__FIELDS_SI = STA__FIELDS_S | STA__FIELDS_I,
    STA__FIELDS_DSO = STA__FIELDS_DS | STA__FIELDS_O,
    STA__FIELDS_DIO = STA__FIELDS_DI | STA__FIELDS_O,
    STA__FIELDS_DSI = STA__FIELDS_DS | STA__FIELDS_I,
    STA__FIELDS_DSIO = STA__FIELDS_DSI | STA__FIELDS_O,
};

/*
 * Every opcode that there is: X(name, the byte, fields that it uses). A name ends in the width of
 * what it works on, 64 or 32, and in K (the source is imm) or X (it is src).
 */
/* clang-format off */
#define STA__OPCODES_ALU(X, W, C)                                                                  \
    X(ADD##W##K, C | BPF_ADD | BPF_K, DI)              /* dst += imm */                            \
    X(ADD##W##X, C | BPF_ADD | BPF_X, DS)                                                          \
    X(SUB##W##K, C | BPF_SUB | BPF_K, DI)              /* dst -= imm */                            \
    X(SUB##W##X, C | BPF_SUB | BPF_X, DS)                                                          \
    X(MUL##W##K, C | BPF_MUL | BPF_K, DI)              /* dst *= imm */                            \
    X(MUL##W##X, C | BPF_MUL | BPF_X, DS)                                                          \
    X(DIV##W##K, C | BPF_DIV | BPF_K, DIO)             /* off 1: signed; x / 0 is 0 */             \
    X(DIV##W##X, C | BPF_DIV | BPF_X, DSO)                                                         \
    X(OR##W##K, C | BPF_OR | BPF_K, DI)                /* dst |= imm */                            \
    X(OR##W##X, C | BPF_OR | BPF_X, DS)                                                            \
    X(AND##W##K, C | BPF_AND | BPF_K, DI)              /* dst &= imm */                            \
    X(AND##W##X, C | BPF_AND | BPF_X, DS)                                                          \
    X(LSH##W##K, C | BPF_LSH | BPF_K, DI)              /* dst <<= imm; src is taken modulo W */    \
    X(LSH##W##X, C | BPF_LSH | BPF_X, DS)                                                          \
    X(RSH##W##K, C | BPF_RSH | BPF_K, DI)              /* dst >>= imm, unsigned */                 \
    X(RSH##W##X, C | BPF_RSH | BPF_X, DS)                                                          \
    X(NEG##W, C | BPF_NEG, D)                          /* dst = -dst */                            \
    X(MOD##W##K, C | BPF_MOD | BPF_K, DIO)             /* off 1: signed; x % 0 is x */             \
    X(MOD##W##X, C | BPF_MOD | BPF_X, DSO)                                                         \
    X(XOR##W##K, C | BPF_XOR | BPF_K, DI)              /* dst ^= imm */                            \
    X(XOR##W##X, C | BPF_XOR | BPF_X, DS)                                                          \
    X(MOV##W##K, C | BPF_MOV | BPF_K, DI)              /* dst = imm */                             \
    X(MOV##W##X, C | BPF_MOV | BPF_X, DSO)             /* src: its low `off` bits, signed */       \
    X(ARSH##W##K, C | BPF_ARSH | BPF_K, DI)            /* dst >>= imm, signed */                   \
    X(ARSH##W##X, C | BPF_ARSH | BPF_X, DS)

#define STA__OPCODES_JMP(X, W, C)                                                                  \
    X(JEQ##W##K, C | BPF_JEQ | BPF_K, DIO)             /* if dst == imm */                         \
    X(JEQ##W##X, C | BPF_JEQ | BPF_X, DSO)                                                         \
    X(JGT##W##K, C | BPF_JGT | BPF_K, DIO)             /* >, unsigned */                           \
    X(JGT##W##X, C | BPF_JGT | BPF_X, DSO)                                                         \
    X(JGE##W##K, C | BPF_JGE | BPF_K, DIO)             /* >= */                                    \
    X(JGE##W##X, C | BPF_JGE | BPF_X, DSO)                                                         \
    X(JSET##W##K, C | BPF_JSET | BPF_K, DIO)           /* if dst & imm */                          \
    X(JSET##W##X, C | BPF_JSET | BPF_X, DSO)                                                       \
    X(JNE##W##K, C | BPF_JNE | BPF_K, DIO)             /* != */                                    \
    X(JNE##W##X, C | BPF_JNE | BPF_X, DSO)                                                         \
    X(JSGT##W##K, C | BPF_JSGT | BPF_K, DIO)           /* >, signed */                             \
    X(JSGT##W##X, C | BPF_JSGT | BPF_X, DSO)                                                       \
    X(JSGE##W##K, C | BPF_JSGE | BPF_K, DIO)           /* >= */                                    \
    X(JSGE##W##X, C | BPF_JSGE | BPF_X, DSO)                                                       \
    X(JLT##W##K, C | BPF_JLT | BPF_K, DIO)             /* <, unsigned */                           \
    X(JLT##W##X, C | BPF_JLT | BPF_X, DSO)                                                         \
    X(JLE##W##K, C | BPF_JLE | BPF_K, DIO)             /* <= */                                    \
    X(JLE##W##X, C | BPF_JLE | BPF_X, DSO)                                                         \
    X(JSLT##W##K, C | BPF_JSLT | BPF_K, DIO)           /* <, signed */                             \
    X(JSLT##W##X, C | BPF_JSLT | BPF_X, DSO)                                                       \
    X(JSLE##W##K, C | BPF_JSLE | BPF_K, DIO)           /* <= */                                    \
    X(JSLE##W##X, C | BPF_JSLE | BPF_X, DSO)

#define STA__OPCODES(X)                                                                            \
    STA__OPCODES_ALU(X, 64, BPF_ALU64)                                                             \
    STA__OPCODES_ALU(X, 32, BPF_ALU)                   /* the upper half of dst becomes 0 */       \
    X(LE, BPF_ALU | BPF_END | BPF_TO_LE, DI)           /* cut off to imm bits: 16, 32, 64 */       \
    X(BE, BPF_ALU | BPF_END | BPF_TO_BE, DI)           /* the same, its bytes reversed */          \
    X(BSWAP, BPF_ALU64 | BPF_END, DI)                  /* as BE on this machine */                 \
    X(JA, BPF_JMP | BPF_JA, O)                         /* goto off */                              \
    X(JA32, BPF_JMP32 | BPF_JA, I)                     /* gotol imm */                             \
    X(CALL, BPF_JMP | BPF_CALL, SI)                    /* src: 0, a helper; BPF_PSEUDO_CALL */     \
    X(EXIT, BPF_JMP | BPF_EXIT, NONE)                  /* return r0 */                             \
    STA__OPCODES_JMP(X, 64, BPF_JMP)                                                               \
    STA__OPCODES_JMP(X, 32, BPF_JMP32)                 /* compares the lower halves */             \
    X(LDDW, BPF_LD | BPF_IMM | BPF_DW, DSI)            /* src: 0, BPF_PSEUDO_MAP_FD, .. */         \
    X(LDXB, BPF_LDX | BPF_MEM | BPF_B, DSO)            /* dst = *(u8 *)(src + off) */              \
    X(LDXH, BPF_LDX | BPF_MEM | BPF_H, DSO)                                                        \
    X(LDXW, BPF_LDX | BPF_MEM | BPF_W, DSO)                                                        \
    X(LDXDW, BPF_LDX | BPF_MEM | BPF_DW, DSO)                                                      \
    X(LDSXB, BPF_LDX | BPF_MEMSX | BPF_B, DSO)         /* dst = *(s8 *)(src + off) */              \
    X(LDSXH, BPF_LDX | BPF_MEMSX | BPF_H, DSO)                                                     \
    X(LDSXW, BPF_LDX | BPF_MEMSX | BPF_W, DSO)                                                     \
    X(STB, BPF_ST | BPF_MEM | BPF_B, DIO)              /* *(u8 *)(dst + off) = imm */              \
    X(STH, BPF_ST | BPF_MEM | BPF_H, DIO)                                                          \
    X(STW, BPF_ST | BPF_MEM | BPF_W, DIO)                                                          \
    X(STDW, BPF_ST | BPF_MEM | BPF_DW, DIO)            /* imm is sign-extended */                  \
    X(STXB, BPF_STX | BPF_MEM | BPF_B, DSO)            /* *(u8 *)(dst + off) = src */              \
    X(STXH, BPF_STX | BPF_MEM | BPF_H, DSO)                                                        \
    X(STXW, BPF_STX | BPF_MEM | BPF_W, DSO)                                                        \
    X(STXDW, BPF_STX | BPF_MEM | BPF_DW, DSO)                                                      \
    X(ATOMICB, BPF_STX | BPF_ATOMIC | BPF_B, DSIO)     /* imm: BPF_LOAD_ACQ, BPF_STORE_REL */      \
    X(ATOMICH, BPF_STX | BPF_ATOMIC | BPF_H, DSIO)                                                 \
    X(ATOMICW, BPF_STX | BPF_ATOMIC | BPF_W, DSIO)     /* those, and BPF_ADD .. BPF_CMPXCHG */     \
    X(ATOMICDW, BPF_STX | BPF_ATOMIC | BPF_DW, DSIO)
/* clang-format on */

/*
 * imm of BPF_ATOMIC, at dst + off, which has to be aligned:
 *
 *      BPF_ADD, BPF_OR, BPF_AND, BPF_XOR       *dst op= src
 *      the same | BPF_FETCH                    and src = what was there; sequentially consistent
 *      BPF_XCHG                                src and *dst change places
 *      BPF_CMPXCHG                             if *dst == r0: *dst = src; r0 = what was there
 *      BPF_LOAD_ACQ                            dst = *(src + off)
 *      BPF_STORE_REL                           *(dst + off) = src
 *
 * Loaded values of fewer than 64 bits are zero-extended.
 */

/* STA__OP_ADD64K and so on: the byte `code`. */
enum sta__opcode {
#define X(name, code, fields) STA__OP_##name = (code),
    STA__OPCODES(X)
#undef X
};

static inline unsigned sta__insn_class(const struct bpf_insn *insn)
{
    return BPF_CLASS(insn->code);
}

/* ALU and ALU64. */
static inline bool sta__insn_is_alu(const struct bpf_insn *insn)
{
    return sta__insn_class(insn) == BPF_ALU || sta__insn_class(insn) == BPF_ALU64;
}

/* JMP and JMP32: jumps, calls and exit. */
static inline bool sta__insn_is_jmp(const struct bpf_insn *insn)
{
    return sta__insn_class(insn) == BPF_JMP || sta__insn_class(insn) == BPF_JMP32;
}

/* The first half of a wide immediate. */
static inline bool sta__insn_is_wide(const struct bpf_insn *insn)
{
    return insn->code == STA__OP_LDDW;
}

/* The full value of a wide immediate; `insn` is its first half. */
static inline uint64_t sta__insn_wide_value(const struct bpf_insn *insn)
{
    return (uint32_t)insn[0].imm | (uint64_t)(uint32_t)insn[1].imm << 32;
}

/* goto and gotol. */
static inline bool sta__insn_is_goto(const struct bpf_insn *insn)
{
    return insn->code == STA__OP_JA || insn->code == STA__OP_JA32;
}

static inline bool sta__insn_is_exit(const struct bpf_insn *insn)
{
    return insn->code == STA__OP_EXIT;
}

/* A conditional jump. */
static inline bool sta__insn_is_branch(const struct bpf_insn *insn)
{
    return sta__insn_is_jmp(insn) && BPF_OP(insn->code) != BPF_JA &&
           BPF_OP(insn->code) != BPF_CALL && BPF_OP(insn->code) != BPF_EXIT;
}

static inline bool sta__insn_is_helper_call(const struct bpf_insn *insn)
{
    return insn->code == STA__OP_CALL && insn->src_reg == 0;
}

static inline bool sta__insn_is_subprog_call(const struct bpf_insn *insn)
{
    return insn->code == STA__OP_CALL && insn->src_reg == BPF_PSEUDO_CALL;
}

/* Where a goto, a branch (when taken) or a call of a subprogram at `index` leads. For instructions
 * that have not been checked this is any number. */
static inline int64_t sta__insn_target(const struct bpf_insn *insn, uint32_t index)
{
    bool by_imm = insn->code == STA__OP_JA32 || insn->code == STA__OP_CALL;

    return (int64_t)index + 1 + (by_imm ? insn->imm : insn->off);
}

/* BPF_PSEUDO_FUNC: the subprogram's first instruction. */
static inline int64_t sta__insn_func_target(const struct bpf_insn *insn, uint32_t index)
{
    return (int64_t)index + 1 + insn->imm;
}

static inline bool sta__insn_is_atomic(const struct bpf_insn *insn)
{
    return sta__insn_class(insn) == BPF_STX && BPF_MODE(insn->code) == BPF_ATOMIC;
}

/* Bytes that an instruction of LDX, ST or STX touches: 1, 2, 4 or 8. */
static inline unsigned sta__insn_size(const struct bpf_insn *insn)
{
    switch (BPF_SIZE(insn->code)) {
    case BPF_B:
        return 1;
    case BPF_H:
        return 2;
    case BPF_W:
        return 4;
    default:
        return 8;
    }
}

#endif
