/* SPDX-License-Identifier: MIT */
/*
 * Calls native code and looks whether the registers are afterwards that a function has to keep.
 */
#ifndef TESTS_NATIVE_CALL_H
#define TESTS_NATIVE_CALL_H

#include <stddef.h>
#include <stdint.h>

#include <sta/attach.h>

/* Returns what `function` returns. *damage is 0 if rbx, rbp and r12 to r15 are as before, and rsp;
 * else some other number. */
int native_call(sta_callback function, void *ctx, size_t ctx_size, uint64_t *ret, uint64_t *damage);

/* Each register has a value of its own meanwhile; afterwards the differences are gathered. (rsp is
 * compared by what is popped: the mark that lies at the top.) */
__asm__(".pushsection .text\n"
        ".globl native_call\n"
        ".type native_call, @function\n"
        "native_call:\n"
        "    push %rbx\n"
        "    push %rbp\n"
        "    push %r12\n"
        "    push %r13\n"
        "    push %r14\n"
        "    push %r15\n"
        "    push %r8\n"
        "    mov %rdi, %rax\n"
        "    mov %rsi, %rdi\n"
        "    mov %rdx, %rsi\n"
        "    mov %rcx, %rdx\n"
        "    movabs $0x1b1b1b1b2c2c2c2c, %rbx\n"
        "    lea 1(%rbx), %rbp\n"
        "    lea 2(%rbx), %r12\n"
        "    lea 3(%rbx), %r13\n"
        "    lea 4(%rbx), %r14\n"
        "    lea 5(%rbx), %r15\n"
        "    push %rbx\n"
        "    push %r15\n"
        "    movabs $0xdeadbeefdeadbeef, %r9\n" /* what is not an argument is not to matter */
        "    mov %r9, %r10\n"
        "    mov %r9, %r11\n"
        "    call *%rax\n"
        "    pop %rcx\n"
        "    pop %rdx\n"
        "    movabs $0x1b1b1b1b2c2c2c2c, %rsi\n"
        "    xor %rsi, %rdx\n"
        "    sub $5, %rcx\n"
        "    xor %rsi, %rcx\n"
        "    or %rcx, %rdx\n"
        "    xor %rsi, %rbx\n"
        "    or %rbx, %rdx\n"
        "    sub $1, %rbp\n"
        "    xor %rsi, %rbp\n"
        "    or %rbp, %rdx\n"
        "    sub $2, %r12\n"
        "    xor %rsi, %r12\n"
        "    or %r12, %rdx\n"
        "    sub $3, %r13\n"
        "    xor %rsi, %r13\n"
        "    or %r13, %rdx\n"
        "    sub $4, %r14\n"
        "    xor %rsi, %r14\n"
        "    or %r14, %rdx\n"
        "    sub $5, %r15\n"
        "    xor %rsi, %r15\n"
        "    or %r15, %rdx\n"
        "    pop %r8\n"
        "    mov %rdx, (%r8)\n"
        "    pop %r15\n"
        "    pop %r14\n"
        "    pop %r13\n"
        "    pop %r12\n"
        "    pop %rbp\n"
        "    pop %rbx\n"
        "    ret\n"
        ".size native_call, . - native_call\n"
        ".popsection\n");

#endif
