/* SPDX-License-Identifier: MIT */
/*
 * Uses the gate instead of libc: while this runs, system calls of the caller are being intercepted,
 * and these are not the application's.
 */
#include "transform/tasks.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/gate.h"

struct sta__task_set {
    size_t count, capacity;
    int *tids;
};

struct sta__task_set *sta__task_set_new(void)
{
    return calloc(1, sizeof(struct sta__task_set));
}

void sta__task_set_free(struct sta__task_set *set)
{
    free(set->tids);
    free(set);
}

static bool contains(const struct sta__task_set *set, int tid)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->tids[i] == tid)
            return true;
    }
    return false;
}

static bool add(struct sta__task_set *set, int tid)
{
    if (set->count == set->capacity) {
        size_t capacity = set->capacity ? 2 * set->capacity : 64;
        int *tids = realloc(set->tids, capacity * sizeof(*tids));

        if (!tids)
            return false;
        set->tids = tids;
        set->capacity = capacity;
    }
    set->tids[set->count++] = tid;
    return true;
}

static unsigned visit_entries(struct sta__task_set *set, const char *entries, size_t size,
                              void (*visit)(int tid, void *data), void *data)
{
    int self = (int)STA__RAW0(SYS_gettid);
    unsigned visited = 0;

    for (size_t at = 0; at < size;) {
        const struct dirent64 *entry = (const struct dirent64 *)(entries + at);
        int tid = atoi(entry->d_name); /* 0 for . and .. */

        if (tid > 0 && tid != self && !contains(set, tid) && add(set, tid)) {
            visit(tid, data);
            visited++;
        }
        at += entry->d_reclen;
    }
    return visited;
}

unsigned sta__tasks_visit_new(struct sta__task_set *set, void (*visit)(int tid, void *data),
                              void *data)
{
    int fd = (int)STA__RAW4(SYS_openat, AT_FDCWD, "/proc/self/task",
                            O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    char entries[4096] __attribute__((aligned(8)));
    unsigned visited = 0;

    if (fd < 0)
        return 0;
    for (;;) {
        int64_t size = STA__RAW3(SYS_getdents64, fd, entries, sizeof(entries));

        if (size <= 0)
            break;
        visited += visit_entries(set, entries, (size_t)size, visit, data);
    }
    STA__RAW1(SYS_close, fd);
    return visited;
}

static bool blocks(int tid, int signal)
{
    char path[64], status[4096];
    const char *line;
    int64_t size;
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
    fd = (int)STA__RAW4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return false;
    size = STA__RAW3(SYS_read, fd, status, sizeof(status) - 1);
    STA__RAW1(SYS_close, fd);
    status[size > 0 ? size : 0] = '\0';
    line = strstr(status, "\nSigBlk:");
    return line && (strtoull(line + 8, NULL, 16) >> (signal - 1) & 1);
}

unsigned sta__tasks_blocking(const struct sta__task_set *set, int signal)
{
    unsigned count = 0;

    for (size_t i = 0; i < set->count; i++)
        count += blocks(set->tids[i], signal);
    return count;
}
