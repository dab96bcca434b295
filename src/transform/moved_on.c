/* SPDX-License-Identifier: MIT */
/*
 * Uses the gate instead of libc: while this runs, system calls of the caller may be intercepted.
 * Documentation/filesystems/proc.rst (the file "syscall"); include/linux/posix-timers_types.h (the
 * clock of a thread: the complement of its id, shifted, and these bits).
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
#include "base/pages.h"
#include "transform/text.h"

#define CPUCLOCK_SCHED      2
#define CPUCLOCK_PER_THREAD 4

#define POLL_NS   (200 * 1000)
#define POLLS_MAX 10000

/* The time that a thread has run includes that in the kernel: its way back to the instruction may
 * be a page fault that waits, spinning, for somebody who maps memory. That ends after four
 * milliseconds at most, when the kernel gives who waits precedence (kernel/locking/rwsem.c). */
#define ENOUGH_NS 5000000

#define THREAD_MAX 65536

/* A thread, and how long it had run at the beginning. */
struct thread {
    int tid;
    uint64_t time_run;
};

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

/* How many nanoseconds it has run up to now; UINT64_MAX: it is no more (or that cannot be found out
 * of any thread). Not its schedstat file,
 * which is brought up to date at a tick or when the thread is preempted: then it may say that the
 * thread has run for some time since it was read last, though it has not. */
static uint64_t time_run(int tid)
{
    const int clock = (int)((unsigned)~tid << 3) | CPUCLOCK_PER_THREAD | CPUCLOCK_SCHED;
    struct timespec time;

    if (STA__RAW2(SYS_clock_gettime, clock, &time) < 0)
        return UINT64_MAX;
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static int wait_for(const struct thread *thread)
{
    const struct timespec interval = {.tv_nsec = POLL_NS};

    for (int polls = 0; polls < POLLS_MAX; polls++) {
        uint64_t now = time_run(thread->tid);

        if (now == UINT64_MAX || now >= thread->time_run + ENOUGH_NS || is_asleep(thread->tid))
            return 0;
        STA__RAW2(SYS_nanosleep, &interval, 0);
    }
    return -ETIMEDOUT;
}

static size_t add_entries(const char *entries, int64_t size, struct thread *threads, size_t count)
{
    int self = (int)STA__RAW0(SYS_gettid);

    for (int64_t at = 0; at < size && count < THREAD_MAX;) {
        const struct dirent64 *entry = (const struct dirent64 *)(entries + at);
        int tid = atoi(entry->d_name); /* 0 for . and .. */

        at += entry->d_reclen;
        if (tid > 0 && tid != self)
            threads[count++] = (struct thread){tid, time_run(tid)};
    }
    return count;
}

/* The other threads. Returns how many, or -errno. */
static int64_t list_threads(struct thread *threads)
{
    int64_t fd =
        STA__RAW4(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    char entries[4096] __attribute__((aligned(8)));
    size_t count = 0;
    int64_t size;

    if (fd < 0)
        return fd;
    do {
        size = STA__RAW3(SYS_getdents64, fd, entries, sizeof(entries));
        count = add_entries(entries, size, threads, count);
    } while (size > 0);
    STA__RAW1(SYS_close, fd);
    return size < 0 ? size : (int64_t)count;
}

int sta__wait_until_moved_on(void)
{
    struct thread *threads;
    int64_t count;
    int err = 0;

    if (sta__text_is_alone())
        return 0;
    if (time_run((int)STA__RAW0(SYS_gettid)) == UINT64_MAX)
        return -ENOTSUP;
    threads = sta__pages_alloc(THREAD_MAX * sizeof(*threads));
    if (!threads)
        return -ENOMEM;
    count = list_threads(threads);
    for (int64_t i = 0; i < count && err == 0; i++)
        err = wait_for(&threads[i]);
    sta__pages_free(threads, THREAD_MAX * sizeof(*threads));
    return count < 0 ? (int)count : err;
}
