/* SPDX-License-Identifier: MIT */
/* See entry.h. In the gate's section: system calls made here are never intercepted. */
#include "transform/entry.h"

        .section sta_gate, "ax", @progbits

#define FLAG_DIRECTION 0x400
#define FLAG_OVERFLOW  0x800

/* rsp + offset points to a frame: the caller's registers are where they were, its stack pointer and
 * return address in the frame. 0x0f: CFA = *(rsp + FRAME_SP); 0x10: rip was saved at rsp +
 * FRAME_RETURN_ADDRESS. The operands are sleb128. */
.macro cfi_frame offset=0
        .cfi_escape 0x0f, 4, 0x77, (STA__FRAME_SP + \offset) | 0x80, 0, 0x06
        .cfi_escape 0x10, 16, 3, 0x77, (STA__FRAME_RETURN_ADDRESS + \offset) | 0x80, 0
.endm

/* The stack pointer at the entry is this far below the application's: the red zone and the address
 * that the entry was called from. */
#define CALLED_BELOW (128 + 8)

/* Builds a frame. In: registers of the call, rcx return address. Out: r11 is the application's stack
 * pointer, and the flags are at PUSHED_FLAGS(%r11): aligning changes them. */
#define PUSHED_FLAGS (-CALLED_BELOW - 8)
.macro build_frame
        lea     CALLED_BELOW(%rsp), %r11
        .cfi_def_cfa %r11, 0
        pushfq
        lea     -STA__FRAME_SIZE(%rsp), %rsp
        and     $-16, %rsp
        mov     %r11, STA__FRAME_SP(%rsp)
        mov     %rcx, STA__FRAME_RETURN_ADDRESS(%rsp)
        mov     %rdi, STA__FRAME_ARGS + 0(%rsp)
        mov     %rsi, STA__FRAME_ARGS + 8(%rsp)
        mov     %rdx, STA__FRAME_ARGS + 16(%rsp)
        mov     %r10, STA__FRAME_ARGS + 24(%rsp)
        mov     %r8, STA__FRAME_ARGS + 32(%rsp)
        mov     %r9, STA__FRAME_ARGS + 40(%rsp)
        mov     %rbp, STA__FRAME_BP(%rsp)
.endm

/* As if the entry had been called by what is behind sta__entry_by_jump: where the address that it
 * was called from is gone. In: the application's stack pointer. r11 is used. */
.macro as_if_called
        lea     -CALLED_BELOW(%rsp), %rsp
        .cfi_def_cfa %rsp, CALLED_BELOW
        lea     .Ljump_back(%rip), %r11
        mov     %r11, (%rsp)
.endm

.macro load_arguments
        mov     STA__FRAME_ARGS + 0(%rsp), %rdi
        mov     STA__FRAME_ARGS + 8(%rsp), %rsi
        mov     STA__FRAME_ARGS + 16(%rsp), %rdx
        mov     STA__FRAME_ARGS + 24(%rsp), %r10
        mov     STA__FRAME_ARGS + 32(%rsp), %r8
        mov     STA__FRAME_ARGS + 40(%rsp), %r9
.endm

/* What a frame of a child, or of a vfork's parent, cannot get from the registers; rax is used. */
.macro complete_frame seed, offset=0
        mov     STA__SEED_NR + \offset(\seed), %rax
        mov     %rax, STA__FRAME_NR(%rsp)
        mov     STA__SEED_FLAGS + \offset(\seed), %rax
        mov     %rax, STA__FRAME_FLAGS(%rsp)
        mov     STA__SEED_CLONE_FLAGS + \offset(\seed), %rax
        mov     %rax, STA__FRAME_CLONE_FLAGS(%rsp)
        mov     STA__SEED_BLOCKED + \offset(\seed), %rax
        mov     %rax, STA__FRAME_BLOCKED(%rsp)
.endm

.macro load_flags
        pushq   STA__FRAME_FLAGS(%rsp)
        cfi_frame 8
        popfq
        cfi_frame
.endm

        .globl  sta__entry
        .hidden sta__entry
        .type   sta__entry, @function
        .balign 64
sta__entry:
        .cfi_startproc
        .cfi_def_cfa %rsp, CALLED_BELOW
        .cfi_register %rip, %rcx
        build_frame
        cfi_frame
        mov     PUSHED_FLAGS(%r11), %r11
        cltq                            /* the kernel looks at 32 bits, sign-extended */
        mov     %r11, STA__FRAME_FLAGS(%rsp)
        mov     %rax, STA__FRAME_NR(%rsp)
        test    $FLAG_DIRECTION, %r11d
        jnz     .Lbackwards
.Lforwards:
        mov     %rsp, %rdi
        mov     %rax, %rsi
        call    sta__entry_before

        test    %eax, %eax
        jnz     .Lnot_plain
        mov     STA__FRAME_HOOKS(%rsp), %rcx
        testb   $STA__ENTRY_AFTER, STA__HOOKS_ACTIVE(%rcx)
        load_arguments
        mov     STA__FRAME_NR(%rsp), %rax
        /* Each kind of call has an instruction of its own: processors are bad at foreseeing a branch
         * right behind a system call, if it goes now here, now there. */
        jnz     .Lcall_with_after
        syscall
        .globl  sta__entry_call_end
        .hidden sta__entry_call_end
sta__entry_call_end:
.Lcalled:
        mov     STA__FRAME_HOOKS(%rsp), %rcx
        testb   $STA__ENTRY_AFTER, STA__HOOKS_ACTIVE(%rcx)
        jnz     .Lafter                 /* attached meanwhile, or a special call */

        /* The arguments are in their registers, the result is in rax, and rcx and r11 are free. */
