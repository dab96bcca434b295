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

struct format {
    const char *text;
    uint32_t end;
};

static char at(const struct format *f, uint32_t i)
{
    return i < f->end ? *(const volatile char *)&f->text[i] : 0;
}

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

static uint32_t read_flags(const struct format *f, uint32_t i, struct sta__conversion *out)
{
    uint8_t flag;

    while ((flag = flag_of(at(f, i)))) {
        out->flags |= flag;
        i++;
    }
    return i;
}

static uint32_t read_width(const struct format *f, uint32_t i, struct sta__conversion *out)
{
    uint64_t width = 0;
    char c;

    for (; (c = at(f, i)) >= '0' && c <= '9'; i++) {
        if (width <= WIDTH_MAX)
            width = width * 10 + (uint64_t)(c - '0');
    }
    out->width = (uint32_t)(width > WIDTH_MAX ? WIDTH_MAX : width);
    return i;
}

/* Behind the 'p'. Returns where it ends; 0: it is none. */
static uint32_t read_pointer(const struct format *f, uint32_t i, struct sta__conversion *out)
{
    char c = at(f, i);

    if (ends_word(c))
        return i;
    out->detail = (uint8_t)c;
    if (is_any_of(c, "KxsSB"))
        return i + 1;
    if (is_any_of(c, "ku") && at(f, i + 1) == 's') {
        out->kind = 's';
        return ends_word(at(f, i + 2)) ? i + 2 : 0;
    }
    if (c != 'i' && c != 'I')
        return 0;
    c = at(f, i + 1);
    out->is_long = c == '6';
    return c == '4' || c == '6' ? i + 2 : 0;
}

static uint32_t read_number(const struct format *f, uint32_t i, char c, struct sta__conversion *out)
{
    if (c == 'l') {
        out->is_long = true;
        c = at(f, ++i);
        if (c == 'l')
            c = at(f, ++i);
    }
    out->kind = c == 'i' ? 'd' : (uint8_t)c;
    return is_any_of(c, "diuxX") ? i + 1 : 0;
}

/* The conversion behind the '%' before `i`. Returns where it ends; 0: it is none. */
static uint32_t read_conversion(const struct format *f, uint32_t i, struct sta__conversion *out)
{
    char c;

    out->flags = out->detail = 0;
    out->is_long = false;
    out->text_at = out->text_size = 0;
    i = read_width(f, read_flags(f, i, out), out);
    c = at(f, i);
    out->kind = (uint8_t)c;
    if (c == 'p')
        return read_pointer(f, i + 1, out);
    if (c == 's')
        return ends_word(at(f, i + 1)) ? i + 1 : 0;
    return c == 'c' ? i + 1 : read_number(f, i, c, out);
}

/* ---- arguments ---- */

struct collection {
    struct sta__format_args *out;
    uint32_t used; /* of the room */
};

/* A text of this size lies in the room now, with its zero. */
static int note_text(struct collection *c, struct sta__conversion *conversion, size_t size)
{
    conversion->text_at = (uint16_t)c->used;
    conversion->text_size = (uint16_t)(size - 1);
    c->used += (uint32_t)size;
    return 0;
}

static int collect_string(struct collection *c, struct sta__conversion *conversion)
{
    size_t left = sizeof(c->out->room) - c->used;
    char *to = c->out->room + c->used;
    int64_t size;

    if (left == 0)
        return -ENOSPC;
    size = sta__copy_string_from_user(to, conversion->value, left);
    if (size <= 0) {
        *to = 0;
        size = 1;
    }
    return note_text(c, conversion, (size_t)size);
}

static int collect_number(struct collection *c, uint32_t size)
{
    c->used = (c->used + 3) & ~3u;
    if (c->used + size > sizeof(c->out->room))
        return -ENOSPC;
    c->used += size;
    return 0;
}

/* Digits of a number, at least `least`. */
static void make_digits(struct sta__printed *m, uint64_t value, unsigned base, int least)
{
    char digits[20];
    int count = 0;

    for (; value || count < least; value /= base) {
        unsigned digit = (unsigned)(value % base);

        digits[count++] = (char)(digit < 10 ? '0' + digit : 'a' + digit - 10);
    }
    while (count)
        sta__print_char(m, digits[--count]);
}

static void make_ip4(struct sta__printed *m, const uint8_t *address, bool is_padded)
{
    for (int i = 0; i < 4; i++) {
        if (i)
            sta__print_char(m, '.');
        make_digits(m, address[i], 10, is_padded ? 3 : 1);
    }
}

