/* SPDX-License-Identifier: MIT */
#include "ebpf/x86.h"

#include <string.h>

/* Opcodes of two bytes are written 0x0fXX. */
#define TWO_BYTES 0x0f00

#define REX   0x40
#define REX_W 8
#define REX_R 4
#define REX_X 2
#define REX_B 1

static void put(struct sta__x86 *x, unsigned byte)
{
    *x->at++ = (uint8_t)byte;
}

static void put32(struct sta__x86 *x, int32_t value)
{
    memcpy(x->at, &value, sizeof(value));
    x->at += sizeof(value);
}

static bool fits_8(int32_t value)
{
    return value == (int8_t)value;
}

static void put_opcode(struct sta__x86 *x, unsigned opcode)
{
    if (opcode >= TWO_BYTES)
        put(x, TWO_BYTES >> 8);
    put(x, opcode & 0xff);
}

/* `is_byte`: without REX the byte registers 4 to 7 would be ah, ch, dh and bh. */
static void put_rex(struct sta__x86 *x, bool wide, unsigned reg, unsigned index, unsigned base,
                    bool is_byte)
{
    unsigned rex = (wide ? REX_W : 0) | (reg >= 8 ? REX_R : 0) | (index >= 8 ? REX_X : 0) |
                   (base >= 8 ? REX_B : 0);

    if (rex || is_byte)
        put(x, REX | rex);
}

static bool is_byte_reg(unsigned reg)
{
    return reg >= STA__RSP && reg <= STA__RDI;
}

static void put_modrm(struct sta__x86 *x, unsigned mod, unsigned reg, unsigned rm)
{
    put(x, mod << 6 | (reg & 7) << 3 | (rm & 7));
}

/* An instruction with a register in the r/m field. `reg` may be part of the opcode. */
static void op_reg(struct sta__x86 *x, bool wide, unsigned opcode, unsigned reg, unsigned rm)
{
    put_rex(x, wide, reg, 0, rm, false);
    put_opcode(x, opcode);
    put_modrm(x, 3, reg, rm);
}

/* ModRM, SIB and displacement. An r/m field of rsp means that there is a SIB; one of rbp without
 * displacement means something else, so that rbp and r13 always have one. */
static void put_mem(struct sta__x86 *x, unsigned reg, struct sta__x86_mem mem)
{
    bool none = mem.disp == 0 && (mem.base & 7) != STA__RBP;
    unsigned mod = none ? 0 : fits_8(mem.disp) ? 1 : 2;

    put_modrm(x, mod, reg, mem.base);
    if ((mem.base & 7) == STA__RSP)
        put(x, 0x24); /* no index */
    if (mod == 1)
        put(x, (uint8_t)mem.disp);
    else if (mod == 2)
        put32(x, mem.disp);
}

static void op_mem(struct sta__x86 *x, bool wide, unsigned opcode, unsigned reg,
                   struct sta__x86_mem mem)
{
    put_rex(x, wide, reg, 0, mem.base, false);
    put_opcode(x, opcode);
    put_mem(x, reg, mem);
}

void sta__x86_mov(struct sta__x86 *x, bool wide, enum sta__x86_reg dst, enum sta__x86_reg src)
{
    op_reg(x, wide, 0x89, src, dst);
}

void sta__x86_mov_imm(struct sta__x86 *x, enum sta__x86_reg dst, uint64_t value)
{
    if (value == 0) {
        sta__x86_alu(x, STA__X86_XOR, false, dst, dst);
    } else if (value <= UINT32_MAX) {
        put_rex(x, false, 0, 0, dst, false);
        put(x, 0xb8 | (dst & 7));
        put32(x, (int32_t)value);
    } else if ((int64_t)value == (int32_t)value) {
        op_reg(x, true, 0xc7, 0, dst);
        put32(x, (int32_t)value);
    } else {
        put_rex(x, true, 0, 0, dst, false);
        put(x, 0xb8 | (dst & 7));
        memcpy(x->at, &value, sizeof(value));
        x->at += sizeof(value);
    }
}

