/* SPDX-License-Identifier: MIT */
/*
 * See scan_blocks.h. Sixteen bytes at a time, in vector registers. As this may run inside a call of
 * the application, what was in them is put back; only bytes are compared, so no flag in mxcsr
 * changes.
 *
 * In both functions: rdi the block, rsi where the blocks end, xmm0 to xmm2 scratch.
 */
#define BLOCK 64

/* Those that are used. */
.macro save_vectors
        .cfi_startproc
        sub     $120, %rsp
        .cfi_adjust_cfa_offset 120
        .irp    n, 0,1,2,3,4,5,6
        movups  %xmm\n, 16*\n(%rsp)
        .endr
.endm

.macro return_with_vectors
        .irp    n, 0,1,2,3,4,5,6
        movups  16*\n(%rsp), %xmm\n
        .endr
        add     $120, %rsp
        .cfi_adjust_cfa_offset -120
        ret
        .cfi_endproc
.endm

/* xmm0: ff at each of the 16 places with the bytes 0f 05. */
.macro find_syscalls at
        movdqu  \at(%rdi), %xmm0
        movdqu  \at + 1(%rdi), %xmm1
        pcmpeqb %xmm3, %xmm0
        pcmpeqb %xmm4, %xmm1
        pand    %xmm1, %xmm0
.endm

/* The same for any byte and e9, and for 0f 80 to 0f 8f. Shifts \out left by 16 bits and adds the 16
 * of this. */
.macro find_branches at, out
        movdqu  \at(%rdi), %xmm0
        movdqu  \at + 1(%rdi), %xmm1
        movdqa  %xmm1, %xmm2
        pcmpeqb %xmm4, %xmm2
        pcmpeqb %xmm3, %xmm0
        pand    %xmm5, %xmm1
        pcmpeqb %xmm6, %xmm1
        pand    %xmm1, %xmm0
        por     %xmm2, %xmm0
        pmovmskb %xmm0, %eax
        shl     $16, \out
        or      %rax, \out
.endm

        .section .rodata
        .p2align 4
.Lall_0f:
        .fill   16, 1, 0x0f
.Lall_05:
        .fill   16, 1, 0x05
.Lall_e9:
        .fill   16, 1, 0xe9
.Lall_f0:
        .fill   16, 1, 0xf0
.Lall_80:
        .fill   16, 1, 0x80

        .text
        .globl  sta__scan_blocks_for_syscall
        .hidden sta__scan_blocks_for_syscall
        .type   sta__scan_blocks_for_syscall, @function
sta__scan_blocks_for_syscall:
        save_vectors
        movdqa  .Lall_0f(%rip), %xmm3
        movdqa  .Lall_05(%rip), %xmm4
        jmp     2f
1:      find_syscalls 0
        movdqa  %xmm0, %xmm2
        find_syscalls 16
        por     %xmm0, %xmm2
        find_syscalls 32
        por     %xmm0, %xmm2
        find_syscalls 48
        por     %xmm0, %xmm2
        pmovmskb %xmm2, %eax
        test    %eax, %eax
        jnz     3f
        add     $BLOCK, %rdi
2:      cmp     %rsi, %rdi
        jb      1b
3:      mov     %rdi, %rax
        return_with_vectors
        .size   sta__scan_blocks_for_syscall, . - sta__scan_blocks_for_syscall

        .globl  sta__scan_blocks_for_branches
        .hidden sta__scan_blocks_for_branches
        .type   sta__scan_blocks_for_branches, @function
/* rdx: where the bits of the block go. */
sta__scan_blocks_for_branches:
        save_vectors
        movdqa  .Lall_0f(%rip), %xmm3
        movdqa  .Lall_e9(%rip), %xmm4
        movdqa  .Lall_f0(%rip), %xmm5
        movdqa  .Lall_80(%rip), %xmm6
        jmp     2f
1:      xor     %ecx, %ecx
        find_branches 48, %rcx
        find_branches 32, %rcx
        find_branches 16, %rcx
        find_branches 0, %rcx
        mov     %rcx, (%rdx)
        add     $8, %rdx
        add     $BLOCK, %rdi
2:      cmp     %rsi, %rdi
        jb      1b
        return_with_vectors
        .size   sta__scan_blocks_for_branches, . - sta__scan_blocks_for_branches

        .section .note.GNU-stack, "", @progbits
