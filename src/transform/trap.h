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

/* Brings the calling thread's signal mask in line with the above. To be called when the lock, which
 * blocks all signals, has been released. */
void sta__trap_settle(void);

#endif