void sta__x86_movzx(struct sta__x86 *x, unsigned bits, enum sta__x86_reg dst, enum sta__x86_reg src)
{
    if (bits == 32) {
        sta__x86_mov(x, false, dst, src);
        return;
    }
    put_rex(x, false, dst, 0, src, bits == 8 && is_byte_reg(src));
    put_opcode(x, bits == 8 ? 0x0fb6 : 0x0fb7);
    put_modrm(x, 3, dst, src);
}

void sta__x86_movsx(struct sta__x86 *x, bool wide, unsigned bits, enum sta__x86_reg dst,
                    enum sta__x86_reg src)
{
    put_rex(x, wide, dst, 0, src, bits == 8 && is_byte_reg(src));
    put_opcode(x, bits == 8 ? 0x0fbe : bits == 16 ? 0x0fbf : 0x63);
    put_modrm(x, 3, dst, src);
}

void sta__x86_alu(struct sta__x86 *x, enum sta__x86_alu op, bool wide, enum sta__x86_reg dst,
                  enum sta__x86_reg src)
{
    op_reg(x, wide, op << 3 | 1, src, dst);
}

void sta__x86_alu_imm(struct sta__x86 *x, enum sta__x86_alu op, bool wide, enum sta__x86_reg dst,
                      int32_t imm)
{
    if (fits_8(imm)) {
        op_reg(x, wide, 0x83, op, dst);
        put(x, (uint8_t)imm);
    } else if (dst == STA__RAX) {
        put_rex(x, wide, 0, 0, 0, false);
        put(x, op << 3 | 5);
        put32(x, imm);
    } else {
        op_reg(x, wide, 0x81, op, dst);
        put32(x, imm);
    }
}

void sta__x86_test(struct sta__x86 *x, bool wide, enum sta__x86_reg a, enum sta__x86_reg b)
{
    op_reg(x, wide, 0x85, b, a);
}

void sta__x86_test_imm(struct sta__x86 *x, bool wide, enum sta__x86_reg a, int32_t imm)
{
    /* Bits of the lowest byte need only that byte, and one below bit 31 no upper half; the sign
     * flag, which differs, is of no use here. */
    if (imm >= 0 && imm <= 0xff) {
        put_rex(x, false, 0, 0, a, is_byte_reg(a));
        if (a != STA__RAX) {
            put(x, 0xf6);
            put_modrm(x, 3, 0, a);
        } else {
            put(x, 0xa8);
        }
        put(x, (uint8_t)imm);
        return;
    }
    wide = wide && imm < 0;
    if (a == STA__RAX) {
        put_rex(x, wide, 0, 0, 0, false);
        put(x, 0xa9);
    } else {
        op_reg(x, wide, 0xf7, 0, a);
    }
    put32(x, imm);
}

void sta__x86_inc(struct sta__x86 *x, bool wide, enum sta__x86_reg dst)
{
    op_reg(x, wide, 0xff, 0, dst);
}

void sta__x86_dec(struct sta__x86 *x, bool wide, enum sta__x86_reg dst)
{
    op_reg(x, wide, 0xff, 1, dst);
}

void sta__x86_imul(struct sta__x86 *x, bool wide, enum sta__x86_reg dst, enum sta__x86_reg src)
{
    op_reg(x, wide, 0x0faf, dst, src);
}

void sta__x86_imul_imm(struct sta__x86 *x, bool wide, enum sta__x86_reg dst, enum sta__x86_reg src,
                       int32_t imm)
{
    op_reg(x, wide, fits_8(imm) ? 0x6b : 0x69, dst, src);
    if (fits_8(imm))
        put(x, (uint8_t)imm);
    else
        put32(x, imm);
}

void sta__x86_unary(struct sta__x86 *x, enum sta__x86_unary op, bool wide, enum sta__x86_reg dst)
{
    op_reg(x, wide, 0xf7, op, dst);
}

