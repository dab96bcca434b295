/* SPDX-License-Identifier: MIT */
/*
 * The dispatcher: from a system call to the callbacks attached to it and back.
 *
 * Compiled for general registers only; no libc, no lock, no allocation, no system call. A test
 * disassembles and links this object to prove it. Structs are filled member by member: with general
 * registers only, an initialiser or assignment can become a `rep stos`, which takes longer than all
 * the rest, or a call of memcpy.
 */
#include "attach/dispatch.h"

#include <errno.h>
#include <signal.h>

#include "attach/registry.h"
#include "base/gate.h"
#include "base/quiesce.h"
#include "base/vectors.h"

/* What one half of a dispatch keeps on the stack while its callbacks run. `section` leads from the
 * thread's record to here. */
struct frame {
    struct sta__section section;
    const struct sta__call *call;
    int64_t value;       /* of the last override */
    uint32_t overridden; /* OVERRIDDEN_* */
};

#define OVERRIDDEN_NOW  1u /* by the callback that runs */
#define OVERRIDDEN_EVER 2u /* by one that ran before */

/* Acquire: pairs with the release store in publish(), registry.c. */
STA__INLINE const struct sta__list *load(_Atomic(struct sta__list *) *slot)
{
    return atomic_load_explicit(slot, memory_order_acquire);
}

STA__INLINE const struct sta__list *list_of(struct sta__hooks *hooks, bool is_enter)
{
    return load(is_enter ? &hooks->enter : &hooks->exit);
}

/* What a callback did besides looking on. */
static STA__NOINLINE void note_outcome(const struct sta__entry *entry, struct frame *frame, int err,
                                       uint32_t stripe)
{
    struct sta__counters *counters = sta__counters_of(entry->counters, stripe);

    if (err < 0)
        sta__count(&counters->failed, stripe);
    if (frame->overridden & OVERRIDDEN_NOW) {
        frame->overridden = OVERRIDDEN_EVER;
        sta__count(&counters->overrides, stripe);
    }
}

/* Calls one callback and notes what it did. */
STA__INLINE void run_entry(const struct sta__entry *entry, struct frame *frame, void *ctx,
                           size_t ctx_size, uint32_t stripe, unsigned kind)
{
    uint64_t result = 0;
    int err;

    sta__count(&sta__counters_of(entry->counters, stripe)->runs, stripe);
    if ((kind & STA__CALL_VECTORS) && !(entry->flags & STA_CALLBACK_GENERAL_REGS))
        err =
            sta__call_with_vectors_saved(entry->callback, ctx, ctx_size, &result, entry->user_data);
    else
        err = entry->callback(ctx, ctx_size, &result, entry->user_data);
    if (sta__unlikely(err < 0 || (frame->overridden & OVERRIDDEN_NOW)))
        note_outcome(entry, frame, err, stripe);
}

/* Each callback gets a fresh copy of the context. */
STA__INLINE void run_one(const struct sta__entry *entry, struct frame *frame, bool is_enter,
                         uint32_t stripe, unsigned kind)
{
    const struct sta__call *call = frame->call;

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
        run_entry(entry, frame, &ctx, sizeof(ctx), stripe, kind);
    } else {
        struct sta_sys_exit ctx;

        ctx.ent = (struct sta_trace_entry){0};
        ctx.id = call->enter.id;
        ctx.ret = call->ret;
        run_entry(entry, frame, &ctx, sizeof(ctx), stripe, kind);
    }
}

STA__INLINE void run_all(const struct sta__list *list, struct frame *frame, bool is_enter,
                         uint32_t stripe, unsigned kind)
{
    const struct sta__entry *end = list->entries + list->count;
    const struct sta__entry *entry = list->entries;

    do {
        run_one(entry, frame, is_enter, stripe, kind);
    } while (++entry != end);
}

/* Compiled once for the usual case, so that its loop asks no questions, and once for threads
 * without a stripe of their own and for saved vectors. */
static STA__NOINLINE void run_several(const struct sta__list *list, struct frame *frame,
                                      bool is_enter, uint32_t stripe, unsigned kind)
{
    if (sta__unlikely(stripe >= STA__STRIPE_OWNED || (kind & STA__CALL_VECTORS)))
        run_all(list, frame, is_enter, stripe, kind);
    else if (is_enter)
        run_all(list, frame, true, stripe, 0);
    else
        run_all(list, frame, false, stripe, 0);
}

