/* SPDX-License-Identifier: MIT */
/*
 * A small assembler for tests, in the dialect of the public conformance suites, one instruction a
 * line; `#` begins a comment, `%` before registers may be left out:
 *
 *      mov %r0, 5            add sub mul div sdiv or and lsh rsh mod smod xor mov arsh; neg
 *      add32 %r0, %r1        with 32: of 32 bits; movsx864, movsx1632 ..: sign-extending moves
 *      be16 %r0              le16 .. be64; bswap16 .. bswap64 (or swap16)
 *      lddw %r0, 0x1122334455667788
 *      lddw %r1, map 3       map 3, value 3+8, map_idx 0, value_idx 0+8: maps by fd or index
 *      lddw %r2, func body   a subprogram's address
 *      ldxdw %r0, [%r1+8]    ldxb ldxh ldxw; ldxsb ldxsh ldxsw: sign-extending
 *      stdw [%r1-8], 5       stb sth stw
 *      stxdw [%r1-8], %r0    stxb stxh stxw
 *      lock add [%r1], %r2   or and xor; lock fetch add ..; xchg cmpxchg; with 32: of 32 bits
 *      ldacqw %r0, [%r1]     load-acquire: ldacqb ldacqh ldacqdw
 *      strelw [%r1], %r0     store-release
 *      again:                a label
 *      jeq %r0, 5, again     jne jgt jge jlt jle jsgt jsge jslt jsle jset; jeq32: of 32 bits
 *      ja +2                 goto, to a label or so many instructions on; ja32: the long form
 *      call 5                a helper; call local f: a subprogram
 *      exit                  the first one has the label exit
 *      word 0x95             any instruction word
 */
#ifndef STA_TESTS_EBPF_ASM_H
#define STA_TESTS_EBPF_ASM_H

#include <linux/bpf.h>
#include <stddef.h>

/* Assembles `text` (up to its NUL). Returns how many instructions there are; 0: `error` tells the
 * line and what is wrong with it. */
size_t ebpf_assemble(const char *text, struct bpf_insn *insns, size_t room, char *error,
                     size_t error_size);

#endif
