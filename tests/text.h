/* SPDX-License-Identifier: MIT */
/*
 * For tests of what rewriting does to code: all executable memory of the process as it was, and
 * what the report says of a place in it. To be included after intercept.h.
 */
#ifndef TESTS_TEXT_H
#define TESTS_TEXT_H

#include "intercept.h"

#define TEXT_RANGES_MAX 128

/* One executable mapping with its bytes at the time of the snapshot. */
struct text_range {
    uintptr_t start, end;
    long offset; /* in the file */
    char path[256];
    unsigned char *bytes;
};

struct text {
    size_t count;
    struct text_range ranges[TEXT_RANGES_MAX];
};

/* One line of /proc/self/maps; false at its end. */
struct text_line {
    uintptr_t start, end;
    char access[8], path[256];
    long offset;
};

static bool text_read_line(FILE *maps, struct text_line *line)
{
    unsigned long start, end;
    char text[512];

    if (!fgets(text, sizeof(text), maps))
        return false;
    line->path[0] = '\0';
    CHECK(sscanf(text, "%lx-%lx %7s %lx %*s %*s %255[^\n]", &start, &end, line->access,
                 (unsigned long *)&line->offset, line->path) >= 4);
    line->start = start;
    line->end = end;
    return true;
}

/* Neither can be read or written by the process, and nothing rewrites them. */
static bool text_is_the_kernels(const struct text_line *line)
{
    return strcmp(line->path, "[vsyscall]") == 0 || strcmp(line->path, "[uprobes]") == 0;
}

/* Memory that stays at its place for good: the text of the process is compared with it. */
UNUSED static struct text *text_snapshot(void)
{
    struct text *text =
        mmap(NULL, sizeof(*text), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FILE *maps = fopen("/proc/self/maps", "re");
    struct text_line line;

    CHECK(text != MAP_FAILED && maps != NULL);
    while (text_read_line(maps, &line)) {
        struct text_range *range = &text->ranges[text->count];

        if (!strchr(line.access, 'x') || !strchr(line.access, 'r') || text_is_the_kernels(&line))
            continue;
        CHECK(text->count < TEXT_RANGES_MAX);
        range->start = line.start;
        range->end = line.end;
        range->offset = line.offset;
        strcpy(range->path, line.path);
        range->bytes = mmap(NULL, line.end - line.start, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(range->bytes != MAP_FAILED);
        text->count++;
    }
    fclose(maps);
    for (size_t i = 0; i < text->count; i++) {
        struct text_range *range = &text->ranges[i];

        memcpy(range->bytes, (void *)range->start, range->end - range->start);
    }
    return text;
}

/* Calls `differs` for each byte that is not as it was. Returns how many there are. */
UNUSED static size_t text_compare(const struct text *text,
                                  void (*differs)(uintptr_t address, void *data), void *data)
{
    size_t count = 0;

    for (size_t i = 0; i < text->count; i++) {
        const struct text_range *range = &text->ranges[i];

        if (memcmp((void *)range->start, range->bytes, range->end - range->start) == 0)
            continue;
        for (uintptr_t at = range->start; at < range->end; at++) {
            if (*(volatile unsigned char *)at == range->bytes[at - range->start])
                continue;
            count++;
            if (differs)
                differs(at, data);
        }
    }
    return count;
}

/* The byte at an address as it was; -1 if it was not executable. */
UNUSED static int text_byte(const struct text *text, uintptr_t address)
{
    for (size_t i = 0; i < text->count; i++)
        if (address >= text->ranges[i].start && address < text->ranges[i].end)
            return text->ranges[i].bytes[address - text->ranges[i].start];
    return -1;
}

static void text_complain(uintptr_t address, void *text)
{
    victim_failed("the byte at %#lx is %02x, was %02x", (unsigned long)address,
                  *(unsigned char *)address, (unsigned)text_byte(text, address));
}

/* Everything is as it was. */
UNUSED static void text_check(struct text *text)
{
    text_compare(text, text_complain, text);
}

/* What the report says of the instruction at an address. False: nothing. */
UNUSED static bool text_find_site(struct sta *sta, uintptr_t address,
                                  struct sta_transform_site *out)
{
    struct sta_transform_mapping mapping = {.size = sizeof(mapping)};

    out->size = sizeof(*out);
    for (unsigned i = 0; sta_transform_mapping(sta, i, &mapping) == 0; i++) {
        if (address < mapping.start || address >= mapping.end)
            continue;
        for (unsigned j = 0; sta_transform_site(sta, i, j, out) == 0; j++)
            if (out->address == address)
                return true;
    }
    return false;
}

#endif
