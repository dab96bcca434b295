/* SPDX-License-Identifier: MIT */
#include "vm_programs.h"

#include "ebpf/isa.h"

static void put(struct vm_program *to, unsigned code, unsigned dst, unsigned src, int off,
                int32_t imm)
{
    to->insns[to->count++] = (struct bpf_insn){
        .code = (uint8_t)code,
        .dst_reg = dst & 15,
        .src_reg = src & 15,
        .off = (int16_t)off,
        .imm = imm,
    };
}

void vm_program_empty(struct vm_program *out)
{
    put(out, STA__OP_MOV64K, 0, 0, 0, 0);
    put(out, STA__OP_EXIT, 0, 0, 0, 0);
    out->result = 0;
}

void vm_program_alu(struct vm_program *out)
{
    uint64_t a = 7, b = 11, c = 13, d = 17;

    put(out, STA__OP_MOV64K, 0, 0, 0, (int32_t)a);
    put(out, STA__OP_MOV64K, 2, 0, 0, (int32_t)b);
    put(out, STA__OP_MOV64K, 4, 0, 0, (int32_t)c);
    put(out, STA__OP_MOV64K, 5, 0, 0, (int32_t)d);
    for (int i = 0; i < 2; i++) {
        put(out, STA__OP_ADD64X, 0, 2, 0, 0);
        put(out, STA__OP_XOR64X, 4, 5, 0, 0);
        put(out, STA__OP_LSH64K, 2, 0, 0, 3);
        put(out, STA__OP_SUB64K, 5, 0, 0, 100);
        a += b, c ^= d, b <<= 3, d -= 100;
    }
    put(out, STA__OP_XOR64X, 4, 5, 0, 0);
    put(out, STA__OP_AND64K, 4, 0, 0, 0xfff);
    put(out, STA__OP_ADD64X, 0, 4, 0, 0);
    put(out, STA__OP_XOR64X, 0, 2, 0, 0);
    put(out, STA__OP_EXIT, 0, 0, 0, 0);
    out->result = (a + ((c ^ d) & 0xfff)) ^ b;
}

/* Each turn waits for the multiplication of the one before. */
void vm_program_loop(struct vm_program *out)
{
    uint64_t a = 1;

    put(out, STA__OP_MOV64K, 0, 0, 0, 1);
    put(out, STA__OP_MOV64K, 2, 0, 0, 1000);
    put(out, STA__OP_MUL64K, 0, 0, 0, 7);
    put(out, STA__OP_ADD64K, 2, 0, 0, -1);
    put(out, STA__OP_JNE64K, 2, 0, -3, 0);
    put(out, STA__OP_EXIT, 0, 0, 0, 0);
    for (int i = 0; i < 1000; i++)
        a *= 7;
    out->result = a;
}

void vm_program_calls(struct vm_program *out)
{
    put(out, STA__OP_MOV64K, 6, 0, 0, 1000);
    put(out, STA__OP_MOV64K, 7, 0, 0, 0);
    put(out, STA__OP_MOV64X, 1, 6, 0, 0); /* again: */
    put(out, STA__OP_CALL, 0, BPF_PSEUDO_CALL, 0, 5);
    put(out, STA__OP_ADD64X, 7, 0, 0, 0);
    put(out, STA__OP_ADD64K, 6, 0, 0, -1);
    put(out, STA__OP_JNE64K, 6, 0, -5, 0);
    put(out, STA__OP_MOV64X, 0, 7, 0, 0);
    put(out, STA__OP_EXIT, 0, 0, 0, 0);
    put(out, STA__OP_MOV64X, 0, 1, 0, 0); /* r0 = r1 + 1 */
    put(out, STA__OP_ADD64K, 0, 0, 0, 1);
    put(out, STA__OP_EXIT, 0, 0, 0, 0);
    out->result = 1000 * 1001 / 2 + 1000;
}

/* 16 instructions. */
static void put_block(struct vm_program *out, int i)
{
    put(out, STA__OP_LDXDW, 7, 6, 16 + 8 * (i % 6), 0);
    put(out, STA__OP_MOV64X, 1, 7, 0, 0);
    put(out, STA__OP_RSH64K, 1, 0, 0, i + 1);
    put(out, STA__OP_AND64K, 1, 0, 0, 0xff);
    put(out, STA__OP_STXDW, 10, 1, -8 - 8 * (i % 4), 0);
    put(out, STA__OP_JEQ64K, 1, 0, 6, i);
    put(out, STA__OP_CALL, 0, 0, 0, i % 2 ? BPF_FUNC_ktime_get_ns : BPF_FUNC_get_smp_processor_id);
    put(out, STA__OP_ADD64X, 8, 0, 0, 0);
    put(out, STA__OP_LDXDW, 2, 10, -8 - 8 * (i % 4), 0);
    put(out, STA__OP_ADD64X, 8, 2, 0, 0);
    put(out, STA__OP_JSGT32K, 7, 0, 1, 1000);
    put(out, STA__OP_XOR64K, 8, 0, 0, 0x1234567);
    put(out, STA__OP_MOV64X, 3, 10, 0, 0);
    put(out, STA__OP_ADD64K, 3, 0, 0, -8 - 8 * (i % 4));
    put(out, STA__OP_STXW, 3, 8, 0, 0);
    put(out, STA__OP_OR32X, 8, 7, 0, 0);
}

void vm_program_large(struct vm_program *out)
{
    put(out, STA__OP_MOV64X, 6, 1, 0, 0);
    put(out, STA__OP_MOV64K, 8, 0, 0, 0);
    for (int i = 0; i < 12; i++)
        put_block(out, i);
    while (out->count < 198)
        put(out, STA__OP_ADD64K, 8, 0, 0, 1);
    put(out, STA__OP_MOV64X, 0, 8, 0, 0);
    put(out, STA__OP_EXIT, 0, 0, 0, 0);
}
