/* SPDX-License-Identifier: MIT */
/*
 * Names and targets of events. No file is read here.
 */
#include "syscalls/event.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "syscalls/names.h"

static const char raw_category[] = "raw_syscalls";
static const char named_category[] = "syscalls";

const char *sta__event_category(const struct sta_target *target)
{
    return target->sys_nr == STA_ALL_SYSCALLS ? raw_category : named_category;
}

bool sta__event_name(const struct sta_target *target, char name[STA_TRACEPOINT_NAME_SIZE])
{
    const char *prefix = target->is_enter ? "sys_enter" : "sys_exit";
    const char *call = sta__syscall_event_name(target->sys_nr);

    if (target->sys_nr == STA_ALL_SYSCALLS)
        snprintf(name, STA_TRACEPOINT_NAME_SIZE, "%s", prefix);
    else if (call)
        snprintf(name, STA_TRACEPOINT_NAME_SIZE, "%s_%s", prefix, call);
    else
        return false;
    return true;
}

/* Steps over `prefix` if the text starts with it. */
static bool skip(const char **text, const char *prefix)
{
    size_t length = strlen(prefix);

    if (strncmp(*text, prefix, length) != 0)
        return false;
    *text += length;
    return true;
}

/* "sys_enter" or "sys_enter_read". */
static int parse_event(const char *text, struct sta_target *target)
{
    struct sta_target found = {.sys_nr = STA_ALL_SYSCALLS};

    if (skip(&text, "sys_enter"))
        found.is_enter = true;
    else if (!skip(&text, "sys_exit"))
        return -EINVAL;
    if (*text != '\0') {
        if (!skip(&text, "_") || *text == '\0')
            return -EINVAL;
        found.sys_nr = sta_syscall_number(text);
        if (found.sys_nr < 0)
            return -ENOENT;
    }
    *target = found;
    return 0;
}

int sta__event_parse(const char *text, struct sta_target *target)
{
    struct sta_target found;
    const char *category = NULL;
    bool all_enter = strcmp(text, "*SYS_ENTER") == 0;
    int result;

    if (all_enter || strcmp(text, "*SYS_EXIT") == 0) {
        *target = (struct sta_target){STA_ALL_SYSCALLS, all_enter};
        return 0;
    }
    if (skip(&text, "raw_syscalls:"))
        category = raw_category;
    else if (skip(&text, "syscalls:"))
        category = named_category;
    result = parse_event(text, &found);
    if (result < 0)
        return result;
    if (category && category != sta__event_category(&found))
        return -ENOENT;
    *target = found;
    return 0;
}

bool sta__event_target(const char *name, struct sta_target *target)
{
    char kernel_name[STA_TRACEPOINT_NAME_SIZE];
    struct sta_target found;

    if (parse_event(name, &found) < 0 || found.sys_nr == STA_ALL_SYSCALLS)
        return false;
    if (!sta__event_name(&found, kernel_name) || strcmp(name, kernel_name) != 0)
        return false;
    *target = found;
    return true;
}

int sta__builtin_id(const struct sta_target *target)
{
    return STA_BUILTIN_ID_BASE + 2 * (target->sys_nr + 1) + (target->is_enter ? 0 : 1);
}

bool sta__builtin_target(int id, struct sta_target *target)
{
    int index;

    if (id < STA_BUILTIN_ID_BASE)
        return false;
    index = id - STA_BUILTIN_ID_BASE;
    if (index >= 2 * (STA_SYSCALL_LIMIT + 1))
        return false;
    *target = (struct sta_target){index / 2 - 1, index % 2 == 0};
    return target->sys_nr == STA_ALL_SYSCALLS || sta_syscall_name(target->sys_nr);
}

int sta__id_parse(const char *text, size_t length)
{
    int value = 0;

    if (length == 0 || text[0] == '0')
        return -EINVAL;
    for (size_t i = 0; i < length; i++) {
        int digit = text[i] - '0';

        if (digit < 0 || digit > 9 || value > (INT_MAX - digit) / 10)
            return -EINVAL;
        value = value * 10 + digit;
    }
    return value;
}
