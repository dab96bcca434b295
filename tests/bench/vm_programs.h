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
    /* Of the map that wide immediates of BPF_PSEUDO_MAP_FD name; 0: it has none. */
    uint32_t map_type, key_size;
};

void vm_program_empty(struct vm_program *out); /* r0 = 0 */
void vm_program_alu(struct vm_program *out);   /* four registers set, and 12 operations on them */
void vm_program_loop(struct vm_program *out);  /* 1,000 times three cycles */
/* 1,000 calls of a subprogram, in a loop. */
void vm_program_calls(struct vm_program *out);
/* Of an element that is there. */
void vm_program_array(struct vm_program *out); /* looks up, increments */
void vm_program_hash(struct vm_program *out);  /* looks up, updates */
/* What counts system calls: whose is it? look up its number, increment; else insert. */
void vm_program_count(struct vm_program *out);
/* 200 instructions as tracing programs have them: arguments, stack, branches, helpers. `result` is
 * not set. */
void vm_program_large(struct vm_program *out);

#endif