.Lreturn:
        mov     STA__FRAME_FLAGS(%rsp), %ecx
        mov     %rax, %r11
        test    $FLAG_DIRECTION, %ecx
        jnz     .Lreturn_backwards
        /* popfq takes as long as a third of a call. Of what it restores, callbacks change these six
         * only: sahf has five, and the addition overflows if the sixth was set. */
        mov     %ecx, %eax
        shl     $8, %eax
        and     $FLAG_OVERFLOW, %ecx
        add     $0x80000000 - FLAG_OVERFLOW, %ecx
        sahf
.Lreturn_with_flags:
        mov     %r11, %rax
        mov     STA__FRAME_RETURN_ADDRESS(%rsp), %rcx
        /* Never above the address to return to: the frame of a signal's handler would overwrite it. */
        mov     STA__FRAME_SP(%rsp), %r11
        lea     -CALLED_BELOW(%r11), %rsp
        .cfi_remember_state
        .cfi_def_cfa %rsp, CALLED_BELOW
        .cfi_register %rip, %rcx
        mov     $0, %r11d               /* not the flags: see is_behind_call(); leaves them alone */
        ret
        .cfi_restore_state

.Lbackwards:
        cld
        jmp     .Lforwards

.Lreturn_backwards:
        load_flags
        jmp     .Lreturn_with_flags

.Lcall_with_after:
        syscall
        .globl  sta__entry_call_with_after_end
        .hidden sta__entry_call_with_after_end
sta__entry_call_with_after_end:
        mov     STA__FRAME_HOOKS(%rsp), %rcx
.Lafter:
        mov     %rax, STA__FRAME_RET(%rsp)
        mov     %rsp, %rdi
        mov     %rcx, %rsi
        call    sta__entry_after

.Lleave:
        load_arguments
        mov     STA__FRAME_RET(%rsp), %rax
        jmp     .Lreturn

.Lnot_plain:
        cmp     $STA__ENTRY_DONE, %eax
        je      .Lleave
        cmp     $STA__ENTRY_VFORK, %eax
        je      .Lvfork
        ja      .Lclone

        /* rt_sigreturn reads its frame at the stack pointer and restores everything. */
        mov     STA__FRAME_NR(%rsp), %rax
        mov     STA__FRAME_SP(%rsp), %rsp
        syscall
        hlt

.Lvfork:
        /* The child goes back into the application on this very stack, and overwrites what is below.
         * Each finds the way back through r9, which none of these calls has an argument in: what is
         * in memory can be changed by a vfork child that vforks in turn and is killed in it. */
        load_arguments
        load_flags
        mov     STA__FRAME_RET(%rsp), %r9       /* the seed, see prepare_clone() */
        mov     STA__FRAME_NR(%rsp), %rax
        mov     STA__FRAME_SP(%rsp), %rsp
        .cfi_def_cfa %rsp, 0
        .cfi_escape 0x10, 16, 2, 0x79, STA__SEED_RETURN_ADDRESS         /* *(r9 + offset) */
        syscall
        mov     STA__SEED_RETURN_ADDRESS(%r9), %rcx
        as_if_called
        build_frame
        cfi_frame
        mov     %rax, STA__FRAME_RET(%rsp)
        mov     STA__SEED_R9(%r9), %rax
        mov     %rax, STA__FRAME_ARGS + 40(%rsp)
        complete_frame %r9
        cld
        mov     %rsp, %rdi
        mov     %r9, %rsi
        call    sta__entry_after_vfork
        jmp     .Lleave

.Lclone:
        load_arguments
        mov     STA__FRAME_NR(%rsp), %rax
        syscall
        test    %rax, %rax
        jnz     .Lcalled
        /* The child, on its own stack. Below the stack pointer lies its seed. */
        .cfi_def_cfa %rsp, 0
        .cfi_undefined %rip
        mov     STA__SEED_RETURN_ADDRESS - STA__SEED_SIZE(%rsp), %rcx
        as_if_called
        build_frame
        complete_frame %r11, -STA__SEED_SIZE
        movq    $0, STA__FRAME_RET(%rsp)
        cld
        mov     %rsp, %rdi
        call    sta__entry_after_clone
        jmp     .Lleave
        .cfi_endproc
        .size   sta__entry, . - sta__entry

        .globl  sta__entry_by_jump
        .hidden sta__entry_by_jump
        .type   sta__entry_by_jump, @function
        .balign 16
sta__entry_by_jump:
        .cfi_startproc
        .cfi_def_cfa %rsp, 0
        .cfi_register %rip, %rcx
        lea     -128(%rsp), %rsp
        .cfi_def_cfa_offset 128
        call    sta__entry
.Ljump_back:
        lea     128(%rsp), %rsp
        .cfi_def_cfa_offset 0
        jmp     *%rcx
        .cfi_endproc
        .size   sta__entry_by_jump, . - sta__entry_by_jump

/* It is made from here and not from the stub, because a thread that is cancelled in it is unwound.
 * The flags stay as they are. */
        .globl  sta__native
        .hidden sta__native
        .type   sta__native, @function
        .balign 16
sta__native:
        .cfi_startproc
        .cfi_def_cfa %rsp, CALLED_BELOW
        .cfi_register %rip, %rcx
        push    %rcx
        .cfi_adjust_cfa_offset 8
        .cfi_offset %rip, -CALLED_BELOW - 8
        syscall
        pop     %rcx
        .cfi_adjust_cfa_offset -8
        .cfi_register %rip, %rcx
        ret
        .cfi_endproc
        .size   sta__native, . - sta__native

        .section .note.GNU-stack, "", @progbits
