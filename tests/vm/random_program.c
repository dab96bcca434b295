/* SPDX-License-Identifier: MIT */
/*
 * A function is written in one go:
 *
 *      registers and some words of the stack get values
 *      statements: arithmetic, memory, atomics, if, loop, calls
 *      r0 = all registers together
 *
 * One register is the address of the area, another may be the counter of a loop; all others are
 * numbers at any time, so that any statement may come anywhere. Registers that a call takes away
 * get new values behind it. Functions call only those with higher numbers.
 */
#include "vm/random_program.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "ebpf/isa.h"

#define FUNCTIONS_MAX 4
#define SLOTS         3 /* words of the stack that a function uses */
#define NO_REG        11
#define DEPTH_MAX     3

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

uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t random_value(uint64_t *state)
{
    static const uint64_t edges[] = {
        0,
        1,
        2,
        UINT64_MAX,
        INT64_MAX,
        1ull << 63,
        UINT32_MAX,
        INT32_MAX,
        1ull << 31,
        1ull << 32,
        0xff,
        0x80,
        0x7fff,
        0x8000,
        0xffff,
        0xffffffff00000000,
        0xffffffff80000000,
        31,
        32,
        63,
        64,
        0xfffffffeffffffff,
    };
    uint64_t r = random_next(state), value = random_next(state);

    if (r & 1)
        return value >> (r >> 8 & 63);
    value = edges[(r >> 16) % (sizeof(edges) / sizeof(edges[0]))];
    return r & 6 ? value : value + (r >> 32) % 5 - 2;
}

static unsigned below(struct writer *w, unsigned limit)
{
    return (unsigned)((random_next(&w->random) >> 32) * limit >> 32);
}

static bool one_in(struct writer *w, unsigned n)
{
    return below(w, n) == 0;
}

static int32_t any_imm(struct writer *w)
{
    return (int32_t)random_value(&w->random);
}

static void put(struct writer *w, unsigned code, unsigned dst, unsigned src, int off, int32_t imm)
{
    w->out->insns[w->out->count++] = (struct bpf_insn){
        .code = (uint8_t)code,
        .dst_reg = dst & 15,
        .src_reg = src & 15,
        .off = (int16_t)off,
        .imm = imm,
    };
}

/* A function of moderate size is finished; there is always room for its end. */
static bool is_full(const struct writer *w)
{
    return w->out->count > RANDOM_INSNS_MAX / FUNCTIONS_MAX * (w->self + 1) - 160;
}

/* A register with a number. */
static unsigned any_number(struct writer *w)
{
    unsigned reg;

    do
        reg = below(w, 10);
    while (reg == w->area);
    return reg;
}

/* ... that may be written. */
static unsigned any_target(struct writer *w)
{
    unsigned reg;

    do
        reg = any_number(w);
    while (reg == w->counter);
    return reg;
}

static void set_number(struct writer *w, unsigned reg)
{
    if (one_in(w, 3)) {
        uint64_t value = random_value(&w->random);

        put(w, STA__OP_LDDW, reg, 0, 0, (int32_t)value);
        put(w, 0, 0, 0, 0, (int32_t)(value >> 32));
    } else if (w->area != NO_REG && one_in(w, 2)) {
        put(w, STA__OP_LDXDW, reg, w->area, (int)below(w, w->area_size / 8) * 8, 0);
    } else {
        put(w, one_in(w, 3) ? STA__OP_MOV32K : STA__OP_MOV64K, reg, 0, 0, any_imm(w));
    }
}

static void alu_imm(struct writer *w, unsigned class, unsigned op, unsigned dst)
{
    int32_t imm = any_imm(w);
    bool divides = op == BPF_DIV || op == BPF_MOD;

    if (op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH)
        imm = (int32_t)below(w, class == BPF_ALU64 ? 64 : 32);
    if (divides && imm == 0)
        imm = 3;
    put(w, class | op | BPF_K, dst, 0, divides && one_in(w, 2), imm);
}

static void alu_reg(struct writer *w, unsigned class, unsigned op, unsigned dst)
{
    static const int16_t extensions[] = {8, 16, 32};
    bool divides = op == BPF_DIV || op == BPF_MOD;
    int off = divides && one_in(w, 2);

    if (op == BPF_MOV && one_in(w, 2))
        off = extensions[below(w, class == BPF_ALU64 ? 3 : 2)];
    put(w, class | op | BPF_X, dst, any_number(w), off, 0);
}

