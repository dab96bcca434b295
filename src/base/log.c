/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void sta__log(const struct sta__log *log, enum sta_log_level level, const char *format, ...)
{
    char message[512];
    va_list args;

    if (!log->fn)
        return;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    log->fn(log->data, level, message);
}
