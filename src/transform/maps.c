/* SPDX-License-Identifier: MIT */
#include "transform/maps.h"

#include <errno.h>
#include <fcntl.h>

#include "base/gate.h"
#include "base/memory.h"
#include "base/pages.h"

/* The longest line: the numbers, and a path of PATH_MAX bytes in which each newline takes four. */
#define BUFFER_SIZE ((size_t)64 * 1024)

/* What of the file has been read and not been looked at. */
struct reader {
    char *buffer;
    size_t start, end;
    int fd;
};

static bool take_hex(const char **at, uint64_t *out)
{
    const char *text = *at;

    *out = 0;
    for (;; text++) {
        unsigned char digit = (unsigned char)*text;

        if (digit >= '0' && digit <= '9')
            *out = *out << 4 | (uint64_t)(digit - '0');
        else if (digit >= 'a' && digit <= 'f')
            *out = *out << 4 | (uint64_t)(digit - 'a' + 10);
        else
            break;
    }
    if (text == *at)
        return false;
    *at = text;
    return true;
}

static uint64_t take_decimal(const char **at)
{
    uint64_t value = 0;

    for (; **at >= '0' && **at <= '9'; ++*at)
        value = value * 10 + (uint64_t)(**at - '0');
    return value;
}

static bool take_char(const char **at, char expected)
{
    if (**at != expected)
        return false;
    ++*at;
    return true;
}

/* "5604edb59000-5604edb5a000 r-xp 00001000 fe:00 10952835     /bin/true" */
static bool parse(const char *line, struct sta__map *map)
{
    uint64_t start, end, major, minor;

    if (!take_hex(&line, &start) || !take_char(&line, '-') || !take_hex(&line, &end) ||
        !take_char(&line, ' '))
        return false;
    for (int i = 0; i < 4; i++) {
        if (line[i] == '\0')
            return false;
    }
    map->start = start;
    map->end = end;
    map->readable = line[0] == 'r';
    map->writable = line[1] == 'w';
    map->executable = line[2] == 'x';
    map->shared = line[3] == 's';
    line += 4;
    if (!take_char(&line, ' ') || !take_hex(&line, &map->offset) || !take_char(&line, ' ') ||
        !take_hex(&line, &major) || !take_char(&line, ':') || !take_hex(&line, &minor) ||
        !take_char(&line, ' '))
        return false;
    map->device = major << 32 | minor;
    map->inode = take_decimal(&line);
    while (*line == ' ')
        line++;
    map->path = line;
    return true;
}

/* Makes room for more and reads it. 0 at the end of the file. */
static int64_t read_more(struct reader *reader)
{
    size_t kept = reader->end - reader->start;
    int64_t got;

    sta__memory_copy(reader->buffer, reader->buffer + reader->start, kept);
    reader->start = 0;
    reader->end = kept;
    if (kept == BUFFER_SIZE)
        return -EOVERFLOW;
    do {
        got = STA__RAW3(SYS_read, reader->fd, reader->buffer + kept, BUFFER_SIZE - kept);
    } while (got == -EINTR);
    if (got > 0)
        reader->end += (size_t)got;
    return got;
}

/* The next line, terminated. 0 at the end of the file, or -errno. */
static int64_t next_line(struct reader *reader, const char **line)
{
    size_t looked_at = 0;

    for (;;) {
        int64_t got;

        for (size_t i = reader->start + looked_at; i < reader->end; i++) {
            if (reader->buffer[i] != '\n')
                continue;
            reader->buffer[i] = '\0';
            *line = reader->buffer + reader->start;
            reader->start = i + 1;
            return 1;
        }
        looked_at = reader->end - reader->start;
        got = read_more(reader);
        if (got <= 0)
            return got;
    }
}

static int visit_all(struct reader *reader, sta__map_visit visit, void *data)
{
    struct sta__map map;
    const char *line;
    int64_t got;

    while ((got = next_line(reader, &line)) > 0) {
        if (!parse(line, &map))
            return -EPROTO;
        if (!visit(&map, data))
            break;
    }
    return got < 0 ? (int)got : 0;
}

int sta__maps_each(sta__map_visit visit, void *data)
{
    struct reader reader = {0};
    int err = -ENOMEM;

    reader.fd = (int)STA__RAW4(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
    if (reader.fd < 0)
        return reader.fd;
    reader.buffer = sta__pages_alloc(BUFFER_SIZE);
    if (reader.buffer) {
        err = visit_all(&reader, visit, data);
        sta__pages_free(reader.buffer, BUFFER_SIZE);
    }
    STA__RAW1(SYS_close, reader.fd);
    return err;
}
