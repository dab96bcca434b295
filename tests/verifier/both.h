/* SPDX-License-Identifier: MIT */
/*
 * One program judged twice: by the library's verifier and by the kernel's, with maps of the same
 * shape. In the instructions given here maps are named by their index below.
 */
#ifndef STA_TESTS_VERIFIER_BOTH_H
#define STA_TESTS_VERIFIER_BOTH_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum both_map {
    MAP_HASH,   /* key 8, value 48 */
    MAP_ARRAY,  /* value 64, 4 elements */
    MAP_DATA,   /* array: value 64, 1 element: .data */
    MAP_RING,   /* 4096 bytes */
    MAP_PERF,   /* perf event array */
    MAP_RODATA, /* array: value 64, 1 element; frozen: both_rodata */
    MAP_PROGS,  /* program array */
    MAP_PERCPU, /* per-CPU array: value 16, 4 elements */
    MAP_STACKS, /* stack traces */
    MAP_QUEUE,  /* value 16 */
    MAP_RDONLY, /* array: value 64, 1 element; read-only for programs, but not frozen */
    MAP_LOCKED, /* hash: key 4, value 16 with a lock at 4 */
    MAP_LOCK,   /* array: value 16 with a lock at 8, 1 element */
    MAP_MAPS,   /* array of maps: 4 elements like MAP_HASH */
    MAP_COUNT,
};

/* What is in MAP_RODATA: numbers of all sizes, a flag, a string. */
extern const uint8_t both_rodata[64];

struct both_verdict {
    int err;         /* 0: accepted; -errno; 1: there was no attempt, see reason */
    char *log;       /* the verifier's text */
    size_t log_size; /* room; set by the caller */
    uint32_t processed;
    uint32_t runs;     /* how often to run it if the library accepts it: see concrete.h */
    const char *wrong; /* what went wrong there, and where; NULL: nothing */
    uint32_t wrong_insn;
    uint32_t watched;  /* set by the caller: an instruction, .. */
    bool is_dead;      /* .. and whether the library says that nothing leads there */
    bool is_malformed; /* the library's decoder refused it: before the walk, unlike the kernel */
};

/* The library's. `context_limit` as in struct sta__verify_options. */
void both_ours(const struct bpf_insn *insns, size_t count, uint32_t type, uint32_t context_limit,
               uint32_t log_level, struct both_verdict *verdict);

/* NULL, or why the kernel cannot be asked: no privilege, no bpf(2), ... */
const char *both_no_kernel(void);

/* -EAGAIN: it has not come to an end within BOTH_SECONDS. */
#define BOTH_SECONDS 5
void both_kernels(const struct bpf_insn *insns, size_t count, uint32_t type, uint32_t log_level,
                  struct both_verdict *verdict);

#endif
