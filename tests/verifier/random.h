/* SPDX-License-Identifier: MIT */
/*
 * Random programs as they might be written: most of what they do is allowed, some of it just not.
 * The same seed gives the same program.
 */
#ifndef STA_TESTS_VERIFIER_RANDOM_H
#define STA_TESTS_VERIFIER_RANDOM_H

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

#define RANDOM_PROGRAM_MAX 512

/* Returns how many instructions there are. `maps` of bpf_both.h are used. */
size_t random_program(struct bpf_insn *insns, uint64_t seed);

#endif
