/* SPDX-License-Identifier: MIT */
/* On the dispatch path: see proc.h. */
#include "ebpf/proc.h"

#include <fcntl.h>
#include <stddef.h>

#include "base/gate.h"
#include "base/memory.h"

/* Enough for the lines that are of interest. */
#define TEXT_SIZE 512

static char *append(char *to, const char *text)
{
    while (*text)
        *to++ = *text++;
    *to = '\0';
    return to;
}

static char *append_number(char *to, uint32_t number)
{
    char digits[12];
    int count = 0;

    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count > 0)
        *to++ = digits[--count];
    *to = '\0';
    return to;
}

void sta__proc_path(char *path, uint32_t tid, const char *name)
{
    path = append_number(append(path, "/proc/"), tid);
    append(append(path, "/"), name);
}

/* Reads the beginning, always ended by a zero; false: nothing. */
static bool read_file(uint32_t tid, const char *name, char *text)
{
    char path[STA__PROC_PATH_MAX];
    int64_t fd, size;

    sta__proc_path(path, tid, name);
    fd = STA__RAW4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return false;
    size = STA__RAW3(SYS_read, fd, text, TEXT_SIZE - 1);
    STA__RAW1(SYS_close, fd);
    text[size > 0 ? size : 0] = '\0';
    return size > 0;
}

static const char *skip_spaces(const char *text)
{
    while (*text == ' ' || *text == '\t')
        text++;
    return text;
}

/* The number at *text, behind spaces, and goes on behind it. */
static uint64_t next_number(const char **text)
{
    uint64_t number = 0;

    *text = skip_spaces(*text);
    for (; **text >= '0' && **text <= '9'; (*text)++)
        number = number * 10 + (uint64_t)(**text - '0');
    return number;
}

static const char *skip_words(const char *text, int count)
{
    for (; count > 0; count--) {
        text = skip_spaces(text);
        while (*text && *text != ' ')
            text++;
    }
    return text;
}

/* "4711 (name) S ppid ..": the name may have anything in it, also parentheses. */
bool sta__proc_stat(uint32_t tid, struct sta__proc_stat *out)
{
    char text[TEXT_SIZE];
    const char *begin, *end = NULL;

    if (!read_file(tid, "stat", text))
        return false;
    for (begin = text; *begin && *begin != '('; begin++) {
    }
    for (const char *at = begin; *at; at++) {
        if (*at == ')')
            end = at;
    }
    if (!end)
        return false;
    begin++;
    for (size_t i = 0; i < sizeof(out->comm); i++)
        out->comm[i] = i < sizeof(out->comm) - 1 && begin < end ? *begin++ : '\0';
    end = skip_words(end + 1, 1); /* the state; what follows are the fields 4 .. of proc(5) */
    out->ppid = (uint32_t)next_number(&end);
    end = skip_words(end, 4);
    out->flags = (uint32_t)next_number(&end);
    end = skip_words(end, 12);
    out->start_ticks = next_number(&end);
    return true;
}

/* What is behind "\n<key>"; NULL: there is no such line. */
static const char *find_line(const char *text, const char *key)
{
    for (; *text; text++) {
        size_t i = 0;

        if (*text != '\n')
            continue;
        while (key[i] && text[1 + i] == key[i])
            i++;
        if (!key[i])
            return text + 1 + i;
    }
    return NULL;
}

static bool read_four(const char *line, uint32_t *out)
{
    for (int i = 0; line && i < 4; i++)
        out[i] = (uint32_t)next_number(&line);
    return line != NULL;
}

bool sta__proc_status(uint32_t tid, struct sta__proc_status *out)
{
    char text[TEXT_SIZE];
    const char *line;

    if (!read_file(tid, "status", text))
        return false;
    line = find_line(text, "Tgid:");
    if (!line)
        return false;
    out->tgid = (uint32_t)next_number(&line);
    return read_four(find_line(text, "Uid:"), out->uid) &&
           read_four(find_line(text, "Gid:"), out->gid);
}
