/* SPDX-License-Identifier: MIT */
/* Sections of programs by their names, as libbpf has them. */
#include <stdio.h>
#include <string.h>

#include "bpfcall/object.h"

static const struct {
    const char *prefix;
    enum sta__section_kind kind;
} prefixes[] = {
    {"tracepoint/", STA__SECTION_TRACEPOINT},
    {"tp/", STA__SECTION_TRACEPOINT},
    {"raw_tracepoint/", STA__SECTION_RAW},
    {"raw_tp/", STA__SECTION_RAW},
    {"raw_tracepoint.w/", STA__SECTION_RAW},
    {"raw_tp.w/", STA__SECTION_RAW},
    {"tp_btf/", STA__SECTION_BTF},
    {"ksyscall/", STA__SECTION_SYSCALL},
    {"kretsyscall/", STA__SECTION_SYSCALL},
};

/* "syscalls/sys_enter_read", "raw_syscalls/sys_exit" */
static bool parse_tracepoint(const char *event, struct sta_target *target)
{
    char name[STA_TRACEPOINT_NAME_SIZE];
    char *slash;

    if (strlen(event) >= sizeof(name))
        return false;
    strcpy(name, event);
    slash = strchr(name, '/');
    if (!slash)
        return false;
    *slash = ':';
    return sta_target_parse(target, name) == 0;
}

static bool parse_raw(const char *event, struct sta_target *target)
{
    target->sys_nr = STA_ALL_SYSCALLS;
    target->is_enter = strcmp(event, "sys_enter") == 0;
    return target->is_enter || strcmp(event, "sys_exit") == 0;
}

static bool parse_syscall(const char *call, bool is_enter, struct sta_target *target)
{
    target->sys_nr = sta_syscall_number(call);
    target->is_enter = is_enter;
    return target->sys_nr >= 0;
}

enum sta__section_kind sta__section_parse(const char *name, struct sta_target *target)
{
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        enum sta__section_kind kind = prefixes[i].kind;
        size_t size = strlen(prefixes[i].prefix);
        bool is_good;

        if (strncmp(name, prefixes[i].prefix, size) != 0)
            continue;
        if (kind == STA__SECTION_TRACEPOINT)
            is_good = parse_tracepoint(name + size, target);
        else if (kind == STA__SECTION_SYSCALL)
            is_good = parse_syscall(name + size, name[1] == 's', target);
        else
            is_good = parse_raw(name + size, target);
        return is_good ? kind : STA__SECTION_UNSUPPORTED;
    }
    return STA__SECTION_UNSUPPORTED;
}
