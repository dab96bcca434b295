/* SPDX-License-Identifier: MIT */
/*
 * Code for tests, written as text:
 *
 *     "{ 31 c0 0f 05 c3 } 90*5 { c3 }"
 *
 * Hexadecimal bytes, "*n" repeats the one before it n times in all, what is in braces is a
 * function: it gets a description in unwind data that is made for it. Without braces there is none.
 */
#ifndef STA_TESTS_CODE_TEXT_H
#define STA_TESTS_CODE_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transform/site.h"

#define CODE_TEXT_FUNCTIONS 16
#define CODE_TEXT_SIZE      4096

struct code_text {
    _Alignas(16) uint8_t bytes[CODE_TEXT_SIZE];
    _Alignas(16) uint8_t frames[2048]; /* .eh_frame_hdr, then .eh_frame */
    size_t size;
    struct {
        size_t start, end;
    } functions[CODE_TEXT_FUNCTIONS];
    size_t function_count;
    struct sta__unwind unwind;
    struct sta__code code;
};

static inline void code_text_put(struct code_text *text, size_t *at, uint32_t value)
{
    memcpy(text->frames + *at, &value, sizeof(value));
    *at += sizeof(value);
}

/* The distance from one address to another. */
static inline uint32_t code_text_distance(const void *from, const void *to)
{
    return (uint32_t)((uintptr_t)to - (uintptr_t)from);
}

static inline void code_text_describe(struct code_text *text)
{
    /* version 1, "zR", code alignment 1, data alignment -8, return address 16, pcrel sdata4 */
    static const uint8_t cie[] = {16,  0, 0, 0,    0,  0, 0,    0, 1, 'z',
                                  'R', 0, 1, 0x78, 16, 1, 0x1b, 0, 0, 0};
    size_t table = 12, cie_at = table + text->function_count * 8, at = cie_at + sizeof(cie);

    memcpy(text->frames, (const uint8_t[]){1, 0x1b, 0x03, 0x3b}, 4);
    memcpy(text->frames + 8, &(uint32_t){(uint32_t)text->function_count}, 4);
    memcpy(text->frames + cie_at, cie, sizeof(cie));
    for (size_t i = 0; i < text->function_count; i++) {
        const uint8_t *start = text->bytes + text->functions[i].start;

        code_text_put(text, &table, code_text_distance(text->frames, start));
        code_text_put(text, &table, (uint32_t)at);
        code_text_put(text, &at, 16);
        code_text_put(text, &at, (uint32_t)(at - cie_at));
        code_text_put(text, &at, code_text_distance(text->frames + at, start));
        code_text_put(text, &at, (uint32_t)(text->functions[i].end - text->functions[i].start));
        code_text_put(text, &at, 0);
    }
    if (sta__unwind_open(&text->unwind, (uintptr_t)text->frames, (uintptr_t)text->frames,
                         (uintptr_t)text->frames + at) < 0)
        abort();
    text->code.unwind = &text->unwind;
}

static inline void code_text_read(struct code_text *text, const char *source)
{
    memset(text, 0, sizeof(*text));
    for (char *end = NULL; *source; source++) {
        switch (*source) {
        case ' ':
            break;
        case '{':
            text->functions[text->function_count].start = text->size;
            break;
        case '}':
            text->functions[text->function_count++].end = text->size;
            break;
        case '*':
            for (unsigned long n = strtoul(source + 1, &end, 10); n > 1; n--, text->size++)
                text->bytes[text->size] = text->bytes[text->size - 1];
            source = end - 1;
            break;
        default:
            text->bytes[text->size++] =
                (uint8_t)strtoul((const char[]){source[0], source[1], 0}, NULL, 16);
            source++;
        }
    }
    text->code.start = (uintptr_t)text->bytes;
    text->code.end = text->code.start + text->size;
    if (text->function_count > 0)
        code_text_describe(text);
}

#endif
