/* SPDX-License-Identifier: MIT */
/*
 * x86-64 machine code, one instruction a function. Written are the general registers' instructions
 * that the JIT needs, each in its shortest form.
 *
 *     [0x66] [lock] [REX: 0100WRXB] opcode [ModRM: mod reg r/m] [SIB] [displacement] [immediate]
 *
 * Nothing here knows of eBPF, and nothing checks for room: the caller has STA__X86_INSN_MAX bytes
 * for each instruction. `wide` is true for operands of 64 bits and false for 32, which zero the
 * upper half of the register that they write.
 */
#ifndef STA_EBPF_X86_H
#define STA_EBPF_X86_H

#include <stdbool.h>
#include <stdint.h>

#define STA__X86_INSN_MAX 15

/* As the processor numbers them. */
enum sta__x86_reg {
    STA__RAX,
    STA__RCX,
    STA__RDX,
    STA__RBX,
    STA__RSP,
    STA__RBP,
    STA__RSI,
    STA__RDI,
    STA__R8,
    STA__R9,
    STA__R10,
    STA__R11,
    STA__R12,
    STA__R13,
    STA__R14,
    STA__R15,
};

/* The reg field that tells the instructions of an opcode apart. */
enum sta__x86_alu {
    STA__X86_ADD = 0,
    STA__X86_OR = 1,
    STA__X86_AND = 4,
    STA__X86_SUB = 5,
    STA__X86_XOR = 6,
    STA__X86_CMP = 7,
};
enum sta__x86_shift { STA__X86_SHL = 4, STA__X86_SHR = 5, STA__X86_SAR = 7 };
enum sta__x86_unary { STA__X86_NEG = 3, STA__X86_DIV = 6, STA__X86_IDIV = 7 };

/* Low half of a conditional jump's opcode. Those of opposite sense differ in bit 0. */
enum sta__x86_cond {
    STA__X86_B = 2, /* below: unsigned */
    STA__X86_AE = 3,
    STA__X86_E = 4,
    STA__X86_NE = 5,
    STA__X86_BE = 6,
    STA__X86_A = 7,
    STA__X86_S = 8,
    STA__X86_NS = 9,
    STA__X86_L = 12, /* less: signed */
    STA__X86_GE = 13,
    STA__X86_LE = 14,
    STA__X86_G = 15,
};

struct sta__x86 {
    uint8_t *at; /* where the next byte goes */
};

/* [base + disp] */
struct sta__x86_mem {
    enum sta__x86_reg base;
    int32_t disp;
};

/* Moves. The immediate is taken in the shortest way that gives all 64 bits; flags are lost. */
void sta__x86_mov(struct sta__x86 *x, bool wide, enum sta__x86_reg dst, enum sta__x86_reg src);
void sta__x86_mov_imm(struct sta__x86 *x, enum sta__x86_reg dst, uint64_t value);
/* The low `bits` (8, 16, 32) of src, extended; sign-extension to 64 bits, or to 32. */
void sta__x86_movzx(struct sta__x86 *x, unsigned bits, enum sta__x86_reg dst,
                    enum sta__x86_reg src);
void sta__x86_movsx(struct sta__x86 *x, bool wide, unsigned bits, enum sta__x86_reg dst,
                    enum sta__x86_reg src);

/* Arithmetic: dst = dst op src. */
void sta__x86_alu(struct sta__x86 *x, enum sta__x86_alu op, bool wide, enum sta__x86_reg dst,
                  enum sta__x86_reg src);
void sta__x86_alu_imm(struct sta__x86 *x, enum sta__x86_alu op, bool wide, enum sta__x86_reg dst,
                      int32_t imm);
void sta__x86_test(struct sta__x86 *x, bool wide, enum sta__x86_reg a, enum sta__x86_reg b);
void sta__x86_test_imm(struct sta__x86 *x, bool wide, enum sta__x86_reg a, int32_t imm);
void sta__x86_inc(struct sta__x86 *x, bool wide, enum sta__x86_reg dst);
void sta__x86_dec(struct sta__x86 *x, bool wide, enum sta__x86_reg dst);
void sta__x86_imul(struct sta__x86 *x, bool wide, enum sta__x86_reg dst, enum sta__x86_reg src);
void sta__x86_imul_imm(struct sta__x86 *x, bool wide, enum sta__x86_reg dst, enum sta__x86_reg src,
                       int32_t imm);
