/* SPDX-License-Identifier: MIT */
/*
 * Messages to the host's log callback. Formats with vsnprintf: never call it on the dispatch path.
 */
#ifndef STA_BASE_LOG_H
#define STA_BASE_LOG_H

#include <sta/base.h>

struct sta__log {
    sta_log_fn fn; /* NULL: messages are dropped */
    void *data;
};

/* Formats one line of at most 511 bytes (longer ones are cut) and hands it to the callback. */
void sta__log(const struct sta__log *log, enum sta_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