static void swap(struct writer *w, unsigned dst)
{
    static const unsigned codes[] = {STA__OP_LE, STA__OP_BE, STA__OP_BSWAP};

    put(w, codes[below(w, 3)], dst, 0, 0, 16 << below(w, 3));
}

static void arithmetic(struct writer *w)
{
    static const uint8_t ops[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR,  BPF_AND,  BPF_LSH,
                                  BPF_RSH, BPF_NEG, BPF_MOD, BPF_XOR, BPF_MOV, BPF_ARSH, BPF_END};
    unsigned op = ops[below(w, sizeof(ops))], dst = any_target(w);
    unsigned class = one_in(w, 2) ? BPF_ALU : BPF_ALU64;

    if (op == BPF_END)
        swap(w, dst);
    else if (op == BPF_NEG)
        put(w, class | BPF_NEG, dst, 0, 0, 0);
    else if (one_in(w, 2))
        alu_imm(w, class, op, dst);
    else
        alu_reg(w, class, op, dst);
}

/* What compilers write, and the JIT takes together. */
static void idiom(struct writer *w)
{
    unsigned dst = any_target(w), src = any_number(w);

    if (one_in(w, 2))
        put(w, STA__OP_MOV64X, dst, src, 0, 0);
    switch (below(w, 4)) {
    case 0:
        put(w, STA__OP_LSH64K, dst, 0, 0, 32);
        put(w, STA__OP_RSH64K, dst, 0, 0, 32);
        break;
    case 1:
        put(w, STA__OP_LSH64K, dst, 0, 0, 32);
        put(w, STA__OP_ARSH64K, dst, 0, 0, 32);
        break;
    case 2:
        put(w, STA__OP_ADD64K, dst, 0, 0, any_imm(w));
        break;
    default:
        put(w, STA__OP_ADD64X, dst, any_number(w), 0, 0);
        break;
    }
}

/* Memory for `size` bytes: a register and a distance. The register may be one that is lent for it
 * and has to get a number again: it is returned, else NO_REG. */
struct place {
    unsigned base, lent;
    int16_t off;
};

static struct place any_place(struct writer *w, unsigned size)
{
    struct place place = {w->area, NO_REG, 0};
    int32_t slot;

    if (w->area != NO_REG && !one_in(w, 3)) {
        place.off = (int16_t)(below(w, w->area_size / size) * size);
        return place;
    }
    slot = w->slots[below(w, w->slot_count)];
    place.off = (int16_t)(slot + (int32_t)(below(w, 8 / size) * size));
    place.base = BPF_REG_10;
    if (one_in(w, 3)) {
        place.base = place.lent = any_target(w);
        put(w, STA__OP_MOV64X, place.lent, BPF_REG_10, 0, 0);
        put(w, STA__OP_ADD64K, place.lent, 0, 0, slot);
        place.off = (int16_t)(place.off - slot);
    }
    return place;
}

static void give_back(struct writer *w, const struct place *place)
{
    if (place->lent != NO_REG)
        set_number(w, place->lent);
}

static const uint8_t size_codes[] = {BPF_B, BPF_H, BPF_W, BPF_DW};

static unsigned number_beside(struct writer *w, const struct place *place, bool is_written)
{
    unsigned reg;

    do
        reg = is_written ? any_target(w) : any_number(w);
    while (reg == place->lent);
    return reg;
}

static void memory(struct writer *w)
{
    unsigned log = below(w, 4), size = size_codes[log];
    struct place place = any_place(w, 1u << log);

    switch (below(w, 5)) {
    case 0:
        put(w, BPF_ST | BPF_MEM | size, place.base, 0, place.off, any_imm(w));
        break;
    case 1:
    case 2:
        put(w, BPF_STX | BPF_MEM | size, place.base, number_beside(w, &place, false), place.off, 0);
        break;
    case 3:
        put(w, BPF_LDX | (log < 3 ? BPF_MEMSX : BPF_MEM) | size, number_beside(w, &place, true),
            place.base, place.off, 0);
        break;
    default:
        put(w, BPF_LDX | BPF_MEM | size, number_beside(w, &place, true), place.base, place.off, 0);
        break;
    }
    give_back(w, &place);
}

