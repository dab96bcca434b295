/* SPDX-License-Identifier: MIT */
/* What the makers of attacks share. */
#ifndef STA_TESTS_VERIFIER_ATTACK_PARTS_H
#define STA_TESTS_VERIFIER_ATTACK_PARTS_H

#include <stdbool.h>

#include "verifier/attack.h"
#include "verifier/both.h"
#include "verifier/insns.h"

#define ATTACK_BODY  360 /* instructions of the program itself */
#define ATTACK_CALLS 16
#define CONTEXT_SLOT (-72) /* where the context is kept; what is above it is played with */

/* A call of a subprogram, or a load of a callback's address. */
struct attack_call {
    size_t at;
    uint64_t seed; /* what is called is made from it */
    bool is_callback;
};

/* A program without its end: r6 to r9 are numbers, jumps to the end have an offset of 0x7fff. */
struct attack {
    uint64_t random;
    struct bpf_insn insns[ATTACK_BODY];
    size_t count;
    struct attack_call calls[ATTACK_CALLS];
    size_t call_count;
    uint32_t numbers, slots; /* how many are in the game */
};

#define TO_END 0x7fff

static inline uint32_t attack_pick(struct attack *a, uint32_t below)
{
    a->random ^= a->random << 13;
    a->random ^= a->random >> 7;
    a->random ^= a->random << 17;
    return (uint32_t)((a->random * 0x2545f4914f6cdd1dull) >> 33) % below;
}

static inline void attack_emit(struct attack *a, struct bpf_insn insn)
{
    if (a->count < ATTACK_BODY)
        a->insns[a->count++] = insn;
}

#define PUT(...)                                                                      \
    do {                                                                              \
        struct bpf_insn put_all[] = {__VA_ARGS__};                                    \
        for (size_t put_i = 0; put_i < sizeof(put_all) / sizeof(put_all[0]); put_i++) \
            attack_emit(a, put_all[put_i]);                                           \
    } while (0)

/* One of r6 to r9, those that are played with. */
static inline uint8_t attack_number(struct attack *a)
{
    return (uint8_t)(R6 + attack_pick(a, a->numbers));
}

static inline int16_t attack_slot(struct attack *a)
{
    return (int16_t)(-8 - 8 * (int)attack_pick(a, a->slots));
}

int32_t attack_constant(struct attack *a);
uint8_t attack_size(struct attack *a); /* BPF_B .. */
int attack_bytes(uint8_t size);

/* attack_numbers.c: something happens to a number, or to a slot. */
void attack_simple(struct attack *a);
/* A jump on a number, with this offset. */
void attack_jump(struct attack *a, int16_t off);
void attack_jump_on(struct attack *a, uint8_t reg, int16_t off);

/* attack_memory.c: pointers, helpers, calls; what is at stake. */
void attack_memory(struct attack *a);
/* A number as an index, as far as the verifier lets it go. */
void attack_use(struct attack *a, uint8_t reg);
/* Something that may write to this slot, and somehow depends on the number. */
void attack_disturb(struct attack *a, uint8_t by, int16_t slot);
/* So many rounds of a callback that plays with this slot. */
void attack_call_back(struct attack *a, uint8_t rounds, int16_t slot);

/* attack_plots.c */
void attack_plot(struct attack *a);

/* attack_callees.c: what a call leads to, at out[0]; returns how many instructions. */
size_t attack_callee(struct bpf_insn *out, const struct attack_call *call);

/* attack.c: states are stored after so many instructions and jumps. */
void attack_store_states(struct attack *a);

/* Whether the verifier accepts the program so far, and its end can be reached. */
bool attack_is_accepted(const struct attack *a);
/* Whether a refused access was near what it was meant for. */
bool attack_is_bounded(const struct attack *a);

#endif
