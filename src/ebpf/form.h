/* SPDX-License-Identifier: MIT */
/*
 * Whether a single instruction is well formed, whatever stands around it.
 */
#ifndef STA_EBPF_FORM_H
#define STA_EBPF_FORM_H

#include <linux/bpf.h>
#include <stdbool.h>

/* Why something was refused, in the kernel's words where it has some. */
struct sta__refusal {
    int err; /* -errno */
    char reason[112];
};

/* Fills in a refusal; returns false, so that a check can end with it. */
bool sta__refuse(struct sta__refusal *why, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * The fields of one instruction: opcode, registers, reserved fields, sizes and immediates. Of a
 * wide immediate it looks at the first half only; where jumps and calls lead is not looked at.
 */
bool sta__form_check(const struct bpf_insn *insn, struct sta__refusal *why);

/* If it is a shift by an immediate, takes that modulo the operand's width. */
void sta__form_mask_shift(struct bpf_insn *insn);

#endif
