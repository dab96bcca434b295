/* SPDX-License-Identifier: MIT */
#include "ebpf_scan.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool scan_fail(struct scan *scan, const char *format, ...)
{
    va_list args;
    int used = snprintf(scan->error, scan->error_size, "line %u: ", scan->line);

    va_start(args, format);
    vsnprintf(scan->error + used, scan->error_size - (size_t)used, format, args);
    va_end(args);
    return false;
}

void scan_spaces(struct scan *scan)
{
    while (isblank((unsigned char)*scan->at))
        scan->at++;
}

bool scan_accept(struct scan *scan, char c)
{
    scan_spaces(scan);
    if (*scan->at != c)
        return false;
    scan->at++;
    return true;
}

bool scan_expect(struct scan *scan, char c)
{
    return scan_accept(scan, c) || scan_fail(scan, "'%c' expected at '%.20s'", c, scan->at);
}

static bool is_word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

bool scan_word(struct scan *scan, char *word)
{
    size_t length = 0;

    scan_spaces(scan);
    while (is_word_char(scan->at[length]))
        length++;
    if (length == 0 || length >= SCAN_WORD_MAX)
        return scan_fail(scan, "name expected at '%.20s'", scan->at);
    memcpy(word, scan->at, length);
    word[length] = '\0';
    scan->at += length;
    return true;
}

bool scan_accept_word(struct scan *scan, const char *word)
{
    size_t length = strlen(word);

    scan_spaces(scan);
    if (strncmp(scan->at, word, length) != 0 || is_word_char(scan->at[length]))
        return false;
    scan->at += length;
    return true;
}

/* A number of up to 64 bits, signed or not. */
bool scan_number(struct scan *scan, uint64_t *value)
{
    bool negative;
    char *end;

    scan_spaces(scan);
    negative = *scan->at == '-';
    if (negative || *scan->at == '+')
        scan->at++;
    errno = 0;
    *value = strtoull(scan->at, &end, 0);
    if (!isdigit((unsigned char)*scan->at) || end == scan->at || errno)
        return scan_fail(scan, "number expected at '%.20s'", scan->at);
    scan->at = end;
    if (negative)
        *value = 0 - *value;
    return true;
}

bool scan_imm(struct scan *scan, int32_t *imm)
{
    uint64_t value;

    if (!scan_number(scan, &value))
        return false;
    if ((int64_t)value != (int32_t)value && value != (uint32_t)value)
        return scan_fail(scan, "immediate does not fit into 32 bits");
    *imm = (int32_t)(uint32_t)value;
    return true;
}

bool scan_is_register(const struct scan *scan)
{
    const char *at = scan->at;

    while (isblank((unsigned char)*at))
        at++;
    if (*at == '%')
        at++;
    return at[0] == 'r' && isdigit((unsigned char)at[1]);
}

bool scan_register(struct scan *scan, unsigned *reg)
{
    if (!scan_is_register(scan))
        return scan_fail(scan, "register expected at '%.20s'", scan->at);
    scan_accept(scan, '%');
    scan_accept(scan, 'r');
    *reg = 0;
    while (isdigit((unsigned char)*scan->at))
        *reg = 10 * *reg + (unsigned)(*scan->at++ - '0');
    return *reg < 16 || scan_fail(scan, "no register r%u", *reg);
}
