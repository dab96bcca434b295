/* SPDX-License-Identifier: MIT */
/*
 * Running the callbacks of one event: inline, since what this costs is what interception costs.
 *
 * The usual case is a single callback that needs no vectors saved and no stack. It is run in a
 * straight line, without a taken branch but for its call; everything else is called, in dispatch.c,
 * so that it takes no registers here.
 *
 * Structs are filled member by member: with general registers only, an initialiser or assignment
 * can become a `rep stos`, which takes longer than all the rest, or a call of memcpy.
 */
#ifndef STA_ATTACH_RUN_H
#define STA_ATTACH_RUN_H

#include "attach/dispatch.h"
#include "attach/registry.h"
#include "base/quiesce.h"
#include "base/vectors.h"

/* What one half of a dispatch keeps on the stack while its callbacks run. `section` leads from the
 * thread's record to here. */
struct sta__run {
    struct sta__section section;
    const struct sta__call *call;
    const struct sta__entry *entry; /* whose callback runs */
    int64_t value;                  /* of the last override */
    uint32_t overridden;            /* STA__OVERRIDDEN_* */
    uint32_t kind;                  /* STA__CALL_* */
};

#define STA__OVERRIDDEN_NOW  1u /* by the callback that runs */
#define STA__OVERRIDDEN_EVER 2u /* by one that ran before */

/* Runs all callbacks of the event. */
void sta__run_lists(struct sta *sta, struct sta__hooks *hooks, struct sta__run *run, bool is_enter,
                    unsigned kind);

/* Runs this one, saving vectors. The thread has a stripe of its own. */
void sta__run_saving(const struct sta__entry *entry, struct sta__run *run, bool is_enter);

/* Notes what a callback did besides looking on. */
void sta__run_note(struct sta__run *run, int err);

/* No section could be entered. */
void sta__run_missed(struct sta *sta, struct sta__hooks *hooks, const struct sta__run *run,
                     bool is_enter);

/* Calls the callback on the thread's private stack; where there is none, on this one. */
int sta__run_apart(const struct sta__entry *entry, void *ctx, size_t ctx_size, uint64_t *result,
                   unsigned kind);

/* Acquire: pairs with update_active(), registry.c. */
STA__INLINE uint8_t sta__load_active(const struct sta__hooks *hooks)
{
    return atomic_load_explicit(&hooks->active, memory_order_acquire);
}

/* Acquire: pairs with the release store in publish(), registry.c. */
STA__INLINE const struct sta__list *sta__list_of(struct sta__hooks *hooks, bool is_enter)
{
    return atomic_load_explicit(is_enter ? &hooks->enter : &hooks->exit, memory_order_acquire);
}

STA__INLINE bool sta__saves_vectors(const struct sta__entry *entry, unsigned kind)
{
    return (kind & STA__CALL_VECTORS) && !(entry->flags & STA_CALLBACK_GENERAL_REGS);
}

/* Calls one callback. */
STA__INLINE void sta__run_entry(const struct sta__entry *entry, struct sta__run *run, void *ctx,
                                size_t ctx_size, uint32_t stripe, unsigned kind)
{
    uint64_t result = 0;
    int err;

    run->entry = entry;
    sta__count(&sta__counters_of(entry->counters, stripe)->runs, stripe);
    if (sta__unlikely(kind & STA__CALL_PRIVATE_STACK))
        err = sta__run_apart(entry, ctx, ctx_size, &result, kind);
    else if (sta__saves_vectors(entry, kind))
        err =
            sta__call_with_vectors_saved(entry->callback, ctx, ctx_size, &result, entry->user_data);
    else
        err = entry->callback(ctx, ctx_size, &result, entry->user_data);
    if (sta__unlikely(err < 0 || run->overridden))
        sta__run_note(run, err);
}

/* Each callback gets a fresh copy of the context. */
STA__INLINE void sta__run_one(const struct sta__entry *entry, struct sta__run *run,
                              const struct sta__call *call, bool is_enter, uint32_t stripe,
                              unsigned kind)
{
    if (is_enter) {
        struct sta_sys_enter ctx;

        ctx.ent = (struct sta_trace_entry){0};
        ctx.id = call->enter.id;
        ctx.args[0] = call->enter.args[0];
        ctx.args[1] = call->enter.args[1];
        ctx.args[2] = call->enter.args[2];
        ctx.args[3] = call->enter.args[3];
        ctx.args[4] = call->enter.args[4];
        ctx.args[5] = call->enter.args[5];
        sta__run_entry(entry, run, &ctx, sizeof(ctx), stripe, kind);
    } else {
        struct sta_sys_exit ctx;

        ctx.ent = (struct sta_trace_entry){0};
        ctx.id = call->enter.id;
        ctx.ret = call->ret;
        sta__run_entry(entry, run, &ctx, sizeof(ctx), stripe, kind);
    }
}

/* Acquire: as above. */
STA__INLINE const struct sta__entry *sta__only_entry(struct sta__hooks *hooks, bool is_enter)
{
    return atomic_load_explicit(is_enter ? &hooks->only_enter : &hooks->only_exit,
                                memory_order_acquire);
}

/* Runs the callbacks of one event. True if the call's result was overridden: it is in call->ret. */
STA__INLINE bool sta__run(struct sta *sta, struct sta__hooks *hooks, struct sta__call *call,
                          bool is_enter, unsigned kind)
{
    struct sta__reader *reader;
    const struct sta__entry *entry;
    struct sta__run run;
    uint32_t stripe;

    run.call = call;
    run.overridden = 0;
    run.kind = kind;
    reader = sta__section_enter(&run.section);
    if (sta__unlikely(!reader)) {
        sta__run_missed(sta, hooks, &run, is_enter);
        return false;
    }
    stripe = reader->stripe;
    entry = sta__only_entry(hooks, is_enter);
    if (sta__unlikely(!entry || stripe >= STA__STRIPE_OWNED || (kind & STA__CALL_PRIVATE_STACK)))
        sta__run_lists(sta, hooks, &run, is_enter, kind);
    else if (sta__unlikely(sta__saves_vectors(entry, kind)))
        sta__run_saving(entry, &run, is_enter);
    else
        sta__run_one(entry, &run, call, is_enter, stripe, kind);
    sta__section_leave(&run.section, reader);
    if (sta__likely(!run.overridden) || !sta__call_returns(call->enter.id))
        return false;
    call->ret = run.value;
    return true;
}

#endif
