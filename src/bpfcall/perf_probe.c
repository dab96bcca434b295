/* SPDX-License-Identifier: MIT */
/*
 * Probes of the kernel's functions that make system calls, "__x64_sys_read": what ksyscall and
 * kretsyscall are to perf_event_open(2). Their type is a number that sysfs tells; where the kernel
 * has no such probes, files.c tells one of our own.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "bpfcall/perf.h"

#define FUNCTION_PREFIX "__x64_sys_"
#define RETURN_FLAG     1 /* of attr.config: format/retprobe */

/* 0: not asked yet. */
static _Atomic uint32_t probe_type;

static uint32_t read_type(void)
{
    int fd = open(STA__PROBE_TYPE_PATH, O_RDONLY | O_CLOEXEC);
    char text[16] = "";
    uint32_t type;

    if (fd < 0)
        return STA__PROBE_TYPE;
    if (read(fd, text, sizeof(text) - 1) < 0)
        text[0] = '\0';
    close(fd);
    type = (uint32_t)strtoul(text, NULL, 10);
    return type ? type : STA__PROBE_TYPE;
}

static bool is_probe(uint32_t type)
{
    if (type < PERF_TYPE_MAX)
        return false;
    if (atomic_load(&probe_type) == 0)
        atomic_store(&probe_type, read_type());
    return type == atomic_load(&probe_type);
}

/* Names are short; one that cannot be read is the kernel's business. */
static bool read_name(char *name, size_t size, uint64_t from)
{
    for (size_t i = 0; i < size; i++) {
        if (!sta__memory_read(name + i, (const char *)(uintptr_t)from + i, 1))
            return false;
        if (!name[i])
            return true;
    }
    return false;
}

bool sta__perf_probe_target(const struct perf_event_attr *attr, struct sta_target *target)
{
    char name[STA_TRACEPOINT_NAME_SIZE];
    size_t prefix = sizeof(FUNCTION_PREFIX) - 1;

    if (!is_probe(attr->type) || attr->config & ~(uint64_t)RETURN_FLAG || attr->config2 ||
        !attr->config1 || !read_name(name, sizeof(name), attr->config1) ||
        strncmp(name, FUNCTION_PREFIX, prefix) != 0)
        return false;
    /* Functions have the tracepoints' names: newstat, not stat. */
    target->sys_nr = sta_syscall_number(name + prefix);
    target->is_enter = !(attr->config & RETURN_FLAG);
    return target->sys_nr >= 0;
}
