/* SPDX-License-Identifier: MIT */
/* Loads, stores and atomics: what each kind of pointer allows. */
#include <asm/ptrace.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ebpf/verify/verifier.h"

#define TRACE_SIZE    8192     /* PERF_MAX_TRACE_SIZE: the largest context of a tracepoint */
#define COMMON_SIZE   8        /* of a context, which is not for programs */
#define RAW_ARGS_SIZE (12 * 8) /* of a raw one: MAX_BPF_FUNC_ARGS numbers */

static int out_of_region(struct sta__verifier *v, const struct sta__reg *pointer, int64_t off,
                         uint32_t size, uint32_t region)
{
    if (pointer->type == STA__REG_MAP_VALUE)
        return sta__deny(v, -EACCES, "invalid access to map value, value_size=%u off=%lld size=%u",
                         region, (long long)off, size);
    if (pointer->type == STA__REG_MAP_KEY)
        return sta__deny(v, -EACCES, "invalid access to map key, key_size=%u off=%lld size=%u",
                         region, (long long)off, size);
    return sta__deny(v, -EACCES, "invalid access to memory, mem_size=%u off=%lld size=%u", region,
                     (long long)off, size);
}

static bool is_within(int64_t off, uint32_t size, uint32_t region)
{
    return off >= 0 && (uint64_t)off + size <= region;
}

static int check_region(struct sta__verifier *v, uint8_t reg, int32_t off, uint32_t size,
                        uint32_t region, bool zero_allowed)
{
    const struct sta__reg *pointer = sta__reg_of(v->state, reg);
    int64_t min = off, max = off;

    if (pointer->n.smin < 0 && (pointer->n.smin == INT64_MIN || off + pointer->n.smin < 0 ||
                                off + pointer->n.smin != (int32_t)(off + pointer->n.smin)))
        return sta__deny(v, -EACCES,
                         "R%u min value is negative, either use unsigned index or do a "
                         "if (index >=0) check.",
                         reg);
    min += pointer->n.smin;
    if ((size == 0 && !zero_allowed) || !is_within(min, size, region)) {
        out_of_region(v, pointer, min, size, region);
        return sta__deny(v, -EACCES, "R%u min value is outside of the allowed memory range", reg);
    }
    if (pointer->n.umax >= STA__OFFSET_MAX)
        return sta__deny(v, -EACCES,
                         "R%u unbounded memory access, make sure to bounds check any such access",
                         reg);
    max += (int64_t)pointer->n.umax;
    if (!is_within(max, size, region)) {
        out_of_region(v, pointer, max, size, region);
        return sta__deny(v, -EACCES, "R%u max value is outside of the allowed memory range", reg);
    }
    return 0;
}

static int check_map_flags(struct sta__verifier *v, const struct sta__reg *pointer, int32_t off,
                           uint32_t size, enum sta__access access)
{
    const struct sta_map *map = pointer->map;
    long long at = pointer->n.smin + off;

    if (access == STA__WRITE && (map->flags & BPF_F_RDONLY_PROG))
        return sta__deny(v, -EACCES, "write into map forbidden, value_size=%u off=%lld size=%u",
                         map->value_size, at, size);
    if (access == STA__READ && (map->flags & BPF_F_WRONLY_PROG))
        return sta__deny(v, -EACCES, "read from map forbidden, value_size=%u off=%lld size=%u",
                         map->value_size, at, size);
    return 0;
}

/* Nobody can change it any more: what is there now will always be. */
static bool is_constant_map(const struct sta_map *map)
{
    return map->is_frozen && (map->flags & BPF_F_RDONLY_PROG) && map->values &&
           map->max_entries == 1;
}

static void load_constant(struct sta__verifier *v, const struct sta__memory_access *a,
                          const struct sta__reg *pointer)
{
    const char *at = (const char *)pointer->map->values + a->off + pointer->n.bits.value;
    unsigned up = 64 - a->size * 8;
    uint64_t value = 0;

    memcpy(&value, at, a->size);
    if (a->sign_extends)
        value = (uint64_t)((int64_t)(value << up) >> up);
    sta__reg_const(v, sta__reg_of(v->state, a->value_reg), value);
}

