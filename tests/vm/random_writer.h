/* SPDX-License-Identifier: MIT */
/* What the parts of the generator of random programs share: random_program.c, random_plain.c. */
#ifndef TESTS_RANDOM_WRITER_H
#define TESTS_RANDOM_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "ebpf/isa.h"
#include "vm/random_program.h"

#define FUNCTIONS_MAX 4
#define SLOTS         3 /* words of the stack that a function uses */
#define NO_REG        11

enum kind { PROGRAM, SUBPROG, CALLBACK };

struct function {
    enum kind kind;
    uint32_t start;
};

struct writer {
    struct random_program *out;
    uint64_t random;
    struct function functions[FUNCTIONS_MAX];
    unsigned function_count;

    /* Of the function that is being written. */
    unsigned self;
    enum kind kind;
    bool calls;
    unsigned area, area_size; /* the register that has its address */
    unsigned counter;
    int16_t slots[SLOTS];
    unsigned slot_count;
    unsigned depth;
    /* Calls whose distance is filled in when the function that they call is written. */
    struct {
        uint32_t index;
        unsigned function;
    } calls_made[64];
    unsigned call_count;
};

/* A number below `limit`; true once in n times. */
unsigned random_below(struct writer *w, unsigned limit);
bool random_one_in(struct writer *w, unsigned n);
int32_t random_imm(struct writer *w);
/* A register with a number, and one that may be written. */
unsigned random_number_reg(struct writer *w);
unsigned random_target_reg(struct writer *w);

/* Appends an instruction. */
void random_put(struct writer *w, unsigned code, unsigned dst, unsigned src, int off, int32_t imm);

/* Statements: they leave every register with a number. */
void random_set(struct writer *w, unsigned reg); /* some number */
void random_alu_imm(struct writer *w, unsigned class, unsigned op, unsigned dst);
void random_alu_reg(struct writer *w, unsigned class, unsigned op, unsigned dst);
void random_arithmetic(struct writer *w);
void random_idiom(struct writer *w); /* what compilers write, and the JIT takes together */
void random_memory(struct writer *w);
void random_ordered(struct writer *w); /* load-acquire, store-release */
void random_atomic(struct writer *w);

#endif