static void ordered(struct writer *w)
{
    unsigned log = below(w, 4), code = BPF_STX | BPF_ATOMIC | size_codes[log];
    struct place place = any_place(w, 1u << log);

    if (one_in(w, 2))
        put(w, code, number_beside(w, &place, true), place.base, place.off, BPF_LOAD_ACQ);
    else
        put(w, code, place.base, number_beside(w, &place, false), place.off, BPF_STORE_REL);
    give_back(w, &place);
}

/* Writes r0. Of 32 bits it zero-extends r0, too, but not always in Linux 6.18: if the verifier
 * prunes the path on which all of r0 is read, the kernel's JIT leaves the upper half as it was when
 * the values are equal. So the program does it again. */
static void compare_and_exchange(struct writer *w, unsigned code, const struct place *place)
{
    if (w->counter == BPF_REG_0 || place->lent == BPF_REG_0)
        return;
    put(w, code, place->base, number_beside(w, place, false), place->off, BPF_CMPXCHG);
    if (code == STA__OP_ATOMICW)
        put(w, STA__OP_MOV32X, BPF_REG_0, BPF_REG_0, 0, 0);
}

/* Linux 6.18 forgets, where it prunes, that a branch depends on the number that an atomic operation
 * has fetched from the stack: it takes it for the one of another path. So there may be no number
 * that the verifier knows: it does not follow single bytes. */
static void make_unknown(struct writer *w, const struct place *place)
{
    if (place->base == BPF_REG_10 || place->lent != NO_REG || w->kind == CALLBACK)
        put(w, STA__OP_STB, place->base, 0, (place->off & ~7) + 3, 0x7b);
}

static void atomic(struct writer *w)
{
    static const uint8_t ops[] = {BPF_ADD, BPF_OR, BPF_AND, BPF_XOR};
    unsigned code = one_in(w, 2) ? STA__OP_ATOMICW : STA__OP_ATOMICDW;
    struct place place = any_place(w, code == STA__OP_ATOMICW ? 4 : 8);
    unsigned what = below(w, 8);

    if (what != 3 && what != 4)
        make_unknown(w, &place);
    switch (what) {
    case 0:
        put(w, code, place.base, number_beside(w, &place, true), place.off, BPF_XCHG);
        break;
    case 1:
    case 2:
        compare_and_exchange(w, code, &place);
        break;
    case 3:
    case 4:
        put(w, code, place.base, number_beside(w, &place, false), place.off, ops[below(w, 4)]);
        break;
    default:
        put(w, code, place.base, number_beside(w, &place, true), place.off,
            ops[below(w, 4)] | BPF_FETCH);
        break;
    }
    give_back(w, &place);
}

static void statements(struct writer *w, unsigned count);

/* Arithmetic, and a branch on whether it gave zero or less: one does not have to compare again. */
static uint32_t branch_on_result(struct writer *w)
{
    static const uint8_t ops[] = {BPF_ADD, BPF_SUB, BPF_AND, BPF_OR, BPF_XOR, BPF_LSH, BPF_ARSH};
    static const uint8_t jumps[] = {BPF_JEQ, BPF_JNE, BPF_JSLT, BPF_JSGE};
    unsigned reg = any_target(w), op = ops[below(w, sizeof(ops))];

    if (one_in(w, 2))
        alu_imm(w, one_in(w, 2) ? BPF_ALU : BPF_ALU64, op, reg);
    else
        alu_reg(w, one_in(w, 2) ? BPF_ALU : BPF_ALU64, op, reg);
    put(w, (one_in(w, 2) ? BPF_JMP : BPF_JMP32) | jumps[below(w, 4)] | BPF_K, reg, 0, 0, 0);
    return w->out->count - 1;
}

/* A conditional jump whose distance is to be filled in. */
static uint32_t branch(struct writer *w)
{
    static const uint8_t ops[] = {BPF_JEQ,  BPF_JNE,  BPF_JGT,  BPF_JGE,  BPF_JLT, BPF_JLE,
                                  BPF_JSET, BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE};
    unsigned code = ops[below(w, sizeof(ops))] | (one_in(w, 2) ? BPF_JMP : BPF_JMP32);

    if (one_in(w, 3))
        return branch_on_result(w);
    if (one_in(w, 2))
        put(w, code | BPF_X, any_number(w), any_number(w), 0, 0);
    else
        put(w, code | BPF_K, any_number(w), 0, 0, one_in(w, 3) ? 0 : any_imm(w));
    return w->out->count - 1;
}

