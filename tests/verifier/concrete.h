/* SPDX-License-Identifier: MIT */
/*
 * Runs a program that the verifier accepted, with every access looked at: a proof that missed
 * something shows here, whatever the kernel's verifier thinks of the program.
 */
#ifndef STA_TESTS_VERIFIER_CONCRETE_H
#define STA_TESTS_VERIFIER_CONCRETE_H

#include "ebpf/code.h"
#include "ebpf/verify.h"

/*
 * Runs with numbers that `seed` decides: the context, what helpers return, which lookups find
 * something. NULL: nothing was wrong; else what was, with the instruction in *insn. Runs that take
 * more than some 10,000 instructions are given up.
 */
const char *concrete_run(const struct sta__code *code, const struct sta__verify_result *result,
                         uint64_t seed, uint32_t *insn);

/* What operations of ALU and ALU64 compute, and when conditional jumps are taken: the standard,
 * written down once more. */
uint64_t concrete_alu(uint64_t a, uint64_t b, uint8_t op, bool is_32, bool is_signed);
bool concrete_condition(uint64_t a, uint64_t b, uint8_t op, bool is_32);

#endif
