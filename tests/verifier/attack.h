/* SPDX-License-Identifier: MIT */
/*
 * Random programs made to get around the verifier: piece by piece, and each piece stays if the
 * verifier accepts the program with it. So a number is used as far as the verifier believes it to
 * go, and not further: a bound that is wrong by one shows when the program is run.
 */
#ifndef STA_TESTS_VERIFIER_ATTACK_H
#define STA_TESTS_VERIFIER_ATTACK_H

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

#define ATTACK_MAX 512 /* instructions */

/* An accepted program; returns how many instructions it has. */
size_t attack_program(struct bpf_insn insns[ATTACK_MAX], uint64_t seed);

#endif
