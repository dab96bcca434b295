/* SPDX-License-Identifier: MIT */
/*
 * What can be said of a program without walking it: that all of it can be reached, where paths
 * meet, which registers may still be read. And, after the walk, what stack its call chains take and
 * what was never reached.
 */
#include <errno.h>
#include <stdlib.h>

#include "ebpf/verify/verifier.h"

#define CALLER_SAVED 0x3fu /* r0 to r5 */
#define ARGUMENTS    0x3eu /* r1 to r5 */
#define ALL          0x3ffu

static uint32_t next_of(const struct bpf_insn *insn, uint32_t index)
{
    return index + (sta__insn_is_wide(insn) ? 2 : 1);
}

static bool has_target(const struct bpf_insn *insn)
{
    return sta__insn_is_goto(insn) || sta__insn_is_branch(insn);
}

static bool goes_on(const struct bpf_insn *insn)
{
    return !sta__insn_is_goto(insn) && !sta__insn_is_exit(insn);
}

static bool calls_back(const struct bpf_insn *insn)
{
    const struct sta__helper *helper =
        sta__insn_is_helper_call(insn) ? sta__helper_find(insn->imm) : NULL;

    for (int i = 0; helper && i < 5; i++) {
        if (helper->args[i] == STA__ARG_FUNC)
            return true;
    }
    return false;
}

/* ---- reachability ---- */

static void reach(struct sta__verifier *v, uint32_t *stack, uint32_t *depth, uint32_t insn)
{
    if (v->info[insn].is_seen)
        return;
    v->info[insn].is_seen = true;
    stack[(*depth)++] = insn;
}

static void reach_next(struct sta__verifier *v, uint32_t *stack, uint32_t *depth, uint32_t index)
{
    const struct bpf_insn *insn = &v->code->insns[index];
    const struct sta__wide *wide = sta__insn_is_wide(insn) ? sta__code_wide(v->code, index) : NULL;

    if (goes_on(insn))
        reach(v, stack, depth, next_of(insn, index));
    if (has_target(insn) || sta__insn_is_subprog_call(insn))
        reach(v, stack, depth, (uint32_t)sta__insn_target(insn, index));
    if (wide && !wide->map)
        reach(v, stack, depth, v->code->subprogs[wide->subprog].start);
}

static int check_reachable(struct sta__verifier *v)
{
    const struct sta__code *code = v->code;
    uint32_t *stack = malloc(code->count * sizeof(*stack));
    uint32_t depth = 0;
    int err = 0;

    if (!stack)
        return -ENOMEM;
    reach(v, stack, &depth, 0);
    while (depth)
        reach_next(v, stack, &depth, stack[--depth]);
    for (uint32_t i = 0; i < code->count && !err; i++) {
        if (!v->info[i].is_seen && !(code->marks[i] & STA__MARK_TAIL))
            err = sta__deny(v, -EINVAL, "unreachable insn %u", i);
        v->info[i].is_seen = false; /* from now on: by the walk */
    }
    free(stack);
    return err;
}

/* ---- places where states are stored ---- */

/* Where paths meet or part; after these, a path may be one that was walked before. */
static void mark_prune_points(struct sta__verifier *v)
{
    for (uint32_t i = 0; i < v->code->count; i++) {
        const struct bpf_insn *insn = &v->code->insns[i];

        if (v->code->marks[i] & STA__MARK_TAIL)
            continue;
        if (has_target(insn))
            v->info[sta__insn_target(insn, i)].is_prune_point = true;
        if (sta__insn_is_branch(insn) || sta__insn_is_subprog_call(insn))
            v->info[i].is_prune_point = true;
        if (calls_back(insn)) {
            v->info[i].is_prune_point = true;
            v->info[i].calls_callback = true;
        }
    }
}

/* ---- live registers ---- */

struct effect {
    uint16_t reads, writes;
};

static uint16_t bit(unsigned reg)
{
    return reg < BPF_REG_10 ? (uint16_t)(1u << reg) : 0;
}

