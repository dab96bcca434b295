/* SPDX-License-Identifier: MIT */
/* Reading one line of assembly, from left to right. Functions that can fail return false, and what
 * is wrong is in `error` then. */
#ifndef STA_TESTS_EBPF_SCAN_H
#define STA_TESTS_EBPF_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCAN_WORD_MAX 32

struct scan {
    const char *at; /* what is left of the line */
    unsigned line;
    char *error;
    size_t error_size;
};

bool scan_fail(struct scan *scan, const char *format, ...) __attribute__((format(printf, 2, 3)));

void scan_spaces(struct scan *scan);

/* Steps over this, if it is what comes next; `expect` fails if it does not. */
bool scan_accept(struct scan *scan, char c);
bool scan_accept_word(struct scan *scan, const char *word);
bool scan_expect(struct scan *scan, char c);

/* A name of fewer than SCAN_WORD_MAX bytes. */
bool scan_word(struct scan *scan, char *word);

/* A number of up to 64 bits, or up to 32, signed or not. */
bool scan_number(struct scan *scan, uint64_t *value);
bool scan_imm(struct scan *scan, int32_t *imm);

bool scan_is_register(const struct scan *scan);
bool scan_register(struct scan *scan, unsigned *reg);

#endif
