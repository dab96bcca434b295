/* SPDX-License-Identifier: MIT */
/* The calls of the application are served on the dispatch path: no libc. */
#include "transform/signals.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gate.h"
#include "base/lock.h"
#include "base/memory.h"

#define SIGNAL_COUNT 64

/* The kernel's struct sigaction (arch/x86/include/uapi/asm/signal.h); libc's is another. */
struct action {
    uintptr_t handler;
    unsigned long flags;
    uintptr_t restorer;
    uint64_t mask;
};

#define SA_RESTORER_FLAG 0x04000000ul

static struct {
    _Atomic uint64_t reserved;               /* the signals, as a mask */
    struct sta__lock lock;                   /* protects `actions` */
    struct action actions[SIGNAL_COUNT + 1]; /* the application's, for reserved signals */
    /* For the others: which reserved signals the application has in its sa_mask. */
    _Atomic uint64_t masked[SIGNAL_COUNT + 1];
} state;

/* Which reserved signals the application believes blocked on this thread. */
static STA__THREAD_LOCAL uint64_t app_blocked;

static uint64_t bit(int signal)
{
    return UINT64_C(1) << (signal - 1);
}

static uint64_t reserved(void)
{
    return atomic_load_explicit(&state.reserved, memory_order_relaxed);
}

static int set_action(int signal, const struct action *action, struct action *old)
{
    return (int)STA__RAW4(SYS_rt_sigaction, signal, action, old, sizeof(uint64_t));
}

