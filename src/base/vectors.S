/* SPDX-License-Identifier: MIT */
/*
 * See vectors.h.
 *
 * xgetbv with ecx = 1 tells which components are in use; any other has its initial value and need
 * not be stored. Plain stores and loads of what programs have in use cost a tenth of xsavec and
 * xrstor. The blocks on the stack, from high to low, all but the first only while needed:
 *
 *      frame              rbx, mxcsr
 *      xmm0-15
 *      ymm0-15 or zmm0-15 when their upper parts are in use; they have the xmm in them once more
 *      x87, by fxsave     faster by half than xsavec of the same
 *      k0-7
 *      zmm16-31
 *
 * In most programs k0-7 and zmm16-31 are in use, where the processor has them: libc's string
 * functions use them, and unlike the upper parts of the others nothing gives them back. x87 is in
 * few programs, upper parts at few calls.
 *
 * xgetbv is microcode and costs as much as storing and loading xmm0-15 twice, so it is asked just
 * once. What the callback brought into use is found, or undone, in cheaper ways where there are
 * some: see .Lloaded.
 */
#include "base/vectors.h"

#define UPPER (STA__VECTORS_AVX | STA__VECTORS_HI256)
#define RARE  (STA__VECTORS_X87 | UPPER)

#define FRAME_MXCSR             -12     /* from rbp; rbx is at -8 */
#define FRAME_SCRATCH           -16
#define FRAME_XMM               -272

#define FXSAVE_FCW              0
#define FXSAVE_FSW              2
#define FXSAVE_FTW              4       /* a bit for each register that is not empty */
#define FXSAVE_FIP              8
#define FXSAVE_FDP              16
#define FXSAVE_ST               32
#define FCW_INITIAL             0x037f
#define FSW_EXCEPTION_PENDING   0x80

#define XSAVE_MXCSR             24
#define XSAVE_HEADER            512
#define XSAVE_MIN_SIZE          576

#define ZERO_TO_15      0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
#define SIXTEEN_TO_31   16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31

/* An xsave header of zeros: xrstor refuses garbage, and gives what the header does not name its
 * initial value. In: rdx 0. */
.macro clear_header
        .irp    n, 0,1,2,3,4,5,6,7
        mov     %rdx, XSAVE_HEADER + 8*\n(%rsp)
        .endr
.endm

        .text
        .globl  sta__call_with_vectors_saved
        .hidden sta__call_with_vectors_saved
        .type   sta__call_with_vectors_saved, @function
        .balign 64
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
        mov     %rdi, %r11
        mov     %rsi, %rdi
        mov     %rdx, %rsi
        mov     %rcx, %r9
        mov     sta__vectors_tracked(%rip), %ebx
        test    %ebx, %ebx
        jz      .Lwhole

        lea     FRAME_XMM(%rbp), %rsp
        .irp    n, ZERO_TO_15
        movaps  %xmm\n, 16*\n(%rsp)
        .endr
        stmxcsr FRAME_MXCSR(%rbp)
        mov     $1, %ecx
        xgetbv
        and     %eax, %ebx              /* in use before the callback */
        cmp     $STA__VECTORS_SSE, %ebx
        je      .Lstored
        and     $-64, %rsp
        test    $RARE, %bl
        jnz     .Lstore_rare
.Lstored_rare:
        test    $STA__VECTORS_K, %bl
        jz      1f
        sub     $8*8, %rsp
        .irp    n, 0,1,2,3,4,5,6,7
        kmovq   %k\n, 8*\n(%rsp)
        .endr
1:      test    $STA__VECTORS_HI16, %bl
        jz      1f
        sub     $16*64, %rsp
        .irp    n, SIXTEEN_TO_31
        vmovaps %zmm\n, 64*(\n-16)(%rsp)
        .endr
1:
.Lstored:
        mov     %r9, %rdx
        mov     %r8, %rcx
        call    *%r11

        mov     %eax, %edi
        mov     sta__vectors_tracked(%rip), %ecx
        test    $STA__VECTORS_AVX, %cl
        jz      1f
        vzeroupper                      /* what was in use is loaded, and the rest is not in use */

1:      test    $STA__VECTORS_HI16, %bl
        jz      1f
        .irp    n, SIXTEEN_TO_31
        vmovaps 64*(\n-16)(%rsp), %zmm\n
        .endr
        add     $16*64, %rsp
1:      test    $STA__VECTORS_K, %bl
        jz      1f
        .irp    n, 0,1,2,3,4,5,6,7
        kmovq   8*\n(%rsp), %k\n
        .endr
        add     $8*8, %rsp
1:      test    $RARE, %bl
        jnz     .Lload_rare
.Lload_xmm:
        .irp    n, ZERO_TO_15
        movaps  FRAME_XMM + 16*\n(%rbp), %xmm\n
        .endr

        /* What was not in use before must get its initial value again. Upper parts have it, from
         * vzeroupper. Who uses x87 leaves a trace in its status word (a sticky exception, a
         * register on the stack) or in the control word, unless he only moves values or computes
         * exactly and, as the ABI has it, leaves the stack empty: then only exception pointers have
         * changed. For the others xgetbv is asked again. */
.Lloaded:
        test    $STA__VECTORS_X87, %bl
        jnz     1f
        fnstsw  %ax
        fnstcw  FRAME_SCRATCH(%rbp)
        test    %ax, %ax
        jnz     .Linitialize
        cmpw    $FCW_INITIAL, FRAME_SCRATCH(%rbp)
        jne     .Linitialize
1:      xor     %ebx, %ecx
        test    $STA__VECTORS_ALL & ~RARE, %cl
        jnz     .Linitialize
