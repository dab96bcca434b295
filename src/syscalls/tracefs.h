/* SPDX-License-Identifier: MIT */
/*
 * The tree of trace events in tracefs, as far as system calls are concerned:
 *
 *   <root>/events/raw_syscalls/{sys_enter,sys_exit}/{id,format}
 *   <root>/events/syscalls/sys_{enter,exit}_<call>/{id,format}
 *
 * Origin: kernel/trace/trace_events.c and fs/tracefs/event_inode.c. Any directory can stand in for
 * the root, so nothing here trusts what it reads.
 */
#ifndef STA_SYSCALLS_TRACEFS_H
#define STA_SYSCALLS_TRACEFS_H

#include <limits.h>
#include <stddef.h>

#include <sta/syscalls.h>

#include "base/log.h"

struct sta__tracefs {
    struct sta__log log;
    const char *root; /* as given until it is opened, NULL: look at the usual places */
    int events;       /* descriptor of <root>/events; -1: not open */
};

/* tracefs is missing or may not be read: the built-in table serves. */
#define STA__TRACEFS_ABSENT 1

/* Takes over the caller's options (may be NULL) and opens nothing. 0, -EINVAL or -E2BIG. */
int sta__tracefs_init(struct sta__tracefs *fs, const struct sta_tracefs_options *options);

/* Opens the events directory: 0, STA__TRACEFS_ABSENT, or -errno. Closing is always allowed. */
int sta__tracefs_open(struct sta__tracefs *fs);
void sta__tracefs_close(struct sta__tracefs *fs);

/*
 * Reads one file of an event, at most `size` bytes. Returns how many, or -errno; that is logged
 * with this level.
 */
int sta__tracefs_read(const struct sta__tracefs *fs, enum sta_log_level level, const char *category,
                      const char *event, const char *file, char *buffer, size_t size);

/* Reads the id of an event: the id, -EINVAL if the file holds something else, or -errno; logged. */
int sta__tracefs_read_id(const struct sta__tracefs *fs, enum sta_log_level level,
                         const char *category, const char *event);

/*
 * Calls `visit` with the name of each directory under events/syscalls until it returns something
 * else than 0, which is returned; or -errno, logged.
 */
int sta__tracefs_walk(const struct sta__tracefs *fs, int (*visit)(const char *event, void *data),
                      void *data);

/* The name of the event in events/syscalls that has this id: 0, -ENOENT, or -errno. */
int sta__tracefs_find(const struct sta__tracefs *fs, int id, char event[NAME_MAX + 1]);

#endif
