/* SPDX-License-Identifier: MIT */
#include "verifier/concrete.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ebpf/helper.h"
#include "ebpf/isa.h"

#define STEPS_MAX   10000
#define REGIONS_MAX 64
#define FRAMES_MAX  16

struct region {
    uint64_t at, size;
    bool is_read_only;
};

struct run {
    const struct sta__code *code;
    uint64_t random;
    uint64_t regs[11];
    struct region regions[REGIONS_MAX];
    uint32_t region_count;
    uint32_t frames, steps, insn;
    char stacks[FRAMES_MAX][STA__STACK_SIZE];
    char context[8192 + 8], values[8][64], records[8][256], key[64];
    uint32_t record_count;
    const char *wrong;
    bool is_over; /* given up */
};

static uint64_t any(struct run *r)
{
    static const uint64_t edges[] = {0,          1,         7,          8,          15,
                                     63,         64,        255,        0x7fffffff, 0x80000000,
                                     0xffffffff, INT64_MAX, 1ull << 63, UINT64_MAX};
    uint64_t n;

    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    n = r->random * 0x2545f4914f6cdd1dull;
    return n & 1 ? edges[(n >> 8) % (sizeof(edges) / sizeof(edges[0]))] : n >> (n >> 1) % 64;
}

static uint64_t add_region(struct run *r, void *at, uint64_t size, bool is_read_only)
{
    if (r->region_count == REGIONS_MAX)
        r->is_over = true;
    else
        r->regions[r->region_count++] =
            (struct region){(uint64_t)(uintptr_t)at, size, is_read_only};
    return (uint64_t)(uintptr_t)at;
}

static void *check(struct run *r, uint64_t at, uint64_t size, bool writes)
{
    for (uint32_t i = 0; i < r->region_count; i++) {
        const struct region *region = &r->regions[i];

        if (at >= region->at && at - region->at <= region->size &&
            region->size - (at - region->at) >= size) {
            if (writes && region->is_read_only)
                r->wrong = "a write to what is read-only";
            return (void *)(uintptr_t)at;
        }
    }
    if (size)
        r->wrong = "an access outside of everything";
    return NULL;
}

static uint64_t load(struct run *r, uint64_t at, unsigned size)
{
    uint64_t value = 0;
    const void *from = check(r, at, size, false);

    if (from && !r->wrong)
        memcpy(&value, from, size);
    return value;
}

static void store(struct run *r, uint64_t at, unsigned size, uint64_t value)
{
    void *to = check(r, at, size, true);

    if (to && !r->wrong)
        memcpy(to, &value, size);
}

static void fill(struct run *r, uint64_t at, uint64_t size)
{
    char *to = check(r, at, size, true);

    for (uint64_t i = 0; to && !r->wrong && i < size; i++)
        to[i] = (char)any(r);
}

static void run_subprog(struct run *r, uint32_t subprog);

static uint64_t call_back(struct run *r, uint32_t subprog, const uint64_t args[4])
{
    uint64_t saved[11], result;

    memcpy(saved, r->regs, sizeof(saved));
    memcpy(&r->regs[1], args, 4 * sizeof(args[0]));
    run_subprog(r, subprog);
    result = r->regs[0];
    memcpy(r->regs, saved, sizeof(saved));
    if (!r->is_over && !r->wrong && result > 1)
        r->wrong = "a callback's result other than 0 and 1";
    return result;
}

/* Addresses of subprograms, as programs see them. */
#define FUNC_BASE 0x10000

static uint64_t value_of(struct run *r, const struct sta_map *map)
{
    char *at = r->values[any(r) % 8];

    if (map->values && map->max_entries == 1)
        at = map->values;
    return add_region(r, at, map->value_size, map->flags & BPF_F_RDONLY_PROG);
}

static uint64_t lookup(struct run *r, const struct sta_map *map, uint64_t key)
{
    bool is_array = map->type == BPF_MAP_TYPE_ARRAY || map->type == BPF_MAP_TYPE_PERCPU_ARRAY;

    check(r, key, map->key_size, false);
    if (r->wrong)
        return 0;
    if (is_array ? load(r, key, 4) >= map->max_entries : any(r) % 3 == 0)
        return 0;
    return value_of(r, map);
}

static uint64_t reserve(struct run *r, uint64_t size)
{
    if (size > sizeof(r->records[0]) || r->record_count == 8 || any(r) % 4 == 0)
        return 0;
    return add_region(r, r->records[r->record_count++], size, false);
}

static void submit(struct run *r, uint64_t record)
{
    for (uint32_t i = 0; i < r->region_count; i++) {
        if (r->regions[i].at == record) {
            r->regions[i] = r->regions[--r->region_count];
            return;
        }
    }
    r->wrong = "a record submitted that is none";
}