static struct effect effect_of_call(const struct bpf_insn *insn)
{
    const struct sta__helper *helper =
        sta__insn_is_helper_call(insn) ? sta__helper_find(insn->imm) : NULL;
    struct effect effect = {ARGUMENTS, CALLER_SAVED};

    if (helper) {
        effect.reads = 0;
        for (int i = 0; i < 5 && helper->args[i]; i++)
            effect.reads |= bit(BPF_REG_1 + (unsigned)i);
    }
    return effect;
}

static struct effect effect_of_atomic(const struct bpf_insn *insn)
{
    struct effect effect = {bit(insn->dst_reg) | bit(insn->src_reg), 0};

    if (insn->imm == BPF_LOAD_ACQ)
        return (struct effect){bit(insn->src_reg), bit(insn->dst_reg)};
    if (insn->imm == BPF_CMPXCHG)
        effect.reads |= bit(BPF_REG_0);
    /* What it fetches replaces a register that it has read. */
    return effect;
}

static struct effect effect_of(const struct bpf_insn *insn)
{
    uint16_t dst = bit(insn->dst_reg), src = bit(insn->src_reg);

    switch (sta__insn_class(insn)) {
    case BPF_LD:
        return (struct effect){0, dst};
    case BPF_LDX:
        return (struct effect){src, dst};
    case BPF_ST:
        return (struct effect){dst, 0};
    case BPF_STX:
        return sta__insn_is_atomic(insn) ? effect_of_atomic(insn) : (struct effect){dst | src, 0};
    case BPF_ALU:
    case BPF_ALU64:
        if (BPF_OP(insn->code) == BPF_MOV)
            return (struct effect){BPF_SRC(insn->code) == BPF_X ? src : 0, dst};
        return (struct effect){dst | src, 0};
    default:
        if (insn->code == STA__OP_CALL)
            return effect_of_call(insn);
        if (sta__insn_is_exit(insn))
            return (struct effect){bit(BPF_REG_0), 0};
        return (struct effect){dst | src, 0};
    }
}

/* From the last instruction to the first, again until nothing changes: once more than loops are
 * nested, in programs as compilers write them. Others count as if all were live. */
static void find_live(struct sta__verifier *v)
{
    const struct sta__code *code = v->code;
    bool changes = true;

    for (int round = 0; changes && round < 50; round++) {
        changes = false;
        for (uint32_t i = code->count; i-- > 0;) {
            const struct bpf_insn *insn = &code->insns[i];
            struct effect effect;
            uint16_t live = 0;

            if (code->marks[i] & STA__MARK_TAIL)
                continue;
            if (goes_on(insn))
                live |= v->info[next_of(insn, i)].live;
            if (has_target(insn))
                live |= v->info[sta__insn_target(insn, i)].live;
            effect = effect_of(insn);
            live = (uint16_t)((live & ~effect.writes) | effect.reads);
            changes |= live != v->info[i].live;
            v->info[i].live = live;
        }
    }
    for (uint32_t i = 0; changes && i < code->count; i++)
        v->info[i].live = ALL;
}

int sta__check_flow(struct sta__verifier *v)
{
    int err = check_reachable(v);

    if (err)
        return err;
    mark_prune_points(v);
    find_live(v);
    return 0;
}

/* ---- after the walk ---- */

/* What the calls of a subprogram take, its own frame included. */
struct chain {
    uint32_t stack, calls; /* of the chain with the most stack */
    uint32_t frames;       /* of the longest chain; 0: not known yet */
    bool is_open;          /* a chain from here is being looked at */
};

#define TAIL_CALLERS_MAX 256 /* bytes of the frames below one that makes a tail call */

#define NO_END UINT32_MAX /* frames of a chain that comes back to itself */

/* The subprogram that is called here, or whose address is taken to be called back; UINT32_MAX. */
static uint32_t callee_of(const struct sta__code *code, uint32_t index)
{
    const struct bpf_insn *insn = &code->insns[index];
    const struct sta__wide *wide = sta__insn_is_wide(insn) ? sta__code_wide(code, index) : NULL;

    if (sta__insn_is_subprog_call(insn))
        return sta__code_subprog_at(code, (uint32_t)sta__insn_target(insn, index));
    return wide && !wide->map ? wide->subprog : UINT32_MAX;
}

