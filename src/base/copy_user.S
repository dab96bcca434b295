/* SPDX-License-Identifier: MIT */
/* See copy_user.h. A fault at one of these instructions continues where sta__copy_fix() says; they
 * keep nothing on the stack. */
        .text

/* int64_t sta__copy_bytes(void *to, const void *from, size_t size): 0 or -EFAULT */
        .globl  sta__copy_bytes
        .hidden sta__copy_bytes
        .type   sta__copy_bytes, @function
        .balign 32
sta__copy_bytes:
        .cfi_startproc
        cmp     $8, %rdx
        jb      .Lfew
        cmp     $256, %rdx
        ja      .Lmany
        mov     -8(%rsi,%rdx), %rcx     /* the last ones, which may overlap */
        jmp     .Lwhole
.Lnext:
        mov     (%rsi), %rax
        mov     %rax, (%rdi)
        add     $8, %rsi
        add     $8, %rdi
.Lwhole:
        sub     $8, %rdx
        ja      .Lnext
        mov     %rcx, (%rdi,%rdx)
        xor     %eax, %eax
        ret
.Lfew:
        test    %rdx, %rdx
        jz      .Lcopied
.Lbyte:
        movzbl  -1(%rsi,%rdx), %eax
        mov     %al, -1(%rdi,%rdx)
        dec     %rdx
        jnz     .Lbyte
.Lcopied:
        xor     %eax, %eax
        ret
.Lmany:
        mov     %rdx, %rcx
        rep movsb
        xor     %eax, %eax
        ret
        .cfi_endproc
        .size   sta__copy_bytes, . - sta__copy_bytes

/*
 * int64_t sta__copy_string(char *to, const char *from, size_t size): size with the zero, or -EFAULT
 *
 * Words of eight bytes first; what is behind the zero in its word is stored as zeros, as the kernel
 * does. A word that faults may be a string that ends right before a bad page: byte by byte then.
 */
        .globl  sta__copy_string
        .hidden sta__copy_string
        .type   sta__copy_string, @function
        .balign 32
sta__copy_string:
        .cfi_startproc
        xor     %ecx, %ecx
        movabs  $0x0101010101010101, %r8
        movabs  $0x8080808080808080, %r9
        jmp     .Lwords_left
.Lnext_word:
        .globl  sta__copy_string_word
        .hidden sta__copy_string_word
sta__copy_string_word:
        mov     (%rsi,%rcx), %rax
        mov     %rax, %r10
        mov     %rax, %r11
        sub     %r8, %r10
        not     %r11
        and     %r9, %r10
        and     %r11, %r10              /* 0x80 at the first zero byte, and rubbish above it */
        jnz     .Lzero_in_word
        mov     %rax, (%rdi,%rcx)
        add     $8, %rcx
        sub     $8, %rdx
.Lwords_left:
        cmp     $8, %rdx
        jae     .Lnext_word
        .globl  sta__copy_string_bytes
        .hidden sta__copy_string_bytes
sta__copy_string_bytes:
        test    %rdx, %rdx
        jz      .Lcut
.Lnext_byte:
        movzbl  (%rsi,%rcx), %eax
        mov     %al, (%rdi,%rcx)
        inc     %rcx
        test    %al, %al
        jz      .Lended
        dec     %rdx
        jnz     .Lnext_byte
.Lcut:
        movb    $0, -1(%rdi,%rcx)
.Lended:
        mov     %rcx, %rax
        ret
.Lzero_in_word:
        bsf     %r10, %r11
        shr     $3, %r11d               /* bytes in front of the zero */
        lea     -1(%r10), %r9
        xor     %r10, %r9               /* the bits up to the first one, and that one */
        shr     $8, %r9                 /* those of the bytes in front of it */
        and     %r9, %rax
        mov     %rax, (%rdi,%rcx)
        lea     1(%rcx,%r11), %rax
        ret
        .cfi_endproc
        .size   sta__copy_string, . - sta__copy_string

        .globl  sta__copy_end
        .hidden sta__copy_end
sta__copy_end:
        .globl  sta__copy_fault
        .hidden sta__copy_fault
        .type   sta__copy_fault, @function
sta__copy_fault:
        .cfi_startproc
        mov     $-14, %rax              /* -EFAULT */
        ret
        .cfi_endproc
        .size   sta__copy_fault, . - sta__copy_fault

        .section .note.GNU-stack, "", @progbits
