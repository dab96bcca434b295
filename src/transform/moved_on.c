/* SPDX-License-Identifier: MIT */
/*
 * Uses the gate instead of libc: while this runs, system calls of the caller may be intercepted.
 * Files: Documentation/filesystems/proc.rst (syscall), Documentation/scheduler/sched-stats.rst
 * (schedstat: the nanoseconds that the thread has run, then others).
 */
#include "transform/moved_on.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/gate.h"
#include "transform/text.h"

#define POLL_NS   (100 * 1000)
#define POLLS_MAX 10000

/* So much time is for more than the way out of the kernel, on which a thread may be preempted
 * again. */
#define ENOUGH_NS 50000

static int64_t read_task_file(int tid, const char *name, char *text, size_t size)
{
    char path[64];
    int64_t fd, got;

    snprintf(path, sizeof(path), "/proc/self/task/%d/%s", tid, name);
    fd = STA__RAW4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    got = STA__RAW3(SYS_read, fd, text, size - 1);
    STA__RAW1(SYS_close, fd);
    text[got > 0 ? got : 0] = '\0';
    return got;
}

/* In a system call, and not on its way there or back. */
static bool is_asleep(int tid)
{
    char text[256];

    return read_task_file(tid, "syscall", text, sizeof(text)) > 0 && isdigit((unsigned char)*text);
}

/* How long it has run; UINT64_MAX: it is no more. */
static uint64_t time_run(int tid)
{
    char text[128];

    return read_task_file(tid, "schedstat", text, sizeof(text)) < 0 ? UINT64_MAX
                                                                    : strtoull(text, NULL, 10);
}

static int wait_for(int tid)
{
    const struct timespec interval = {.tv_nsec = POLL_NS};
    uint64_t begin = time_run(tid), now;

    for (int polls = 0; polls < POLLS_MAX; polls++) {
        now = time_run(tid);
        if (now == UINT64_MAX || now >= begin + ENOUGH_NS || is_asleep(tid))
            return 0;
        STA__RAW2(SYS_nanosleep, &interval, 0);
    }
    return -ETIMEDOUT;
}

static int wait_for_entries(const char *entries, int64_t size)
{
    int self = (int)STA__RAW0(SYS_gettid), err = 0;

    for (int64_t at = 0; at < size && err == 0;) {
        const struct dirent64 *entry = (const struct dirent64 *)(entries + at);
        int tid = atoi(entry->d_name); /* 0 for . and .. */

        at += entry->d_reclen;
        if (tid > 0 && tid != self)
            err = wait_for(tid);
    }
    return err;
}

int sta__wait_until_moved_on(void)
{
    char entries[4096] __attribute__((aligned(8)));
    int64_t fd, size;
    int err = 0;

    if (sta__text_is_alone())
        return 0;
    fd = STA__RAW4(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return (int)fd;
    do {
        size = STA__RAW3(SYS_getdents64, fd, entries, sizeof(entries));
        err = size < 0 ? (int)size : wait_for_entries(entries, size);
    } while (size > 0 && err == 0);
    STA__RAW1(SYS_close, fd);
    return err;
}
