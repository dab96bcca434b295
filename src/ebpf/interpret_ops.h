/* SPDX-License-Identifier: MIT */
/*
 * What the interpreter runs: operations, 16 bytes each.
 *
 *      +----------+-----+-----+----------+--------------------------+
 *      | code     | dst | src | off      | imm                      |
 *      +----------+-----+-----+----------+--------------------------+
 *      0          2     3     4          8                         16
 *
 * An operation has a number of its own for each thing that it can do, so that nothing is asked
 * when it runs: signed division is another one than unsigned, an atomic addition of 32 bits
 * another one than of 64. Immediates are as wide as they will be used. What does nothing has become
 * nothing: dead code, branches never taken, second halves of wide immediates.
 */
#ifndef STA_EBPF_INTERPRET_OPS_H
#define STA_EBPF_INTERPRET_OPS_H

#include <stdint.h>

#include "ebpf/helper.h"
#include "ebpf/interpret.h"

/* Binary operations on a and b: each comes as 64K, 64X, 32K and 32X. W is the type, 64 or 32 bits
 * unsigned, I the signed one. Shifts count modulo the width. */
/* clang-format off */
#define STA__BINARY(X)                                                     \
    X(ADD, a + b)                                                          \
    X(SUB, a - b)                                                          \
    X(MUL, a * b)                                                          \
    X(DIV, b ? a / b : 0)                                                  \
    X(SDIV, b == 0 ? 0 : b == (W)-1 ? 0 - a : (W)((I)a / (I)b))            \
    X(OR, a | b)                                                           \
    X(AND, a & b)                                                          \
    X(LSH, a << (b & (8 * sizeof(W) - 1)))                                 \
    X(RSH, a >> (b & (8 * sizeof(W) - 1)))                                 \
    X(MOD, b ? a % b : a)                                                  \
    X(SMOD, b == 0 ? a : b == (W)-1 ? 0 : (W)((I)a % (I)b))                \
    X(XOR, a ^ b)                                                          \
    X(ARSH, (W)((I)a >> (b & (8 * sizeof(W) - 1))))

/* Conditions of branches; likewise. */
#define STA__CONDITIONS(X)                                                 \
    X(JEQ, a == b)                                                         \
    X(JGT, a > b)                                                          \
    X(JGE, a >= b)                                                         \
    X(JSET, (a & b) != 0)                                                  \
    X(JNE, a != b)                                                         \
    X(JSGT, (I)a > (I)b)                                                   \
    X(JSGE, (I)a >= (I)b)                                                  \
    X(JLT, a < b)                                                          \
    X(JLE, a <= b)                                                         \
    X(JSLT, (I)a < (I)b)                                                   \
    X(JSLE, (I)a <= (I)b)

/* Operations with one operand, src unless it says dst: what dst becomes. */
#define STA__UNARY(X)                                                      \
    X(MOV64, src)                                                          \
    X(MOV32, (uint32_t)src)                                                \
    X(MOV16, (uint16_t)src)                                                \
    X(MOVS8_64, (uint64_t)(int8_t)src)                                     \
    X(MOVS16_64, (uint64_t)(int16_t)src)                                   \
    X(MOVS32_64, (uint64_t)(int32_t)src)                                   \
    X(MOVS8_32, (uint32_t)(int8_t)src)                                     \
    X(MOVS16_32, (uint32_t)(int16_t)src)                                   \
    X(NEG64, 0 - dst)                                                      \
    X(NEG32, 0 - (uint32_t)dst)                                            \
    X(BSWAP16, __builtin_bswap16((uint16_t)dst))                           \
    X(BSWAP32, __builtin_bswap32((uint32_t)dst))                           \
    X(BSWAP64, __builtin_bswap64(dst))

/* Loads: name, type in memory. */
#define STA__LOADS(X)                                                      \
    X(LDXB, uint8_t) X(LDXH, uint16_t) X(LDXW, uint32_t) X(LDXDW, uint64_t) \
    X(LDSXB, int8_t) X(LDSXH, int16_t) X(LDSXW, int32_t)

/* Stores of imm (ST..) and of src (STX..). */
#define STA__STORES(X)                                                     \
    X(B, uint8_t) X(H, uint16_t) X(W, uint32_t) X(DW, uint64_t)

/* Atomic operations of 64 and 32 bits, and the compiler's names for them. */
#define STA__ATOMICS(X)                                                    \
    X(ADD, __atomic_fetch_add)                                             \
    X(OR, __atomic_fetch_or)                                               \
    X(AND, __atomic_fetch_and)                                             \
    X(XOR, __atomic_fetch_xor)

/* The others. */
#define STA__CONTROL(X)                                                    \
    X(XCHG64,) X(XCHG32,) X(CMPXCHG64,) X(CMPXCHG32,)                      \
    X(LOAD_IMM,) /* dst = imm, 64 bits */                                  \
    X(JUMP,)                                                               \
    X(CALL,)                                                               \
    X(HELPER,)                                                             \
    X(TAIL_CALL,)                                                          \
    X(EXIT,)
/* clang-format on */

enum sta__operation {
#define X(name, value) \
    STA__DO_##name##64K, STA__DO_##name##64X, STA__DO_##name##32K, STA__DO_##name##32X,
    STA__BINARY(X) STA__CONDITIONS(X)
#undef X
#define X(name, value) STA__DO_##name,
        STA__UNARY(X) STA__LOADS(X) STA__CONTROL(X)
#undef X
#define X(name, type) STA__DO_ST##name, STA__DO_STX##name, STA__DO_ACQ##name, STA__DO_REL##name,
            STA__STORES(X)
#undef X
#define X(name, builtin)                                                            \
    STA__DO_ATOMIC_##name##64, STA__DO_ATOMIC_##name##32, STA__DO_FETCH_##name##64, \
        STA__DO_FETCH_##name##32,
                STA__ATOMICS(X)
#undef X
                    STA__OPERATION_COUNT,
};

struct sta__function;

struct sta__op {
    uint16_t code; /* enum sta__operation */
    uint8_t dst, src;
    int32_t off; /* bytes, of memory; operations, counted from the next one, of jumps */
    union {
        uint64_t imm;
        sta__helper_fn helper;
        const struct sta__function *function;
    };
};

_Static_assert(sizeof(struct sta__op) == 16, "an operation is as drawn above");

/* A subprogram; BPF_PSEUDO_FUNC loads its address. */
struct sta__function {
    struct sta__callback callback;
    const struct sta__op *entry;
    uint32_t stack_size; /* bytes, a multiple of 16 */
};

struct sta__interpreted {
    struct sta__op *ops;
    uint32_t op_count;
    struct sta__function *functions; /* the first is the program */
};

/* struct sta__callback.run of interpreted subprograms. */
uint64_t sta__interpret_callback(const struct sta__callback *self, uint64_t r1, uint64_t r2,
                                 uint64_t r3, uint64_t r4, uint64_t r5);

#endif
