/* SPDX-License-Identifier: MIT */
/*
 * What the agent writes, and where to. A descriptor of its own would be in the program's way, so
 * the file is opened for each text, which is then written in one go.
 *
 * All of this is async-signal-safe and on the dispatch path: general registers only, no libc. Where
 * something cannot be written it is lost without a word: nothing may disturb the program.
 */
#ifndef STA_AGENT_OUTPUT_H
#define STA_AGENT_OUTPUT_H

#include <linux/limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lock.h"

/* Where to. A descriptor is known by its file: its number may come to be another's. */
struct sta__agent_target {
    char path[PATH_MAX]; /* absolute; "": see fd */
    int fd;              /* -1: nowhere */
    uint64_t device, inode;
};

/* A text in the making. There is one room for it in a process: nobody else writes meanwhile. */
struct sta__agent_text {
    struct sta__lock_state saved;
};

/* Once, before all others. `program`: the name to call this process by. */
void sta__agent_output_init(const struct sta__agent_target *target, const char *program);

/* From now on nothing is written, nor are files touched; or again. */
void sta__agent_output_mute(bool mute);

/* False: nothing would be written. True: to be ended with sta__agent_end(). */
bool sta__agent_begin(struct sta__agent_text *text);
void sta__agent_end(struct sta__agent_text *text);

/* Adds to the text. What does not fit any more is cut off. */
void sta__agent_add(const char *string);
void sta__agent_add_number(uint64_t number, unsigned width); /* right-aligned */
void sta__agent_add_head(void);                              /* "sta-agent: pid 12 (make): " */

/* A text of one line. NULL: nothing. */
void sta__agent_line(const char *first, const char *second, const char *third);

#endif