void sta__x86_cqo(struct sta__x86 *x, bool wide)
{
    put_rex(x, wide, 0, 0, 0, false);
    put(x, 0x99);
}

void sta__x86_shift_imm(struct sta__x86 *x, enum sta__x86_shift op, bool wide,
                        enum sta__x86_reg dst, unsigned count)
{
    op_reg(x, wide, count == 1 ? 0xd1 : 0xc1, op, dst);
    if (count != 1)
        put(x, count);
}

void sta__x86_shift_cl(struct sta__x86 *x, enum sta__x86_shift op, bool wide, enum sta__x86_reg dst)
{
    op_reg(x, wide, 0xd3, op, dst);
}

/* VEX in three bytes: c4, inverted R X B and the opcode map 0f38, then W, the inverted register
 * `count`, L = 0 and the prefix that tells the three apart. */
void sta__x86_shiftx(struct sta__x86 *x, enum sta__x86_shift op, bool wide, enum sta__x86_reg dst,
                     enum sta__x86_reg src, enum sta__x86_reg count)
{
    unsigned prefix = op == STA__X86_SHL ? 1 : op == STA__X86_SAR ? 2 : 3;

    put(x, 0xc4);
    put(x, (dst >= 8 ? 0 : 0x80) | 0x40 | (src >= 8 ? 0 : 0x20) | 2);
    put(x, (wide ? 0x80 : 0) | (~(unsigned)count & 15) << 3 | prefix);
    put(x, 0xf7);
    put_modrm(x, 3, dst, src);
}

void sta__x86_bswap(struct sta__x86 *x, bool wide, enum sta__x86_reg dst)
{
    put_rex(x, wide, 0, 0, dst, false);
    put(x, 0x0f);
    put(x, 0xc8 | (dst & 7));
}

void sta__x86_rol16(struct sta__x86 *x, enum sta__x86_reg dst, unsigned count)
{
    put(x, 0x66);
    op_reg(x, false, 0xc1, 0, dst);
    put(x, count);
}

void sta__x86_load(struct sta__x86 *x, unsigned size, enum sta__x86_reg dst,
                   struct sta__x86_mem mem)
{
    op_mem(x, size == 8, size == 1 ? 0x0fb6 : size == 2 ? 0x0fb7 : 0x8b, dst, mem);
}

void sta__x86_load_signed(struct sta__x86 *x, unsigned size, enum sta__x86_reg dst,
                          struct sta__x86_mem mem)
{
    op_mem(x, true, size == 1 ? 0x0fbe : size == 2 ? 0x0fbf : size == 4 ? 0x63 : 0x8b, dst, mem);
}

void sta__x86_store(struct sta__x86 *x, unsigned size, struct sta__x86_mem mem,
                    enum sta__x86_reg src)
{
    if (size == 2)
        put(x, 0x66);
    put_rex(x, size == 8, src, 0, mem.base, size == 1 && is_byte_reg(src));
    put(x, size == 1 ? 0x88 : 0x89);
    put_mem(x, src, mem);
}

void sta__x86_store_imm(struct sta__x86 *x, unsigned size, struct sta__x86_mem mem, int32_t imm)
{
    if (size == 2)
        put(x, 0x66);
    op_mem(x, size == 8, size == 1 ? 0xc6 : 0xc7, 0, mem);
    if (size >= 4) {
        put32(x, imm);
        return;
    }
    put(x, (uint8_t)imm);
    if (size == 2)
        put(x, (uint8_t)(imm >> 8));
}

void sta__x86_lea(struct sta__x86 *x, bool wide, enum sta__x86_reg dst, struct sta__x86_mem mem)
{
    op_mem(x, wide, 0x8d, dst, mem);
}

void sta__x86_lea_sum(struct sta__x86 *x, bool wide, enum sta__x86_reg dst, enum sta__x86_reg base,
                      enum sta__x86_reg index)
{
    bool needs_disp = (base & 7) == STA__RBP;

