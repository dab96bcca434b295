/* SPDX-License-Identifier: MIT */
/* The verifier's text, from our memory into the application's. */
#ifndef STA_BPFCALL_VERIFIER_TEXT_H
#define STA_BPFCALL_VERIFIER_TEXT_H

#include <stddef.h>

#include "bpfcall/command.h"

struct sta__verifier_text {
    char *text; /* NULL: none is wanted */
    size_t room;
};

/* Room for it, as the attributes ask for it: 0, -EINVAL (of level and buffer, one without the
 * other), -ENOMEM. */
int sta__verifier_text_begin(struct sta__verifier_text *text, const struct sta__command *command);

/* STA_VERIFIER_LOG_*, by `log_level`: whatever is set, there is a summary. */
uint32_t sta__verifier_text_level(uint32_t log_level);

/* Hands it on, and frees it. Returns 0, or -ENOSPC: there was less room than text; of that the
 * application gets the end, or, by BPF_LOG_FIXED, the beginning. -EFAULT. */
int sta__verifier_text_end(struct sta__verifier_text *text, const struct sta__command *command);

#endif
