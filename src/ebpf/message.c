/* SPDX-License-Identifier: MIT */
/* Reading formats and collecting arguments. On the dispatch path: see message.h. */
#include "ebpf/message.h"

#include <errno.h>

#include "base/copy_user.h"
#include "ebpf/letters.h"

#define WIDTH_MAX ((1u << 23) - 1) /* FIELD_WIDTH_MAX */

/* What has to follow a conversion that more letters could be a part of. */
static bool ends_word(char c)
{
    return c == 0 || sta__is_space((uint8_t)c) || sta__is_punctuation((uint8_t)c);
}

static bool is_any_of(char c, const char *of)
{
    while (*of && *of != c)
        of++;
    return c && *of == c;
}

/* ---- one conversion ---- */

static uint8_t flag_of(char c)
{
    switch (c) {
    case '-':
        return STA__FORMAT_LEFT;
    case '+':
        return STA__FORMAT_PLUS;
    case ' ':
        return STA__FORMAT_SPACE;
    case '0':
        return STA__FORMAT_ZERO;
    default:
        return 0;
    }
}

static size_t read_width(const char *format, struct sta__conversion *out)
{
    uint64_t width = 0;
    size_t at = 0;

    for (; format[at] >= '0' && format[at] <= '9'; at++) {
        if (width <= WIDTH_MAX)
            width = width * 10 + (uint64_t)(format[at] - '0');
    }
    out->width = (uint32_t)(width > WIDTH_MAX ? WIDTH_MAX : width);
    return at;
}

/* Behind the 'p'. Returns how many letters belong to it; -1: it is none. */
static int read_pointer(const char *format, struct sta__conversion *out)
{
    out->detail = 0;
    if (ends_word(format[0]))
        return 0;
    out->detail = (uint8_t)format[0];
    if (is_any_of(format[0], "KxsSB"))
        return 1;
    if (is_any_of(format[0], "ku") && format[1] == 's') {
        out->kind = 's';
        return ends_word(format[2]) ? 2 : -1;
    }
    if (is_any_of(format[0], "iI") && is_any_of(format[1], "46"))
        return 2;
    return -1;
}

static size_t read_number(const char *format, struct sta__conversion *out)
{
    size_t at = 0;

    out->is_long = format[at] == 'l';
    at += format[at] == 'l';
    at += out->is_long && format[at] == 'l';
    out->kind = format[at] == 'i' ? 'd' : (uint8_t)format[at];
    return is_any_of(format[at], "diuxX") ? at + 1 : 0;
}

size_t sta__format_read(const char *format, struct sta__conversion *out)
{
    size_t at = 0, length;

    out->flags = 0;
    out->detail = 0;
    for (; flag_of(format[at]); at++)
        out->flags |= flag_of(format[at]);
    at += read_width(format + at, out);
    out->kind = (uint8_t)format[at];
    out->is_long = false;
    if (format[at] == 'p') {
        int letters = read_pointer(format + at + 1, out);

        return letters < 0 ? 0 : at + 1 + (size_t)letters;
    }
    if (format[at] == 's')
        return ends_word(format[at + 1]) ? at + 1 : 0;
    if (format[at] == 'c')
        return at + 1;
    length = read_number(format + at, out);
    return length ? at + length : 0;
}

/* ---- arguments ---- */

struct collection {
    struct sta__format_args *out;
    uint32_t used; /* of the room */
};

static int collect_string(struct collection *c, uint64_t address)
{
    size_t left = sizeof(c->out->room) - c->used;
    char *to = c->out->room + c->used;
    int64_t size;

    if (left == 0)
        return -ENOSPC;
    size = sta__copy_string_from_user(to, address, left);
    if (size < 0) {
        *to = 0;
        size = 1;
    }
    c->used += (uint32_t)size;
    return 0;
}

static int collect_number(struct collection *c, uint32_t size)
{
    c->used = (c->used + 3) & ~3u;
    if (c->used + size > sizeof(c->out->room))
        return -ENOSPC;
    c->used += size;
    return 0;
}

/* Text that is made now, in the room that is left. */
struct maker {
    char *to;
    size_t size, length;
};

static void make(struct maker *m, char c)
{
    if (m->length + 1 < m->size)
        m->to[m->length] = c;
    m->length++;
}

