/* SPDX-License-Identifier: MIT */
/*
 * System calls through int 0x80: the 32-bit table's numbers, arguments in other registers, and
 * nothing but rax changes. Rare enough to be made inside the signal handler that caught them.
 */
#ifndef STA_TRANSFORM_INT80_H
#define STA_TRANSFORM_INT80_H

#include <stdbool.h>
#include <ucontext.h>

/* Dispatches and makes the call that `regs` describe; its result goes to rax. False: it is one that
 * cannot be made here (it would return on another stack, or not at all), and nothing was done. */
bool sta__int80(greg_t *regs);

#endif