static uint32_t ip6_word(const uint8_t *address, int i)
{
    return (uint32_t)address[2 * i] << 8 | address[2 * i + 1];
}

/* All of it, in hexadecimal: "%pI6" with colons, "%pi6" without. */
static void make_ip6(struct sta__printed *m, const uint8_t *address, bool has_colons)
{
    for (int i = 0; i < 8; i++) {
        if (i && has_colons)
            sta__print_char(m, ':');
        make_digits(m, ip6_word(address, i), 16, 4);
    }
}

/* What was made, as far as there was room. */
static int note_made(struct collection *c, struct sta__conversion *conversion,
                     struct sta__printed *m)
{
    size_t length = m->length < m->size ? m->length : m->size - 1;

    m->to[length] = 0;
    return note_text(c, conversion, length + 1);
}

static int collect_ip(struct collection *c, struct sta__conversion *conversion)
{
    struct sta__printed m = {c->out->room + c->used, sizeof(c->out->room) - c->used, 0};
    uint32_t size = conversion->is_long ? 16 : 4;
    uint8_t address[16];

    if (m.size < size)
        return -ENOSPC;
    sta__copy_from_user(address, conversion->value, size); /* zeros, if there is none */
    if (size == 4)
        make_ip4(&m, address, conversion->detail == 'i');
    else
        make_ip6(&m, address, conversion->detail == 'I');
    return note_made(c, conversion, &m);
}

static int collect_symbol(struct collection *c, struct sta__conversion *conversion)
{
    struct sta__printed m = {c->out->room + c->used, sizeof(c->out->room) - c->used, 0};

    if (m.size == 0)
        return -ENOSPC;
    sta__print_char(&m, '0');
    sta__print_char(&m, 'x');
    make_digits(&m, conversion->value, 16, 1);
    return note_made(c, conversion, &m);
}

static int collect(struct collection *c, struct sta__conversion *conversion)
{
    switch (conversion->kind) {
    case 's':
        return collect_string(c, conversion);
    case 'c':
        return c->used++ < sizeof(c->out->room) ? 0 : -ENOSPC;
    case 'p':
        if (conversion->detail == 'B')
            return collect_symbol(c, conversion);
        if (conversion->detail == 'i' || conversion->detail == 'I')
            return collect_ip(c, conversion);
        return collect_number(c, 8);
    default:
        return collect_number(c, conversion->is_long ? 8 : 4);
    }
}

static bool is_text(char c)
{
    return (uint8_t)c >= 0x80 || (c >= ' ' && c <= '~') || sta__is_space((uint8_t)c);
}

/* Letters behind an address are taken for a part of its conversion, when it is printed. */
static uint32_t skip_letters(const struct format *f, uint32_t i, const struct sta__conversion *c)
{
    while (c->detail && sta__is_alnum((uint8_t)at(f, i)))
        i++;
    return i;
}

static int take_apart(const struct format *f, const sta__format_arg *args, uint32_t count,
                      struct sta__format_args *out)
{
    struct collection collection = {out, 0};
    uint32_t index = 0;
    int err = 0;

    for (uint32_t i = 0; err == 0 && i < f->end; i++) {
        struct sta__conversion conversion;
        uint32_t end;
        char c = at(f, i);

        if (!is_text(c))
            return -EINVAL;
        if (c != '%')
            continue;
        if (at(f, i + 1) == '%') {
            i++;
            continue;
        }
        end = index < count ? read_conversion(f, i + 1, &conversion) : 0;
        if (end == 0)
            return -EINVAL;
        if (out) {
            conversion.at = i;
            conversion.next = skip_letters(f, end, &conversion);
            conversion.value = args[index];
            err = collect(&collection, &conversion);
            out->conversions[index] = conversion;
            out->count = index + 1;
        }
        index++;
        i = end - 1;
    }
    return err;
}

#define LENGTH_MAX (1u << 30)

int sta__format_prepare(const char *format, size_t size, const sta__format_arg *args,
                        uint32_t count, struct sta__format_args *out)
{
    struct format f = {format, 0};

    if (size > LENGTH_MAX)
        size = LENGTH_MAX;
    while (f.end < size && format[f.end])
        f.end++;
    if (f.end == size || count > STA__FORMAT_ARGS_MAX)
        return -EINVAL;
    if (out) {
        out->count = 0;
        out->end = f.end;
    }
    return take_apart(&f, args, count, out);
}
