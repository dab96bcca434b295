/* SPDX-License-Identifier: MIT */
/* See gate.h. The name of the section is a C identifier so that the linker defines its bounds. */
        .section sta_gate, "ax", @progbits

/* int64_t sta__raw_syscall(nr rdi, a1 rsi, a2 rdx, a3 rcx, a4 r8, a5 r9, a6 8(%rsp)) */
        .globl  sta__raw_syscall
        .hidden sta__raw_syscall
        .type   sta__raw_syscall, @function
        .balign 16
sta__raw_syscall:
        .cfi_startproc
        mov     %rdi, %rax
        mov     %rsi, %rdi
        mov     %rdx, %rsi
        mov     %rcx, %rdx
        mov     %r8, %r10
        mov     %r9, %r8
        mov     8(%rsp), %r9
        syscall
        ret
        .cfi_endproc
        .size   sta__raw_syscall, . - sta__raw_syscall

        .section .note.GNU-stack, "", @progbits
