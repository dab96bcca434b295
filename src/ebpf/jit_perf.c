/* SPDX-License-Identifier: MIT */
/*
 * /tmp/perf-PID.map: where perf looks for names of code that is in no file. A line is
 *
 *      start size name         (hexadecimal)
 *
 * Lines are only ever added: for an address the last one counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/gate.h"
#include "ebpf/jit_work.h"

#define LINE_MAX 256

static int open_map(char *path, size_t size)
{
    snprintf(path, size, "/tmp/perf-%d.map", (int)STA__RAW0(SYS_getpid));
    /* Everybody may write to /tmp: no link is followed. */
    return (int)STA__RAW4(SYS_openat, AT_FDCWD, path,
                          O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* perf ends the name at the end of the line. */
static void copy_name(char *to, size_t size, const char *name)
{
    size_t length = strnlen(name, size - 1);

    for (size_t i = 0; i < length; i++)
        to[i] = (unsigned char)name[i] < ' ' ? '?' : name[i];
    to[length] = 0;
}

static uint32_t end_of(const struct sta__jit_work *work, uint32_t number, uint32_t size)
{
    return number + 1 < work->code->subprog_count ? work->subprogs[number + 1].entry : size;
}

/* The first begins where the program does, the last goes on to the end of all. */
static int write_lines(const struct sta__jit_work *work, int fd, const char *name, uint32_t size)
{
    char line[LINE_MAX], clean[128];

    copy_name(clean, sizeof(clean), name);
    for (uint32_t i = 0; i < work->code->subprog_count; i++) {
        uint32_t start = i ? work->subprogs[i].entry : 0;
        char suffix[16] = "";
        int length;

        if (i)
            snprintf(suffix, sizeof(suffix), ":%u", i);
        length = snprintf(line, sizeof(line), "%lx %x sta:%s%s\n",
                          (unsigned long)(work->address + start), end_of(work, i, size) - start,
                          clean, suffix);
        if (STA__RAW3(SYS_write, fd, line, length) != length)
            return -EIO;
    }
    return 0;
}

void sta__jit_perf_note(const struct sta__jit_work *work, const char *name, uint32_t size)
{
    char path[64];
    int fd = open_map(path, sizeof(path));
    int err = fd;

    if (fd >= 0) {
        err = write_lines(work, fd, name, size);
        STA__RAW1(SYS_close, fd);
    }
    if (err < 0)
        sta__log(work->log, STA_LOG_WARN, "%s: %s: the program '%s' has no name for perf", path,
                 strerror(-err), name);
}
