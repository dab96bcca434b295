/* SPDX-License-Identifier: MIT */
/* Types for the kernel, which wants to know of each subprogram that it is a function, and static.
 */
#ifndef STA_TESTS_VERIFIER_BTF_H
#define STA_TESTS_VERIFIER_BTF_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>

struct btf_of_program {
    int fd; /* -1: none */
    struct bpf_func_info funcs[256];
    unsigned count;
};

/* False: the program has no subprograms, or the kernel takes no types. */
bool btf_describe(struct btf_of_program *out, const struct bpf_insn *insns, size_t count);
void btf_close(struct btf_of_program *btf);

#endif
