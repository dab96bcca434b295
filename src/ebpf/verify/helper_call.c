/* SPDX-License-Identifier: MIT */
/* Helper calls: whether each argument is what the helper's prototype asks for. */
#include <errno.h>
#include <string.h>

#include "ebpf/message.h"
#include "ebpf/verify/helper_call.h"
#include "maps/types.h"

static const char *expected_text(enum sta__arg arg)
{
    switch (arg) {
    case STA__ARG_CTX:
        return "ctx";
    case STA__ARG_MAP:
        return "map_ptr";
    case STA__ARG_RECORD:
        return "ringbuf_mem";
    case STA__ARG_FUNC:
        return "func";
    case STA__ARG_STACK_OR_NULL:
    case STA__ARG_DYNPTR:
    case STA__ARG_RING_DYNPTR:
    case STA__ARG_UNINIT_DYNPTR:
        return "fp";
    case STA__ARG_CONST_STR:
    case STA__ARG_SPIN_LOCK:
        return "map_value";
    case STA__ARG_KERNEL:
        return "ptr_";
    case STA__ARG_SIZE:
    case STA__ARG_SIZE_OR_ZERO:
    case STA__ARG_CONST_ALLOC_SIZE:
        return "scalar";
    default:
        return "fp, map_key, map_value, mem, ringbuf_mem";
    }
}

static bool is_memory(uint8_t type)
{
    return type == STA__REG_STACK || type == STA__REG_MAP_KEY || type == STA__REG_MAP_VALUE ||
           type == STA__REG_MEM || type == STA__REG_RECORD;
}

static bool takes_null(enum sta__arg arg)
{
    return arg == STA__ARG_MEM_OR_NULL || arg == STA__ARG_WRITABLE_MEM_OR_NULL ||
           arg == STA__ARG_STACK_OR_NULL;
}

static bool type_fits(enum sta__arg arg, uint8_t type)
{
    switch (arg) {
    case STA__ARG_CTX:
        return type == STA__REG_CTX;
    case STA__ARG_MAP:
        return type == STA__REG_MAP;
    case STA__ARG_MEM_OR_NULL:
    case STA__ARG_WRITABLE_MEM_OR_NULL:
        return is_memory(type) || (sta__is_or_null(type) && is_memory(type - 1));
    case STA__ARG_SIZE:
    case STA__ARG_SIZE_OR_ZERO:
    case STA__ARG_CONST_ALLOC_SIZE:
        return type == STA__REG_SCALAR;
    case STA__ARG_RECORD:
        return type == STA__REG_RECORD;
    case STA__ARG_CONST_STR:
    case STA__ARG_SPIN_LOCK:
        return type == STA__REG_MAP_VALUE;
    case STA__ARG_FUNC:
        return type == STA__REG_FUNC;
    case STA__ARG_STACK_OR_NULL:
    case STA__ARG_DYNPTR:
    case STA__ARG_RING_DYNPTR:
    case STA__ARG_UNINIT_DYNPTR:
        return type == STA__REG_STACK;
    case STA__ARG_KERNEL:
        return false;
    default:
        return is_memory(type);
    }
}

/* Pointers that are handed on as they are have to point to the beginning. */
static int check_no_offset(struct sta__verifier *v, enum sta__arg arg, uint8_t reg)
{
    const struct sta__reg *pointer = sta__reg_of(v->state, reg);
    char bits[64];

    if (arg == STA__ARG_RECORD) {
        if (pointer->off)
            return sta__deny(v, -EINVAL,
                             "R%u must have zero offset when passed to release func "
                             "or trusted arg to kfunc",
                             reg);
    } else if (is_memory(pointer->type) || pointer->type == STA__REG_SCALAR) {
        return 0;
    }
    if (pointer->off)
        return sta__deny(v, -EACCES, "dereference of modified %s ptr R%u off=%d disallowed",
                         sta__type_name(pointer->type), reg, pointer->off);
    if (sta__range_is_const(&pointer->n) && pointer->n.bits.value == 0)
        return 0;
    sta__tnum_text(bits, sizeof(bits), pointer->n.bits);
    return sta__deny(v, -EACCES, "variable %s access var_off=%s disallowed",
                     sta__type_name(pointer->type), bits);
}