static uint64_t loop(struct run *r)
{
    uint64_t times = r->regs[1] & 0xffffffff, args[4] = {0, r->regs[3]};
    uint32_t subprog = (uint32_t)(r->regs[2] - FUNC_BASE);

    for (uint64_t i = 0; i < times && !r->wrong && !r->is_over; i++) {
        args[0] = i;
        if (call_back(r, subprog, args))
            return i + 1;
    }
    return times;
}

static uint64_t for_each(struct run *r)
{
    const struct sta_map *map = (const struct sta_map *)(uintptr_t)r->regs[1];
    uint32_t subprog = (uint32_t)(r->regs[2] - FUNC_BASE);

    for (int i = 0; i < 3 && !r->wrong && !r->is_over; i++) {
        uint64_t args[4] = {r->regs[1], add_region(r, r->key, map->key_size, true),
                            value_of(r, map), r->regs[3]};

        if (call_back(r, subprog, args))
            break;
    }
    return 0;
}

/* What each helper reads and writes is in its prototype; what it returns, if it matters, here. */
static uint64_t call_helper(struct run *r, int32_t id)
{
    const struct sta__helper *helper = sta__helper_find(id);
    const struct sta_map *map = NULL;

    for (int i = 0; helper && i < 5 && helper->args[i] && !r->wrong; i++) {
        uint64_t value = r->regs[1 + i], next = i < 4 ? r->regs[2 + i] : 0;

        switch (helper->args[i]) {
        case STA__ARG_MAP:
            map = (const struct sta_map *)(uintptr_t)value;
            break;
        case STA__ARG_MAP_VALUE:
            check(r, value, map->value_size, false);
            break;
        case STA__ARG_UNINIT_MAP_VALUE:
            fill(r, value, map->value_size);
            break;
        case STA__ARG_MEM:
        case STA__ARG_MEM_OR_NULL:
            check(r, value, next, false);
            break;
        case STA__ARG_UNINIT_MEM:
        case STA__ARG_WRITABLE_MEM:
        case STA__ARG_WRITABLE_MEM_OR_NULL:
            fill(r, value, next);
            break;
        case STA__ARG_LONG_OUT:
            fill(r, value, 8);
            break;
        default:
            break;
        }
    }
    switch (id) {
    case BPF_FUNC_map_lookup_elem:
    case BPF_FUNC_map_lookup_percpu_elem:
        return lookup(r, map, r->regs[2]);
    case BPF_FUNC_ringbuf_reserve:
        return reserve(r, r->regs[2]);
    case BPF_FUNC_ringbuf_submit:
    case BPF_FUNC_ringbuf_discard:
        submit(r, r->regs[1]);
        return any(r);
    case BPF_FUNC_probe_read_str:
    case BPF_FUNC_probe_read_user_str:
    case BPF_FUNC_probe_read_kernel_str:
    case BPF_FUNC_get_stack:
        return any(r) % 2 ? (uint64_t)-14 : any(r) % (r->regs[2] + 1);
    case BPF_FUNC_get_smp_processor_id:
        return 0;
    case BPF_FUNC_loop:
        return loop(r);
    case BPF_FUNC_for_each_map_elem:
        return for_each(r);
    default:
        return any(r);
    }
}

/* ---- instructions ---- */

static uint64_t alu_64(uint64_t a, uint64_t b, uint8_t op, bool is_signed)
{
    switch (op) {
    case BPF_ADD:
        return a + b;
    case BPF_SUB:
        return a - b;
    case BPF_MUL:
        return a * b;
    case BPF_DIV:
        if (is_signed)
            return b == 0 ? 0 : b == UINT64_MAX ? -a : (uint64_t)((int64_t)a / (int64_t)b);
        return b ? a / b : 0;
    case BPF_MOD:
        if (is_signed)
            return b == 0 ? a : b == UINT64_MAX ? 0 : (uint64_t)((int64_t)a % (int64_t)b);
        return b ? a % b : a;
    case BPF_OR:
        return a | b;
    case BPF_AND:
        return a & b;
    case BPF_XOR:
        return a ^ b;
    case BPF_LSH:
        return a << (b & 63);
    case BPF_RSH:
        return a >> (b & 63);
    case BPF_ARSH:
        return (uint64_t)((int64_t)a >> (b & 63));
    case BPF_NEG:
        return -a;
    default:
        return b;
    }
}

static uint64_t alu_32(uint32_t a, uint32_t b, uint8_t op, bool is_signed)
{
    if (op == BPF_LSH || op == BPF_RSH)
        return (uint32_t)alu_64(a, b & 31, op, false);
    if (op == BPF_ARSH)
        return (uint32_t)((int32_t)a >> (b & 31));
    if (is_signed)
        return (uint32_t)alu_64((uint64_t)(int32_t)a, (uint64_t)(int32_t)b, op, true);
    return (uint32_t)alu_64(a, b, op, false);
}

