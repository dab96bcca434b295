/* SPDX-License-Identifier: MIT */
/*
 * The door: the calls of one thread, and of no other, led to a function for a while, without a byte
 * of code being changed. It works by Syscall User Dispatch, whose arming is per thread; so it is
 * for threads that make some thousand calls at most, as those do that load objects through libbpf.
 *
 * While a transformer is installed there is no door: calls then come to the dispatcher.
 */
#ifndef STA_TRANSFORM_DOOR_H
#define STA_TRANSFORM_DOOR_H

#include <stdbool.h>

#include "attach/dispatch.h"
#include "base/compiler.h"
#include "base/log.h"

struct sta;

struct sta__door {
    /* Makes the call and sets its result, or returns false: the kernel is asked. Runs where the
     * call was made, in no callback and in no signal handler. Its own calls come here, too, unless
     * it uses sta__door_watch(). */
    bool (*answer)(struct sta__door *door, struct sta__call *call);
};

/* The calling thread's; NULL: it has none open. */
extern STA__HIDDEN STA__THREAD_LOCAL struct sta__door *sta__door;

/*
 * Opens a door for the calling thread; nobody installs a transformer until it is closed.
 *
 * Returns 0 or -errno, with a message but for -EBUSY: a transformer is installed; -EALREADY, it has
 * one open; -EDEADLK, from inside a callback; -ENOTSUP, and others of prctl(2).
 */
int sta__door_open(struct sta__door *door, const struct sta__log *log);
void sta__door_close(void);

/* The registry whose transformer is installed, which stays so until it is released; NULL: there is
 * none, and nothing to release. Not from inside a callback. */
struct sta *sta__transform_hold(void);
void sta__transform_release(void);

/* Leaves the door open, but lets all calls of the thread pass, until it is to be watched again: for
 * who answers. */
void sta__door_watch(bool watch);

/* The part of it that sud.c has. The thread's calls arrive as those of a traced thread do, while
 * `watch` is set. */
int sta__sud_begin_thread(const struct sta__log *log);
void sta__sud_watch(bool watch);
void sta__sud_end_thread(void);

#endif
