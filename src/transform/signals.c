/* SPDX-License-Identifier: MIT */
/* Delivering reserved signals, and what threads and processes inherit of them. On the dispatch
 * path, but for reserving and releasing: no libc. */
#include "transform/signals.h"

#include <errno.h>
#include <linux/sched.h>
#include <stddef.h>

#include "base/copy_user.h"
#include "base/memory.h"
#include "base/quiesce.h"
#include "transform/entry.h"
#include "transform/faults.h"
#include "transform/signals_state.h"

#ifndef CLONE_CLEAR_SIGHAND /* linux/sched.h since 5.5 */
#    define CLONE_CLEAR_SIGHAND 0x100000000ull
#endif

struct sta__signals sta__signals;
STA__THREAD_LOCAL struct sta__masking sta__masking;

static uint64_t *mask_of(ucontext_t *context)
{
    return (uint64_t *)&context->uc_sigmask;
}

int sta__signals_send_self(siginfo_t *info)
{
    return (int)STA__RAW4(SYS_rt_tgsigqueueinfo, STA__RAW0(SYS_getpid), STA__RAW0(SYS_gettid),
                          info->si_signo, info);
}

static bool app_blocks(int signal)
{
    return (sta__masking.is_waiting ? sta__masking.waiting_blocked : sta__masking.app_blocked) &
           sta__signal_bit(signal);
}

static bool send_deferred(siginfo_t *deferred)
{
    siginfo_t info;

    if (!deferred->si_signo || app_blocks(deferred->si_signo) || sta__entry_borrows)
        return false;
    sta__memory_copy(&info, deferred, sizeof(info));
    deferred->si_signo = 0;
    sta__signals_send_self(&info);
    return true;
}

bool sta__signals_send_deferred(void)
{
    bool sent = false;

    for (unsigned i = 0; i < STA__RESERVABLE_COUNT; i++)
        sent |= send_deferred(&sta__masking.deferred[i]);
    return sent;
}

/* In the gate, so that returning from a reserved signal's handler is not intercepted. */
__asm__(".pushsection sta_gate, \"ax\", @progbits\n"
        ".balign 16\n"
        "        nop\n" /* unwinders look up the address before the return address */
        ".hidden sta__signals_restorer\n"
        ".globl sta__signals_restorer\n"
        ".type sta__signals_restorer, @function\n"
        "sta__signals_restorer:\n"
        "        mov $15, %eax\n" /* the form by which gdb and libgcc know a signal frame */
        "        syscall\n"
        "        hlt\n"
        ".popsection\n");

/* Takes the bits of taken signals out of (or puts them back into) the masks of all actions. */
static void strip_actions(uint64_t added)
{
    for (int signal = 1; signal <= STA__SIGNAL_COUNT; signal++) {
        struct sta__action action;

        if ((sta__signals_taken() & sta__signal_bit(signal)) ||
            sta__signals_set_action(signal, NULL, &action) < 0 || !(action.mask & added))
            continue;
        atomic_fetch_or_explicit(&sta__signals.masked[signal], action.mask & added,
                                 memory_order_relaxed);
        action.mask &= ~added;
        sta__signals_set_action(signal, &action, NULL);
    }
}

void sta__signals_unstrip(uint64_t removed)
{
    for (int signal = 1; signal <= STA__SIGNAL_COUNT; signal++) {
        uint64_t masked = atomic_fetch_and_explicit(&sta__signals.masked[signal], ~removed,
                                                    memory_order_relaxed) &
                          removed;
        struct sta__action action;

        if (!masked || sta__signals_set_action(signal, NULL, &action) < 0)
            continue;
        action.mask |= masked;
        sta__signals_set_action(signal, &action, NULL);
    }
}

void sta__signals_save(int signal, const struct sta__action *app)
{
    struct sta__action *saved = &sta__signals.actions[signal];

    *saved = *app;
    saved->mask |= atomic_exchange_explicit(&sta__signals.masked[signal], 0, memory_order_relaxed);
}

void sta__signals_give_back(int signal)
{
    struct sta__action app = sta__signals.actions[signal];

    atomic_store_explicit(&sta__signals.masked[signal], app.mask & sta__signals_taken(),
                          memory_order_relaxed);
    app.mask &= ~sta__signals_taken();
    sta__signals_set_action(signal, &app, NULL);
}

