/* SPDX-License-Identifier: MIT */
/* Printing: on the dispatch path, see message.h. */
#include "ebpf/message.h"

/* Widths may be millions; only what there is room for takes time. */
static void pad(struct sta__printed *p, char c, size_t count)
{
    while (count && p->length + 1 < p->size) {
        sta__print_char(p, c);
        count--;
    }
    p->length += count;
}

static void put_text(struct sta__printed *p, const char *text, size_t length, uint32_t width,
                     uint8_t flags)
{
    size_t fill = width > length ? width - length : 0;

    if (!(flags & STA__FORMAT_LEFT))
        pad(p, ' ', fill);
    for (size_t i = 0; i < length; i++)
        sta__print_char(p, text[i]);
    if (flags & STA__FORMAT_LEFT)
        pad(p, ' ', fill);
}

/* A number's digits, backwards. */
static size_t digits_of(char *out, uint64_t value, unsigned base, char ten)
{
    size_t count = 0;

    do {
        unsigned digit = (unsigned)(value % base);

        out[count++] = (char)(digit < 10 ? '0' + digit : ten + digit - 10);
        value /= base;
    } while (value);
    return count;
}

static void put_number(struct sta__printed *p, const struct sta__conversion *c, uint64_t value,
                       unsigned base, bool is_signed)
{
    bool is_left = c->flags & STA__FORMAT_LEFT, is_zero = c->flags & STA__FORMAT_ZERO;
    char digits[24], sign = 0;
    size_t count, used, fill;

    if (is_signed) {
        sign = c->flags & STA__FORMAT_PLUS ? '+' : c->flags & STA__FORMAT_SPACE ? ' ' : 0;
        if ((int64_t)value < 0) {
            sign = '-';
            value = -value;
        }
    }
    count = digits_of(digits, value, base, c->kind == 'X' ? 'A' : 'a');
    used = count + (sign != 0);
    fill = c->width > used ? c->width - used : 0;
    if (!is_left && !is_zero)
        pad(p, ' ', fill);
    if (sign)
        sta__print_char(p, sign);
    if (!is_left && is_zero)
        pad(p, '0', fill);
    while (count)
        sta__print_char(p, digits[--count]);
    if (is_left)
        pad(p, ' ', fill);
}

static void put_int(struct sta__printed *p, const struct sta__conversion *c)
{
    bool is_signed = c->kind == 'd';
    uint64_t value = c->value;

    if (!c->is_long)
        value = is_signed ? (uint64_t)(int64_t)(int32_t)value : (uint32_t)value;
    put_number(p, c, value, c->kind == 'x' || c->kind == 'X' ? 16 : 10, is_signed);
}

/* An address as it is: 16 digits, unless there is a width. */
static void put_address(struct sta__printed *p, const struct sta__conversion *c)
{
    struct sta__conversion full = *c;

    if (!c->width) {
        full.width = 16;
        full.flags |= STA__FORMAT_ZERO;
    }
    put_number(p, &full, c->value, 16, false);
}

static void put_symbol(struct sta__printed *p, const struct sta__conversion *c)
{
    char text[24] = {'0', 'x'}, digits[20];
    size_t count = digits_of(digits, c->value, 16, 'a'), length = 2;

    while (count)
        text[length++] = digits[--count];
    put_text(p, text, length, c->width, c->flags);
}

static void put_pointer(struct sta__printed *p, const struct sta__conversion *c, const char *made)
{
    switch (c->detail) {
    case 's':
    case 'S':
        put_symbol(p, c);
        break;
    case 'B':
    case 'i':
    case 'I':
        put_text(p, made, c->text_size, 0, 0);
        break;
    default:
        put_address(p, c);
    }
}

static void put_argument(struct sta__printed *p, const struct sta__conversion *c, const char *room)
{
    char character = (char)c->value;

    if (c->kind == 's')
        /* The kernel looks at no width of those that begin with %p. */
        put_text(p, room + c->text_at, c->text_size, c->detail ? 0 : c->width, c->flags);
    else if (c->kind == 'c')
        put_text(p, &character, 1, c->width, c->flags);
    else if (c->kind == 'p')
        put_pointer(p, c, room + c->text_at);
    else
        put_int(p, c);
}

size_t sta__format_print(char *to, size_t size, const char *format,
                         const struct sta__format_args *args)
{
    struct sta__printed p = {to, size, 0};
    uint32_t index = 0;

    for (uint32_t i = 0; i < args->end; i++) {
        if (index < args->count && i == args->conversions[index].at) {
            put_argument(&p, &args->conversions[index], args->room);
            i = args->conversions[index++].next - 1;
            continue;
        }
        sta__print_char(&p, format[i]);
        i += format[i] == '%'; /* "%%" */
    }
    if (size)
        to[p.length < size ? p.length : size - 1] = 0;
    return p.length;
}