static int access_map_value(struct sta__verifier *v, const struct sta__memory_access *a)
{
    const struct sta__reg *pointer = sta__reg_of(v->state, a->reg);
    int err = check_map_flags(v, pointer, a->off, a->size, a->access);

    if (!err)
        err = check_region(v, a->reg, a->off, a->size, pointer->map->value_size, false);
    if (!err)
        err = sta__lock_check_access(v, pointer, a->off, a->size);
    if (err || a->access == STA__WRITE || a->value_reg < 0)
        return err;
    if (is_constant_map(pointer->map) && sta__range_is_const(&pointer->n))
        load_constant(v, a, pointer);
    else
        sta__reg_unknown(v, sta__reg_of(v->state, a->value_reg));
    return 0;
}

/* Of which bytes the first one read may be: by type, in the kernel. */
static void context_bounds(uint32_t type, int32_t *first, int32_t *limit)
{
    *first = type == BPF_PROG_TYPE_TRACEPOINT ? COMMON_SIZE : 0;
    *limit = TRACE_SIZE;
    if (type == BPF_PROG_TYPE_RAW_TRACEPOINT)
        *limit = RAW_ARGS_SIZE;
    else if (type == BPF_PROG_TYPE_KPROBE)
        *limit = (int32_t)sizeof(struct pt_regs);
}

static bool is_context_access(const struct sta__verifier *v, const struct sta__memory_access *a)
{
    int32_t first, limit;

    context_bounds(v->options->type, &first, &limit);

    /* The kernel's own limit is one of the first byte; an event's is one of the last. */
    return a->access == STA__READ && a->off >= first && a->off < limit &&
           (uint32_t)a->off % a->size == 0 &&
           (!v->options->context_limit || (uint32_t)a->off + a->size <= v->options->context_limit);
}

static int access_context(struct sta__verifier *v, const struct sta__memory_access *a)
{
    const struct sta__reg *pointer = sta__reg_of(v->state, a->reg);

    if (pointer->off)
        return sta__deny(v, -EACCES, "dereference of modified ctx ptr R%u off=%d disallowed",
                         a->reg, pointer->off);
    if (!sta__range_is_const(&pointer->n) || pointer->n.bits.value) {
        char bits[64];

        sta__tnum_text(bits, sizeof(bits), pointer->n.bits);
        return sta__deny(v, -EACCES, "variable ctx access var_off=%s disallowed", bits);
    }
    if (!is_context_access(v, a))
        return sta__deny(v, -EACCES, "invalid bpf_context access off=%d size=%u", a->off, a->size);
    if ((uint32_t)a->off + a->size > v->result->context_size)
        v->result->context_size = (uint32_t)a->off + a->size;
    if (a->value_reg >= 0)
        sta__reg_unknown(v, sta__reg_of(v->state, a->value_reg));
    return 0;
}

static int access_region(struct sta__verifier *v, const struct sta__memory_access *a,
                         uint32_t region)
{
    int err = check_region(v, a->reg, a->off, a->size, region, false);

    if (!err && a->access == STA__READ && a->value_reg >= 0)
        sta__reg_unknown(v, sta__reg_of(v->state, a->value_reg));
    return err;
}

static int access_stack(struct sta__verifier *v, const struct sta__memory_access *a)
{
    int err = sta__stack_bounds(v, a->reg, a->off, a->size, a->access);

    if (err)
        return err;
    return a->access == STA__READ ? sta__stack_load(v, a) : sta__stack_store(v, a);
}

static int access_by_type(struct sta__verifier *v, const struct sta__memory_access *a)
{
    const struct sta__reg *pointer = sta__reg_of(v->state, a->reg);

    switch (pointer->type) {
    case STA__REG_STACK:
        return access_stack(v, a);
    case STA__REG_CTX:
        return access_context(v, a);
    case STA__REG_MAP_VALUE:
        return access_map_value(v, a);
    case STA__REG_MAP_KEY:
        if (a->access == STA__WRITE)
            return sta__deny(v, -EACCES, "write to change key R%u not allowed", a->reg);
        return access_region(v, a, pointer->map->key_size);
    case STA__REG_MEM:
    case STA__REG_RECORD:
        return access_region(v, a, pointer->size);
    default:
        return sta__deny(v, -EACCES, "R%u invalid mem access '%s'", a->reg,
                         sta__type_name(pointer->type));
    }
}