int sta__signals_reserve(int signal, sta__signal_handler handler)
{
    struct sta__action *ours = &sta__signals.ours[signal], app;
    int err;

    if (sta__signals_reserved() & sta__signal_bit(signal)) /* still, since the last time */
        return 0;
    ours->handler = (uintptr_t)handler;
    ours->flags = SA_SIGINFO | SA_RESTART | STA__SA_RESTORER;
    ours->restorer = (uintptr_t)sta__signals_restorer;
    ours->mask = UINT64_MAX;
    err = sta__signals_set_action(signal, ours, &app);
    if (err < 0)
        return err;
    sta__signals_save(signal, &app);
    atomic_fetch_or_explicit(&sta__signals.reserved, sta__signal_bit(signal), memory_order_release);
    sta__signals_strip();
    return 0;
}

void sta__signals_strip(void)
{
    strip_actions(sta__signals_taken());
}

void sta__signals_release(int signal)
{
    atomic_fetch_and_explicit(&sta__signals.reserved, ~sta__signal_bit(signal),
                              memory_order_release);
    sta__signals_give_back(signal);
    sta__signals_unstrip(sta__signal_bit(signal));
}

void sta__signals_unblock(ucontext_t *context)
{
    uint64_t ours = sta__signals_reserved(), all = UINT64_MAX, old = 0;

    if (context) {
        sta__masking.app_blocked |= *mask_of(context) & ours;
        *mask_of(context) &= ~ours;
        sta__masking.is_masking = true;
        return;
    }
    STA__RAW4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof(old));
    sta__masking.app_blocked |= old & ours;
    sta__masking.is_masking = true;
    sta__signals_set_mask(SIG_SETMASK, old & ~ours);
}

void sta__signals_block_again(ucontext_t *context)
{
    uint64_t blocked = sta__masking.app_blocked;

    if (!sta__masking.is_masking)
        return;
    if (context)
        *mask_of(context) |= blocked;
    else if (blocked)
        sta__signals_set_mask(SIG_BLOCK, blocked);
    if (sta__entry_borrows)
        return;
    sta__masking.app_blocked = 0;
    sta__masking.is_masking = false;
    sta__signals_send_deferred();
}

uint64_t sta__signals_app_blocked(void)
{
    return sta__masking.app_blocked;
}

/* The application's action for a taken signal, as this thread has it. */
static struct sta__action *app_action(int signal)
{
    return sta__masking.has_own_actions ? &sta__masking.own_actions[sta__takeable_index(signal)]
                                        : &sta__signals.actions[signal];
}

/* CLONE_CLEAR_SIGHAND: all handlers are gone, ours too. */
static void restore_handlers(void)
{
    for (unsigned i = 0; i < STA__TAKEABLE_COUNT; i++) {
        int signal = sta__takeable(i);
        struct sta__action *app = app_action(signal), ours;

        if (!(sta__signals_taken() & sta__signal_bit(signal)))
            continue;
        if (app->handler != (uintptr_t)SIG_IGN)
            app->handler = (uintptr_t)SIG_DFL;
        ours = sta__signals_installed(signal, app);
        sta__signals_set_action(signal, &ours, NULL);
    }
}

static void copy_actions(void)
{
    for (unsigned i = 0; i < STA__TAKEABLE_COUNT; i++)
        sta__masking.own_actions[i] = sta__signals.actions[sta__takeable(i)];
    sta__masking.has_own_actions = true;
}

void sta__signals_began(uint64_t clone_flags, uint64_t blocked)
{
    bool shares_memory = clone_flags & CLONE_VM;

    sta__masking.app_blocked = blocked;
    sta__faults_other_mask();
    if (!sta__entry_borrows) {
        for (unsigned i = 0; i < STA__RESERVABLE_COUNT; i++)
            sta__masking.deferred[i].si_signo = 0;
    }
    if (shares_memory && !(clone_flags & CLONE_SIGHAND) && !sta__masking.has_own_actions)
        copy_actions();
    if (clone_flags & CLONE_CLEAR_SIGHAND)
        restore_handlers();
}

void sta__signals_given_back(uint64_t blocked)
{
    sta__faults_other_mask();
    if (sta__masking.is_masking)
        sta__masking.app_blocked = blocked;
    sta__masking.has_own_actions = sta__entry_borrows;
}

