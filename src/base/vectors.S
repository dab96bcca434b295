/* SPDX-License-Identifier: MIT */
/* See vectors.h. */
        .text
        .globl  sta__call_with_vectors_saved
        .hidden sta__call_with_vectors_saved
        .type   sta__call_with_vectors_saved, @function
        .balign 16
/* fn rdi, ctx rsi, ctx_size rdx, ret rcx, user_data r8 */
sta__call_with_vectors_saved:
        .cfi_startproc
        push    %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset %rbp, -16
        mov     %rsp, %rbp
        .cfi_def_cfa_register %rbp
        push    %rbx
        .cfi_offset %rbx, -24
        mov     %rdi, %rbx

        sub     sta__vectors_size(%rip), %rsp
        and     $-64, %rsp
        mov     %rdx, %r9               /* rdx:rax is the component mask */
        xor     %edx, %edx
        mov     sta__vectors_mask(%rip), %eax
        test    %eax, %eax
        jz      .Lfxsave
        mov     %rdx, 512(%rsp)         /* xrstor wants a header without garbage */
        mov     %rdx, 520(%rsp)
        mov     %rdx, 528(%rsp)
        mov     %rdx, 536(%rsp)
        mov     %rdx, 544(%rsp)
        mov     %rdx, 552(%rsp)
        mov     %rdx, 560(%rsp)
        mov     %rdx, 568(%rsp)
        cmpl    $0, sta__vectors_compact(%rip)
        je      .Lxsave
        xsavec  (%rsp)
        jmp     .Lsaved
.Lxsave:
        xsave   (%rsp)
        jmp     .Lsaved
.Lfxsave:
        fxsave  (%rsp)
.Lsaved:
        mov     %rsi, %rdi
        mov     %r9, %rsi
        mov     %rcx, %rdx
        mov     %r8, %rcx
        call    *%rbx

        mov     %eax, %ebx
        xor     %edx, %edx
        mov     sta__vectors_mask(%rip), %eax
        test    %eax, %eax
        jz      .Lfxrstor
        xrstor  (%rsp)
        jmp     .Lrestored
.Lfxrstor:
        fxrstor (%rsp)
.Lrestored:
        mov     %ebx, %eax
        lea     -8(%rbp), %rsp
        pop     %rbx
        pop     %rbp
        .cfi_def_cfa %rsp, 8
        ret
        .cfi_endproc
        .size   sta__call_with_vectors_saved, . - sta__call_with_vectors_saved

        .section .note.GNU-stack, "", @progbits