/* NEG: dst. DIV, IDIV: rdx:rax by dst. */
void sta__x86_unary(struct sta__x86 *x, enum sta__x86_unary op, bool wide, enum sta__x86_reg dst);
/* Sign of rax in all of rdx. */
void sta__x86_cqo(struct sta__x86 *x, bool wide);
void sta__x86_shift_imm(struct sta__x86 *x, enum sta__x86_shift op, bool wide,
                        enum sta__x86_reg dst, unsigned count);
void sta__x86_shift_cl(struct sta__x86 *x, enum sta__x86_shift op, bool wide,
                       enum sta__x86_reg dst);
/* dst = src op count; BMI2. */
void sta__x86_shiftx(struct sta__x86 *x, enum sta__x86_shift op, bool wide, enum sta__x86_reg dst,
                     enum sta__x86_reg src, enum sta__x86_reg count);
void sta__x86_bswap(struct sta__x86 *x, bool wide, enum sta__x86_reg dst);
void sta__x86_rol16(struct sta__x86 *x, enum sta__x86_reg dst, unsigned count);

/* Memory, of `size` bytes: 1, 2, 4, 8. Loads extend to all 64 bits. */
void sta__x86_load(struct sta__x86 *x, unsigned size, enum sta__x86_reg dst,
                   struct sta__x86_mem mem);
void sta__x86_load_signed(struct sta__x86 *x, unsigned size, enum sta__x86_reg dst,
                          struct sta__x86_mem mem);
void sta__x86_store(struct sta__x86 *x, unsigned size, struct sta__x86_mem mem,
                    enum sta__x86_reg src);
void sta__x86_store_imm(struct sta__x86 *x, unsigned size, struct sta__x86_mem mem, int32_t imm);
void sta__x86_lea(struct sta__x86 *x, bool wide, enum sta__x86_reg dst, struct sta__x86_mem mem);
/* dst = base + index; the index is not rsp. */
void sta__x86_lea_sum(struct sta__x86 *x, bool wide, enum sta__x86_reg dst, enum sta__x86_reg base,
                      enum sta__x86_reg index);
/* dst = the address `distance` bytes behind this instruction. */
void sta__x86_lea_rip(struct sta__x86 *x, enum sta__x86_reg dst, int32_t distance);

/* Locked. */
void sta__x86_lock_alu(struct sta__x86 *x, enum sta__x86_alu op, bool wide, struct sta__x86_mem mem,
                       enum sta__x86_reg src);
void sta__x86_lock_xadd(struct sta__x86 *x, bool wide, struct sta__x86_mem mem,
                        enum sta__x86_reg reg);
void sta__x86_lock_cmpxchg(struct sta__x86 *x, bool wide, struct sta__x86_mem mem,
                           enum sta__x86_reg src);
void sta__x86_xchg(struct sta__x86 *x, bool wide, struct sta__x86_mem mem, enum sta__x86_reg reg);

/* Stack and control flow. Distances count from the instruction's end; `is_short`: -128 to 127. */
void sta__x86_push(struct sta__x86 *x, enum sta__x86_reg reg);
void sta__x86_push_imm8(struct sta__x86 *x, int8_t imm);
void sta__x86_pop(struct sta__x86 *x, enum sta__x86_reg reg);
void sta__x86_leave(struct sta__x86 *x);
void sta__x86_ret(struct sta__x86 *x);
void sta__x86_call(struct sta__x86 *x, int32_t distance);
void sta__x86_call_reg(struct sta__x86 *x, enum sta__x86_reg reg);
void sta__x86_jmp(struct sta__x86 *x, bool is_short, int32_t distance);
void sta__x86_jmp_mem(struct sta__x86 *x, struct sta__x86_mem mem);
void sta__x86_jcc(struct sta__x86 *x, enum sta__x86_cond cond, bool is_short, int32_t distance);
/* `count` bytes that do nothing, in few instructions. */
void sta__x86_nop(struct sta__x86 *x, unsigned count);

#endif