static void die_of(int signal)
{
    const struct sta__action fatal = {.handler = (uintptr_t)SIG_DFL};

    sta__signals_set_action(signal, &fatal, NULL);
    STA__RAW3(SYS_tgkill, STA__RAW0(SYS_getpid), STA__RAW0(SYS_gettid), signal);
    sta__signals_set_mask(SIG_UNBLOCK, sta__signal_bit(signal));
}

void sta__signals_change_action(int signal, const struct sta__action *new, struct sta__action *old)
{
    struct sta__lock_state saved;

    if (sta__masking.has_own_actions) {
        *old = *app_action(signal);
        if (new)
            *app_action(signal) = *new;
        return;
    }
    sta__lock(&sta__signals.lock, &saved);
    *old = sta__signals.actions[signal];
    if (new)
        sta__signals.actions[signal] = *new;
    sta__unlock(&sta__signals.lock, &saved);
}

struct sta__action sta__signals_installed(int signal, const struct sta__action *app)
{
    struct sta__action ours;

    if (sta__signals_reserved() & sta__signal_bit(signal))
        return sta__signals.ours[signal];
    sta__faults_action(app, &ours);
    return ours;
}

struct sta__action sta__signals_take_action(int signal)
{
    struct sta__action action, after;

    sta__signals_change_action(signal, NULL, &action);
    if (action.flags & SA_RESETHAND && action.handler > (uintptr_t)SIG_IGN) {
        after = action;
        after.handler = (uintptr_t)SIG_DFL;
        sta__signals_change_action(signal, &after, &action);
    }
    return action;
}

/* Runs the application's handler. It sees the interrupted mask as it believes it to be, and what it
 * makes of it there holds when it returns. */
static void run_handler(const struct sta__action *action, int signal, siginfo_t *info,
                        ucontext_t *context)
{
    uint64_t mask = action->mask;

    if (!(action->flags & SA_NODEFER))
        mask |= sta__signal_bit(signal);
    *mask_of(context) |= sta__masking.app_blocked;
    sta__masking.is_waiting = false;
    mask |= *mask_of(context);
    sta__masking.app_blocked = mask & sta__signals_reserved();
    /* The handler's calls are intercepted, so reserved signals must not stay blocked. */
    sta__faults_mask(mask);
    sta__signals_set_mask(SIG_SETMASK, mask & ~sta__signals_reserved());
    if (action->flags & SA_SIGINFO)
        ((void (*)(int, siginfo_t *, void *))action->handler)(signal, info, context);
    else
        ((void (*)(int))action->handler)(signal);
    sta__signals_set_mask(SIG_SETMASK, UINT64_MAX);
    sta__faults_mask(*mask_of(context));
    if (!sta__masking.is_masking)
        return;
    sta__masking.app_blocked = *mask_of(context) & sta__signals_reserved();
    *mask_of(context) &= ~sta__signals_reserved();
    sta__signals_send_deferred();
}

void sta__signals_chain(int signal, siginfo_t *info, void *context)
{
    siginfo_t *deferred = &sta__masking.deferred[sta__takeable_index(signal)];
    /* The kernel's own cannot wait: the instruction has failed. */
    bool is_forced = info->si_code > 0;
    bool is_blocked = app_blocks(signal);
    struct sta__action action;

    if (is_blocked && !is_forced) {
        if (!deferred->si_signo && !sta__entry_borrows)
            sta__memory_copy(deferred, info, sizeof(*deferred));
        return;
    }
    action = sta__signals_take_action(signal);
    if (action.handler == (uintptr_t)SIG_IGN && !is_forced)
        return;
    if (action.handler <= (uintptr_t)SIG_IGN || is_blocked)
        die_of(signal);
    else
        run_handler(&action, signal, info, context);
}

void sta__signals_returning(ucontext_t *context)
{
    bool is_sharing = sta__faults_are_on();

    /* The kernel sets the alternate stack as it was when the signal came, unless it is in use. Only
     * private_stack.h and copy_user.h have to know of that. */
    if ((sta__self.private_stack || is_sharing) && !sta__on_alt_stack((uintptr_t)context))
        sta__alt_stack_note(&context->uc_stack);
    if (is_sharing)
        sta__faults_returning(*mask_of(context));
    if (!sta__masking.is_masking)
        return;
    sta__masking.app_blocked |= *mask_of(context) & sta__signals_reserved();
    *mask_of(context) &= ~sta__signals_reserved();
}