static uint32_t jump(struct writer *w)
{
    put(w, one_in(w, 2) ? STA__OP_JA : STA__OP_JA32, 0, 0, 0, 0);
    return w->out->count - 1;
}

static void land(struct writer *w, uint32_t from)
{
    struct bpf_insn *insn = &w->out->insns[from];
    uint32_t distance = w->out->count - from - 1;

    if (insn->code == STA__OP_JA32)
        insn->imm = (int32_t)distance;
    else
        insn->off = (int16_t)distance;
}

static void choice(struct writer *w)
{
    uint32_t from = branch(w), to;

    statements(w, one_in(w, 12) ? 0 : 1 + below(w, 4));
    if (one_in(w, 2)) {
        land(w, from);
        return;
    }
    to = jump(w);
    land(w, from);
    statements(w, 1 + below(w, 3));
    land(w, to);
}

static void loop(struct writer *w)
{
    unsigned counter = any_target(w), times = 1 + below(w, 4);
    uint32_t start;

    if (w->counter != NO_REG)
        return;
    put(w, STA__OP_MOV64K, counter, 0, 0, (int32_t)times);
    start = w->out->count;
    w->counter = counter;
    statements(w, 1 + below(w, 3));
    w->counter = NO_REG;
    put(w, STA__OP_ADD64K, counter, 0, 0, -1);
    put(w, one_in(w, 2) ? STA__OP_JNE64K : STA__OP_JSGT32K, counter, 0,
        (int)start - (int)w->out->count - 1, 0);
}

/* What a call takes away; r0 is a number already. */
static void renew(struct writer *w)
{
    for (unsigned reg = BPF_REG_1; reg <= BPF_REG_5; reg++)
        set_number(w, reg);
}

static void note_call(struct writer *w, unsigned function)
{
    w->calls_made[w->call_count].index = w->out->count - 1;
    w->calls_made[w->call_count++].function = function;
}

/* How often to call it. Linux 6.18 stumbles over a callback that is known never to be called. */
static void put_times(struct writer *w, unsigned reg)
{
    if (one_in(w, 2)) {
        put(w, STA__OP_MOV64K, reg, 0, 0, 1 + (int32_t)below(w, 4));
        return;
    }
    put(w, STA__OP_LDXB, reg, w->area, (int)below(w, w->area_size), 0);
    put(w, STA__OP_AND64K, reg, 0, 0, 3);
}

static void call_callback(struct writer *w, unsigned function)
{
    put(w, STA__OP_LDDW, BPF_REG_2, BPF_PSEUDO_FUNC, 0, 0);
    note_call(w, function);
    put(w, 0, 0, 0, 0, 0);
    put(w, STA__OP_MOV64X, BPF_REG_3, BPF_REG_10, 0, 0);
    put(w, STA__OP_ADD64K, BPF_REG_3, 0, 0, w->slots[0]);
    put_times(w, BPF_REG_1);
    put(w, STA__OP_MOV64K, BPF_REG_4, 0, 0, 0);
    put(w, STA__OP_CALL, 0, 0, 0, BPF_FUNC_loop);
}

static void call_subprog(struct writer *w, unsigned function)
{
    put(w, STA__OP_MOV64X, BPF_REG_1, w->area, 0, 0);
    put(w, STA__OP_CALL, 0, BPF_PSEUDO_CALL, 0, 0);
    note_call(w, function);
}

/* Helpers whose results are not the same everywhere. */
static void call_helper(struct writer *w)
{
    static const int32_t helpers[] = {BPF_FUNC_ktime_get_ns, BPF_FUNC_get_prandom_u32,
                                      BPF_FUNC_get_smp_processor_id};

    put(w, STA__OP_CALL, 0, 0, 0, helpers[below(w, 3)]);
    set_number(w, BPF_REG_0);
}

static void call(struct writer *w)
{
    unsigned function = w->self + 1 + below(w, w->function_count - w->self);

    /* The area's address and a loop's counter have to survive it. */
    if (!w->calls || w->counter < BPF_REG_6 || w->call_count == 64)
        return;
    if (function >= w->function_count)
        call_helper(w);
    else if (w->functions[function].kind == CALLBACK)
        call_callback(w, function);
    else if (w->area != NO_REG)
        call_subprog(w, function);
    else
        return;
    renew(w);
}