static int check_type(struct sta__verifier *v, enum sta__arg arg, uint8_t reg)
{
    const struct sta__reg *r = sta__reg_of(v->state, reg);

    if (!type_fits(arg, r->type))
        return sta__deny(v, -EACCES, "R%u type=%s expected=%s", reg, sta__type_name(r->type),
                         expected_text(arg));
    return check_no_offset(v, arg, reg);
}

static int check_size(struct sta__verifier *v, struct sta__helper_call *call, enum sta__arg arg,
                      enum sta__arg memory, uint8_t reg)
{
    const struct sta__reg *size = sta__reg_of(v->state, reg);
    bool zero_allowed = arg == STA__ARG_SIZE_OR_ZERO;
    bool is_uninit = memory == STA__ARG_UNINIT_MEM;
    bool is_written =
        is_uninit || memory == STA__ARG_WRITABLE_MEM || memory == STA__ARG_WRITABLE_MEM_OR_NULL;
    int err;

    call->memory_size = size->n.umax;
    if (size->n.smin < 0)
        return sta__deny(v, -EACCES,
                         "R%u min value is negative, either use unsigned or 'var &= const'", reg);
    if (size->n.umin == 0 && !zero_allowed)
        return sta__deny(v, -EACCES, "R%u invalid zero-sized read: u64=[%llu,%llu]", reg,
                         (unsigned long long)size->n.umin, (unsigned long long)size->n.umax);
    if (size->n.umax >= STA__OFFSET_MAX)
        return sta__deny(v, -EACCES,
                         "R%u unbounded memory access, use 'var &= const' or 'if (var < const)'",
                         reg);
    /* Only if the size is known are all of these bytes written. */
    err = sta__check_helper_memory(v, reg - 1, (uint32_t)size->n.umax,
                                   is_written ? STA__WRITE : STA__READ, zero_allowed,
                                   is_uninit && sta__range_is_const(&size->n) ? &call->fill : NULL);
    if (!err)
        sta__reg_need(v, size);
    return err;
}

static int check_key(struct sta__verifier *v, struct sta__helper_call *call, uint8_t reg)
{
    int err;

    if (!call->map)
        return sta__deny(v, -EACCES, "invalid map_ptr to access map->key");
    err = sta__check_helper_memory(v, reg, call->map->key_size, STA__READ, false, NULL);
    if (!err &&
        (call->map->type == BPF_MAP_TYPE_ARRAY || call->map->type == BPF_MAP_TYPE_PERCPU_ARRAY))
        call->key_is_known =
            sta__stack_constant(v, sta__reg_of(v->state, reg), call->map->key_size, &call->key);
    return err;
}

static int check_value(struct sta__verifier *v, struct sta__helper_call *call, enum sta__arg arg,
                       uint8_t reg)
{
    bool is_uninit = arg == STA__ARG_UNINIT_MAP_VALUE;

    if (!call->map)
        return sta__deny(v, -EACCES, "invalid map_ptr to access map->value");
    return sta__check_helper_memory(v, reg, call->map->value_size,
                                    is_uninit ? STA__WRITE : STA__READ, false,
                                    is_uninit ? &call->fill : NULL);
}

static int check_long_out(struct sta__verifier *v, struct sta__helper_call *call, uint8_t reg)
{
    struct sta__memory_access a = {
        .reg = reg, .size = 8, .access = STA__WRITE, .value_reg = -1, .is_aligned = true};
    int err = sta__check_helper_memory(v, reg, 8, STA__WRITE, false, &call->fill);

    return err ? err : sta__check_alignment(v, &a);
}

