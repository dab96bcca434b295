/* SPDX-License-Identifier: MIT */
/* Programs whose running and loading is measured. */
#ifndef TESTS_VM_PROGRAMS_H
#define TESTS_VM_PROGRAMS_H

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

#define VM_PROGRAM_MAX 256

struct vm_program {
    struct bpf_insn insns[VM_PROGRAM_MAX];
    size_t count;
    uint64_t result; /* r0 */
};

void vm_program_empty(struct vm_program *out); /* r0 = 0 */
void vm_program_alu(struct vm_program *out);   /* four registers set, and 12 operations on them */
void vm_program_loop(struct vm_program *out);  /* 1,000 times three cycles */
/* 1,000 calls of a subprogram, in a loop. */
void vm_program_calls(struct vm_program *out);
/* 200 instructions as tracing programs have them: arguments, stack, branches, helpers. `result` is
 * not set. */
void vm_program_large(struct vm_program *out);

#endif
