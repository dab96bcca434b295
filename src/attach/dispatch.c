/* SPDX-License-Identifier: MIT */
/*
 * The dispatcher: from a system call to the callbacks attached to it and back.
 *
 * Compiled for general registers only; no libc, no lock, no allocation, no system call. A test
 * disassembles and links this object to prove it. Structs are filled member by member, see run.h.
 */
#include "attach/dispatch.h"

#include <errno.h>
#include <signal.h>

#include "attach/run.h"
#include "base/gate.h"
#include "base/private_stack.h"

STA__NOINLINE void sta__run_note(struct sta__run *run, int err)
{
    uint32_t stripe = sta__self.reader->stripe;
    struct sta__counters *counters = sta__counters_of(run->entry->counters, stripe);

    if (err < 0)
        sta__count(&counters->failed, stripe);
    if (run->overridden & STA__OVERRIDDEN_NOW) {
        run->overridden = STA__OVERRIDDEN_EVER;
        sta__count(&counters->overrides, stripe);
    }
}

int sta__run_apart(const struct sta__entry *entry, void *ctx, size_t ctx_size, uint64_t *result,
                   unsigned kind)
{
    uintptr_t top = sta__private_stack_top(__builtin_frame_address(0));
    sta_callback fn = entry->callback;
    void *data = entry->user_data;

    if (sta__saves_vectors(entry, kind))
        return top ? sta__call_apart_with_vectors_saved(fn, ctx, ctx_size, result, data, top)
                   : sta__call_with_vectors_saved(fn, ctx, ctx_size, result, data);
    return top ? sta__call_apart(fn, ctx, ctx_size, result, data, top)
               : fn(ctx, ctx_size, result, data);
}

STA__NOINLINE void sta__run_saving(const struct sta__entry *entry, struct sta__run *run,
                                   bool is_enter)
{
    uint32_t stripe = sta__self.reader->stripe;

    if (stripe >= STA__STRIPE_OWNED)
        __builtin_unreachable(); /* it takes sta__run_lists() */
    if (is_enter)
        sta__run_one(entry, run, run->call, true, stripe, STA__CALL_VECTORS);
    else
        sta__run_one(entry, run, run->call, false, stripe, STA__CALL_VECTORS);
}

STA__INLINE void run_all(const struct sta__list *list, struct sta__run *run, bool is_enter,
                         uint32_t stripe, unsigned kind)
{
    const struct sta__entry *end = list->entries + list->count;
    const struct sta__entry *entry = list->entries;

    do {
        sta__run_one(entry, run, run->call, is_enter, stripe, kind);
    } while (++entry != end);
}

/* Compiled once for the usual case, so that its loop asks no questions, and once for threads
 * without a stripe of their own, saved vectors and private stacks. */
static STA__NOINLINE void run_list(const struct sta__list *list, struct sta__run *run,
                                   bool is_enter, uint32_t stripe, unsigned kind)
{
    if (sta__unlikely(stripe >= STA__STRIPE_OWNED || kind != 0))
        run_all(list, run, is_enter, stripe, kind);
    else if (is_enter)
        run_all(list, run, true, stripe, 0);
    else
        run_all(list, run, false, stripe, 0);
}

STA__NOINLINE void sta__run_lists(struct sta *sta, struct sta__hooks *hooks, struct sta__run *run,
                                  bool is_enter, unsigned kind)
{
    uint32_t stripe = sta__self.reader->stripe;
    const struct sta__list *list = sta__list_of(hooks, is_enter);

    if (list)
        run_list(list, run, is_enter, stripe, kind);
    list = sta__list_of(&sta->all, is_enter);
    if (list)
        run_list(list, run, is_enter, stripe, kind);
}

static void count_missed_in(const struct sta__list *list, uint32_t stripe)
{
    for (uint32_t i = 0; list && i < list->count; i++)
        sta__count(&sta__counters_of(list->entries[i].counters, stripe)->missed, stripe);
}

