/* SPDX-License-Identifier: MIT */
/*
 * Text as bpf_trace_printk(), bpf_trace_vprintk() and bpf_snprintf() make it, in the two steps in
 * which the kernel makes it:
 *
 *   prepare   reads the format and collects the arguments; strings and addresses are read from
 *             memory and made text. All that can be wrong is found now.
 *   print     writes the text.
 *
 * A format has, between a '%' and what is to be printed, any of "-+0 " and a width:
 *
 *   %d %i %u %x %X     an int; after 'l' or 'll', 64 bits
 *   %c                 a character
 *   %s %pks %pus       a string; what follows has to be a space, punctuation or the end
 *   %p %px %pK         an address, 16 digits of hexadecimal. (The kernel, which has something to
 *                      hide, prints another number for %p and %pK.)
 *   %ps %pS %pB        an address as 0x..: there are no symbols here. What is no symbol looks like
 *                      that in the kernel, too.
 *   %pi4 %pI4 %pi6 %pI6  an IP address at this address
 *   %%
 *
 * The format may change while it is read, if it is not a constant one. So it is taken apart once,
 * and never read past its end as it was found first.
 *
 * On the dispatch path.
 */
#ifndef STA_EBPF_MESSAGE_H
#define STA_EBPF_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STA__FORMAT_ARGS_MAX 12   /* MAX_BPRINTF_VARARGS */
#define STA__FORMAT_TEXT_MAX 1024 /* MAX_BPRINTF_BUF: of a line, with its end */

/* One conversion of a format. */
struct sta__conversion {
    uint32_t at, next; /* where it begins, and what follows it */
    uint32_t width;    /* 0: none */
    uint8_t flags;     /* STA__FORMAT_* */
    uint8_t kind;      /* what is printed: 'd', 'u', 'x', 'X', 'c', 's', 'p' */
    uint8_t detail;    /* of what begins with 'p': the letter that follows it; 0: none */
    bool is_long;
    uint16_t text_at, text_size; /* in `room`: of a string, or what was made one */
    uint64_t value;
};

#define STA__FORMAT_LEFT  1u
#define STA__FORMAT_PLUS  2u
#define STA__FORMAT_SPACE 4u
#define STA__FORMAT_ZERO  8u

/* A format taken apart, and its arguments. As in the kernel they share a room of 512 bytes
 * (MAX_BPRINTF_BIN_ARGS), in which numbers take space like the texts that lie there, so that the
 * same strings are cut off. */
struct sta__format_args {
    uint32_t count, end; /* conversions; bytes of the format */
    struct sta__conversion conversions[STA__FORMAT_ARGS_MAX];
    char room[512];
};

/* Text that is written: as much as there is room for, the rest is counted. */
struct sta__printed {
    char *to;
    size_t size, length;
};

static inline void sta__print_char(struct sta__printed *text, char c)
{
    if (text->length + 1 < text->size)
        text->to[text->length] = c;
    text->length++;
}

/* As they are in memory: anywhere. */
typedef uint64_t __attribute__((may_alias, aligned(1))) sta__format_arg;

/*
 * `format` ends with a zero within `size` bytes. `args` are `count` numbers. With `out` NULL the
 * format is only checked, and `args` may be NULL.
 *
 * 0; -EINVAL: not such a format, or it wants more arguments; -ENOSPC: no room.
 */
int sta__format_prepare(const char *format, size_t size, const sta__format_arg *args,
                        uint32_t count, struct sta__format_args *out);

/* Writes up to `size` bytes, the last of which is a zero. Returns how long the text is, or would
 * be, without it. */
size_t sta__format_print(char *to, size_t size, const char *format,
                         const struct sta__format_args *args);

#endif
