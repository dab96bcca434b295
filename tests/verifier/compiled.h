/* SPDX-License-Identifier: MIT */
/* The programs of programs.bpf.c, as the compiler made them for several versions of the machine. */
#ifndef STA_TESTS_VERIFIER_COMPILED_H
#define STA_TESTS_VERIFIER_COMPILED_H

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*compiled_fn)(const char *name, const struct bpf_insn *insns, size_t count,
                            uint32_t type);

/* Calls fn for each program of each object. Returns how many objects could not be read, and prints
 * why. Where there is no compiler for BPF there are none. */
int compiled_compare(compiled_fn fn);

#endif
