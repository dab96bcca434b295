/* SPDX-License-Identifier: MIT */
/*
 * SIGSEGV and SIGBUS, shared with the application: a fault of the library's own copying
 * (base/copy_user.h) is put right, every other signal is the application's.
 *
 *      kernel ──► sta__fault_handler ──► sta__fault_taken ── ours ──► back, behind the copy
 *                 (faults.S)                    │
 *                                               └─ the application's ──► jump to its handler, with
 *                     the registers, stack, frame and mask that the kernel would have given it
 *
 * The action that is installed is ours; the application sets and reads back its own, which is kept
 * in sta__signals.actions. Of that, the kernel gets what decides where the frame goes (SA_ONSTACK)
 * and how it is left (the restorer). The masks of threads are not touched, and no mask contains the
 * signals unless the application asked for it: but for those of other signals' handlers, out of
 * which they are taken.
 */
#ifndef STA_TRANSFORM_FAULTS_H
#define STA_TRANSFORM_FAULTS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#include "transform/signals_state.h"

/* Installs the handler and has the application's calls looked at: sta__signals_concern(). The
 * caller sees to it that they are; then sta__faults_begun() lets copying begin. Like the others,
 * one at a time; async-signal-safe. */
void sta__faults_begin(void);
void sta__faults_begun(void);

/* Copying is to end; once all sections have been left (grace.h) sta__faults_ended() gives the
 * signals back. */
void sta__faults_end(void);
void sta__faults_ended(void);

bool sta__faults_are_on(void);

/* The application's rt_sigaction of one of the two. False: they are not shared any more. */
bool sta__faults_change_action(int signal, const struct sta__action *new, struct sta__action *old);

/* What is installed for the application's action. */
void sta__faults_action(const struct sta__action *app, struct sta__action *ours);

/* In a child, or in a parent whose child had its thread-local storage: the mask is another. */
void sta__faults_other_mask(void);

/* rt_sigreturn is about to restore this mask. */
void sta__faults_returning(uint64_t mask);

/* Around a call that waits under another mask. */
uint32_t sta__faults_wait(void);
void sta__faults_waited(uint32_t known);

/* Around a call that changes the mask, nobody knows how. */
uint32_t sta__faults_change(void);
void sta__faults_changed(uint32_t known);

/* faults.S: the handler. It does not return through the restorer when the fault was ours. */
void sta__fault_handler(int signal, siginfo_t *info, void *context);

#endif
