/* SPDX-License-Identifier: MIT */
/*
 * The application's calls that bring code and take it away: mmap, mprotect, munmap, mremap. What is
 * mapped for executing from an ELF file is analysed and rewritten before the call returns; what is
 * unmapped is forgotten before anybody can have mapped something there. It takes calls of our own,
 * so it ends when the application installs a seccomp filter. On the dispatch path: no libc.
 */
#ifndef STA_TRANSFORM_NEWCODE_H
#define STA_TRANSFORM_NEWCODE_H

#include <stdbool.h>
#include <stdint.h>

#include "attach/dispatch.h"

/* Whether calls with this number have to be looked at. */
bool sta__newcode_concerns(int64_t sys_nr);

/* If the call is one that changes code, makes it, sets its result and returns true. */
bool sta__newcode_call(struct sta__call *call);

/* A call with this number was made at `address`, which is not rewritten: if it can be, it will be
 * from now on. In a signal handler. */
void sta__newcode_trapped(uintptr_t address, int64_t sys_nr);

/* Whether code may have gone unnoticed. */
bool sta__newcode_is_blind(void);

/* Begins to look at such calls, or stops. By the holder of sta__images_lock. */
void sta__newcode_watch(bool watch);

#endif
