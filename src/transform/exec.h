/* SPDX-License-Identifier: MIT */
/*
 * Following execve: a program that this process becomes, or that one of its children becomes, gets
 * the preloaded library and its settings in its environment, whatever environment it was meant to
 * get. Whoever wants that publishes a struct sta__exec_follow.
 *
 * Programs that would not load the library, or must not, get the environment that they were meant
 * to get: `before` is told why.
 */
#ifndef STA_TRANSFORM_EXEC_H
#define STA_TRANSFORM_EXEC_H

#include <stdatomic.h>
#include <stdbool.h>

#include "attach/dispatch.h"
#include "base/compiler.h"

/* What becomes of the environment of a program that is about to be executed. */
enum sta__exec_kind {
    STA__EXEC_FOLLOWED,   /* the library and the settings are added where they are missing */
    STA__EXEC_STATIC,     /* left as it is: no dynamic loader would load the library */
    STA__EXEC_PRIVILEGED, /* left as it is: setuid, setgid, or with file capabilities */
    STA__EXEC_FOREIGN,    /* left as it is: not for x86-64 */
};

#define STA__EXEC_SETTING_MAX 32

struct sta__exec_follow {
    const char *preload;         /* absolute path; comes first in LD_PRELOAD */
    const char *const *settings; /* "NAME=value"; one that the program sets is left as it is */
    unsigned setting_count;      /* up to STA__EXEC_SETTING_MAX */
    /* "NAME=value", added by execve and by execveat: tells the library in the new program that the
     * call which it comes from was intercepted. To be taken out of the environment there: see
     * sta__exec_arrived(). */
    const char *executed[2];
    /* Called when the call is about to be made, unless it is plain that it will fail. May be a
     * vfork child's thread. On the dispatch path, outside of callbacks. */
    void (*before)(const char *path, enum sta__exec_kind kind);
};

/* Release when published, acquire when read. What it points to stays for good. */
extern STA__HIDDEN _Atomic(const struct sta__exec_follow *) sta__exec_follow;

/* If the call is an execve that is followed: makes it and returns true, with its result set, if it
 * fails. False: nothing was done, the call is to be made as usual. */
bool sta__exec_call(struct sta__call *call);

/* In a program that was executed by this call, intercepted in the program before: runs the exit
 * callbacks. (The kernel's exit event comes from the new program, too.) Its arguments went with the
 * old program: they are 0. */
void sta__exec_arrived(struct sta *sta, int64_t sys_nr);

/* In a thread whose memory and thread-local storage a child had borrowed: releases what the child
 * had in hand when it became another program. */
void sta__exec_given_back(void);

#endif
