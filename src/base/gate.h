/* SPDX-License-Identifier: MIT */
/*
 * The gate: the only place from which the library itself enters the kernel.
 *
 * All of it lies in one section of its own, so that interception can tell the library's calls
 * (never intercepted) from the application's by the address of the instruction.
 */
#ifndef STA_BASE_GATE_H
#define STA_BASE_GATE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "base/compiler.h"

/* First byte of the section, and the one past it; the linker defines both from the section's name.
 */
extern STA__HIDDEN const char __start_sta_gate[];
extern STA__HIDDEN const char __stop_sta_gate[];

/* A system call: returns what the kernel returns, -errno on failure; errno is not touched.
 * Async-signal-safe; touches general registers only. */
int64_t sta__raw_syscall(int64_t sys_nr, int64_t a1, int64_t a2, int64_t a3, int64_t a4, int64_t a5,
                         int64_t a6);

#define STA__RAW0(nr)       sta__raw_syscall(nr, 0, 0, 0, 0, 0, 0)
#define STA__RAW1(nr, a)    sta__raw_syscall(nr, (int64_t)(a), 0, 0, 0, 0, 0)
#define STA__RAW2(nr, a, b) sta__raw_syscall(nr, (int64_t)(a), (int64_t)(b), 0, 0, 0, 0)
#define STA__RAW3(nr, a, b, c) \
    sta__raw_syscall(nr, (int64_t)(a), (int64_t)(b), (int64_t)(c), 0, 0, 0)
#define STA__RAW4(nr, a, b, c, d) \
    sta__raw_syscall(nr, (int64_t)(a), (int64_t)(b), (int64_t)(c), (int64_t)(d), 0, 0)
#define STA__RAW6(nr, a, b, c, d, e, f)                                                        \
    sta__raw_syscall(nr, (int64_t)(a), (int64_t)(b), (int64_t)(c), (int64_t)(d), (int64_t)(e), \
                     (int64_t)(f))

#endif
