/* SPDX-License-Identifier: MIT */
/* Helpers of text: numbers out of it, comparing, printing. On the dispatch path. */
#include <errno.h>
#include <stdbool.h>

#include "ebpf/helpers.h"
#include "ebpf/letters.h"
#include "ebpf/message.h"
#include "ebpf/trace.h"

#define PRINTK_ARGS_MAX 3 /* MAX_TRACE_PRINTK_VARARGS */

static void *pointer(uint64_t reg)
{
    return (void *)(uintptr_t)reg;
}

static uint64_t number(int64_t value)
{
    return (uint64_t)value;
}

/* ---- numbers ---- */

#define DIGITS_MAX 63 /* how much of a number is looked at */

static unsigned digit_of(uint8_t c)
{
    uint8_t lower = c | 0x20;

    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    return lower >= 'a' && lower <= 'f' ? (unsigned)(lower - 'a' + 10) : UINT32_MAX;
}

struct text {
    const uint8_t *at;
    uint64_t left;
};

static uint8_t peek(const struct text *text, uint64_t ahead)
{
    return ahead < text->left ? text->at[ahead] : 0;
}

static void skip(struct text *text, uint64_t count)
{
    text->at += count;
    text->left -= count;
}

/* "0x" is skipped where the base is 16; base 0 says that the text says it. */
static unsigned read_base(struct text *text, unsigned base)
{
    bool has_x = peek(text, 0) == '0' && (peek(text, 1) | 0x20) == 'x';

    if (base == 0 && peek(text, 0) == '0')
        base = has_x && digit_of(peek(text, 2)) < 16 ? 16 : 8;
    else if (base == 0)
        base = 10;
    if (base == 16 && has_x)
        skip(text, 2);
    return base;
}

/* 0, -EINVAL: no digits, -ERANGE. */
static int read_digits(struct text *text, unsigned base, uint64_t *out)
{
    const uint8_t *start = text->at;
    bool is_too_large = false;

    for (*out = 0; text->left && digit_of(*text->at) < base; skip(text, 1)) {
        is_too_large |= __builtin_mul_overflow(*out, base, out);
        is_too_large |= __builtin_add_overflow(*out, digit_of(*text->at), out);
    }
    if (is_too_large)
        return -ERANGE;
    return text->at == start ? -EINVAL : 0;
}

/* How many bytes the number takes, with what is before it; -errno. */
static int64_t read_number(const uint8_t *start, uint64_t size, uint64_t base, uint64_t *out,
                           bool *is_negative)
{
    struct text text = {start, size};
    int err;

    if (size == 0 || (base != 0 && base != 8 && base != 10 && base != 16))
        return -EINVAL;
    while (text.left && sta__is_space(*text.at))
        skip(&text, 1);
    *is_negative = peek(&text, 0) == '-';
    skip(&text, *is_negative);
    if (text.left == 0)
        return -EINVAL;
    if (text.left > DIGITS_MAX)
        text.left = DIGITS_MAX;
    err = read_digits(&text, read_base(&text, (unsigned)base), out);
    return err ? err : text.at - start;
}

STA__HELPER_FUNCTION(strtol)
{
    int64_t *out = pointer(r4), got;
    bool is_negative;
    uint64_t value;

    (void)r5;
    *out = 0;
    got = read_number(pointer(r1), r2, r3, &value, &is_negative);
    if (got < 0)
        return number(got);
    if (is_negative ? value > UINT64_C(1) << 63 : value > INT64_MAX)
        return number(-ERANGE);
    *out = (int64_t)(is_negative ? -value : value);
    return number(got);
}

STA__HELPER_FUNCTION(strtoul)
{
    uint64_t *out = pointer(r4), value;
    bool is_negative;
    int64_t got;

    (void)r5;
    *out = 0;
    got = read_number(pointer(r1), r2, r3, &value, &is_negative);
    if (got < 0 || is_negative)
        return number(got < 0 ? got : -EINVAL);
    *out = value;
    return number(got);
}

/* ---- comparing ---- */

STA__HELPER_FUNCTION(strncmp)
{
    const uint8_t *a = pointer(r1), *b = pointer(r3);

    (void)r4, (void)r5;
    for (uint64_t i = 0; i < r2; i++) {
        /* Once: it may change meanwhile, and `b` ends where both are 0. */
        uint8_t c = *(const volatile uint8_t *)&a[i];

        if (c != b[i])
            return number(c < b[i] ? -1 : 1);
        if (c == 0)
            return 0;
    }
    return 0;
}

/* ---- printing ---- */

STA__HELPER_FUNCTION(snprintf)
{
    struct sta__format_args args;
    uint64_t count = r5 / sizeof(uint64_t);
    int err;

    if (r5 % sizeof(uint64_t) || count > STA__FORMAT_ARGS_MAX || (r5 && !r4))
        return number(-EINVAL);
    err = sta__format_prepare(pointer(r3), SIZE_MAX, pointer(r4), (uint32_t)count, &args);
    if (err < 0)
        return number(err);
    return sta__format_print(pointer(r1), r2, pointer(r3), &args) + 1;
}

static uint64_t trace(const char *format, uint64_t size, const sta__format_arg *values,
                      uint32_t count)
{
    struct sta__format_args args;
    int err = sta__format_prepare(format, size, values, count, &args);

    return err < 0 ? number(err) : sta__trace_print(format, &args);
}

STA__HELPER_FUNCTION(trace_printk)
{
    sta__format_arg values[PRINTK_ARGS_MAX];

    values[0] = r3;
    values[1] = r4;
    values[2] = r5;
    return trace(pointer(r1), r2, values, PRINTK_ARGS_MAX);
}

STA__HELPER_FUNCTION(trace_vprintk)
{
    uint64_t count = r4 / sizeof(uint64_t);

    (void)r5;
    if (r4 % sizeof(uint64_t) || count > STA__FORMAT_ARGS_MAX || (r4 && !r3))
        return number(-EINVAL);
    return trace(pointer(r1), r2, pointer(r3), (uint32_t)count);
}
