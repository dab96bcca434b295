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
 * On the dispatch path.
 */
#ifndef STA_EBPF_MESSAGE_H
#define STA_EBPF_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STA__FORMAT_ARGS_MAX 12   /* MAX_BPRINTF_VARARGS */
#define STA__FORMAT_TEXT_MAX 1024 /* MAX_BPRINTF_BUF: of a line, with its end */

/* Collected arguments. As in the kernel they share a room of 512 bytes (MAX_BPRINTF_BIN_ARGS), in
 * which numbers take space like the texts that lie there, so that the same strings are cut off. */
struct sta__format_args {
    uint64_t values[STA__FORMAT_ARGS_MAX];
    uint16_t texts_at[STA__FORMAT_ARGS_MAX]; /* in `room` */
    char room[512];
};

/*
 * `format` ends with a zero within `size` bytes. `args` are `count` numbers. With `out` NULL the
 * format is only checked, and `args` may be NULL.
 *
 * 0; -EINVAL: not such a format, or it wants more arguments; -ENOSPC: no room.
 */
int sta__format_prepare(const char *format, size_t size, const uint64_t *args, uint32_t count,
                        struct sta__format_args *out);

/* Writes up to `size` bytes, the last of which is a zero. Returns how long the text is, or would
 * be, without it. */
size_t sta__format_print(char *to, size_t size, const char *format,
                         const struct sta__format_args *args);

/* For these files. One conversion of a format. */
struct sta__conversion {
    uint8_t flags;  /* STA__FORMAT_* */
    uint8_t kind;   /* what is printed: 'd', 'u', 'x', 'X', 'c', 's', 'p' */
    uint8_t detail; /* of 'p': the letter that follows it, or 0 */
    bool is_long;
    uint32_t width; /* 0: none */
};

#define STA__FORMAT_LEFT  1u
#define STA__FORMAT_PLUS  2u
#define STA__FORMAT_SPACE 4u
#define STA__FORMAT_ZERO  8u

/* Reads the conversion behind the '%' before `format`. Returns its length; 0: it is none. */
size_t sta__format_read(const char *format, struct sta__conversion *out);

#endif
