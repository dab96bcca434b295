/* SPDX-License-Identifier: MIT */
/* See faults.h. In the gate's section: returning from a fault of ours is not intercepted. */
        .section sta_gate, "ax", @progbits

/* void sta__fault_handler(int signal, siginfo_t *info, void *context) */
        .globl  sta__fault_handler
        .hidden sta__fault_handler
        .type   sta__fault_handler, @function
        .balign 16
sta__fault_handler:
        .cfi_startproc
        push    %rdi
        .cfi_adjust_cfa_offset 8
        push    %rsi
        .cfi_adjust_cfa_offset 8
        push    %rdx
        .cfi_adjust_cfa_offset 8
        call    sta__fault_taken
        pop     %rdx
        .cfi_adjust_cfa_offset -8
        pop     %rsi
        .cfi_adjust_cfa_offset -8
        pop     %rdi
        .cfi_adjust_cfa_offset -8
        test    %rax, %rax
        jz      .Lreturn
        /* The application's handler, called by the kernel for all that it can tell. */
        mov     %rax, %rcx
        xor     %eax, %eax
        jmp     *%rcx
.Lreturn:
        mov     %rdx, %rsp              /* the context, where rt_sigreturn looks for it */
        mov     $15, %eax
        syscall
        hlt
        .cfi_endproc
        .size   sta__fault_handler, . - sta__fault_handler

        .section .note.GNU-stack, "", @progbits
