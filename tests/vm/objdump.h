/* SPDX-License-Identifier: MIT */
/* What objdump reads in code. */
#ifndef TESTS_OBJDUMP_H
#define TESTS_OBJDUMP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define OBJDUMP_TEXT_MAX 64

/* The instruction in a line of objdump, with single spaces and without its comment. */
static inline bool objdump_parse(char *line, unsigned long *offset, char *text)
{
    char *end, *to = text;

    *offset = strtoul(line, &end, 16);
    if (end == line || *end != ':')
        return false;
    for (end++; *end && *end != '#' && *end != '\n' && to < text + OBJDUMP_TEXT_MAX - 1; end++) {
        char c = *end == '\t' ? ' ' : *end;

        if (c != ' ' || (to > text && to[-1] != ' '))
            *to++ = c;
    }
    while (to > text && to[-1] == ' ')
        to--;
    *to = 0;
    return true;
}

static inline FILE *objdump_start(const char *path)
{
    char command[256];

    if (system("objdump --version >/dev/null 2>&1") != 0)
        return NULL;
    snprintf(command, sizeof(command),
             "LC_ALL=C objdump -D -b binary -m i386:x86-64 -M intel --no-show-raw-insn %s", path);
    return popen(command, "r");
}

/* Its lines, to be closed with pclose(). Where there is no objdump, the test is skipped. */
static inline FILE *objdump_open(const uint8_t *bytes, size_t size)
{
    char path[] = "/tmp/sta_test_x86_XXXXXX";
    int fd = mkstemp(path);
    FILE *output;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    close(fd);
    output = objdump_start(path);
    if (output) { /* it has begun to write, so it has opened the file */
        int c = getc(output);

        ungetc(c, output);
    }
    unlink(path);
    if (!output) {
        print_message("skipped: there is no objdump\n");
        skip();
    }
    return output;
}

#endif