/* Accesses to the stack are aligned so that it can be tracked, and atomics so that they are. */
int sta__check_alignment(struct sta__verifier *v, const struct sta__memory_access *a)
{
    const struct sta__reg *pointer = sta__reg_of(v->state, a->reg);
    struct sta__tnum at;
    char bits[64];

    if (!a->is_aligned && pointer->type != STA__REG_STACK)
        return 0;
    at =
        sta__tnum_add(pointer->n.bits, sta__tnum_const((uint64_t)(int64_t)(pointer->off + a->off)));
    if (((at.value | at.mask) & (a->size - 1)) == 0)
        return 0;
    if (sta__range_is_const(&pointer->n))
        snprintf(bits, sizeof(bits), "%lld", (long long)pointer->n.bits.value);
    else
        sta__tnum_text(bits, sizeof(bits), pointer->n.bits);
    return sta__deny(v, -EACCES, "misaligned %saccess off %s+%d+%d size %u",
                     pointer->type == STA__REG_STACK ? "stack " : "", bits, pointer->off, a->off,
                     a->size);
}

int sta__check_access(struct sta__verifier *v, const struct sta__memory_access *access)
{
    struct sta__memory_access a = *access;
    struct sta__reg *loaded;
    int err = sta__check_alignment(v, &a);

    if (err)
        return err;
    if (sta__reg_of(v->state, a.reg)->type != STA__REG_CTX)
        a.off += sta__reg_of(v->state, a.reg)->off;
    err = access_by_type(v, &a);
    if (err || a.access == STA__WRITE || a.value_reg < 0 || a.size == 8)
        return err;
    loaded = sta__reg_of(v->state, a.value_reg);
    if (loaded->type != STA__REG_SCALAR)
        return 0;
    if (a.sign_extends) {
        /* What may become negative is not the number that was spilled any more. */
        if (loaded->n.umax >> (a.size * 8 - 1)) {
            loaded->id = 0;
            loaded->off = 0;
        }
        sta__range_sign_extend(&loaded->n, a.size);
    } else {
        sta__range_truncate(&loaded->n, a.size);
    }
    return 0;
}

/* The kernel rewrites accesses to the context, so one instruction cannot serve both it and others;
 * programs that cannot be loaded there shall not be loaded here. */
static int note_pointer_type(struct sta__verifier *v, uint8_t type)
{
    uint8_t *seen = &v->info[v->insn].pointer_type;

    if (*seen == STA__REG_NONE)
        *seen = type;
    else if (*seen != type && (*seen == STA__REG_CTX || type == STA__REG_CTX))
        return sta__deny(v, -EINVAL, "same insn cannot be used with different pointers");
    return 0;
}

static int check_load(struct sta__verifier *v, const struct bpf_insn *insn, bool is_aligned,
                      bool sign_extends)
{
    struct sta__memory_access a = {.reg = insn->src_reg,
                                   .off = insn->off,
                                   .size = sta__insn_size(insn),
                                   .access = STA__READ,
                                   .value_reg = insn->dst_reg,
                                   .is_aligned = is_aligned,
                                   .sign_extends = sign_extends};
    int err = sta__read_reg(v, insn->src_reg);
    uint8_t type;

    if (!err)
        err = sta__write_reg(v, insn->dst_reg);
    if (err)
        return err;
    type = sta__reg_of(v->state, insn->src_reg)->type;
    err = sta__check_access(v, &a);
    return err ? err : note_pointer_type(v, type);
}

static int check_store(struct sta__verifier *v, const struct bpf_insn *insn, bool is_aligned)
{
    bool by_reg = sta__insn_class(insn) == BPF_STX;
    struct sta__memory_access a = {.reg = insn->dst_reg,
                                   .off = insn->off,
                                   .size = sta__insn_size(insn),
                                   .access = STA__WRITE,
                                   .value_reg = by_reg ? insn->src_reg : -1,
                                   .store_imm = by_reg ? NULL : insn,
                                   .is_aligned = is_aligned};
    int err = by_reg ? sta__read_reg(v, insn->src_reg) : 0;
    uint8_t type;

    if (!err)
        err = sta__read_reg(v, insn->dst_reg);
    if (err)
        return err;
    type = sta__reg_of(v->state, insn->dst_reg)->type;
    err = sta__check_access(v, &a);
    return err ? err : note_pointer_type(v, type);
}