/* A single callback, the most common case, is called from here: a loop would cost registers. */
STA__INLINE void run_list(const struct sta__list *list, struct frame *frame, bool is_enter,
                          uint32_t stripe, unsigned kind)
{
    if (!list)
        return;
    if (sta__unlikely(
            list->count > 1 || stripe >= STA__STRIPE_OWNED ||
            ((kind & STA__CALL_VECTORS) && !(list->entries->flags & STA_CALLBACK_GENERAL_REGS))))
        run_several(list, frame, is_enter, stripe, kind);
    else
        run_one(list->entries, frame, is_enter, stripe, 0);
}

static void count_missed_in(const struct sta__list *list, uint32_t stripe)
{
    for (uint32_t i = 0; list && i < list->count; i++)
        sta__count(&sta__counters_of(list->entries[i].counters, stripe)->missed, stripe);
}

/* No section could be entered: nearly always a call made by a callback, whose section keeps the
 * lists from being freed. Or too many threads, of which nothing can be counted. */
static STA__NOINLINE bool count_missed(struct sta *sta, struct sta__hooks *hooks,
                                       struct frame *frame, bool is_enter)
{
    uint32_t stripe = sta__self.reader->stripe;

    if (sta__section_current(frame)) {
        count_missed_in(list_of(hooks, is_enter), stripe);
        count_missed_in(list_of(&sta->all, is_enter), stripe);
    }
    return false;
}

/* Runs the callbacks of one event. True if the call's result was overridden: it is in call->ret. */
STA__INLINE bool run(struct sta *sta, struct sta__hooks *hooks, struct sta__call *call,
                     bool is_enter, unsigned kind)
{
    const struct sta__reader *reader;
    struct frame frame;
    uint32_t stripe;

    frame.call = call;
    frame.overridden = 0;
    reader = sta__section_enter(&frame.section);
    if (sta__unlikely(!reader))
        return count_missed(sta, hooks, &frame, is_enter);
    stripe = reader->stripe;
    run_list(list_of(hooks, is_enter), &frame, is_enter, stripe, kind);
    run_list(list_of(&sta->all, is_enter), &frame, is_enter, stripe, kind);
    sta__section_leave(&frame.section);
    if (sta__likely(!frame.overridden) || !sta__call_returns(call->enter.id))
        return false;
    call->ret = frame.value;
    return true;
}

/* The thread's alternate signal stack helps to tell whether a section was left by siglongjmp. */
static void note_alt_stack(const struct sta__call *call)
{
    const stack_t *stack = (const stack_t *)call->enter.args[0];
    const stack_t *old = (const stack_t *)call->enter.args[1];

    sta__self.alt_stack_low = sta__self.alt_stack_high = 0;
    /* The old settings may have been written over the new ones: then it stays unknown. */
    if (old > stack - 1 && old < stack + 1)
        return;
    if (stack->ss_flags & SS_DISABLE)
        return;
    sta__self.alt_stack_low = (uintptr_t)stack->ss_sp;
    sta__self.alt_stack_high = (uintptr_t)stack->ss_sp + stack->ss_size;
}

/* What the dispatcher itself has to do about some calls. */
static STA__NOINLINE void before_call(struct sta__call *call)
{
    call->outer = NULL;
    if (call->enter.id == SYS_exit)
        sta__reader_release();
    else
        call->outer = sta__section_current(call);
}

static STA__NOINLINE void after_call(const struct sta__call *call)
{
    if (call->outer)
        sta__section_restore(call->outer);
    if (call->enter.id == SYS_sigaltstack && call->ret == 0 && call->enter.args[0])
        note_alt_stack(call);
}

/* Acquire: pairs with update_active(), registry.c. */
STA__INLINE uint8_t load_active(const struct sta__hooks *hooks)
{
    return atomic_load_explicit(&hooks->active, memory_order_acquire);
}

/* True: the real call is to be made. */
STA__INLINE bool enter(struct sta *sta, struct sta__hooks *hooks, struct sta__call *call,
                       unsigned kind)
{
    uint8_t active = load_active(hooks);

    if ((active & STA__ACTIVE_ENTER) && run(sta, hooks, call, true, kind))
        return false;
    if (sta__unlikely(active & STA__ACTIVE_ALWAYS))
        before_call(call);
    return true;
}

/* After the real call, if it was made. */
STA__INLINE void made(struct sta__hooks *hooks, const struct sta__call *call)
{
    if (sta__unlikely(load_active(hooks) & STA__ACTIVE_ALWAYS))
        after_call(call);
}

