/* SPDX-License-Identifier: MIT */
/*
 * Numbers and names of system calls. Both tables are made at build time (generate_names.cmake), so
 * there is nothing to initialise and a lookup may happen in a signal handler.
 */
#include "syscalls/names.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <sta/syscalls.h>

static const char *const names[STA_SYSCALL_LIMIT] = {
#include "syscalls/syscall_names.inc"
};

/* The numbers of all known calls, ordered by name. */
static const uint16_t by_name[] = {
#include "syscalls/syscall_sorted.inc"
};

/*
 * Where the kernel names the function, and hence the event, differently from the call.
 * Origin: the SYSCALL_DEFINE lines of fs/stat.c, fs/read_write.c, kernel/sys.c, fs/namespace.c
 * against arch/x86/entry/syscalls/syscall_64.tbl.
 */
static const struct {
    uint16_t number;
    const char *event_name;
} renamed[] = {
    {4, "newstat"},     {5, "newfstat"},  {6, "newlstat"},
    {40, "sendfile64"}, {63, "newuname"}, {166, "umount"},
};

#define RENAMED_COUNT (sizeof(renamed) / sizeof(renamed[0]))

const char *sta_syscall_name(int sys_nr)
{
    return sys_nr >= 0 && sys_nr < STA_SYSCALL_LIMIT ? names[sys_nr] : NULL;
}

const char *sta__syscall_event_name(int sys_nr)
{
    for (size_t i = 0; i < RENAMED_COUNT; i++)
        if (renamed[i].number == sys_nr)
            return renamed[i].event_name;
    return sta_syscall_name(sys_nr);
}

int sta_syscall_number(const char *name)
{
    size_t low = 0, high = sizeof(by_name) / sizeof(by_name[0]);

    if (!name)
        return -EINVAL;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(name, names[by_name[middle]]);

        if (order == 0)
            return by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    for (size_t i = 0; i < RENAMED_COUNT; i++)
        if (strcmp(name, renamed[i].event_name) == 0)
            return renamed[i].number;
    return -ENOENT;
}
