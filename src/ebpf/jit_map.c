/* SPDX-License-Identifier: MIT */
/*
 * Calls of helpers with a map that is known: straight to its operation, or, for arrays, the look-up
 * itself in place of the call. The map is known if it is loaded into r1 before the call, and
 * nothing can jump in between.
 */
#include "ebpf/jit_work.h"

#include "ebpf/helper.h"
#include "maps/array.h"

#define BACK_MAX 32 /* instructions that are looked back */

/* Whether an instruction may change r1, or is not always followed by the next one. */
static bool ends_search(const struct bpf_insn *insn)
{
    switch (sta__insn_class(insn)) {
    case BPF_JMP:
    case BPF_JMP32:
        return true;
    case BPF_ST:
        return false;
    case BPF_STX: /* atomics may give the old value back, in the source */
        return BPF_MODE(insn->code) == BPF_ATOMIC && insn->src_reg == BPF_REG_1;
    default:
        return insn->dst_reg == BPF_REG_1;
    }
}

/* What r1 is at this call; NULL: not known. */
static struct sta_map *map_of_call(const struct sta__jit_work *work)
{
    const struct sta__code *code = work->code;
    uint32_t i = work->index;

    for (unsigned back = 0; back < BACK_MAX && i > 0; back++) {
        const struct bpf_insn *insn;

        if (code->marks[i] & (STA__MARK_TARGET | STA__MARK_SUBPROG))
            return NULL;
        if (code->marks[--i] & STA__MARK_TAIL)
            i--;
        insn = &code->insns[i];
        if (insn->code == STA__OP_LDDW && insn->dst_reg == BPF_REG_1) {
            const struct sta__wide *wide = sta__code_wide(code, i);
            bool is_map = insn->src_reg == BPF_PSEUDO_MAP_FD || insn->src_reg == BPF_PSEUDO_MAP_IDX;

            return is_map && !(code->marks[i] & STA__MARK_DEAD) ? wide->map : NULL;
        }
        if (ends_search(insn))
            return NULL;
    }
    return NULL;
}

/* r0 = *(u32 *)r2 < max_entries ? values + *(u32 *)r2 * stride : 0. What is written of a map are
 * its attributes and where it is in this process: they do not change while the program has it. */
static void look_up_in_array(struct sta__jit_work *work, const struct sta_map *map)
{
    struct sta__x86 *x = &work->x;
    uint8_t *missing, *done;

    sta__x86_load(x, 4, STA__RAX, (struct sta__x86_mem){STA__RSI, 0});
    if (map->max_entries == 1) {
        sta__x86_test(x, false, STA__RAX, STA__RAX);
        missing = sta__jit_skip(work, STA__X86_NE);
    } else {
        sta__x86_alu_imm(x, STA__X86_CMP, false, STA__RAX, (int32_t)map->max_entries);
        missing = sta__jit_skip(work, STA__X86_AE);
    }
    if (map->max_entries > 1 && !(map->value_stride & (map->value_stride - 1)))
        sta__x86_shift_imm(x, STA__X86_SHL, true, STA__RAX,
                           (unsigned)__builtin_ctz(map->value_stride));
    else if (map->max_entries > 1)
        sta__x86_imul_imm(x, true, STA__RAX, STA__RAX, (int32_t)map->value_stride);
    sta__x86_mov_imm(x, STA__TEMP, (uintptr_t)map->values);
    sta__x86_alu(x, STA__X86_ADD, true, STA__RAX, STA__TEMP);
    sta__x86_jmp(x, true, 0);
    done = x->at;
    sta__jit_land(work, missing);
    sta__x86_alu(x, STA__X86_XOR, false, STA__RAX, STA__RAX);
    sta__jit_land(work, done);
}

static uintptr_t operation(const struct sta_map *map, int32_t helper)
{
    switch (helper) {
    case BPF_FUNC_map_lookup_elem:
        return (uintptr_t)map->ops->lookup;
    case BPF_FUNC_map_update_elem:
        return (uintptr_t)map->ops->update;
    case BPF_FUNC_map_delete_elem:
        return (uintptr_t)map->ops->remove;
    default:
        return 0;
    }
}

bool sta__jit_map_call(struct sta__jit_work *work, int32_t helper)
{
    const struct sta_map *map;
    uintptr_t function;

    if (helper != BPF_FUNC_map_lookup_elem && helper != BPF_FUNC_map_update_elem &&
        helper != BPF_FUNC_map_delete_elem)
        return false;
    map = map_of_call(work);
    if (!map)
        return false;
    if (helper == BPF_FUNC_map_lookup_elem && map->ops == &sta__array_ops) {
        look_up_in_array(work, map);
        return true;
    }
    function = operation(map, helper);
    if (function)
        sta__jit_call_c(work, function);
    return function != 0;
}
