/* SPDX-License-Identifier: MIT */
/*
 * A library whose code has several pages, each with two functions that make system calls, for
 * test_images.c. All that a page's calls need for being rewritten is in the page: padding between
 * the two, and none behind.
 */
#include <sys/syscall.h>

#define STRING_OF(x) #x
#define STRING(x)    STRING_OF(x)

#define PAGE_CALLS(n)                                                                   \
    __asm__(".text\n"                                                                   \
            ".balign 4096, 0\n"                                                         \
            ".globl page_known_" #n "\n"                                                \
            ".type page_known_" #n ", @function\n"                                      \
            "page_known_" #n ":\n"                                                      \
            ".cfi_startproc\n"                                                          \
            "mov $" STRING(SYS_getppid) ", %eax\n"                                      \
                                        "syscall\n"                                     \
                                        "ret\n"                                         \
                                        ".cfi_endproc\n"                                \
                                        ".fill 64 - (. - page_known_" #n "), 1, 0x90\n" \
                                        ".globl page_call_" #n "\n"                     \
                                        ".type page_call_" #n ", @function\n"           \
                                        "page_call_" #n ":\n"                           \
                                        ".cfi_startproc\n"                              \
                                        "mov %rdi, %rax\n"                              \
                                        "syscall\n"                                     \
                                        "ret\n"                                         \
                                        ".cfi_endproc\n"                                \
                                        ".balign 4096, 0\n")

PAGE_CALLS(0);
PAGE_CALLS(1);
PAGE_CALLS(2);
PAGE_CALLS(3);