static void set_mask(int how, uint64_t mask)
{
    STA__RAW4(SYS_rt_sigprocmask, how, &mask, 0, sizeof(mask));
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
void sta__signals_restorer(void);

/* Takes the bits of reserved signals out of (or puts them back into) the masks of all actions. */
static void strip_actions(uint64_t added)
{
    for (int signal = 1; signal <= SIGNAL_COUNT; signal++) {
        struct action action;

        if (set_action(signal, NULL, &action) < 0 || !(action.mask & added))
            continue;
        atomic_fetch_or_explicit(&state.masked[signal], action.mask & added, memory_order_relaxed);
        action.mask &= ~added;
        set_action(signal, &action, NULL);
    }
}

static void unstrip_actions(uint64_t removed)
{
    for (int signal = 1; signal <= SIGNAL_COUNT; signal++) {
        uint64_t masked =
            atomic_fetch_and_explicit(&state.masked[signal], ~removed, memory_order_relaxed) &
            removed;
        struct action action;

        if (!masked || set_action(signal, NULL, &action) < 0)
            continue;
        action.mask |= masked;
        set_action(signal, &action, NULL);
    }
}

int sta__signals_reserve(int signal, sta__signal_handler handler)
{
    const struct action ours = {
        .handler = (uintptr_t)handler,
        .flags = SA_SIGINFO | SA_RESTART | SA_RESTORER_FLAG,
        .restorer = (uintptr_t)sta__signals_restorer,
        .mask = UINT64_MAX,
    };
    int err;

    if (reserved() & bit(signal)) /* still, since the last time */
        return 0;
    err = set_action(signal, &ours, &state.actions[signal]);
    if (err < 0)
        return err;
    strip_actions(bit(signal));
    set_action(signal, &ours, NULL); /* its own mask was stripped too */
    atomic_store_explicit(&state.masked[signal], 0, memory_order_relaxed);
    atomic_fetch_or_explicit(&state.reserved, bit(signal), memory_order_release);
    return 0;
}

void sta__signals_release(int signal)
{
    atomic_fetch_and_explicit(&state.reserved, ~bit(signal), memory_order_release);
    set_action(signal, &state.actions[signal], NULL);
    unstrip_actions(bit(signal));
}

void sta__signals_unblock(void)
{
    uint64_t ours = reserved(), old = 0;

    STA__RAW4(SYS_rt_sigprocmask, SIG_UNBLOCK, &ours, &old, sizeof(old));
    app_blocked |= old & ours;
}

static void die_of(int signal)
{
    const struct action fatal = {.handler = (uintptr_t)SIG_DFL};

    set_action(signal, &fatal, NULL);
    STA__RAW3(SYS_tgkill, STA__RAW0(SYS_getpid), STA__RAW0(SYS_gettid), signal);
    set_mask(SIG_UNBLOCK, bit(signal));
}

void sta__signals_chain(int signal, siginfo_t *info, void *context)
{
    const ucontext_t *interrupted = context;
    struct sta__lock_state saved;
    struct action action;
    uint64_t mask;

    sta__lock(&state.lock, &saved);
    action = state.actions[signal];
    if (action.flags & SA_RESETHAND)
        state.actions[signal].handler = (uintptr_t)SIG_DFL;
    sta__unlock(&state.lock, &saved);

    if (action.handler == (uintptr_t)SIG_IGN)
        return;
    if (action.handler == (uintptr_t)SIG_DFL) {
        die_of(signal);
        return;
    }
    /* The handler's calls are intercepted, so reserved signals must not stay blocked. */
    mask = *(const uint64_t *)&interrupted->uc_sigmask | action.mask;
    if (!(action.flags & SA_NODEFER))
        mask |= bit(signal);
    set_mask(SIG_SETMASK, mask & ~reserved());
    if (action.flags & SA_SIGINFO)
        ((void (*)(int, siginfo_t *, void *))action.handler)(signal, info, context);
    else
        ((void (*)(int))action.handler)(signal);
    set_mask(SIG_SETMASK, UINT64_MAX);
}

/* rt_sigaction(signal, action, old, size) */
static int64_t call_sigaction(const unsigned long *args)
{
    int signal = (int)args[0];
    const void *new_at = (const void *)args[1];
    void *old_at = (void *)args[2];
    struct action new = {0}, old;
    struct sta__lock_state saved;
    int64_t err = 0;

    if (new_at && !sta__memory_read(&new, new_at, sizeof(new)))
        return -EFAULT;
    if (reserved() & bit(signal)) {
        sta__lock(&state.lock, &saved);
        old = state.actions[signal];
        if (new_at)
            state.actions[signal] = new;
        sta__unlock(&state.lock, &saved);
    } else {
        uint64_t masked = atomic_load_explicit(&state.masked[signal], memory_order_relaxed);
        struct action stripped = new;

        stripped.mask &= ~reserved();
        err = set_action(signal, new_at ? &stripped : NULL, &old);
        if (err < 0)
            return err;
        if (new_at)
            atomic_store_explicit(&state.masked[signal], new.mask &reserved(),
                                  memory_order_relaxed);
        old.mask |= masked;
    }
    return old_at && !sta__memory_write(old_at, &old, sizeof(old)) ? -EFAULT : err;
}

/* rt_sigprocmask(how, set, old, size) */
static int64_t call_sigprocmask(const unsigned long *args)
{
    const void *set_at = (const void *)args[1];
    void *old_at = (void *)args[2];
    uint64_t set = 0, stripped, old, before = app_blocked;
    int64_t err;

    if (set_at && !sta__memory_read(&set, set_at, sizeof(set)))
        return -EFAULT;
    stripped = set & ~reserved();
    err = STA__RAW4(SYS_rt_sigprocmask, args[0], set_at ? &stripped : NULL, &old, sizeof(old));
    if (err < 0)
        return err;
    if (set_at) {
        set &= reserved();
        app_blocked = (int)args[0] == SIG_BLOCK     ? before | set
                      : (int)args[0] == SIG_UNBLOCK ? before & ~set
                                                    : set;
    }
    old |= before;
    return old_at && !sta__memory_write(old_at, &old, sizeof(old)) ? -EFAULT : 0;
}

/* Anything else the kernel refuses, or takes for no mask. */
static bool is_mask(unsigned long pointer, unsigned long size)
{
    return pointer != 0 && size == sizeof(uint64_t);
}

/* A call that blocks with another mask in force, a pointer to which is its argument number `index`.
 */
static int64_t call_with_mask(const struct sta__call *call, unsigned index)
{
    uint64_t args[6], mask;

    for (unsigned i = 0; i < 6; i++)
        args[i] = call->enter.args[i];
    if (!sta__memory_read(&mask, (const void *)args[index], sizeof(mask)))
        return -EFAULT;
    mask &= ~reserved();
    args[index] = (uint64_t)&mask;
    return STA__RAW6(call->enter.id, args[0], args[1], args[2], args[3], args[4], args[5]);
}

/* The same, where the argument (the sixth) points to a pair of the mask's address and its size. */
static int64_t call_with_mask_pair(const struct sta__call *call)
{
    const unsigned long *args = call->enter.args;
    uint64_t pair[2], mask;

    if (!sta__memory_read(pair, (const void *)args[5], sizeof(pair)))
        return -EFAULT;
    if (is_mask(pair[0], pair[1])) {
        if (!sta__memory_read(&mask, (const void *)pair[0], sizeof(mask)))
            return -EFAULT;
        mask &= ~reserved();
        pair[0] = (uint64_t)&mask;
    }
    return STA__RAW6(call->enter.id, args[0], args[1], args[2], args[3], args[4], pair);
}

/* What is not of the form that concerns us (no mask, a wrong size) is left to the kernel. */
bool sta__signals_call(struct sta__call *call)
{
    const unsigned long *args = call->enter.args;

    if (!reserved())
        return false;
    switch (call->enter.id) {
    case SYS_rt_sigaction:
        if (args[3] != sizeof(uint64_t) || (int)args[0] < 1 || (int)args[0] > SIGNAL_COUNT)
            return false;
        call->ret = call_sigaction(args);
        return true;
    case SYS_rt_sigprocmask:
        if (args[3] != sizeof(uint64_t))
            return false;
        call->ret = call_sigprocmask(args);
        return true;
    case SYS_rt_sigsuspend:
        if (!is_mask(args[0], args[1]))
            return false;
        call->ret = call_with_mask(call, 0);
        return true;
    case SYS_ppoll:
        if (!is_mask(args[3], args[4]))
            return false;
        call->ret = call_with_mask(call, 3);
        return true;
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
        if (!is_mask(args[4], args[5]))
            return false;
        call->ret = call_with_mask(call, 4);
        return true;
    case SYS_pselect6:
    case SYS_io_pgetevents:
        if (!args[5])
            return false;
        call->ret = call_with_mask_pair(call);
        return true;
    default:
        return false;
    }
}

void sta__signals_returning(ucontext_t *context)
{
    *(uint64_t *)&context->uc_sigmask &= ~reserved();
}
