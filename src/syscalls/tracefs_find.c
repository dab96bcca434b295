/* SPDX-License-Identifier: MIT */
/*
 * From an id to its event. tracefs has no index by id and 720 id files, so reading them all is to
 * be avoided.
 *
 * The kernel numbers events as it registers them and lists them in that order (some versions in the
 * reverse of it). So along the listing the ids rise or fall strictly, and a bisection finds one
 * with a handful of files read. The listing is not read as a whole either: on tracefs a seek to k
 * goes to the k-th entry. Ids that rise by 1 at least also bound the distance in entries from both
 * sides,
 *
 *   position     low ............ wanted ............ high
 *   id            7                 42                 50       wanted - low <= 42 - 7
 *                                                               high - wanted <= 50 - 42
 *
 * which in the long runs of consecutive ids leaves little to bisect.
 *
 * All this is but a guess at how the tree is built. It is believed when it leads to a file that
 * holds the id, and whatever else comes of it, all files are read.
 */
#include "syscalls/tracefs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * A part of a listing, as getdents64(2) fills it: on x86-64 its struct linux_dirent64 is struct
 * dirent. Room for one entry of the longest name at least.
 */
struct chunk {
    int used, next;
    char bytes[1024] __attribute__((aligned(__alignof__(struct dirent))));
};

/* 1, 0 at the end, or -errno. */
static int fill(struct chunk *chunk, int directory, size_t size)
{
    chunk->next = 0;
    chunk->used = (int)syscall(SYS_getdents64, directory, chunk->bytes, size);
    return chunk->used < 0 ? -errno : chunk->used > 0;
}

/* The next name in this part of the listing, or NULL. */
static const char *next_name(struct chunk *chunk)
{
    const struct dirent *entry = (const void *)(chunk->bytes + chunk->next);

    if (chunk->next >= chunk->used)
        return NULL;
    chunk->next += entry->d_reclen;
    return entry->d_name;
}

/* Whether an entry is an event's directory, and not one of the few others. */
static bool is_event(const char *name)
{
    return name[0] != '.' && strcmp(name, "enable") != 0 && strcmp(name, "filter") != 0 &&
           strlen(name) <= NAME_MAX; /* FUSE has longer names */
}

static int log_listing(const struct sta__tracefs *fs, int error)
{
    errno = error; /* for %m */
    sta__log(&fs->log, STA_LOG_ERROR, "%.200s/events/syscalls: %m", fs->root);
    return -error;
}

static int open_listing(const struct sta__tracefs *fs)
{
    int fd = openat(fs->events, "syscalls", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd >= 0 ? fd : log_listing(fs, errno);
}

int sta__tracefs_walk(const struct sta__tracefs *fs, int (*visit)(const char *event, void *data),
                      void *data)
{
    int directory = open_listing(fs), filled, result = 0;
    struct chunk chunk;
    const char *name;

    if (directory < 0)
        return directory;
    while ((filled = fill(&chunk, directory, sizeof(chunk.bytes))) > 0 && result == 0)
        while (result == 0 && (name = next_name(&chunk)))
            if (is_event(name))
                result = visit(name, data);
    close(directory);
    return filled < 0 ? log_listing(fs, -filled) : result;
}

/* One place in the listing that was looked at. */
struct probe {
    long position;
    int id;
    char event[NAME_MAX + 1];
};

/* Looks at the first event at or behind a position. 1, 0 past the end (id is 0 then), or -errno. */
static int look(const struct sta__tracefs *fs, int directory, long position, struct probe *out)
{
    struct chunk chunk;
    const char *name;
    int filled;

    *out = (struct probe){.position = position};
    if (lseek(directory, position, SEEK_SET) < 0)
        return -errno;
    filled = fill(&chunk, directory, 192); /* small: ".", "..", two files, and one event */
    if (filled <= 0)
        return filled;
    for (; (name = next_name(&chunk)); out->position++) {
        if (!is_event(name))
            continue;
        strcpy(out->event, name);
        out->id = sta__tracefs_read_id(fs, STA_LOG_WARN, "syscalls", name);
        return out->id > 0 ? 1 : out->id;
    }
    return 0;
}

/* Where the wanted event can be: behind `low` and before `high`. */
struct range {
    struct probe low, high; /* high.id is 0 while only the position is known */
    int direction;          /* 1: ids rise along the listing; -1: they fall; 0: not known yet */
};

/* How far `to` is behind `from` in the listing, counted in ids; counted in entries it is that far
 * at most. Negative if it comes before. */
static long distance(const struct range *range, int from, int to)
{
    return (long)(to - from) * range->direction;
}

/* The next place to look at; -1 if none is left. */
static long choose(const struct range *range, int id)
{
    long first = range->low.position + 1, last = range->high.position - 1, bound;

    if (range->direction != 0) {
        bound = range->low.position + distance(range, range->low.id, id);
        last = bound < last ? bound : last;
    }
    if (range->high.id != 0) {
        bound = range->high.position - distance(range, id, range->high.id);
        first = bound > first ? bound : first;
    }
    return first <= last ? first + (last - first) / 2 : -1;
}

/* Whether a probe fits between the ends of the range. If not, this listing has no order. */
static bool in_order(const struct range *range, const struct probe *probe)
{
    return distance(range, range->low.id, probe->id) > 0 &&
           (range->high.id == 0 || distance(range, probe->id, range->high.id) > 0);
}

/* Finds an event by trusting the order. False: not found, or something is not as expected. */
static bool find_by_order(const struct sta__tracefs *fs, int directory, int id, struct probe *probe)
{
    struct range range = {.high.position = 2 * STA_SYSCALL_LIMIT};

    if (look(fs, directory, 0, &range.low) != 1)
        return false;
    *probe = range.low;
    /* 720 entries take 11 probes at most; more, and the listing is made to lead us on. */
    for (int probes = 0; probes < 32 && probe->id != id; probes++) {
        long next = choose(&range, id);
        int found = next < 0 ? -ENOENT : look(fs, directory, next, probe);

        if (found == 1 && range.direction == 0)
            range.direction = probe->id > range.low.id ? 1 : -1;
        if (found < 0 || (found == 1 && !in_order(&range, probe)))
            return false;
        if (found == 1 && distance(&range, probe->id, id) > 0)
            range.low = *probe;
        else
            range.high = *probe;
    }
    return probe->id == id;
}

struct search {
    const struct sta__tracefs *fs;
    int id;
    char *event;
};

static int compare_id(const char *event, void *data)
{
    const struct search *search = data;

    if (sta__tracefs_read_id(search->fs, STA_LOG_WARN, "syscalls", event) != search->id)
        return 0;
    strcpy(search->event, event);
    return 1;
}

int sta__tracefs_find(const struct sta__tracefs *fs, int id, char event[NAME_MAX + 1])
{
    struct search search = {fs, id, event};
    struct sta__tracefs quiet = *fs; /* a damaged file is worth a message only in the full search */
    struct probe probe;
    int directory = open_listing(fs), result;
    bool found;

    if (directory < 0)
        return directory;
    quiet.log.fn = NULL;
    found = find_by_order(&quiet, directory, id, &probe);
    close(directory);
    if (found) {
        strcpy(event, probe.event);
        return 0;
    }
    result = sta__tracefs_walk(fs, compare_id, &search);
    return result == 0 ? -ENOENT : result < 0 ? result : 0;
}
