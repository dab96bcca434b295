/* SPDX-License-Identifier: MIT */
#include "verifier/cases.h"

#include <errno.h>

#define INSN_TYPE
#include "verifier/both.h"
#include "verifier/insns.h"

/* Everything before the instructions, then the instructions. */
#define OK(name, ...)             CASE(name, 0, NULL, 0, 0, NULL, __VA_ARGS__)
#define BAD(name, err, text, ...) CASE(name, err, text, 0, 0, NULL, __VA_ARGS__)
#define CASE(name, err, text, type, limit, difference, ...)                                      \
    {                                                                                            \
        name, (const struct bpf_insn[]){__VA_ARGS__},                                            \
            sizeof((const struct bpf_insn[]){__VA_ARGS__}) / sizeof(struct bpf_insn), err, text, \
            type, limit, difference                                                              \
    }
#define RAW BPF_PROG_TYPE_RAW_TRACEPOINT

#define RET0   MOV(R0, 0), EXIT
#define RANDOM CALL(get_prandom_u32) /* r0: any number of 64 bits, for all that is known */
/* r0: an element's value, or NULL. Six instructions. */
#define LOOKUP(map, size) \
    ST(size, R10, -8, 0), MOVX(R2, R10), ADD(R2, -8), LD_MAP(R1, map), CALL(map_lookup_elem)
#define LOOKUP_HASH LOOKUP(MAP_HASH, BPF_DW)
/* r0: a record of so many bytes, or NULL. Five instructions. */
#define RESERVE(size) LD_MAP(R1, MAP_RING), MOV(R2, size), MOV(R3, 0), CALL(ringbuf_reserve)
#define SUBMIT(reg)   MOVX(R1, reg), MOV(R2, 0), CALL(ringbuf_submit)
#define DISCARD(reg)  MOVX(R1, reg), MOV(R2, 0), CALL(ringbuf_discard)

/* clang-format off */
const struct verifier_case verifier_cases[] = {
#include "verifier/cases_dynptrs.h"
#include "verifier/cases_flow.h"
#include "verifier/cases_locks.h"
#include "verifier/cases_numbers.h"
#include "verifier/cases_pointers.h"
#include "verifier/cases_stack.h"
#include "verifier/cases_memory.h"
#include "verifier/cases_helpers.h"
#include "verifier/cases_calls.h"
#include "verifier/cases_attacks.h"
};
/* clang-format on */

const size_t verifier_case_count = sizeof(verifier_cases) / sizeof(verifier_cases[0]);
