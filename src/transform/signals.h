/* SPDX-License-Identifier: MIT */
/*
 * Sharing signals with the application.
 *
 * A method of interception that works by a signal reserves it: its handler is installed for good,
 * and the signal must never be blocked, or the kernel kills the process at the next intercepted
 * call. The application is not to notice: it sets and reads back an action of its own, which is
 * kept here and is run for every signal that is not the method's, and the mask bits of reserved
 * signals are taken out of every mask that it hands to the kernel.
 */
#ifndef STA_TRANSFORM_SIGNALS_H
#define STA_TRANSFORM_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#include "attach/dispatch.h"

typedef void (*sta__signal_handler)(int signal, siginfo_t *info, void *context);

/* Reserves a signal. The handler runs with all signals blocked. 0 or -errno. Not on the dispatch
 * path. */
int sta__signals_reserve(int signal, sta__signal_handler handler);

/* Gives a signal back: the application's action is installed again. Not on the dispatch path. */
void sta__signals_release(int signal);

/* Makes sure that the calling thread does not block reserved signals: they are blocked in the
 * application's eyes only from now on. In a signal handler with the interrupted context, else with
 * NULL. */
void sta__signals_unblock(ucontext_t *context);

/* The reverse. */
void sta__signals_block_again(ucontext_t *context);

/* Takes reserved and shared signals out of the sa_masks that were set by threads not yet
 * intercepted. */
void sta__signals_strip(void);

/* Which reserved signals the application believes blocked on this thread. */
uint64_t sta__signals_app_blocked(void);

/* In the child of a call with these CLONE_* flags, made by a thread with these signals blocked. */
void sta__signals_began(uint64_t clone_flags, uint64_t blocked);

/* In a thread whose thread-local storage a child had borrowed. */
void sta__signals_given_back(uint64_t blocked);

/* From a reserved signal's handler: does what the application wants done about this one. */
void sta__signals_chain(int signal, siginfo_t *info, void *context);

/* If the call concerns signal masks or actions, makes it in the application's name, sets its result
 * and returns true. */
bool sta__signals_call(struct sta__call *call);

/* Whether calls with this number have to be looked at while signals are reserved, or shared
 * (faults.h); and whether they have to be now. */
bool sta__signals_may_concern(int64_t sys_nr);
bool sta__signals_concern(int64_t sys_nr);

/* Before rt_sigreturn: keeps reserved signals out of the mask that is about to be restored. */
void sta__signals_returning(ucontext_t *context);

#endif
