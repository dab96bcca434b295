/* SPDX-License-Identifier: MIT */
/* What the parts of the generator of random programs share. */
#ifndef STA_TESTS_VERIFIER_RANDOM_PARTS_H
#define STA_TESTS_VERIFIER_RANDOM_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "verifier/both.h"
#include "verifier/insns.h"

/* What a register is believed to hold. */
enum kind { NOTHING, NUMBER, SMALL, CONTEXT, STACK, VALUE, MAYBE_VALUE, RECORD };

#define EACH (1u << 20)

struct generator {
    uint64_t random;
    struct bpf_insn *insns;
    size_t count, limit;
    enum kind kinds[11];
    int sizes[11]; /* SMALL: numbers below it; VALUE, RECORD: bytes */
    size_t calls[16];
    int call_count;
    size_t callbacks[8]; /* loads of a callback's address; EACH: for each element of a map */
    int callback_count;
    size_t exits[64]; /* jumps to the end */
    int exit_count;
    int depth;
    bool in_subprog;
};

static inline uint32_t pick(struct generator *g, uint32_t below)
{
    g->random ^= g->random << 13;
    g->random ^= g->random >> 7;
    g->random ^= g->random << 17;
    return (uint32_t)((g->random * 0x2545f4914f6cdd1dull) >> 33) % below;
}

static inline bool chance(struct generator *g, uint32_t percent)
{
    return pick(g, 100) < percent;
}

static inline void emit(struct generator *g, struct bpf_insn insn)
{
    if (g->count < g->limit)
        g->insns[g->count++] = insn;
}

#define EMIT(...)                                                                          \
    do {                                                                                   \
        struct bpf_insn emit_all[] = {__VA_ARGS__};                                        \
        for (size_t emit_i = 0; emit_i < sizeof(emit_all) / sizeof(emit_all[0]); emit_i++) \
            emit(g, emit_all[emit_i]);                                                     \
    } while (0)

static inline void set(struct generator *g, int reg, enum kind kind, int size)
{
    g->kinds[reg] = kind;
    g->sizes[reg] = size;
}

/* A register of this kind (or a NUMBER that is SMALL); -1: none. */
static inline int find(struct generator *g, enum kind kind)
{
    int start = (int)pick(g, 10);

    for (int i = 0; i < 10; i++) {
        int reg = (start + i) % 10;

        if (g->kinds[reg] == kind || (kind == NUMBER && g->kinds[reg] == SMALL))
            return reg;
    }
    return -1;
}

/* One that may be overwritten: not the context. */
static inline int any_free(struct generator *g)
{
    int reg;

    do {
        reg = (int)pick(g, 10);
    } while (g->kinds[reg] == CONTEXT && !chance(g, 3));
    return reg;
}

static inline int32_t interesting(struct generator *g)
{
    static const int32_t values[] = {0,  1,  2,   3,   4,     7,     8,         15,        16,
                                     31, 32, 63,  64,  100,   127,   128,       255,       256,
                                     -1, -2, -8,  -64, 65535, 65536, INT32_MAX, INT32_MIN, 4096,
                                     48, 40, 511, 512, -128,  -129,  0x0f0f0f0f};

    if (chance(g, 15))
        return (int32_t)pick(g, UINT32_MAX);
    return values[pick(g, sizeof(values) / sizeof(values[0]))];
}

static inline int random_size(struct generator *g)
{
    static const int sizes[] = {BPF_B, BPF_H, BPF_W, BPF_DW, BPF_DW, BPF_W};

    return sizes[pick(g, 6)];
}

static inline int bytes_of(int size)
{
    return size == BPF_B ? 1 : size == BPF_H ? 2 : size == BPF_W ? 4 : 8;
}

static inline void after_call(struct generator *g)
{
    for (int i = R1; i <= R5; i++)
        set(g, i, NOTHING, 0);
    set(g, R0, NUMBER, 0);
}

static inline int16_t stack_off(struct generator *g, int bytes)
{
    int off = -(int)(pick(g, 12) + 1) * 8;

    if (bytes < 8 && chance(g, 40))
        off += (int)pick(g, (uint32_t)(8 / bytes)) * bytes;
    if (chance(g, 2))
        off += (int)pick(g, 16) - 8;
    if (chance(g, 1))
        off = -(int)pick(g, 530);
    return (int16_t)off;
}

static const uint8_t alu_ops[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV,  BPF_OR,  BPF_AND, BPF_LSH,
                                  BPF_RSH, BPF_MOD, BPF_XOR, BPF_ARSH, BPF_ADD, BPF_AND};

static const uint8_t jump_ops[] = {BPF_JEQ,  BPF_JNE,  BPF_JGT,  BPF_JGE,  BPF_JLT, BPF_JLE,
                                   BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE, BPF_JSET};

static inline void exit_if(struct generator *g, struct bpf_insn jump)
{
    if (g->exit_count == 64)
        return;
    g->exits[g->exit_count++] = g->count;
    emit(g, jump);
}

/* random_data.c: one statement each, that fits what the registers hold. */
void random_new_number(struct generator *g);
void random_arithmetic(struct generator *g);
void random_make_small(struct generator *g);
void random_stack_access(struct generator *g);
void random_stack_pointer(struct generator *g);
void random_lookup(struct generator *g);
void random_direct_value(struct generator *g);
void random_memory_access(struct generator *g);
void random_ring_record(struct generator *g);
void random_helper(struct generator *g);
/* random_helpers.c */
void random_dynptr(struct generator *g);
void random_text(struct generator *g);
void random_lock(struct generator *g);

#endif
