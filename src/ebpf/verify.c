/* SPDX-License-Identifier: MIT */
/*
 * The walk: instruction by instruction along one path, with what is known at each. Where a branch
 * can go both ways the other one is put aside; when a path ends, the last one put aside is next. A
 * path ends at the exit, or where it meets a state that covers it.
 */
#include "ebpf/verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ebpf/verify/verifier.h"

#define COMPLEXITY_MAX 1000000 /* instructions walked: BPF_COMPLEXITY_LIMIT_INSNS */

/* What became of a path with an instruction; or -errno. */
enum {
    PATH_GOES_ON = 0,
    PATH_ENDS = 1,
};

void sta__touch(struct sta__verifier *v, uint8_t reg)
{
    v->touched |= 1u << reg;
}

static int load_wide(struct sta__verifier *v, const struct bpf_insn *insn)
{
    const struct sta__wide *wide = sta__code_wide(v->code, v->insn);
    struct sta__reg *dst = sta__reg_of(v->state, insn->dst_reg);
    int err = sta__write_reg(v, insn->dst_reg);

    if (err)
        return err;
    if (!wide) {
        sta__reg_const(v, dst, sta__insn_wide_value(insn));
        return 0;
    }
    sta__reg_none(dst);
    sta__range_const(&dst->n, 0);
    if (!wide->map) {
        dst->type = STA__REG_FUNC;
        dst->subprog = wide->subprog;
        return 0;
    }
    dst->map = wide->map;
    dst->type = STA__REG_MAP;
    if (insn->src_reg == BPF_PSEUDO_MAP_VALUE || insn->src_reg == BPF_PSEUDO_MAP_IDX_VALUE) {
        dst->type = STA__REG_MAP_VALUE;
        dst->off = (int32_t)wide->offset;
    }
    return 0;
}

/* Jumps, calls and exits: sets v->insn. */
static int check_jmp(struct sta__verifier *v, const struct bpf_insn *insn)
{
    int result;

    v->jumps++;
    if (sta__insn_is_goto(insn)) {
        v->insn = (uint32_t)sta__insn_target(insn, v->insn);
        return PATH_GOES_ON;
    }
    if (sta__insn_is_exit(insn)) {
        result = sta__check_exit(v);
        return result < 0 ? result : result ? PATH_GOES_ON : PATH_ENDS;
    }
    if (sta__insn_is_subprog_call(insn))
        return sta__check_call(v, insn);
    result = insn->code == STA__OP_CALL ? sta__check_helper(v, insn)
                                        : sta__check_jump(v, insn, insn->off);
    if (result < 0)
        return result;
    v->insn += 1 + (uint32_t)(result ? insn->off : 0);
    return PATH_GOES_ON;
}

static int check_insn(struct sta__verifier *v)
{
    const struct bpf_insn *insn = &v->code->insns[v->insn];
    int err;

    if (sta__insn_is_jmp(insn))
        return check_jmp(v, insn);
    if (sta__insn_is_wide(insn)) {
        err = load_wide(v, insn);
        v->insn += 2;
        return err;
    }
    err = sta__insn_is_alu(insn) ? sta__check_alu(v, insn) : sta__check_memory_insn(v, insn);
    if (!err)
        v->insn++;
    return err;
}

/* ---- the walk ---- */

static uint32_t complexity_max(const struct sta__verifier *v)
{
    return v->options->complexity_max ? v->options->complexity_max : COMPLEXITY_MAX;
}

/* 1: a state that was walked before covers this one. */
static int begin_insn(struct sta__verifier *v)
{
    int covered = 0;

    if (++v->result->processed > complexity_max(v))
        return sta__deny(v, -E2BIG, "BPF program is too large. Processed %u insn",
                         v->result->processed);
    if (v->info[v->insn].is_prune_point)
        covered = sta__prune(v);
    if (covered > 0 && sta__says(v, STA_VERIFIER_LOG_STATE | STA_VERIFIER_LOG_FULL))
        sta__say(v, "from %u to %u: safe\n", v->previous_insn, v->insn);
    return covered;
}

