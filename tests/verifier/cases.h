/* SPDX-License-Identifier: MIT */
/* Small programs, each about one rule, with what is to be said of them. */
#ifndef STA_TESTS_VERIFIER_CASES_H
#define STA_TESTS_VERIFIER_CASES_H

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

struct verifier_case {
    const char *name;
    const struct bpf_insn *insns;
    size_t count;
    int err;                /* 0 or -errno */
    const char *message;    /* a piece of the reason; NULL: accepted */
    uint32_t type;          /* 0: BPF_PROG_TYPE_TRACEPOINT */
    uint32_t context_limit; /* see struct sta__verify_options; the kernel has none when loading */
    const char *difference; /* why the kernel's verdict is another one; NULL: it is the same */
};

extern const struct verifier_case verifier_cases[];
extern const size_t verifier_case_count;

#endif
