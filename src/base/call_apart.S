/* SPDX-License-Identifier: MIT */
/*
 * See private_stack.h. From the switch on the frame is known by rbp, which is the caller's to
 * unwinders: they go from one stack to the other without noticing.
 */
        .text

.macro switch_stack
        .cfi_startproc
        push    %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset %rbp, -16
        mov     %rsp, %rbp
        .cfi_def_cfa_register %rbp
        mov     %r9, %rsp
.endm

.macro switch_back
        leave
        .cfi_restore %rbp
        .cfi_def_cfa %rsp, 8
        ret
        .cfi_endproc
.endm

        .globl  sta__call_apart
        .hidden sta__call_apart
        .type   sta__call_apart, @function
        .balign 16
/* fn rdi, ctx rsi, ctx_size rdx, ret rcx, user_data r8, top r9 */
sta__call_apart:
        switch_stack
        mov     %rdi, %rax
        mov     %rsi, %rdi
        mov     %rdx, %rsi
        mov     %rcx, %rdx
        mov     %r8, %rcx
        call    *%rax
        switch_back
        .size   sta__call_apart, . - sta__call_apart

        .globl  sta__call_apart_with_vectors_saved
        .hidden sta__call_apart_with_vectors_saved
        .type   sta__call_apart_with_vectors_saved, @function
        .balign 16
sta__call_apart_with_vectors_saved:
        switch_stack
        call    sta__call_with_vectors_saved
        switch_back
        .size   sta__call_apart_with_vectors_saved, . - sta__call_apart_with_vectors_saved

        .section .note.GNU-stack, "", @progbits
