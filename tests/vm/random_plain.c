/* SPDX-License-Identifier: MIT */
/* Random instructions that do not jump: numbers, arithmetic, memory. */
#include <stddef.h>
#include <string.h>

#include "vm/random_writer.h"

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

unsigned random_below(struct writer *w, unsigned limit)
{
    return (unsigned)((random_next(&w->random) >> 32) * limit >> 32);
}

bool random_one_in(struct writer *w, unsigned n)
{
    return random_below(w, n) == 0;
}

int32_t random_imm(struct writer *w)
{
    return (int32_t)random_value(&w->random);
}

void random_put(struct writer *w, unsigned code, unsigned dst, unsigned src, int off, int32_t imm)
{
    w->out->insns[w->out->count++] = (struct bpf_insn){
        .code = (uint8_t)code,
        .dst_reg = dst & 15,
        .src_reg = src & 15,
        .off = (int16_t)off,
        .imm = imm,
    };
}

unsigned random_number_reg(struct writer *w)
{
    unsigned reg;

    do
        reg = random_below(w, 10);
    while (reg == w->area);
    return reg;
}

unsigned random_target_reg(struct writer *w)
{
    unsigned reg;

    do
        reg = random_number_reg(w);
    while (reg == w->counter);
    return reg;
}

void random_set(struct writer *w, unsigned reg)
{
    if (random_one_in(w, 3)) {
        uint64_t value = random_value(&w->random);

        random_put(w, STA__OP_LDDW, reg, 0, 0, (int32_t)value);
        random_put(w, 0, 0, 0, 0, (int32_t)(value >> 32));
    } else if (w->area != NO_REG && random_one_in(w, 2)) {
        random_put(w, STA__OP_LDXDW, reg, w->area, (int)random_below(w, w->area_size / 8) * 8, 0);
    } else {
        random_put(w, random_one_in(w, 3) ? STA__OP_MOV32K : STA__OP_MOV64K, reg, 0, 0,
                   random_imm(w));
    }
}

void random_alu_imm(struct writer *w, unsigned class, unsigned op, unsigned dst)
{
    int32_t imm = random_imm(w);
    bool divides = op == BPF_DIV || op == BPF_MOD;

    if (op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH)
        imm = (int32_t)random_below(w, class == BPF_ALU64 ? 64 : 32);
    if (divides && imm == 0)
        imm = 3;
    random_put(w, class | op | BPF_K, dst, 0, divides && random_one_in(w, 2), imm);
}

void random_alu_reg(struct writer *w, unsigned class, unsigned op, unsigned dst)
{
    static const int16_t extensions[] = {8, 16, 32};
    bool divides = op == BPF_DIV || op == BPF_MOD;
    int off = divides && random_one_in(w, 2);

    if (op == BPF_MOV && random_one_in(w, 2))
        off = extensions[random_below(w, class == BPF_ALU64 ? 3 : 2)];
    random_put(w, class | op | BPF_X, dst, random_number_reg(w), off, 0);
}

static void swap(struct writer *w, unsigned dst)
{
    static const unsigned codes[] = {STA__OP_LE, STA__OP_BE, STA__OP_BSWAP};

    random_put(w, codes[random_below(w, 3)], dst, 0, 0, 16 << random_below(w, 3));
}

void random_arithmetic(struct writer *w)
{
    static const uint8_t ops[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR,  BPF_AND,  BPF_LSH,
                                  BPF_RSH, BPF_NEG, BPF_MOD, BPF_XOR, BPF_MOV, BPF_ARSH, BPF_END};
    unsigned op = ops[random_below(w, sizeof(ops))], dst = random_target_reg(w);
    unsigned class = random_one_in(w, 2) ? BPF_ALU : BPF_ALU64;

    if (op == BPF_END)
        swap(w, dst);
    else if (op == BPF_NEG)
        random_put(w, class | BPF_NEG, dst, 0, 0, 0);
    else if (random_one_in(w, 2))
        random_alu_imm(w, class, op, dst);
    else
        random_alu_reg(w, class, op, dst);
}

