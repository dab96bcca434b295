/* SPDX-License-Identifier: MIT */
/*
 * Counting calls and errors, of this process: a child that is forked begins at zero. A process that
 * shares its parent's memory (vfork, posix_spawn) counts with its parent until it becomes another
 * program.
 *
 * The table is written when the process ends, and when it is about to become another program or to
 * install a seccomp filter, under which it writes nothing and is not followed any more. Each has
 * what was not in the one before, so the sum of all is exact. It is lost when a signal kills the
 * process.
 */
#ifndef STA_AGENT_COUNTS_H
#define STA_AGENT_COUNTS_H

#include <sta/attach.h>

#include "agent/config.h"

/* Attaches what counts, if that is asked for, and what watches for the process's end and its
 * filters. 0 or -errno. Not on the dispatch path. */
int sta__agent_count(struct sta *sta, const struct sta__agent_config *config);

/* Writes what was counted since the last time, and the report, if they are asked for and this
 * process owns them; `why`, e.g. "execve ", and its object or NULL. On the dispatch path. */
void sta__agent_write(const char *why, const char *object);

#endif
