/* SPDX-License-Identifier: MIT */
/*
 * Telling every other thread of the process something, by a queued signal, and knowing who has not
 * heard yet. Only sta__notice_*() and sta__notices_forked() are for the dispatch path.
 *
 * Each thread that was told has a slot in a table, whose index travels with the signal. A thread
 * may answer much later (it blocks the signal) or never (it ends first), so slots outlast the round
 * in which they were filled.
 */
#ifndef STA_TRANSFORM_NOTICES_H
#define STA_TRANSFORM_NOTICES_H

#include <signal.h>
#include <stdbool.h>

#include "base/log.h"

/* Makes the table. Idempotent. 0 or -ENOMEM. */
int sta__notices_init(void);

/*
 * Sends `signal` to all threads but the caller, also to those that are created meanwhile by threads
 * that were not told yet, and waits until all have answered that can. Returns how many notices are
 * still under way: their threads block the signal. A thread that waits for it in sigwait(3) is left
 * alone, as it would be returned to the application.
 */
unsigned sta__notices_send(int signal, const struct sta__log *log);

/* How many threads that still exist have not answered, or were left alone. */
unsigned sta__notices_unanswered(int signal);

/* Whether a signal is a notice. */
bool sta__notice_is(const siginfo_t *info);

/* From the handler of a notice, when what it asks for is done. False: look again what that is. */
bool sta__notice_answer(const siginfo_t *info);

/* From the handler of the same signal with another origin, with all signals blocked, when what a
 * notice would have asked for is done: the kernel queues no second signal of a number, so that this
 * one may have taken the notice's place. */
bool sta__notice_answer_lost(int signal);

/* In a forked child: nobody was told anything. */
void sta__notices_forked(void);

#endif
