/* SPDX-License-Identifier: MIT */
/*
 * Random programs that run alike wherever they run: they end, read nothing that was not written,
 * and keep to what the kernel's verifier can follow. A program is a function with subprograms:
 * r1 is the address of RANDOM_AREA bytes, which it reads and writes, and r0 a number that depends
 * on all of its registers.
 */
#ifndef TESTS_RANDOM_PROGRAM_H
#define TESTS_RANDOM_PROGRAM_H

#include <linux/bpf.h>
#include <stdint.h>

#define RANDOM_AREA      64 /* bytes */
#define RANDOM_INSNS_MAX 2000

struct random_program {
    struct bpf_insn insns[RANDOM_INSNS_MAX];
    uint32_t count;
};

/* A generator of random numbers; any state will do. */
uint64_t random_next(uint64_t *state);

/* Values in which carries, signs and halves matter more often than chance would have it. */
uint64_t random_value(uint64_t *state);

/* The program of this seed. */
void random_program_make(struct random_program *out, uint64_t seed);

/* Prints it, an instruction a line. */
void random_program_print(const struct bpf_insn *insns, uint32_t count);

#endif
