/* SPDX-License-Identifier: MIT */
/*
 * What to attach to, from the text that a user gave.
 */
#include <errno.h>
#include <string.h>

#include <sta/syscalls.h>

#include "syscalls/escape.h"
#include "syscalls/event.h"
#include "syscalls/tracefs.h"

static int target_by_id(const struct sta_tracefs_options *options, int id, struct sta_target *out)
{
    struct sta_tracepoint tracepoint;
    int result = sta_tracepoint_by_id_at(options, id, &tracepoint);

    if (result == 0)
        *out = tracepoint.target;
    return result;
}

int sta_target_parse_at(const struct sta_tracefs_options *options, struct sta_target *out,
                        const char *text)
{
    struct sta__tracefs fs;
    int result = sta__tracefs_init(&fs, options);

    if (result < 0)
        return result;
    if (!out || !text) {
        sta__log(&fs.log, STA_LOG_ERROR, "sta_target_parse: the text or the result is NULL");
        return -EINVAL;
    }
    result = sta__id_parse(text, strlen(text));
    if (result > 0)
        return target_by_id(options, result, out);
    result = sta__event_parse(text, out);
    if (result == -EINVAL)
        sta__log(&fs.log, STA_LOG_ERROR, "'%s' is neither a tracepoint id nor a tracepoint's name",
                 sta__escape(text, strlen(text)).text);
    else if (result == -ENOENT)
        sta__log(&fs.log, STA_LOG_ERROR, "'%s': there is no such tracepoint",
                 sta__escape(text, strlen(text)).text);
    return result;
}

int sta_target_parse(struct sta_target *out, const char *text)
{
    return sta_target_parse_at(NULL, out, text);
}