static int check_string(struct sta__verifier *v, uint8_t reg)
{
    const struct sta__reg *r = sta__reg_of(v->state, reg);
    const struct sta_map *map = r->map;
    int64_t off = r->off + (int64_t)r->n.bits.value;

    if (!map->is_frozen || !(map->flags & BPF_F_RDONLY_PROG))
        return sta__deny(v, -EACCES, "R%u does not point to a readonly map'", reg);
    if (!sta__range_is_const(&r->n))
        return sta__deny(v, -EACCES, "R%u is not a constant address'", reg);
    if (!map->values || map->max_entries != 1)
        return sta__deny(v, -EACCES, "no direct value access support for this map type");
    if (off < 0 || off >= map->value_size)
        return sta__deny(v, -EACCES, "invalid access to map value, value_size=%u off=%lld size=1",
                         map->value_size, (long long)off);
    if (!memchr((const char *)map->values + off, 0, map->value_size - (size_t)off))
        return sta__deny(v, -EINVAL, "string is not zero-terminated");
    return 0;
}

/* Of snprintf: what it prints is known, and so is how many arguments there are. */
static int check_format(struct sta__verifier *v)
{
    const struct sta__reg *format = sta__reg_of(v->state, BPF_REG_3);
    const struct sta__reg *size = sta__reg_of(v->state, BPF_REG_5);
    const char *text = (const char *)format->map->values + format->off + format->n.bits.value;
    uint64_t args_size = size->n.bits.value;

    if (args_size % sizeof(uint64_t))
        return sta__deny(v, -EINVAL, "R5 is not a multiple of 8: %llu",
                         (unsigned long long)args_size);
    if (sta__format_prepare(text, SIZE_MAX, NULL, (uint32_t)(args_size / 8), NULL) < 0)
        return sta__deny(v, -EINVAL, "Invalid format string");
    return 0;
}

static int check_alloc_size(struct sta__verifier *v, struct sta__helper_call *call, uint8_t reg)
{
    const struct sta__reg *r = sta__reg_of(v->state, reg);

    if (!sta__range_is_const(&r->n))
        return sta__deny(v, -EACCES, "R%u is not a known constant'", reg);
    sta__reg_need(v, r);
    call->alloc_size = r->n.bits.value;
    return 0;
}

/* A dynptr may be made of a map's value only: it can be used for as long as the program runs. */
static int check_dynptr_memory(struct sta__verifier *v, const struct sta__helper_call *call)
{
    uint8_t type = sta__reg_of(v->state, BPF_REG_1)->type;

    if (call->id != BPF_FUNC_dynptr_from_mem || type == STA__REG_MAP_VALUE)
        return 0;
    return sta__deny(v, -EACCES, "Unsupported reg type %s for bpf_dynptr_from_mem data",
                     sta__type_name(type));
}

static int check_record(struct sta__verifier *v, struct sta__helper_call *call, uint8_t reg)
{
    call->released = sta__reg_of(v->state, reg)->ref;
    if (!call->released)
        return sta__deny(v, -EINVAL, "R%u must be referenced when passed to release function", reg);
    return 0;
}