static uint64_t sign_extended(uint64_t value, int bits)
{
    return bits ? (uint64_t)((int64_t)(value << (64 - bits)) >> (64 - bits)) : value;
}

static void do_alu(struct run *r, const struct bpf_insn *insn)
{
    bool is_32 = BPF_CLASS(insn->code) == BPF_ALU, by_reg = BPF_SRC(insn->code) == BPF_X;
    uint8_t op = BPF_OP(insn->code);
    uint64_t *dst = &r->regs[insn->dst_reg];
    uint64_t src = by_reg ? r->regs[insn->src_reg] : (uint64_t)(int64_t)insn->imm;

    if (op == BPF_END) {
        uint64_t value = *dst << (64 - insn->imm);

        *dst = !is_32 || by_reg ? __builtin_bswap64(value) & (UINT64_MAX >> (64 - insn->imm))
                                : value >> (64 - insn->imm);
        return;
    }
    if (op == BPF_MOV && by_reg)
        src = sign_extended(src, insn->off);
    *dst = is_32 ? alu_32((uint32_t)*dst, (uint32_t)src, op, insn->off && op != BPF_MOV)
                 : alu_64(*dst, src, op, insn->off && op != BPF_MOV);
}

static bool holds(uint64_t a, uint64_t b, uint8_t op)
{
    int64_t sa = (int64_t)a, sb = (int64_t)b;

    switch (op) {
    case BPF_JEQ:
        return a == b;
    case BPF_JNE:
        return a != b;
    case BPF_JGT:
        return a > b;
    case BPF_JGE:
        return a >= b;
    case BPF_JLT:
        return a < b;
    case BPF_JLE:
        return a <= b;
    case BPF_JSGT:
        return sa > sb;
    case BPF_JSGE:
        return sa >= sb;
    case BPF_JSLT:
        return sa < sb;
    case BPF_JSLE:
        return sa <= sb;
    default:
        return a & b;
    }
}

/* Whether it jumps, and whether the verifier thought so. */
static bool do_jump(struct run *r, const struct bpf_insn *insn)
{
    uint64_t a = r->regs[insn->dst_reg], b = r->regs[insn->src_reg];
    uint8_t mark = r->code->marks[r->insn];
    bool taken;

    if (BPF_SRC(insn->code) == BPF_K)
        b = (uint64_t)(int64_t)insn->imm;
    if (BPF_CLASS(insn->code) == BPF_JMP32) {
        a = (uint64_t)(int32_t)a;
        b = (uint64_t)(int32_t)b;
    }
    taken = holds(a, b, BPF_OP(insn->code));
    if (mark & (taken ? STA__MARK_NEVER : STA__MARK_ALWAYS))
        r->wrong = "a jump that is marked otherwise";
    return taken;
}

static void do_atomic(struct run *r, const struct bpf_insn *insn)
{
    unsigned size = sta__insn_size(insn);
    uint64_t at = r->regs[insn->dst_reg] + (uint64_t)insn->off, src = r->regs[insn->src_reg], old;

    if (insn->imm == BPF_LOAD_ACQ) {
        r->regs[insn->dst_reg] = load(r, src + (uint64_t)insn->off, size);
        return;
    }
    if (insn->imm == BPF_STORE_REL) {
        store(r, at, size, src);
        return;
    }
    if (at % size)
        r->wrong = "an atomic that is not aligned";
    old = load(r, at, size);
    if (insn->imm == BPF_CMPXCHG) {
        uint64_t expected = size == 4 ? (uint32_t)r->regs[0] : r->regs[0];

        store(r, at, size, old == expected ? src : old);
        r->regs[0] = old;
        return;
    }
    store(r, at, size,
          insn->imm == BPF_XCHG ? src : alu_64(old, src, (uint8_t)(insn->imm & ~BPF_FETCH), false));
    if (insn->imm & BPF_FETCH)
        r->regs[insn->src_reg] = old;
}

static void do_memory(struct run *r, const struct bpf_insn *insn)
{
    unsigned size = sta__insn_size(insn);
    uint64_t value;

    if (sta__insn_is_atomic(insn)) {
        do_atomic(r, insn);
    } else if (sta__insn_class(insn) == BPF_LDX) {
        value = load(r, r->regs[insn->src_reg] + (uint64_t)insn->off, size);
        r->regs[insn->dst_reg] =
            BPF_MODE(insn->code) == BPF_MEMSX ? sign_extended(value, (int)size * 8) : value;
    } else {
        value = sta__insn_class(insn) == BPF_STX ? r->regs[insn->src_reg]
                                                 : (uint64_t)(int64_t)insn->imm;
        store(r, r->regs[insn->dst_reg] + (uint64_t)insn->off, size, value);
    }
}

