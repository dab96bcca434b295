/* SPDX-License-Identifier: MIT */
/* Kinds of characters as the kernel has them: those of ISO 8859-1. */
#ifndef STA_EBPF_LETTERS_H
#define STA_EBPF_LETTERS_H

#include <stdbool.h>
#include <stdint.h>

static inline bool sta__is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xa0;
}

static inline bool sta__is_alnum(uint8_t c)
{
    uint8_t lower = c | 0x20;

    if (c >= 0xc0)
        return c != 0xd7 && c != 0xf7;
    return (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'z' && c < 0x80);
}

static inline bool sta__is_punctuation(uint8_t c)
{
    return ((c > ' ' && c < 0x7f) || c > 0xa0) && !sta__is_alnum(c);
}

#endif