/* Nearly always it is a call made by a callback, whose section keeps the lists from being freed. Or
 * there are too many threads, of which nothing can be counted. */
STA__NOINLINE void sta__run_missed(struct sta *sta, struct sta__hooks *hooks,
                                   const struct sta__run *run, bool is_enter)
{
    uint32_t stripe = sta__self.reader->stripe;

    if (sta__section_current(run)) {
        count_missed_in(sta__list_of(hooks, is_enter), stripe);
        count_missed_in(sta__list_of(&sta->all, is_enter), stripe);
    }
}

/* The thread's alternate signal stack helps to tell whether a section was left by siglongjmp. */
static void note_alt_stack(const struct sta__call *call)
{
    const stack_t *stack = (const stack_t *)call->enter.args[0];
    const stack_t *old = (const stack_t *)call->enter.args[1];

    if (old <= stack - 1 || old >= stack + 1) {
        sta__alt_stack_note(stack);
        return;
    }
    /* The old settings may have been written over the new ones: then it stays unknown, unless it
     * has to be known. */
    sta__self.alt_stack_low = sta__self.alt_stack_high = 0;
    if (sta__self.private_stack)
        sta__alt_stack_find();
}

/* What the dispatcher itself has to do about some calls. */
static STA__NOINLINE void before_call(struct sta__call *call)
{
    call->outer = NULL;
    if (call->enter.id == SYS_exit) {
        sta__private_stack_release(call);
        sta__reader_release();
    } else {
        call->outer = sta__section_current(call);
    }
}

static STA__NOINLINE void after_call(const struct sta__call *call)
{
    sta__self_forget_ids();
    if (call->outer)
        sta__section_restore(call->outer);
    if (call->enter.id == SYS_sigaltstack && call->ret == 0 && call->enter.args[0])
        note_alt_stack(call);
}

/* True: the real call is to be made. */
STA__INLINE bool enter(struct sta *sta, struct sta__hooks *hooks, struct sta__call *call,
                       unsigned kind)
{
    uint8_t active = sta__load_active(hooks);

    if ((active & STA__ACTIVE_ENTER) && sta__run(sta, hooks, call, true, kind))
        return false;
    if (sta__unlikely(active & STA__ACTIVE_ALWAYS))
        before_call(call);
    return true;
}

/* After the real call, if it was made. */
STA__INLINE void made(struct sta__hooks *hooks, const struct sta__call *call)
{
    if (sta__unlikely(sta__load_active(hooks) & STA__ACTIVE_ALWAYS))
        after_call(call);
}

STA__INLINE void leave(struct sta *sta, struct sta__hooks *hooks, struct sta__call *call,
                       unsigned kind)
{
    if (sta__unlikely(sta__load_active(hooks) & STA__ACTIVE_EXIT))
        sta__run(sta, hooks, call, false, kind);
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
    if (sta__unlikely(sta__load_active(sta__hooks_of(sta, (int)sys_nr))))
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

static struct sta__run *current_run(const void *stack_address)
{
    return (struct sta__run *)sta__section_current(stack_address);
}

int sta_override_return(int64_t value)
{
    struct sta__run *run = current_run(__builtin_frame_address(0));

    if (!run)
        return -EINVAL;
    run->value = value;
    run->overridden |= STA__OVERRIDDEN_NOW;
    return 0;
}

uint64_t sta_current_cookie(void)
{
    const struct sta__run *run = current_run(__builtin_frame_address(0));

    return run ? run->entry->attachment->cookie : 0;
}

const struct sta__call_site *sta__current_site(void)
{
    const struct sta__run *run = current_run(__builtin_frame_address(0));

    return run && (run->kind & STA__CALL_SITE) ? (const struct sta__call_site *)run->call : NULL;
}

const unsigned long *sta_current_args(void)
{
    const struct sta__run *run = current_run(__builtin_frame_address(0));

    return run ? run->call->enter.args : NULL;
}