static void do_wide(struct run *r, const struct bpf_insn *insn)
{
    const struct sta__wide *wide = sta__code_wide(r->code, r->insn);
    uint64_t *dst = &r->regs[insn->dst_reg];

    if (!wide)
        *dst = sta__insn_wide_value(insn);
    else if (!wide->map)
        *dst = FUNC_BASE + wide->subprog;
    else if (insn->src_reg == BPF_PSEUDO_MAP_VALUE)
        *dst = value_of(r, wide->map) + wide->offset;
    else
        *dst = (uint64_t)(uintptr_t)wide->map;
}

static void do_call(struct run *r, const struct bpf_insn *insn)
{
    if (sta__insn_is_subprog_call(insn)) {
        uint32_t insn_before = r->insn;
        uint64_t saved[11];

        memcpy(saved, r->regs, sizeof(saved));
        run_subprog(r, sta__code_subprog_at(r->code, (uint32_t)sta__insn_target(insn, r->insn)));
        r->insn = r->is_over || r->wrong ? r->insn : insn_before;
        memcpy(&r->regs[6], &saved[6], 5 * sizeof(saved[0]));
    } else {
        uint32_t insn_before = r->insn;

        r->regs[0] = call_helper(r, insn->imm);
        if (!r->wrong)
            r->insn = insn_before;
    }
    for (int i = 1; i <= 5; i++)
        r->regs[i] = any(r);
}

/* Sets r->insn; true: the subprogram ends. */
static bool step(struct run *r)
{
    const struct bpf_insn *insn = &r->code->insns[r->insn];

    if (r->code->marks[r->insn] & STA__MARK_DEAD)
        r->wrong = "an instruction that is marked dead";
    if (++r->steps > STEPS_MAX)
        r->is_over = true;
    if (r->wrong || r->is_over || sta__insn_is_exit(insn))
        return true;
    if (sta__insn_is_goto(insn)) {
        r->insn = (uint32_t)sta__insn_target(insn, r->insn);
        return false;
    }
    if (sta__insn_is_branch(insn)) {
        bool taken = do_jump(r, insn);

        if (!r->wrong)
            r->insn += 1 + (uint32_t)(taken ? insn->off : 0);
        return false;
    }
    if (sta__insn_is_wide(insn))
        do_wide(r, insn);
    else if (insn->code == STA__OP_CALL)
        do_call(r, insn);
    else if (sta__insn_is_alu(insn))
        do_alu(r, insn);
    else
        do_memory(r, insn);
    if (!r->wrong && !r->is_over)
        r->insn += sta__insn_is_wide(insn) ? 2 : 1;
    return false;
}

static void run_subprog(struct run *r, uint32_t subprog)
{
    const struct sta__subprog *s = &r->code->subprogs[subprog];
    uint32_t regions = r->region_count;
    char *stack;

    if (r->frames == FRAMES_MAX) {
        r->wrong = "too many frames";
        return;
    }
    stack = r->stacks[r->frames++];
    add_region(r, stack + STA__STACK_SIZE - s->stack_depth, s->stack_depth, false);
    r->regs[10] = (uint64_t)(uintptr_t)(stack + STA__STACK_SIZE);
    r->insn = s->start;
    while (!step(r))
        ;
    r->frames--;
    /* The frame is gone; what else came up meanwhile may be used on. */
    for (uint32_t i = regions; i < r->region_count; i++) {
        if (r->regions[i].at == (uint64_t)(uintptr_t)(stack + STA__STACK_SIZE - s->stack_depth)) {
            r->regions[i] = r->regions[--r->region_count];
            break;
        }
    }
}

const char *concrete_run(const struct sta__code *code, const struct sta__verify_result *result,
                         uint64_t seed, uint32_t *insn)
{
    struct run *r = calloc(1, sizeof(*r));
    const char *wrong;

    r->code = code;
    r->random = seed * 0x9e3779b97f4a7c15ull + 1;
    for (size_t i = 0; i + 8 <= sizeof(r->context); i += 8) {
        uint64_t value = any(r);

        memcpy(r->context + i, &value, sizeof(value));
    }
    for (size_t i = 0; i < sizeof(r->stacks); i++)
        ((char *)r->stacks)[i] = (char)any(r);
    for (int i = 0; i < 11; i++)
        r->regs[i] = any(r);
    r->regs[1] = add_region(r, r->context, result->context_size, true);
    run_subprog(r, 0);
    *insn = r->insn;
    wrong = r->wrong;
    free(r);
    return wrong;
}