static int check_atomic_pointer(struct sta__verifier *v, uint8_t reg)
{
    if (sta__reg_of(v->state, reg)->type != STA__REG_CTX)
        return 0;
    return sta__deny(v, -EACCES, "BPF_ATOMIC stores into R%u ctx is not allowed", reg);
}

static int check_atomic_rmw(struct sta__verifier *v, const struct bpf_insn *insn)
{
    bool is_cmpxchg = insn->imm == BPF_CMPXCHG;
    struct sta__memory_access a = {.reg = insn->dst_reg,
                                   .off = insn->off,
                                   .size = sta__insn_size(insn),
                                   .access = STA__READ,
                                   .value_reg = -1,
                                   .is_aligned = true};
    int to = is_cmpxchg ? BPF_REG_0 : insn->src_reg;
    int err = sta__read_reg(v, insn->src_reg);

    if (!err)
        err = sta__read_reg(v, insn->dst_reg);
    if (!err && is_cmpxchg)
        err = sta__read_reg(v, BPF_REG_0);
    if (!err)
        err = check_atomic_pointer(v, insn->dst_reg);
    if (!err && (insn->imm & BPF_FETCH))
        err = sta__write_reg(v, (uint8_t)to);
    /* The pointer would be gone before the write through it is looked at. */
    if (!err && (insn->imm & BPF_FETCH) && to == insn->dst_reg)
        err = sta__deny(v, -EACCES, "R%u invalid mem access 'scalar'", insn->dst_reg);
    if (!err)
        err = sta__check_access(v, &a);
    if (err)
        return err;
    if (insn->imm & BPF_FETCH) {
        a.value_reg = to;
        err = sta__check_access(v, &a);
        if (err)
            return err;
    }
    a.access = STA__WRITE;
    a.value_reg = -1;
    return sta__check_access(v, &a);
}

static int check_atomic(struct sta__verifier *v, const struct bpf_insn *insn)
{
    int err;

    if (insn->imm == BPF_LOAD_ACQ) {
        err = sta__read_reg(v, insn->src_reg);
        if (!err)
            err = check_atomic_pointer(v, insn->src_reg);
        return err ? err : check_load(v, insn, true, false);
    }
    if (insn->imm == BPF_STORE_REL) {
        err = sta__read_reg(v, insn->dst_reg);
        if (!err)
            err = check_atomic_pointer(v, insn->dst_reg);
        return err ? err : check_store(v, insn, true);
    }
    return check_atomic_rmw(v, insn);
}

int sta__check_memory_insn(struct sta__verifier *v, const struct bpf_insn *insn)
{
    if (sta__insn_is_atomic(insn))
        return check_atomic(v, insn);
    if (sta__insn_class(insn) == BPF_LDX)
        return check_load(v, insn, false, BPF_MODE(insn->code) == BPF_MEMSX);
    return check_store(v, insn, false);
}

int sta__check_helper_memory(struct sta__verifier *v, uint8_t reg, uint32_t size,
                             enum sta__access access, bool zero_allowed, struct sta__fill *fill)
{
    const struct sta__reg *pointer = sta__reg_of(v->state, reg);
    int err;

    switch (pointer->type) {
    case STA__REG_STACK:
        return sta__stack_helper(v, reg, size, zero_allowed, access, fill);
    case STA__REG_MAP_VALUE:
        err = check_map_flags(v, pointer, pointer->off, size, access);
        if (!err)
            err = check_region(v, reg, pointer->off, size, pointer->map->value_size, zero_allowed);
        return err ? err : sta__lock_check_access(v, pointer, pointer->off, size);
    case STA__REG_MAP_KEY:
        if (access == STA__WRITE)
            return sta__deny(v, -EACCES, "R%u cannot write into map_key", reg);
        return check_region(v, reg, pointer->off, size, pointer->map->key_size, zero_allowed);
    case STA__REG_MEM:
    case STA__REG_RECORD:
        return check_region(v, reg, pointer->off, size, pointer->size, zero_allowed);
    default:
        if (zero_allowed && size == 0 && sta__is_zero(pointer))
            return 0;
        return sta__deny(v, -EACCES, "R%u type=%s expected=fp", reg, sta__type_name(pointer->type));
    }
}