static int check_arg(struct sta__verifier *v, struct sta__helper_call *call, int index)
{
    enum sta__arg arg = call->helper->args[index];
    uint8_t reg = (uint8_t)(BPF_REG_1 + index);
    int err = sta__read_reg(v, reg);

    if (err || arg == STA__ARG_ANYTHING)
        return err;
    if (!(takes_null(arg) && sta__is_zero(sta__reg_of(v->state, reg))))
        err = check_type(v, arg, reg);
    else
        sta__reg_need(v, sta__reg_of(v->state, reg));
    if (err)
        return err;
    switch (arg) {
    case STA__ARG_MAP:
        call->map = sta__reg_of(v->state, reg)->map;
        return 0;
    case STA__ARG_MAP_KEY:
        return check_key(v, call, reg);
    case STA__ARG_MAP_VALUE:
    case STA__ARG_UNINIT_MAP_VALUE:
        return check_value(v, call, arg, reg);
    case STA__ARG_SIZE:
    case STA__ARG_SIZE_OR_ZERO:
        return check_size(v, call, arg, call->helper->args[index - 1], reg);
    case STA__ARG_CONST_ALLOC_SIZE:
        return check_alloc_size(v, call, reg);
    case STA__ARG_RECORD:
        return check_record(v, call, reg);
    case STA__ARG_LONG_OUT:
        return check_long_out(v, call, reg);
    case STA__ARG_CONST_STR:
        return check_string(v, reg);
    case STA__ARG_FUNC:
        call->subprog = sta__reg_of(v->state, reg)->subprog;
        return 0;
    case STA__ARG_DYNPTR:
        return sta__dynptr_check(v, reg, 0, &call->dynptr);
    case STA__ARG_RING_DYNPTR:
        call->dynptr_reg = reg;
        return sta__dynptr_check(v, reg, STA__DYNPTR_RING, &call->dynptr);
    case STA__ARG_UNINIT_DYNPTR:
        call->dynptr_reg = reg;
        return sta__dynptr_check_room(v, reg);
    case STA__ARG_SPIN_LOCK:
        return call->id == BPF_FUNC_spin_lock ? sta__lock_take(v, reg)
                                              : sta__lock_give_back(v, reg);
    default:
        return 0;
    }
}

static int check_available(struct sta__verifier *v, const struct sta__helper *helper, int32_t id)
{
    if (!helper && !sta__helper_name(id))
        return sta__deny(v, -EINVAL, "invalid func unknown#%d", id);
    if (!helper)
        return sta__deny(v, -EINVAL, "program of this type cannot use helper bpf_%s#%d",
                         sta__helper_name(id), id);
    if (v->options->is_not_gpl && sta__helper_is_gpl(id))
        return sta__deny(v, -EINVAL,
                         "cannot call GPL-restricted function from non-GPL compatible program");
    if (id == BPF_FUNC_get_func_ip && v->options->type != BPF_PROG_TYPE_KPROBE)
        return sta__deny(v, -STA__ENOTSUPP, "func bpf_%s#%d not supported for program type %u",
                         helper->name, id, v->options->type);
    if (id == BPF_FUNC_copy_from_user || id == BPF_FUNC_copy_from_user_task)
        return sta__deny(v, -EINVAL, "%s", helper->why_not);
    if (!helper->fn && !v->options->allow_missing_helpers)
        return sta__deny(v, -EINVAL, "program of this type cannot use helper bpf_%s#%d: %s",
                         helper->name, id, helper->why_not);
    return 0;
}

int sta__check_helper(struct sta__verifier *v, const struct bpf_insn *insn)
{
    struct sta__helper_call call = {.helper = sta__helper_find(insn->imm), .id = insn->imm};
    int err = check_available(v, call.helper, insn->imm);

    if (!err)
        err = sta__lock_check_call(v, call.id);
    for (int i = 0; !err && i < 5 && call.helper->args[i]; i++)
        err = check_arg(v, &call, i);
    if (!err)
        err = sta__check_helper_map(v, call.helper, call.id, call.map);
    if (!err && call.id == BPF_FUNC_snprintf)
        err = check_format(v);
    if (!err)
        err = check_dynptr_memory(v, &call);
    if (!err && call.fill.size)
        err = sta__helper_fill(v, &call.fill);
    if (!err && call.dynptr_reg)
        err = sta__helper_change_dynptr(v, &call);
    if (!err && call.released)
        err = sta__helper_release(v, call.released);
    if (!err && call.id == BPF_FUNC_tail_call)
        err = sta__check_no_refs(v, "tail_call");
    if (!err && call.id == BPF_FUNC_tail_call)
        err = sta__push_tail_call(v);
    if (!err && v->info[v->insn].calls_callback)
        err = sta__push_callback(v, call.id, call.map, call.subprog);
    if (err)
        return err;
    for (int i = BPF_REG_0; i <= BPF_REG_5; i++)
        sta__reg_none(sta__reg_of(v->state, i));
    sta__touch(v, BPF_REG_0);
    return sta__helper_set_result(v, &call);
}
