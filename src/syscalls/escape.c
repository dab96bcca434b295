/* SPDX-License-Identifier: MIT */
#include "syscalls/escape.h"

#include <string.h>

static size_t escape_byte(char out[4], unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";

    if (byte >= ' ' && byte <= '~' && byte != '\\') {
        out[0] = (char)byte;
        return 1;
    }
    out[0] = '\\';
    out[1] = 'x';
    out[2] = digits[byte >> 4];
    out[3] = digits[byte & 15];
    return 4;
}

struct sta__escaped sta__escape(const char *text, size_t length)
{
    struct sta__escaped escaped = {.text = ""};
    size_t room = sizeof(escaped.text) - sizeof("..."), used = 0;

    for (size_t i = 0; i < length; i++) {
        char piece[4];
        size_t size = escape_byte(piece, (unsigned char)text[i]);

        if (used + size > room) {
            memcpy(escaped.text + used, "...", 3);
            break;
        }
        memcpy(escaped.text + used, piece, size);
        used += size;
    }
    return escaped;
}