.Linitialized:
        stmxcsr FRAME_SCRATCH(%rbp)     /* ldmxcsr costs more than to see that it is not needed */
        mov     FRAME_SCRATCH(%rbp), %eax
        cmp     FRAME_MXCSR(%rbp), %eax
        je      .Lleave
        ldmxcsr FRAME_MXCSR(%rbp)
.Lleave:
        .cfi_remember_state
        mov     %edi, %eax
        mov     -8(%rbp), %rbx
        .cfi_restore %rbx
        leave
        .cfi_restore %rbp
        .cfi_def_cfa %rsp, 8
        ret
        .cfi_restore_state

.Lstore_rare:
        test    $UPPER, %bl
        jz      2f
        test    $STA__VECTORS_HI256, %bl
        jnz     1f
        sub     $16*32, %rsp
        .irp    n, ZERO_TO_15
        vmovaps %ymm\n, 32*\n(%rsp)
        .endr
        vzeroupper                      /* SSE code of the callback is faster so */
        jmp     2f
1:      sub     $16*64, %rsp
        .irp    n, ZERO_TO_15
        vmovaps %zmm\n, 64*\n(%rsp)
        .endr
        vzeroupper
2:      test    $STA__VECTORS_X87, %bl
        jz      .Lstored_rare
        sub     $XSAVE_MIN_SIZE, %rsp
        fxsave64 (%rsp)
        cmpq    $FCW_INITIAL, (%rsp)
        je      .Lperhaps_unused
        /* C code wants an empty stack, and no exception raised by its first instruction. */
        testb   $FSW_EXCEPTION_PENDING, FXSAVE_FSW(%rsp)
        jnz     1f
        cmpb    $0, FXSAVE_FTW(%rsp)
        je      .Lstored_rare
1:      fninit
        fldcw   FXSAVE_FCW(%rsp)
        jmp     .Lstored_rare

/* Hypervisors have been seen to leave x87 in use with its initial value, when they come back to a
 * thread that never used it. It would stay so for good, and cost each callback 50 ns: so it is
 * given back. */
.Lperhaps_unused:
        movaps  FXSAVE_ST(%rsp), %xmm0
        .irp    n, 1,2,3,4,5,6,7
        por     FXSAVE_ST + 16*\n(%rsp), %xmm0
        .endr
        movq    %xmm0, %rax
        psrldq  $8, %xmm0
        movq    %xmm0, %rcx
        or      %rcx, %rax
        or      FXSAVE_FIP(%rsp), %rax
        or      FXSAVE_FDP(%rsp), %rax
        jnz     .Lstored_rare
        xor     %edx, %edx
        clear_header
        mov     $STA__VECTORS_X87, %eax
        xrstor64 (%rsp)
        and     $~STA__VECTORS_X87, %ebx
        add     $XSAVE_MIN_SIZE, %rsp
        jmp     .Lstored_rare

.Lload_rare:
        test    $STA__VECTORS_X87, %bl
        jz      1f
        fxrstor64 (%rsp)
        add     $XSAVE_MIN_SIZE, %rsp
1:      test    $UPPER, %bl
        jz      .Lload_xmm
        test    $STA__VECTORS_HI256, %bl
        jnz     1f
        .irp    n, ZERO_TO_15
        vmovaps 32*\n(%rsp), %ymm\n
        .endr
        jmp     .Lloaded
1:      .irp    n, ZERO_TO_15
        vmovaps 64*\n(%rsp), %zmm\n
        .endr
        jmp     .Lloaded

/* Something that was not in use may be now. */
.Linitialize:
        mov     $1, %ecx
        xgetbv
        and     sta__vectors_tracked(%rip), %eax
        not     %ebx
        and     %ebx, %eax              /* in use now, and not before */
        jz      .Linitialized
        sub     $XSAVE_MIN_SIZE, %rsp
        and     $-64, %rsp
        mov     FRAME_MXCSR(%rbp), %edx /* loaded along with SSE or AVX */
        mov     %edx, XSAVE_MXCSR(%rsp)
        xor     %edx, %edx
        clear_header
        xrstor64 (%rsp)
        jmp     .Linitialized

/* An older processor: all at once. */
.Lwhole:
        sub     sta__vectors_size(%rip), %rsp
        and     $-64, %rsp
        xor     %edx, %edx              /* edx:eax is the mask of components */
        mov     sta__vectors_mask(%rip), %eax
        test    %eax, %eax
        jz      .Lfxsave
        clear_header
        cmpl    $0, sta__vectors_compact(%rip)
        je      1f
        xsavec64 (%rsp)
        jmp     2f
1:      xsave64 (%rsp)
2:      testb   $STA__VECTORS_X87, XSAVE_HEADER(%rsp)
        jz      5f                      /* not in use, and perhaps not stored */
        jmp     3f
.Lfxsave:
        fxsave64 (%rsp)
3:      testb   $FSW_EXCEPTION_PENDING, FXSAVE_FSW(%rsp)
        jnz     4f
        cmpb    $0, FXSAVE_FTW(%rsp)
        je      5f
4:      fninit
        fldcw   FXSAVE_FCW(%rsp)
5:      mov     %r9, %rdx
        mov     %r8, %rcx
        call    *%r11
        mov     %eax, %edi
        xor     %edx, %edx
        mov     sta__vectors_mask(%rip), %eax
        test    %eax, %eax
        jz      1f
        xrstor64 (%rsp)
        jmp     .Lleave
1:      fxrstor64 (%rsp)
        jmp     .Lleave
        .cfi_endproc
        .size   sta__call_with_vectors_saved, . - sta__call_with_vectors_saved

        .section .note.GNU-stack, "", @progbits
