/* SPDX-License-Identifier: MIT */
/*
 * A shared library that makes system calls by itself, for test_newcode.c: it is built twice, and
 * NUMBER is the number of the one that `library_known` makes.
 */
#include <sys/syscall.h>

long library_known(void);
long library_call(long sys_nr);

long library_known(void)
{
    long result;

    __asm__ volatile("syscall" : "=a"(result) : "a"(NUMBER) : "rcx", "r11", "memory");
    return result;
}

long library_call(long sys_nr)
{
    long result;

    __asm__ volatile("syscall" : "=a"(result) : "a"(sys_nr) : "rcx", "r11", "memory");
    return result;
}
