/* SPDX-License-Identifier: MIT */
/*
 * Parses the text of an event's `format` file. Origin: f_show() in kernel/trace/trace_events.c,
 *
 *   name: sys_enter_read
 *   ID: 842
 *   format:
 *   \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
 *   ...
 *                                                                  the common fields end here
 *   \tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;
 *   \tfield:char * buf;\toffset:24;\tsize:8;\tsigned:0;
 *
 *   print fmt: ...
 *
 * A text that stops before "print fmt:" has lost something and is refused.
 */
#include "syscalls/format.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

/* A piece of the text: [at, end). */
struct span {
    const char *at, *end;
};

static size_t length_of(struct span span)
{
    return (size_t)(span.end - span.at);
}

static bool starts_with(struct span span, const char *word)
{
    return length_of(span) >= strlen(word) && memcmp(span.at, word, strlen(word)) == 0;
}

/* Takes what is before the next `stop` off the front of `text`; false if there is no `stop`. */
static bool take_until(struct span *text, char stop, struct span *piece)
{
    const char *found = text->at < text->end ? memchr(text->at, stop, length_of(*text)) : NULL;

    if (!found)
        return false;
    *piece = (struct span){text->at, found};
    text->at = found + 1;
    return true;
}

static bool parse_number(struct span digits, unsigned *value)
{
    unsigned number = 0;

    if (digits.at == digits.end)
        return false;
    for (; digits.at < digits.end; digits.at++) {
        unsigned digit = (unsigned)*digits.at - '0';

        if (digit > 9 || number > (INT_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *value = number;
    return true;
}

/* Takes "<key><number>;" off the front of the line. */
static bool take_number(struct span *line, const char *key, unsigned *value)
{
    struct span piece;

    if (!starts_with(*line, key) || !take_until(line, ';', &piece))
        return false;
    piece.at += strlen(key);
    return parse_number(piece, value);
}

/* Copies text that must not be empty nor contain a NUL into an array of `size` bytes. */
static const char *copy(char *to, size_t size, struct span from, const char *too_long)
{
    if (length_of(from) >= size)
        return too_long;
    if (from.at == from.end || memchr(from.at, '\0', length_of(from)))
        return "a type or a name is missing";
    memcpy(to, from.at, length_of(from));
    to[length_of(from)] = '\0';
    return NULL;
}

/* "unsigned long args[6]": the type ends at the last space, the name at a bracket. */
static const char *parse_declaration(struct span text, struct sta_event_field *field)
{
    const char *space = text.at < text.end ? memrchr(text.at, ' ', length_of(text)) : NULL;
    struct span type, name, count;
    const char *reason;

    if (!space)
        return "a type or a name is missing";
    type = (struct span){text.at, space};
    name = (struct span){space + 1, text.end};
    field->array_length = 1;
    count = name;
    if (take_until(&count, '[', &name)) {
        if (count.at == count.end || *--count.end != ']' ||
            !parse_number(count, &field->array_length) || field->array_length == 0)
            return "the length of the array is malformed";
    }
    reason = copy(field->type, sizeof(field->type), type, "the type is too long");
    return reason ? reason : copy(field->name, sizeof(field->name), name, "the name is too long");
}

/* One line that starts with "\tfield:". NULL, or what is wrong with it. */
static const char *parse_field(struct span line, struct sta_event_field *field)
{
    struct span declaration;
    unsigned is_signed;
    const char *reason;

    line.at += strlen("\tfield:");
    if (!take_until(&line, ';', &declaration))
        return "the declaration does not end";
    reason = parse_declaration(declaration, field);
    if (reason)
        return reason;
    if (!take_number(&line, "\toffset:", &field->offset))
        return "the offset is malformed";
    if (!take_number(&line, "\tsize:", &field->size) || field->size % field->array_length != 0)
        return "the size is malformed";
    if (!take_number(&line, "\tsigned:", &is_signed) || is_signed > 1 || line.at != line.end)
        return "the sign is malformed";
    field->is_signed = is_signed;
    return NULL;
}

/* Any line before "print fmt:". NULL, or what is wrong with it. */
static const char *parse_line(struct span line, struct sta_event_format *out)
{
    struct sta_event_field field;
    const char *reason;

    if (!starts_with(line, "\tfield:")) {
        if (line.at == line.end || starts_with(line, "name: ") || starts_with(line, "ID: ") ||
            starts_with(line, "format:"))
            return NULL;
        return "it is neither a field nor a heading";
    }
    memset(&field, 0, sizeof(field));
    reason = parse_field(line, &field);
    if (reason || strncmp(field.name, "common_", strlen("common_")) == 0)
        return reason;
    if (out->field_count == STA_EVENT_FIELD_MAX)
        return "there are too many fields";
    out->fields[out->field_count++] = field;
    return NULL;
}

int sta__format_parse(const char *text, size_t length, struct sta_event_format *out,
                      struct sta__format_error *error)
{
    struct span rest = {text, text + length}, line;

    memset(out, 0, sizeof(*out));
    for (error->line = 1; take_until(&rest, '\n', &line); error->line++) {
        if (starts_with(line, "print fmt:"))
            return 0;
        error->reason = parse_line(line, out);
        if (error->reason)
            return -EINVAL;
    }
    error->reason = starts_with(rest, "print fmt:") ? NULL : "the text ends too early";
    return error->reason ? -EINVAL : 0;
}