void random_idiom(struct writer *w)
{
    unsigned dst = random_target_reg(w), src = random_number_reg(w);

    if (random_one_in(w, 2))
        random_put(w, STA__OP_MOV64X, dst, src, 0, 0);
    switch (random_below(w, 4)) {
    case 0:
        random_put(w, STA__OP_LSH64K, dst, 0, 0, 32);
        random_put(w, STA__OP_RSH64K, dst, 0, 0, 32);
        break;
    case 1:
        random_put(w, STA__OP_LSH64K, dst, 0, 0, 32);
        random_put(w, STA__OP_ARSH64K, dst, 0, 0, 32);
        break;
    case 2:
        random_put(w, STA__OP_ADD64K, dst, 0, 0, random_imm(w));
        break;
    default:
        random_put(w, STA__OP_ADD64X, dst, random_number_reg(w), 0, 0);
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

    if (w->area != NO_REG && !random_one_in(w, 3)) {
        place.off = (int16_t)(random_below(w, w->area_size / size) * size);
        return place;
    }
    slot = w->slots[random_below(w, w->slot_count)];
    place.off = (int16_t)(slot + (int32_t)(random_below(w, 8 / size) * size));
    place.base = BPF_REG_10;
    if (random_one_in(w, 3)) {
        place.base = place.lent = random_target_reg(w);
        random_put(w, STA__OP_MOV64X, place.lent, BPF_REG_10, 0, 0);
        random_put(w, STA__OP_ADD64K, place.lent, 0, 0, slot);
        place.off = (int16_t)(place.off - slot);
    }
    return place;
}

static void give_back(struct writer *w, const struct place *place)
{
    if (place->lent != NO_REG)
        random_set(w, place->lent);
}

static const uint8_t size_codes[] = {BPF_B, BPF_H, BPF_W, BPF_DW};

static unsigned number_beside(struct writer *w, const struct place *place, bool is_written)
{
    unsigned reg;

    do
        reg = is_written ? random_target_reg(w) : random_number_reg(w);
    while (reg == place->lent);
    return reg;
}

void random_memory(struct writer *w)
{
    unsigned log = random_below(w, 4), size = size_codes[log];
    struct place place = any_place(w, 1u << log);

    switch (random_below(w, 5)) {
    case 0:
        random_put(w, BPF_ST | BPF_MEM | size, place.base, 0, place.off, random_imm(w));
        break;
    case 1:
    case 2:
        random_put(w, BPF_STX | BPF_MEM | size, place.base, number_beside(w, &place, false),
                   place.off, 0);
        break;
    case 3:
        random_put(w, BPF_LDX | (log < 3 ? BPF_MEMSX : BPF_MEM) | size,
                   number_beside(w, &place, true), place.base, place.off, 0);
        break;
    default:
        random_put(w, BPF_LDX | BPF_MEM | size, number_beside(w, &place, true), place.base,
                   place.off, 0);
        break;
    }
    give_back(w, &place);
}

void random_ordered(struct writer *w)
{
    unsigned log = random_below(w, 4), code = BPF_STX | BPF_ATOMIC | size_codes[log];
    struct place place = any_place(w, 1u << log);

    if (random_one_in(w, 2))
        random_put(w, code, number_beside(w, &place, true), place.base, place.off, BPF_LOAD_ACQ);
    else
        random_put(w, code, place.base, number_beside(w, &place, false), place.off, BPF_STORE_REL);
    give_back(w, &place);
}

/* Writes r0. Of 32 bits it zero-extends r0, too, but not always in Linux 6.18: if the verifier
 * prunes the path on which all of r0 is read, the kernel's JIT leaves the upper half as it was when
 * the values are equal. So the program does it again. */
static void compare_and_exchange(struct writer *w, unsigned code, const struct place *place)
{
    if (w->counter == BPF_REG_0 || place->lent == BPF_REG_0)
        return;
    random_put(w, code, place->base, number_beside(w, place, false), place->off, BPF_CMPXCHG);
    if (code == STA__OP_ATOMICW)
        random_put(w, STA__OP_MOV32X, BPF_REG_0, BPF_REG_0, 0, 0);
}

/* Linux 6.18 forgets, where it prunes, that a branch depends on the number that an atomic operation
 * has fetched from the stack: it takes it for the one of another path. So there may be no number
 * that the verifier knows: it does not follow single bytes. */
static void make_unknown(struct writer *w, const struct place *place)
{
    if (place->base == BPF_REG_10 || place->lent != NO_REG || w->kind == CALLBACK)
        random_put(w, STA__OP_STB, place->base, 0, (place->off & ~7) + 3, 0x7b);
}

void random_atomic(struct writer *w)
{
    static const uint8_t ops[] = {BPF_ADD, BPF_OR, BPF_AND, BPF_XOR};
    unsigned code = random_one_in(w, 2) ? STA__OP_ATOMICW : STA__OP_ATOMICDW;
    struct place place = any_place(w, code == STA__OP_ATOMICW ? 4 : 8);
    unsigned what = random_below(w, 8);

    if (what != 3 && what != 4)
        make_unknown(w, &place);
    switch (what) {
    case 0:
        random_put(w, code, place.base, number_beside(w, &place, true), place.off, BPF_XCHG);
        break;
    case 1:
    case 2:
        compare_and_exchange(w, code, &place);
        break;
    case 3:
    case 4:
        random_put(w, code, place.base, number_beside(w, &place, false), place.off,
                   ops[random_below(w, 4)]);
        break;
    default:
        random_put(w, code, place.base, number_beside(w, &place, true), place.off,
                   ops[random_below(w, 4)] | BPF_FETCH);
        break;
    }
    give_back(w, &place);
}
