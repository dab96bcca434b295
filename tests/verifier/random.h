/* SPDX-License-Identifier: MIT */
/*
 * Random programs as they might be written: most of what they do is allowed, some of it just not.
 * The same seed gives the same program.
 */
#ifndef STA_TESTS_VERIFIER_RANDOM_H
#define STA_TESTS_VERIFIER_RANDOM_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANDOM_PROGRAM_MAX 512

/* Returns how many instructions there are. `maps` of bpf_both.h are used. */
/* Locks in values, too; the kernel gives them to no program that traces. */
extern bool random_has_locks;

size_t random_program(struct bpf_insn *insns, uint64_t seed);

#endif
