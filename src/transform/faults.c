/* SPDX-License-Identifier: MIT */
/* On the dispatch path: see faults.h. */
#include "transform/faults.h"

#include "base/copy_user.h"
#include "transform/signals.h"

/* Of the application's action, what is the kernel's to do. */
#define PASSED_FLAGS (SA_ONSTACK | SA_RESTART | 0x800ul /* SA_EXPOSE_TAGBITS */)

static const int signals[] = {SIGSEGV, SIGBUS};

static _Atomic uint32_t generations = STA__FAULTS_FIRST;

static bool is_shared(int signal)
{
    return sta__signals_shared() & sta__signal_bit(signal);
}

bool sta__faults_are_on(void)
{
    return sta__signals_shared() != 0;
}

void sta__faults_action(const struct sta__action *app, struct sta__action *ours)
{
    ours->handler = (uintptr_t)sta__fault_handler;
    ours->flags = (app->flags & PASSED_FLAGS) | SA_SIGINFO | STA__SA_RESTORER;
    ours->restorer =
        app->flags & STA__SA_RESTORER ? app->restorer : (uintptr_t)sta__signals_restorer;
    /* Nothing comes between the fault and what is done about it. */
    ours->mask = UINT64_MAX;
    /* A signal that nobody handles ends no call. */
    if (app->handler <= (uintptr_t)SIG_IGN)
        ours->flags |= SA_RESTART;
}

static void install(int signal, const struct sta__action *app)
{
    struct sta__action ours;

    sta__faults_action(app, &ours);
    sta__signals_set_action(signal, &ours, NULL);
}

static void take_over(int signal)
{
    struct sta__action now;
    struct sta__lock_state saved;

    sta__lock(&sta__signals.lock, &saved);
    if (sta__signals_set_action(signal, NULL, &now) == 0 &&
        now.handler != (uintptr_t)sta__fault_handler) {
        sta__signals_save(signal, &now);
        install(signal, &now);
    }
    /* Release: whoever sees it finds the application's action. */
    atomic_fetch_or_explicit(&sta__signals.shared, sta__signal_bit(signal), memory_order_release);
    sta__unlock(&sta__signals.lock, &saved);
}

void sta__faults_begin(void)
{
    for (unsigned i = 0; i < 2; i++)
        take_over(signals[i]);
}

void sta__faults_begun(void)
{
    /* Until now the application's calls did not come here. */
    sta__faults_begin();
    sta__signals_strip();
    /* Release: who reads it faults into the handler. */
    atomic_store_explicit(&sta__faults_generation,
                          atomic_fetch_add_explicit(&generations, 1, memory_order_relaxed),
                          memory_order_release);
}

void sta__faults_end(void)
{
    atomic_store_explicit(&sta__faults_generation, STA__FAULTS_NOBODY, memory_order_release);
}

void sta__faults_ended(void)
{
    struct sta__lock_state saved;

    sta__lock(&sta__signals.lock, &saved);
    atomic_store_explicit(&sta__signals.shared, 0, memory_order_release);
    for (unsigned i = 0; i < 2; i++)
        sta__signals_give_back(signals[i]);
    sta__unlock(&sta__signals.lock, &saved);
    sta__signals_unstrip(STA__FAULT_SIGNALS);
}

bool sta__faults_change_action(int signal, const struct sta__action *new, struct sta__action *old)
{
    struct sta__lock_state saved;
    bool shared;

    if (sta__masking.has_own_actions) { /* a process of its own, and its kernel's actions */
        sta__signals_change_action(signal, new, old);
        if (new)
            install(signal, new);
        return true;
    }
    sta__lock(&sta__signals.lock, &saved);
    shared = is_shared(signal);
    if (shared) {
        *old = sta__signals.actions[signal];
        if (new) {
            sta__signals.actions[signal] = *new;
            install(signal, new);
        }
    }
    sta__unlock(&sta__signals.lock, &saved);
    return shared;
}

/* The default action, with the registers of what was interrupted: it comes as soon as the mask is
 * what it was. */
static void die_of(int signal, siginfo_t *info)
{
    const struct sta__action fatal = {.handler = (uintptr_t)SIG_DFL};

    sta__signals_set_action(signal, &fatal, NULL);
    sta__signals_send_self(info);
}

/* Called by faults.S, with all signals blocked: the application's handler, which is to be run; 0:
 * nothing more is to be done. */
STA__HIDDEN uintptr_t sta__fault_taken(int signal, siginfo_t *info, ucontext_t *context)
{
    greg_t *pc = &context->uc_mcontext.gregs[REG_RIP];
    uint64_t mask = *(uint64_t *)&context->uc_sigmask;
    bool is_forced = info->si_code > 0; /* an instruction's, which cannot be ignored */
    struct sta__action action;

    if (is_forced && sta__copy_fix((uintptr_t *)pc))
        return 0;
    action = sta__signals_take_action(signal);
    if (action.handler == (uintptr_t)SIG_IGN && !is_forced)
        return 0;
    if (action.handler <= (uintptr_t)SIG_IGN) {
        die_of(signal, info);
        return 0;
    }
    mask |= action.mask & ~sta__signals_reserved();
    if (!(action.flags & SA_NODEFER))
        mask |= sta__signal_bit(signal);
    sta__faults_mask(mask);
    sta__signals_set_mask(SIG_SETMASK, mask);
    return action.handler;
}

/* Relaxed, all: of this thread. */
static uint32_t known(void)
{
    return atomic_load_explicit(&sta__faults_known, memory_order_relaxed);
}

static void set_known(uint32_t value)
{
    atomic_store_explicit(&sta__faults_known, value, memory_order_relaxed);
}

void sta__faults_other_mask(void)
{
    set_known(STA__FAULTS_UNKNOWN);
}

void sta__faults_returning(uint64_t mask)
{
    if (known() == STA__FAULTS_WAITING || known() == STA__FAULTS_CHANGING)
        return;
    if (!(mask & STA__FAULT_SIGNALS)) {
        sta__faults_forget();
        return;
    }
    /* A handler that came right now, before the mask has these signals, would find that they are
     * not blocked. */
    sta__signals_set_mask(SIG_SETMASK, UINT64_MAX);
    set_known(STA__FAULTS_BLOCKED);
}

uint32_t sta__faults_wait(void)
{
    uint32_t before = known();

    set_known(STA__FAULTS_WAITING);
    return before;
}

void sta__faults_waited(uint32_t before)
{
    set_known(before);
}

uint32_t sta__faults_change(void)
{
    uint32_t before = known();

    set_known(STA__FAULTS_CHANGING);
    return before;
}

/* A handler that interrupted such a call leaves it to that call to say that it is over. */
void sta__faults_changed(uint32_t before)
{
    set_known(before == STA__FAULTS_CHANGING ? before : STA__FAULTS_UNKNOWN);
}