static void statement(struct writer *w)
{
    unsigned what = below(w, 32);

    if (what < 13)
        arithmetic(w);
    else if (what < 16)
        idiom(w);
    else if (what < 21)
        memory(w);
    else if (what < 23)
        ordered(w);
    else if (what < 26)
        atomic(w);
    else if (what < 29 && w->depth < DEPTH_MAX)
        choice(w);
    else if (what < 30 && w->depth < DEPTH_MAX)
        loop(w);
    else if (what < 31 && w->depth < DEPTH_MAX)
        call(w);
    else
        set_number(w, any_target(w));
}

static void statements(struct writer *w, unsigned count)
{
    w->depth++;
    while (count-- && !is_full(w))
        statement(w);
    w->depth--;
}

/* Words at random below r10; those of a function that is called take part in 512 bytes of all. */
static void choose_slots(struct writer *w)
{
    static const unsigned depths[] = {8, 16, 32, 64, 128, 136, 192, 256};
    unsigned words = depths[below(w, w->kind == PROGRAM ? 8 : 3)] / 8;

    w->slot_count = SLOTS;
    for (unsigned i = 0; i < SLOTS; i++)
        w->slots[i] = (int16_t)(-8 * (int)(1 + below(w, words)));
}

static void begin(struct writer *w)
{
    w->counter = NO_REG;
    w->depth = 0;
    w->calls = one_in(w, 2) && w->kind != CALLBACK;
    w->area_size = w->kind == CALLBACK ? 8 : RANDOM_AREA;
    w->area = w->kind == CALLBACK ? BPF_REG_2 : BPF_REG_1;
    choose_slots(w);
    if (w->calls || one_in(w, 2)) {
        unsigned reg = BPF_REG_6 + below(w, 4);

        put(w, STA__OP_MOV64X, reg, w->area, 0, 0);
        w->area = reg;
    }
    for (unsigned i = 0; i < w->slot_count; i++)
        put(w, STA__OP_STDW, BPF_REG_10, 0, w->slots[i], any_imm(w));
    for (unsigned reg = 0; reg < BPF_REG_10; reg++) {
        if (reg != w->area)
            set_number(w, reg);
    }
}

static void end(struct writer *w)
{
    for (unsigned reg = BPF_REG_1; reg < BPF_REG_10; reg++) {
        if (reg == w->area)
            continue;
        put(w, STA__OP_MUL64K, BPF_REG_0, 0, 0, 0x61c88647);
        put(w, STA__OP_XOR64X, BPF_REG_0, reg, 0, 0);
    }
    if (w->kind == CALLBACK) /* 1 ends the loop */
        put(w, STA__OP_AND64K, BPF_REG_0, 0, 0, 1);
    put(w, STA__OP_EXIT, 0, 0, 0, 0);
}

static void write_function(struct writer *w, unsigned number)
{
    w->self = number;
    w->kind = w->functions[number].kind;
    w->functions[number].start = w->out->count;
    begin(w);
    statements(w, 2 + below(w, number ? 12 : 30));
    end(w);
}

/* A function that nobody calls would be refused as unreachable: it is cut off. */
static void resolve_calls(struct writer *w)
{
    for (unsigned i = 0; i < w->call_count; i++) {
        uint32_t index = w->calls_made[i].index;

        w->out->insns[index].imm =
            (int32_t)(w->functions[w->calls_made[i].function].start - index - 1);
    }
}

static bool is_called(const struct writer *w, unsigned function)
{
    for (unsigned i = 0; i < w->call_count; i++) {
        if (w->calls_made[i].function == function)
            return true;
    }
    return false;
}

void random_program_make(struct random_program *out, uint64_t seed)
{
    struct writer w = {.out = out, .random = seed};

    out->count = 0;
    w.function_count = 1 + below(&w, FUNCTIONS_MAX);
    for (unsigned i = 1; i < w.function_count; i++)
        w.functions[i].kind = one_in(&w, 3) ? CALLBACK : SUBPROG;
    for (unsigned i = 0; i < w.function_count; i++) {
        if (i == 0 || is_called(&w, i))
            write_function(&w, i);
    }
    resolve_calls(&w);
}
