/* SPDX-License-Identifier: MIT */
/*
 * The text of an event's `format` file.
 */
#ifndef STA_SYSCALLS_FORMAT_H
#define STA_SYSCALLS_FORMAT_H

#include <stddef.h>

#include <sta/syscalls.h>

/* Where and why a text was refused. */
struct sta__format_error {
    unsigned line; /* from 1 */
    const char *reason;
};

/*
 * Parses the text of a format file. 0, or -EINVAL and *error; *out is undefined then. The text need
 * not end with a NUL and may hold anything.
 */
int sta__format_parse(const char *text, size_t length, struct sta_event_format *out,
                      struct sta__format_error *error);

#endif