/* Each subprogram is looked at once, however many chains lead through it. */
static const struct chain *find_chain(const struct sta__code *code, struct chain *chains,
                                      uint32_t subprog)
{
    static const struct chain without_end = {.frames = NO_END};
    const struct sta__subprog *s = &code->subprogs[subprog];
    struct chain *chain = &chains[subprog], deepest = {0};

    if (chain->is_open)
        return &without_end;
    if (chain->frames)
        return chain;
    chain->is_open = true;
    for (uint32_t i = s->start; i < s->end; i++) {
        const struct chain *inner;
        uint32_t callee;

        if (code->marks[i] & (STA__MARK_TAIL | STA__MARK_DEAD))
            continue;
        callee = callee_of(code, i);
        if (callee == UINT32_MAX)
            continue;
        inner = find_chain(code, chains, callee);
        if (inner->frames > deepest.frames)
            deepest.frames = inner->frames;
        if (inner->stack > deepest.stack) {
            deepest.stack = inner->stack;
            deepest.calls = inner->calls;
        }
    }
    chain->is_open = false;
    chain->stack = deepest.stack + ((s->stack_depth + 15) & ~15u);
    chain->calls = deepest.calls + 1;
    chain->frames = deepest.frames == NO_END ? NO_END : deepest.frames + 1;
    return chain;
}

/* The frames below one that is given up by a tail call stay, once for each tail call of a run.
 * `below`: what they were measured as, and one; again only where there is more of them. */
static int check_tail_calls(struct sta__verifier *v, uint32_t *below, uint32_t subprog,
                            uint32_t depth)
{
    const struct sta__subprog *s = &v->code->subprogs[subprog];
    int err = 0;

    if (below[subprog] > depth)
        return 0;
    below[subprog] = depth + 1;
    for (uint32_t i = s->start; i < s->end && !err; i++) {
        const struct bpf_insn *insn = &v->code->insns[i];
        uint32_t callee;

        if (v->code->marks[i] & (STA__MARK_TAIL | STA__MARK_DEAD))
            continue;
        if (depth >= TAIL_CALLERS_MAX && sta__insn_is_helper_call(insn) &&
            insn->imm == BPF_FUNC_tail_call)
            return sta__deny(v, -EACCES,
                             "tail_calls are not allowed when call stack of previous frames is %u "
                             "bytes. Too large",
                             depth);
        callee = callee_of(v->code, i);
        if (callee != UINT32_MAX)
            err = check_tail_calls(v, below, callee, depth + ((s->stack_depth + 15) & ~15u));
    }
    return err;
}

int sta__check_stack_depth(struct sta__verifier *v)
{
    struct chain *chains = calloc(v->code->subprog_count, sizeof(*chains));
    struct chain all;
    uint32_t *below;
    int err;

    if (!chains)
        return -ENOMEM;
    all = *find_chain(v->code, chains, 0);
    free(chains);
    /* What the walk saw was not as deep, but it ended by numbers. */
    if (all.frames > STA__CALL_DEPTH)
        return sta__deny(v, -E2BIG, "the call stack of %u frames is too deep", STA__CALL_DEPTH + 1);
    if (all.stack > STA__STACK_SIZE)
        return sta__deny(v, -EACCES, "combined stack size of %u calls is %u. Too large", all.calls,
                         all.stack);
    below = calloc(v->code->subprog_count, sizeof(*below));
    err = below ? check_tail_calls(v, below, 0, 0) : -ENOMEM;
    free(below);
    return err;
}

void sta__mark_dead(struct sta__verifier *v)
{
    for (uint32_t i = 0; i < v->code->count; i++) {
        uint8_t *mark = &v->code->marks[i];

        if (*mark & STA__MARK_TAIL)
            continue;
        if (!v->info[i].is_seen)
            *mark |= STA__MARK_DEAD;
        else if (v->info[i].ways == 2)
            *mark |= STA__MARK_ALWAYS;
        else if (v->info[i].ways == 1)
            *mark |= STA__MARK_NEVER;
    }
}