STA__INLINE void leave(struct sta *sta, struct sta__hooks *hooks, struct sta__call *call,
                       unsigned kind)
{
    if (sta__unlikely(load_active(hooks) & STA__ACTIVE_EXIT))
        run(sta, hooks, call, false, kind);
}

void sta_set_original_syscall(struct sta *sta, sta_syscall_fn original)
{
    /* Release: what the original needs was prepared before. */
    atomic_store_explicit(&sta->original, original ? original : sta__raw_syscall,
                          memory_order_release);
}

/* Acquire: pairs with sta_set_original_syscall(). */
STA__INLINE sta_syscall_fn original_of(struct sta *sta)
{
    return atomic_load_explicit(&sta->original, memory_order_acquire);
}

static STA__NOINLINE int64_t dispatch_active(int64_t sys_nr, int64_t a1, int64_t a2, int64_t a3,
                                             int64_t a4, int64_t a5, int64_t a6, struct sta *sta)
{
    struct sta__hooks *hooks = sta__hooks_of(sta, (int)sys_nr);
    struct sta__call call;

    call.enter.ent = (struct sta_trace_entry){0};
    call.enter.id = (int)sys_nr;
    call.enter.args[0] = (unsigned long)a1;
    call.enter.args[1] = (unsigned long)a2;
    call.enter.args[2] = (unsigned long)a3;
    call.enter.args[3] = (unsigned long)a4;
    call.enter.args[4] = (unsigned long)a5;
    call.enter.args[5] = (unsigned long)a6;
    if (enter(sta, hooks, &call, 0)) {
        const unsigned long *args = call.enter.args;

        /* From memory: in registers across the callbacks they would be spilled once more. */
        __asm__ volatile("" : "+r"(args) : : "memory");
        call.ret = original_of(sta)(sys_nr, (int64_t)args[0], (int64_t)args[1], (int64_t)args[2],
                                    (int64_t)args[3], (int64_t)args[4], (int64_t)args[5]);
        made(hooks, &call);
    }
    leave(sta, hooks, &call, 0);
    return call.ret;
}

int64_t sta_dispatch(struct sta *sta, int64_t sys_nr, int64_t a1, int64_t a2, int64_t a3,
                     int64_t a4, int64_t a5, int64_t a6)
{
    if (sta__unlikely(load_active(sta__hooks_of(sta, (int)sys_nr))))
        return dispatch_active(sys_nr, a1, a2, a3, a4, a5, a6, sta);
    return original_of(sta)(sys_nr, a1, a2, a3, a4, a5, a6);
}

STA__INLINE struct sta__hooks *hooks_of(struct sta *sta, const struct sta__call *call,
                                        unsigned kind)
{
    return sta__hooks_of(sta, (kind & STA__CALL_COMPAT) ? -1 : (int)call->enter.id);
}

bool sta__enter(struct sta *sta, struct sta__call *call, unsigned kind)
{
    return enter(sta, hooks_of(sta, call, kind), call, kind);
}

void sta__exit(struct sta *sta, struct sta__call *call, unsigned kind)
{
    struct sta__hooks *hooks = hooks_of(sta, call, kind);

    if (!(kind & STA__CALL_SKIPPED))
        made(hooks, call);
    leave(sta, hooks, call, kind);
}

int sta__enter_ordinary(struct sta *sta, struct sta__call *call)
{
    struct sta__hooks *hooks = sta__hooks_of(sta, (int)call->enter.id);

    call->hooks = hooks;
    if (sta__likely(enter(sta, hooks, call, STA__CALL_VECTORS)))
        return 0;
    leave(sta, hooks, call, STA__CALL_VECTORS);
    return 1;
}

void sta__exit_ordinary(struct sta *sta, struct sta__call *call)
{
    struct sta__hooks *hooks = sta__hooks_of(sta, (int)call->enter.id);

    made(hooks, call);
    leave(sta, hooks, call, STA__CALL_VECTORS);
}

static struct frame *current_frame(const void *stack_address)
{
    return (struct frame *)sta__section_current(stack_address);
}

int sta_override_return(int64_t value)
{
    struct frame *frame = current_frame(__builtin_frame_address(0));

    if (!frame)
        return -EINVAL;
    frame->value = value;
    frame->overridden |= OVERRIDDEN_NOW;
    return 0;
}

const unsigned long *sta_current_args(void)
{
    const struct frame *frame = current_frame(__builtin_frame_address(0));

    return frame ? frame->call->enter.args : NULL;
}
