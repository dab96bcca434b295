/* SPDX-License-Identifier: MIT */
/*
 * A library whose code has several pages, each with two functions that make system calls, for
 * test_images.c.
 */
#include <sys/syscall.h>

#define PAGE_CALLS(n)                                                                           \
    long page_known_##n(void);                                                                  \
    long page_call_##n(long sys_nr);                                                            \
                                                                                                \
    __attribute__((aligned(4096))) long page_known_##n(void)                                    \
    {                                                                                           \
        long result;                                                                            \
                                                                                                \
        __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_getppid) : "rcx", "r11", "memory"); \
        return result;                                                                          \
    }                                                                                           \
                                                                                                \
    __attribute__((aligned(64))) long page_call_##n(long sys_nr)                                \
    {                                                                                           \
        long result;                                                                            \
                                                                                                \
        __asm__ volatile("syscall" : "=a"(result) : "a"(sys_nr) : "rcx", "r11", "memory");      \
        return result;                                                                          \
    }

PAGE_CALLS(0)
PAGE_CALLS(1)
PAGE_CALLS(2)
PAGE_CALLS(3)
