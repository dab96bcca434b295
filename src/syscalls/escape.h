/* SPDX-License-Identifier: MIT */
/*
 * Foreign text for log messages: one line of printable characters, not too long.
 */
#ifndef STA_SYSCALLS_ESCAPE_H
#define STA_SYSCALLS_ESCAPE_H

#include <stddef.h>

struct sta__escaped {
    char text[96];
};

/* Bytes other than printable ASCII become \xNN; what does not fit is cut and "..." put instead. */
struct sta__escaped sta__escape(const char *text, size_t length);

#endif
