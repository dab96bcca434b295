/* SPDX-License-Identifier: MIT */
/* The assembler's operands and labels: what instructions are put together from. Functions that can
 * fail return false, and what is wrong is in the scanner's `error` then. */
#ifndef STA_TESTS_EBPF_OPERAND_H
#define STA_TESTS_EBPF_OPERAND_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>

#include "ebpf_scan.h"

#define LABELS_MAX 256

struct label {
    char name[SCAN_WORD_MAX];
    size_t insn;
};

/* An instruction whose off or imm is the distance to a label. */
struct reference {
    char name[SCAN_WORD_MAX];
    size_t insn;
    unsigned line;
    bool in_imm;
};

struct assembler {
    struct bpf_insn *insns;
    size_t count, room;
    struct label labels[LABELS_MAX];
    size_t label_count;
    struct reference references[LABELS_MAX];
    size_t reference_count;
    struct scan scan;
};

bool asm_read_dst(struct assembler *as, struct bpf_insn *insn);
bool asm_read_src(struct assembler *as, struct bpf_insn *insn);

/* [%r1+8]; the first one with the comma behind it. */
bool asm_read_memory_at_dst(struct assembler *as, struct bpf_insn *insn);
bool asm_read_memory_at_src(struct assembler *as, struct bpf_insn *insn);

/* A register, or a number: BPF_X or BPF_K. */
bool asm_read_source(struct assembler *as, struct bpf_insn *insn);

/* A label, or the distance itself: into off, or imm. */
bool asm_read_target(struct assembler *as, struct bpf_insn *insn, bool in_imm);

bool asm_emit(struct assembler *as, const struct bpf_insn *insn);

/* The next instruction has this label. */
bool asm_define_label(struct assembler *as, const char *name);

/* The first exit has the label `exit`, if nothing else does. */
void asm_label_exit(struct assembler *as);

/* Fills in the distance, once all labels are known. */
bool asm_resolve(struct assembler *as, const struct reference *reference);

#endif