static int walk_insn(struct sta__verifier *v)
{
    bool says = sta__says(v, STA_VERIFIER_LOG_STATE | STA_VERIFIER_LOG_FULL);
    uint32_t insn = v->insn, frame = v->state->frame;
    int result = begin_insn(v);

    if (result)
        return result;
    v->info[insn].is_seen = true;
    if (says)
        sta__say_insn(v);
    result = check_insn(v);
    v->previous_insn = insn;
    if (result >= 0 && says)
        sta__say_effect(v, frame);
    return v->values.out_of_memory ? -ENOMEM : result;
}

static int walk(struct sta__verifier *v)
{
    for (;;) {
        int result = walk_insn(v);

        if (result < 0)
            return result;
        if (result == PATH_GOES_ON)
            continue;
        sta__path_done(v);
        if (!sta__pop(v))
            return 0;
        if (sta__says(v, STA_VERIFIER_LOG_STATE | STA_VERIFIER_LOG_FULL)) {
            sta__say(v, "\nfrom %u to ", v->previous_insn);
            sta__say_whole_state(v);
        }
    }
}

static int begin(struct sta__verifier *v)
{
    struct sta__frame *frame;

    v->info = calloc(v->code->count, sizeof(*v->info));
    v->state = calloc(1, sizeof(*v->state));
    frame = sta__frame_new(0, 0);
    if (v->state)
        v->state->frames[0] = frame;
    else
        sta__frame_free(frame);
    if (!v->info || !v->state || !frame)
        return -ENOMEM;
    frame->regs[BPF_REG_1].type = STA__REG_CTX;
    sta__range_const(&frame->regs[BPF_REG_1].n, 0);
    for (uint32_t i = 0; i < v->code->subprog_count; i++)
        v->code->subprogs[i].stack_depth = 0;
    return 0;
}

static void end(struct sta__verifier *v)
{
    while (v->pending_count)
        sta__state_free(v->pending[--v->pending_count].state);
    for (struct sta__state *state = v->newest, *older; state; state = older) {
        older = state->older;
        sta__state_free(state);
    }
    sta__state_free(v->state);
    sta__values_free(&v->values);
    free(v->pending);
    free(v->ids);
    free(v->info);
}

static int verify(struct sta__verifier *v)
{
    int err = begin(v);

    if (!err)
        err = sta__check_flow(v);
    if (!err && sta__says(v, STA_VERIFIER_LOG_STATE | STA_VERIFIER_LOG_FULL))
        sta__say_whole_state(v);
    if (!err)
        err = walk(v);
    if (err)
        return err;
    sta__mark_dead(v);
    return sta__check_stack_depth(v);
}

int sta__verify(struct sta__code *code, const struct sta__verify_options *options,
                struct sta__verify_result *result, const struct sta__log *log)
{
    struct sta__verifier v = {.code = code, .options = options, .result = result, .log = log};
    int err;

    memset(result, 0, sizeof(*result));
    if (options->log_buf && options->log_size) {
        v.text.buf = options->log_buf;
        v.text.size = options->log_size;
        v.text.buf[0] = 0;
    }
    err = verify(&v);
    if (err == -ENOMEM)
        sta__deny(&v, err, "no memory to verify %u instructions", code->count);
    if (err)
        sta__log(log, STA_LOG_ERROR, "insn %u: %s", v.insn, v.reason);
    if (sta__says(&v, STA_VERIFIER_LOG_STATE | STA_VERIFIER_LOG_FULL | STA_VERIFIER_LOG_STATS))
        sta__say(&v, "processed %u insns (limit %u) total_states %u\n", result->processed,
                 complexity_max(&v), result->states);
    result->log_is_cut = v.text.dropped != 0;
    end(&v);
    return err;
}