/* Digits of a number, at least `least`. */
static void make_digits(struct maker *m, uint64_t value, unsigned base, int least)
{
    char digits[20];
    int count = 0;

    for (; value || count < least; value /= base) {
        unsigned digit = (unsigned)(value % base);

        digits[count++] = (char)(digit < 10 ? '0' + digit : 'a' + digit - 10);
    }
    while (count)
        make(m, digits[--count]);
}

static void make_ip4(struct maker *m, const uint8_t *address, bool is_padded)
{
    for (int i = 0; i < 4; i++) {
        if (i)
            make(m, '.');
        make_digits(m, address[i], 10, is_padded ? 3 : 1);
    }
}

static uint32_t ip6_word(const uint8_t *address, int i)
{
    return (uint32_t)address[2 * i] << 8 | address[2 * i + 1];
}

/* All of it, in hexadecimal: "%pI6" with colons, "%pi6" without. */
static void make_ip6(struct maker *m, const uint8_t *address, bool has_colons)
{
    for (int i = 0; i < 8; i++) {
        if (i && has_colons)
            make(m, ':');
        make_digits(m, ip6_word(address, i), 16, 4);
    }
}

static int collect_ip(struct collection *c, uint64_t from, const char *text)
{
    struct maker m = {c->out->room + c->used, sizeof(c->out->room) - c->used, 0};
    uint32_t size = text[1] == '4' ? 4 : 16;
    uint8_t address[16];

    if (m.size < size)
        return -ENOSPC;
    sta__copy_from_user(address, from, size); /* zeros, if there is none */
    if (size == 4)
        make_ip4(&m, address, text[0] == 'i');
    else
        make_ip6(&m, address, text[0] == 'I');
    m.to[m.length < m.size ? m.length : m.size - 1] = 0;
    c->used += (uint32_t)m.length + 1;
    return 0;
}

static int collect_symbol(struct collection *c, uint64_t address)
{
    struct maker m = {c->out->room + c->used, sizeof(c->out->room) - c->used, 0};

    if (m.size == 0)
        return -ENOSPC;
    make(&m, '0');
    make(&m, 'x');
    make_digits(&m, address, 16, 1);
    m.to[m.length < m.size ? m.length : m.size - 1] = 0;
    c->used += (uint32_t)m.length + 1;
    return 0;
}

/* `text`: behind the conversion. */
static int collect(struct collection *c, const struct sta__conversion *conversion, const char *text,
                   uint32_t index, uint64_t value)
{
    if (c->used > sizeof(c->out->room))
        return -ENOSPC;
    c->out->values[index] = value;
    c->out->texts_at[index] = (uint16_t)c->used;
    switch (conversion->kind) {
    case 's':
        return collect_string(c, value);
    case 'c':
        return c->used++ < sizeof(c->out->room) ? 0 : -ENOSPC;
    case 'p':
        if (conversion->detail == 'B')
            return collect_symbol(c, value);
        if (is_any_of((char)conversion->detail, "iI"))
            return collect_ip(c, value, text - 2);
        return collect_number(c, 8);
    default:
        return collect_number(c, conversion->is_long ? 8 : 4);
    }
}

static bool is_text(char c)
{
    return (uint8_t)c >= 0x80 || (c >= ' ' && c <= '~') || sta__is_space((uint8_t)c);
}

int sta__format_prepare(const char *format, size_t size, const uint64_t *args, uint32_t count,
                        struct sta__format_args *out)
{
    struct collection collection = {out, 0};
    struct sta__conversion conversion;
    uint32_t index = 0;
    size_t end = 0;
    int err = 0;

    while (end < size && format[end])
        end++;
    if (end == size)
        return -EINVAL;
    for (size_t i = 0; err == 0 && i < end; i++) {
        size_t length;

        if (!is_text(format[i]))
            return -EINVAL;
        if (format[i] != '%')
            continue;
        if (format[i + 1] == '%') {
            i++;
            continue;
        }
        length = index < count ? sta__format_read(format + i + 1, &conversion) : 0;
        if (length == 0)
            return -EINVAL;
        i += length;
        if (out)
            err = collect(&collection, &conversion, format + i + 1, index, args[index]);
        index++;
    }
    return err;
}
