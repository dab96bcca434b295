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

/* r1 = the map, r2 = the key at -8, of eight bytes. */
static void put_arguments(struct vm_program *out)
{
    put(out, STA__OP_LDDW, 1, BPF_PSEUDO_MAP_FD, 0, 0);
    put(out, 0, 0, 0, 0, 0);
    put(out, STA__OP_MOV64X, 2, 10, 0, 0);
    put(out, STA__OP_ADD64K, 2, 0, 0, -8);
}

static void put_lookup(struct vm_program *out, uint32_t map_type, uint32_t key_size)
{
    out->map_type = map_type;
    out->key_size = key_size;
    put(out, STA__OP_STDW, 10, 0, -8, 1);
    put_arguments(out);
    put(out, STA__OP_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem);
}

/* Element 1 becomes what is at -16. */
static void put_update(struct vm_program *out, uint64_t flags)
{
    put_arguments(out);
    put(out, STA__OP_MOV64X, 3, 10, 0, 0);
    put(out, STA__OP_ADD64K, 3, 0, 0, -16);
    put(out, STA__OP_MOV64K, 4, 0, 0, (int32_t)flags);
    put(out, STA__OP_CALL, 0, 0, 0, BPF_FUNC_map_update_elem);
}

static void put_end(struct vm_program *out)
{
    put(out, STA__OP_MOV64K, 0, 0, 0, 0);
    put(out, STA__OP_EXIT, 0, 0, 0, 0);
}

void vm_program_array(struct vm_program *out)
{
    put_lookup(out, BPF_MAP_TYPE_ARRAY, 4);
    put(out, STA__OP_JEQ64K, 0, 0, 3, 0);
    put(out, STA__OP_LDXDW, 1, 0, 0, 0);
    put(out, STA__OP_ADD64K, 1, 0, 0, 1);
    put(out, STA__OP_STXDW, 0, 1, 0, 0);
    put_end(out);
}

void vm_program_hash(struct vm_program *out)
{
    put_lookup(out, BPF_MAP_TYPE_HASH, 8);
    put(out, STA__OP_MOV64K, 1, 0, 0, 0);
    put(out, STA__OP_JEQ64K, 0, 0, 1, 0);
    put(out, STA__OP_LDXDW, 1, 0, 0, 0);
    put(out, STA__OP_ADD64K, 1, 0, 0, 1);
    put(out, STA__OP_STXDW, 10, 1, -16, 0);
    put_update(out, BPF_ANY);
    put_end(out);
}

void vm_program_count(struct vm_program *out)
{
    put(out, STA__OP_CALL, 0, 0, 0, BPF_FUNC_get_current_pid_tgid);
    put(out, STA__OP_RSH64K, 0, 0, 0, 32);
    put(out, STA__OP_JEQ64K, 0, 0, 19, -1); /* nobody's */
    put_lookup(out, BPF_MAP_TYPE_HASH, 8);
    put(out, STA__OP_JEQ64K, 0, 0, 3, 0);
    put(out, STA__OP_MOV64K, 1, 0, 0, 1);
    put(out, STA__OP_ATOMICDW, 0, 1, 0, BPF_ADD);
    put(out, STA__OP_JA, 0, 0, 9, 0);
    put(out, STA__OP_STDW, 10, 0, -16, 1);
    put_update(out, BPF_NOEXIST);
    put_end(out);
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
