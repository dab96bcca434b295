/* SPDX-License-Identifier: MIT */
/*
 * Sites that are rewritten to `ud2`: a SIGILL handler that knows them leads the thread to the
 * entry. SIGILL is reserved for that (signals.h) as soon as there is such a site, and only while no
 * other thread exists: one that blocks SIGILL would die of the first trap.
 *
 * Claiming and releasing: by the holder of sta__images_lock. No libc.
 */
#ifndef STA_TRANSFORM_TRAP_H
#define STA_TRANSFORM_TRAP_H

#include <stdbool.h>
#include <stdint.h>

/* Makes the handler know the site. False: it cannot be a trap. */
bool sta__trap_claim(uintptr_t address);
void sta__trap_release(uintptr_t address);

/* No site is a trap any more: SIGILL is the application's again. */
void sta__trap_end(void);

/* While the lock is held, the caller blocks all signals. When it has been released after sites were
 * claimed, or trapping ended, SIGILL is to be taken out of the application's mask, or put back. */
void sta__trap_unblock(void);
void sta__trap_block_again(void);

#endif
