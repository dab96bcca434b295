/* SPDX-License-Identifier: MIT */
/*
 * Opening the tree and reading one file of one event. Files are opened relative to the events
 * directory and with O_NONBLOCK: in a made-up tree an id file can be a fifo that nobody writes to.
 */
#include "syscalls/tracefs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/options.h"
#include "syscalls/escape.h"
#include "syscalls/event.h"

int sta__tracefs_init(struct sta__tracefs *fs, const struct sta_tracefs_options *options)
{
    struct sta_tracefs_options known;
    /* What the struct was in its first version; stays when fields are added. */
    size_t first = offsetof(struct sta_tracefs_options, log_data) + sizeof(void *);
    int result = sta__options_copy(&known, sizeof(known), first, options);

    *fs =
        (struct sta__tracefs){.log = {known.log, known.log_data}, .root = known.root, .events = -1};
    if (result == -E2BIG)
        sta__log(&fs->log, STA_LOG_ERROR,
                 "sta_tracefs_options: this version of libsta does not know all that is set");
    return result;
}

/* Logs what happened to <root>/events<rest>. Returns -error. */
static int fail(const struct sta__tracefs *fs, enum sta_log_level level, const char *rest,
                int error)
{
    errno = error; /* for %m */
    sta__log(&fs->log, level, "%.200s/events%s: %m", fs->root, rest);
    return -error;
}

/* Opens <root>/events: 0, STA__TRACEFS_ABSENT, or -errno. */
static int open_at(struct sta__tracefs *fs, const char *root)
{
    char path[PATH_MAX];

    fs->root = root;
    if (snprintf(path, sizeof(path), "%s/events", root) >= (int)sizeof(path))
        return fail(fs, STA_LOG_ERROR, "", ENAMETOOLONG);
    fs->events = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fs->events >= 0)
        return 0;
    if (errno != ENOENT && errno != EACCES && errno != EPERM)
        return fail(fs, STA_LOG_ERROR, "", errno);
    fail(fs, STA_LOG_INFO, "", errno);
    return STA__TRACEFS_ABSENT;
}

int sta__tracefs_open(struct sta__tracefs *fs)
{
    int result;

    if (fs->root) {
        result = open_at(fs, fs->root);
    } else {
        result = open_at(fs, "/sys/kernel/tracing");
        if (result == STA__TRACEFS_ABSENT)
            result = open_at(fs, "/sys/kernel/debug/tracing");
    }
    if (result == STA__TRACEFS_ABSENT)
        sta__log(&fs->log, STA_LOG_INFO,
                 "tracefs is missing or unreadable: the built-in tracepoint ids serve");
    return result;
}

void sta__tracefs_close(struct sta__tracefs *fs)
{
    if (fs->events >= 0)
        close(fs->events);
    fs->events = -1;
}

/* Reads to the end of the file or of the buffer. */
static int read_file(int directory, const char *path, char *buffer, size_t size)
{
    int fd = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    size_t used = 0;
    ssize_t count;

    if (fd < 0)
        return -errno;
    do {
        count = read(fd, buffer + used, size - used);
        used += count > 0 ? (size_t)count : 0;
    } while (count > 0 && used < size);
    count = count < 0 ? -errno : (ssize_t)used;
    close(fd);
    return (int)count;
}

int sta__tracefs_read(const struct sta__tracefs *fs, enum sta_log_level level, const char *category,
                      const char *event, const char *file, char *buffer, size_t size)
{
    char path[NAME_MAX + 32];
    int result;

    if (snprintf(path, sizeof(path), "/%s/%s/%s", category, event, file) >= (int)sizeof(path))
        return fail(fs, level, "", ENAMETOOLONG);
    result = read_file(fs->events, path + 1, buffer, size);
    if (result < 0)
        fail(fs, level, sta__escape(path, strlen(path)).text, -result);
    return result;
}

int sta__tracefs_read_id(const struct sta__tracefs *fs, enum sta_log_level level,
                         const char *category, const char *event)
{
    char text[32];
    int length = sta__tracefs_read(fs, level, category, event, "id", text, sizeof(text));
    int id = -EINVAL;

    if (length < 0)
        return length;
    /* The kernel writes "%d\n"; without the newline it is not known whether digits are missing. */
    if (length > 0 && text[length - 1] == '\n')
        id = sta__id_parse(text, (size_t)length - 1);
    /* The kernel's ids have 16 bits; what is above would be taken for a built-in one. */
    if (id > 0 && id < STA_BUILTIN_ID_BASE)
        return id;
    sta__log(&fs->log, level, "%.200s/events/%s/%s/id: '%s' is no tracepoint id", fs->root,
             category, sta__escape(event, strlen(event)).text,
             sta__escape(text, (size_t)length).text);
    return -EINVAL;
}
