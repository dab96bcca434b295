/* SPDX-License-Identifier: MIT */
/*
 * Memory that a program names by an address, and that may not be there: it is read and written as
 * the kernel's helpers do it, so that a bad address is an error and not the end of the process.
 *
 * While the transformer is installed and a program needs it (sta__copy_want), a few instructions
 * copy, and a handler of SIGSEGV and SIGBUS (transform/faults.h) sends a thread that faults in one
 * of them to where -EFAULT is returned: a good read costs no system call. That works only on a
 * thread that does not block these signals, because the kernel kills a thread that causes a signal
 * which it blocks. So each thread keeps what it knows of its mask. Masks stay the application's: a
 * thread that does block the signals has its reads made by the kernel (process_vm_readv(2)), and
 * so have threads on an alternate signal stack, which may be too small for one more frame, and
 * programs that run without a transformer. Only sa_masks are changed: no handler is to start with
 * the signals blocked, since nobody would know.
 *
 *      sta__faults_known ==
 *        sta__faults_generation          copy; a fault is handled
 *        STA__FAULTS_UNKNOWN             ask the kernel for the mask, once
 *        STA__FAULTS_BLOCKED, and others let the kernel copy
 *
 * Who changes a mask tells so: transform/signal_calls.c.
 */
#ifndef STA_BASE_COPY_USER_H
#define STA_BASE_COPY_USER_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* Copies `size` bytes. 0; -EFAULT if they are not all there: then *to is zeros. Async-signal-safe.
 */
int64_t sta__copy_from_user(void *to, uint64_t from, size_t size);

/* Copies a string of up to `size` bytes with its end, cut off with a zero if it is longer. Its size
 * with the zero; 0 if `size` is; -EFAULT: then all of *to is zeros. */
int64_t sta__copy_string_from_user(char *to, uint64_t from, size_t size);

/* 0, or -EFAULT: then a part may have been written. */
int64_t sta__copy_to_user(uint64_t to, const void *from, size_t size);

/* Programs that read are about to run: whoever can handle faults begins to. Any thread, also inside
 * a callback. */
void sta__copy_want(void);
bool sta__copy_is_wanted(void);

/* ---- for who handles the faults ---- */

#define STA__FAULTS_UNKNOWN  0u
#define STA__FAULTS_BLOCKED  1u
#define STA__FAULTS_WAITING  2u /* under another mask: what signals change does not last */
#define STA__FAULTS_CHANGING 3u /* a call changes it right now */
#define STA__FAULTS_NOBODY   4u /* a generation: nobody handles faults */
#define STA__FAULTS_FIRST    5u /* the first of the others */

#define STA__FAULT_SIGNALS (UINT64_C(1) << (SIGSEGV - 1) | UINT64_C(1) << (SIGBUS - 1))

extern STA__HIDDEN STA__THREAD_LOCAL _Atomic uint32_t sta__faults_known;
extern STA__HIDDEN _Atomic uint32_t sta__faults_generation;
/* What sta__copy_want() calls; NULL: nobody. */
extern STA__HIDDEN void (*_Atomic sta__copy_wanted)(void);

/* If *pc is an instruction that copies: changes it to where the fault is dealt with, and returns
 * true. */
bool sta__copy_fix(uintptr_t *pc);

/* The thread's mask is about to become this one, while all signals are blocked. */
void sta__faults_mask(uint64_t mask);

/* The thread's mask has these signals no more, if it had them. */
void sta__faults_forget(void);

#endif