    put_rex(x, wide, dst, index, base, false);
    put(x, 0x8d);
    put_modrm(x, needs_disp ? 1 : 0, dst, STA__RSP);
    put(x, (index & 7) << 3 | (base & 7));
    if (needs_disp)
        put(x, 0);
}

void sta__x86_lea_rip(struct sta__x86 *x, enum sta__x86_reg dst, int32_t distance)
{
    put_rex(x, true, dst, 0, 0, false);
    put(x, 0x8d);
    put_modrm(x, 0, dst, STA__RBP);
    put32(x, distance);
}

void sta__x86_lock_alu(struct sta__x86 *x, enum sta__x86_alu op, bool wide, struct sta__x86_mem mem,
                       enum sta__x86_reg src)
{
    put(x, 0xf0);
    op_mem(x, wide, op << 3 | 1, src, mem);
}

void sta__x86_lock_xadd(struct sta__x86 *x, bool wide, struct sta__x86_mem mem,
                        enum sta__x86_reg reg)
{
    put(x, 0xf0);
    op_mem(x, wide, 0x0fc1, reg, mem);
}

void sta__x86_lock_cmpxchg(struct sta__x86 *x, bool wide, struct sta__x86_mem mem,
                           enum sta__x86_reg src)
{
    put(x, 0xf0);
    op_mem(x, wide, 0x0fb1, src, mem);
}

void sta__x86_xchg(struct sta__x86 *x, bool wide, struct sta__x86_mem mem, enum sta__x86_reg reg)
{
    op_mem(x, wide, 0x87, reg, mem); /* locked by itself */
}

void sta__x86_push(struct sta__x86 *x, enum sta__x86_reg reg)
{
    put_rex(x, false, 0, 0, reg, false);
    put(x, 0x50 | (reg & 7));
}

void sta__x86_push_imm8(struct sta__x86 *x, int8_t imm)
{
    put(x, 0x6a);
    put(x, (uint8_t)imm);
}

void sta__x86_pop(struct sta__x86 *x, enum sta__x86_reg reg)
{
    put_rex(x, false, 0, 0, reg, false);
    put(x, 0x58 | (reg & 7));
}

void sta__x86_leave(struct sta__x86 *x)
{
    put(x, 0xc9);
}

void sta__x86_ret(struct sta__x86 *x)
{
    put(x, 0xc3);
}

void sta__x86_call(struct sta__x86 *x, int32_t distance)
{
    put(x, 0xe8);
    put32(x, distance);
}

void sta__x86_call_reg(struct sta__x86 *x, enum sta__x86_reg reg)
{
    op_reg(x, false, 0xff, 2, reg);
}

void sta__x86_jmp(struct sta__x86 *x, bool is_short, int32_t distance)
{
    put(x, is_short ? 0xeb : 0xe9);
    if (is_short)
        put(x, (uint8_t)distance);
    else
        put32(x, distance);
}

void sta__x86_jmp_mem(struct sta__x86 *x, struct sta__x86_mem mem)
{
    op_mem(x, false, 0xff, 4, mem);
}

void sta__x86_jcc(struct sta__x86 *x, enum sta__x86_cond cond, bool is_short, int32_t distance)
{
    put_opcode(x, (is_short ? 0x70u : 0x0f80u) | cond);
    if (is_short)
        put(x, (uint8_t)distance);
    else
        put32(x, distance);
}

/* nopw 0x0(%rax,%rax,1) and its shorter sisters. */
void sta__x86_nop(struct sta__x86 *x, unsigned count)
{
    static const char nops[9][9] = {
        "\x90",         "\x66\x90",     "\x0f\x1f\x00",
        "\x0f\x1f\x40", "\x0f\x1f\x44", "\x66\x0f\x1f\x44",
        "\x0f\x1f\x80", "\x0f\x1f\x84", "\x66\x0f\x1f\x84",
    };

    while (count) {
        unsigned size = count < 9 ? count : 9;

        memcpy(x->at, nops[size - 1], size);
        x->at += size;
        count -= size;
    }
}
