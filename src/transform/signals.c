/* SPDX-License-Identifier: MIT */
/* The calls of the application are served on the dispatch path: no libc. */
#include "transform/signals.h"

#include <errno.h>
#include <linux/sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gate.h"
#include "base/lock.h"
#include "base/memory.h"
#include "transform/entry.h"

#define SIGNAL_COUNT 64

/* The kernel's struct sigaction (arch/x86/include/uapi/asm/signal.h); libc's is another. */
struct action {
    uintptr_t handler;
    unsigned long flags;
    uintptr_t restorer;
    uint64_t mask;
};

#define SA_RESTORER_FLAG 0x04000000ul

/* The kernel keeps these flags of an action, and no others (UAPI_SA_FLAGS). */
#define KEPT_FLAGS                                                                     \
    (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER | \
     SA_RESETHAND | SA_RESTORER_FLAG | 0x800ul /* SA_EXPOSE_TAGBITS */)
#ifndef SYS_SECCOMP /* si_code, asm-generic/siginfo.h */
#    define SYS_SECCOMP 1
#endif
#ifndef CLONE_CLEAR_SIGHAND /* linux/sched.h since 5.5 */
#    define CLONE_CLEAR_SIGHAND 0x100000000ull
#endif

static struct {
    _Atomic uint64_t reserved;               /* the signals, as a mask */
    struct sta__lock lock;                   /* protects `actions` */
    struct action actions[SIGNAL_COUNT + 1]; /* the application's, for reserved signals */
    struct action ours[SIGNAL_COUNT + 1];    /* what is installed for them */
    /* For the others: which reserved signals the application has in its sa_mask. */
    _Atomic uint64_t masked[SIGNAL_COUNT + 1];
} state;

/*
 * The mask of this thread. While `is_masking`, reserved signals are not blocked, whatever the
 * application wants; what it wants is here. Else it is as the kernel has it. A method may begin or
 * end this in a signal handler at any moment, so it is changed with signals blocked.
 */
static STA__THREAD_LOCAL bool is_masking;
static STA__THREAD_LOCAL uint64_t app_blocked;
/* While the thread waits with another mask in force (sigsuspend, ppoll, ...), that one. */
static STA__THREAD_LOCAL bool is_waiting;
static STA__THREAD_LOCAL uint64_t waiting_blocked;
/* A signal that came while the application blocked it, for when it no longer does. The kernel, too,
 * keeps only one of each. si_signo 0: none. */
static STA__THREAD_LOCAL siginfo_t deferred;

/* A process that shares memory with its parent, but not the actions: a vfork child mostly. What it
 * changes before it execs must not reach the parent. One reserved signal is all there is so far. */
static STA__THREAD_LOCAL bool has_own_action;
static STA__THREAD_LOCAL struct action own_action;

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

static void copy(void *to, const void *from, size_t size)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

static uint64_t *mask_of(ucontext_t *context)
{
    return (uint64_t *)&context->uc_sigmask;
}

static int send_self(siginfo_t *info)
{
    return (int)STA__RAW4(SYS_rt_tgsigqueueinfo, STA__RAW0(SYS_getpid), STA__RAW0(SYS_gettid),
                          info->si_signo, info);
}

static bool app_blocks(int signal)
{
    return (is_waiting ? waiting_blocked : app_blocked) & bit(signal);
}

/* Sends the deferred signal again if the application does not block it any more; true if so. */
static bool send_deferred(void)
{
    if (!deferred.si_signo || app_blocks(deferred.si_signo) || sta__entry_borrows)
        return false;
    siginfo_t info;

    copy(&info, &deferred, sizeof(info));
    deferred.si_signo = 0;
    send_self(&info);
    return true;
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

        if ((reserved() & bit(signal)) || set_action(signal, NULL, &action) < 0 ||
            !(action.mask & added))
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
    struct action *ours = &state.ours[signal];
    int err;

    if (reserved() & bit(signal)) /* still, since the last time */
        return 0;
    ours->handler = (uintptr_t)handler;
    ours->flags = SA_SIGINFO | SA_RESTART | SA_RESTORER_FLAG;
    ours->restorer = (uintptr_t)sta__signals_restorer;
    ours->mask = UINT64_MAX;
    err = set_action(signal, ours, &state.actions[signal]);
    if (err < 0)
        return err;
    atomic_fetch_or_explicit(&state.reserved, bit(signal), memory_order_release);
    sta__signals_strip();
    return 0;
}

void sta__signals_strip(void)
{
    strip_actions(reserved());
}

void sta__signals_release(int signal)
{
    atomic_fetch_and_explicit(&state.reserved, ~bit(signal), memory_order_release);
    set_action(signal, &state.actions[signal], NULL);
    unstrip_actions(bit(signal));
}

void sta__signals_unblock(ucontext_t *context)
{
    uint64_t ours = reserved(), all = UINT64_MAX, old = 0;

    if (context) {
        app_blocked |= *mask_of(context) & ours;
        *mask_of(context) &= ~ours;
        is_masking = true;
        return;
    }
    STA__RAW4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof(old));
    app_blocked |= old & ours;
    is_masking = true;
    set_mask(SIG_SETMASK, old & ~ours);
}

void sta__signals_block_again(ucontext_t *context)
{
    uint64_t blocked = app_blocked;

    if (context)
        *mask_of(context) |= blocked;
    else if (blocked)
        set_mask(SIG_BLOCK, blocked);
    if (sta__entry_borrows)
        return;
    app_blocked = 0;
    is_masking = false;
    send_deferred();
}

uint64_t sta__signals_app_blocked(void)
{
    return app_blocked;
}

/* CLONE_CLEAR_SIGHAND: all handlers are gone, ours too. */
static void restore_handlers(struct action *app)
{
    if (app->handler != (uintptr_t)SIG_IGN)
        app->handler = (uintptr_t)SIG_DFL;
    for (int signal = 1; signal <= SIGNAL_COUNT; signal++) {
        if (reserved() & bit(signal))
            set_action(signal, &state.ours[signal], NULL);
    }
}

void sta__signals_began(uint64_t clone_flags, uint64_t blocked)
{
    bool shares_memory = clone_flags & CLONE_VM;

    app_blocked = blocked;
    if (!sta__entry_borrows)
        deferred.si_signo = 0;
    if (shares_memory && !(clone_flags & CLONE_SIGHAND) && !has_own_action) {
        own_action = state.actions[SIGSYS];
        has_own_action = true;
    }
    if (clone_flags & CLONE_CLEAR_SIGHAND)
        restore_handlers(has_own_action ? &own_action : &state.actions[SIGSYS]);
}

void sta__signals_given_back(uint64_t blocked)
{
    if (is_masking)
        app_blocked = blocked;
    has_own_action = sta__entry_borrows;
}

static void die_of(int signal)
{
    const struct action fatal = {.handler = (uintptr_t)SIG_DFL};

    set_action(signal, &fatal, NULL);
    STA__RAW3(SYS_tgkill, STA__RAW0(SYS_getpid), STA__RAW0(SYS_gettid), signal);
    set_mask(SIG_UNBLOCK, bit(signal));
}

/* Reads and writes the application's action for a reserved signal. */
static void change_action(int signal, const struct action *new, struct action *old)
{
    struct sta__lock_state saved;

    if (has_own_action) {
        *old = own_action;
        if (new)
            own_action = *new;
        return;
    }
    sta__lock(&state.lock, &saved);
    *old = state.actions[signal];
    if (new)
        state.actions[signal] = *new;
    sta__unlock(&state.lock, &saved);
}

/* The action to take for a signal that has arrived. */
static struct action take_action(int signal)
{
    struct action action, after;

    change_action(signal, NULL, &action);
    if (action.flags & SA_RESETHAND && action.handler > (uintptr_t)SIG_IGN) {
        after = action;
        after.handler = (uintptr_t)SIG_DFL;
        change_action(signal, &after, &action);
    }
    return action;
}

/* Runs the application's handler. It sees the interrupted mask as it believes it to be, and what it
 * makes of it there holds when it returns. */
static void run_handler(const struct action *action, int signal, siginfo_t *info,
                        ucontext_t *context)
{
    uint64_t mask = action->mask;

    if (!(action->flags & SA_NODEFER))
        mask |= bit(signal);
    *mask_of(context) |= app_blocked;
    is_waiting = false;
    mask |= *mask_of(context);
    app_blocked = mask & reserved();
    /* The handler's calls are intercepted, so reserved signals must not stay blocked. */
    set_mask(SIG_SETMASK, mask & ~reserved());
    if (action->flags & SA_SIGINFO)
        ((void (*)(int, siginfo_t *, void *))action->handler)(signal, info, context);
    else
        ((void (*)(int))action->handler)(signal);
    set_mask(SIG_SETMASK, UINT64_MAX);
    if (!is_masking)
        return;
    app_blocked = *mask_of(context) & reserved();
    *mask_of(context) &= ~reserved();
    send_deferred();
}

void sta__signals_chain(int signal, siginfo_t *info, void *context)
{
    /* The kernel's own cannot wait: the instruction has failed. */
    bool is_forced = info->si_code == SYS_SECCOMP;
    bool is_blocked = app_blocks(signal);
    struct action action;

    if (is_blocked && !is_forced) {
        if (!deferred.si_signo && !sta__entry_borrows)
            copy(&deferred, info, sizeof(deferred));
        return;
    }
    action = take_action(signal);
    if (action.handler == (uintptr_t)SIG_IGN && !is_forced)
        return;
    if (action.handler <= (uintptr_t)SIG_IGN || is_blocked)
        die_of(signal);
    else
        run_handler(&action, signal, info, context);
}

/* rt_sigaction(signal, action, old, size) */
static int64_t call_sigaction(const unsigned long *args)
{
    int signal = (int)args[0];
    const void *new_at = (const void *)args[1];
    void *old_at = (void *)args[2];
    struct action new = {0}, old;
    int64_t err = 0;

    if (new_at && !sta__memory_read(&new, new_at, sizeof(new)))
        return -EFAULT;
    if (reserved() & bit(signal)) {
        new.flags &= KEPT_FLAGS;
        new.mask &= ~(bit(SIGKILL) | bit(SIGSTOP));
        change_action(signal, new_at ? &new : NULL, &old);
    } else {
        uint64_t masked = atomic_load_explicit(&state.masked[signal], memory_order_relaxed);
        struct action stripped = new;

        stripped.mask &= ~reserved();
        err = set_action(signal, new_at ? &stripped : NULL, &old);
        if (err < 0)
            return err;
        if (new_at && !has_own_action)
            atomic_store_explicit(&state.masked[signal], new.mask &reserved(),
                                  memory_order_relaxed);
        old.mask |= masked;
    }
    return old_at && !sta__memory_write(old_at, &old, sizeof(old)) ? -EFAULT : err;
}

static uint64_t changed_mask(int how, uint64_t old, uint64_t set)
{
    return how == SIG_BLOCK ? old | set : how == SIG_UNBLOCK ? old & ~set : set;
}

/* rt_sigprocmask(how, set, old, size) */
static int64_t call_sigprocmask(const unsigned long *args)
{
    const void *set_at = (const void *)args[1];
    void *old_at = (void *)args[2];
    uint64_t set = 0, all = UINT64_MAX, old, new;
    int how = (int)args[0];

    if (set_at && !sta__memory_read(&set, set_at, sizeof(set)))
        return -EFAULT;
    if (set_at && how != SIG_BLOCK && how != SIG_UNBLOCK && how != SIG_SETMASK)
        return -EINVAL;
    STA__RAW4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof(old));
    old |= app_blocked;
    new = set_at ? changed_mask(how, old, set) : old;
    if (is_masking) {
        app_blocked = new &reserved();
        new &= ~reserved();
    }
    is_waiting = is_waiting && !set_at;
    set_mask(SIG_SETMASK, new);
    send_deferred();
    return old_at && !sta__memory_write(old_at, &old, sizeof(old)) ? -EFAULT : 0;
}

/* Anything else the kernel refuses, or takes for no mask. */
static bool is_mask(unsigned long pointer, unsigned long size)
{
    return pointer != 0 && size == sizeof(uint64_t);
}

/* rt_sigpending(set, size) */
static int64_t call_sigpending(const unsigned long *args)
{
    uint64_t pending;
    int64_t err = STA__RAW2(SYS_rt_sigpending, &pending, sizeof(pending));

    if (err < 0)
        return err;
    if (deferred.si_signo)
        pending |= bit(deferred.si_signo);
    return sta__memory_write((void *)args[0], &pending, sizeof(pending)) ? 0 : -EFAULT;
}

/* If the deferred signal is in `set`: hands it out as rt_sigtimedwait does. Else returns `result`.
 */
static int64_t take_deferred(uint64_t set, void *info_at, int64_t result)
{
    int signal = deferred.si_signo;

    if (!signal || !(set & bit(signal)))
        return result;
    result = info_at && !sta__memory_write(info_at, &deferred, sizeof(deferred)) ? -EFAULT : signal;
    deferred.si_signo = 0;
    return result;
}

/* rt_sigtimedwait(set, info, timeout, size). A reserved signal that the application waits for comes
 * to its handler, is deferred there, and ends the wait with EINTR. */
static int64_t call_sigtimedwait(const unsigned long *args)
{
    uint64_t set, stripped;
    int64_t result;

    if (!sta__memory_read(&set, (const void *)args[0], sizeof(set)))
        return -EFAULT;
    result = take_deferred(set, (void *)args[1], 0);
    if (result)
        return result;
    stripped = set & ~reserved();
    result = STA__RAW4(SYS_rt_sigtimedwait, &stripped, args[1], args[2], sizeof(stripped));
    return result == -EINTR ? take_deferred(set, (void *)args[1], result) : result;
}

/* signalfd4(fd, mask, size, flags): reserved signals do not come that way. */
static int64_t call_signalfd(const struct sta__call *call)
{
    const unsigned long *args = call->enter.args;
    uint64_t mask;

    if (!sta__memory_read(&mask, (const void *)args[1], sizeof(mask)))
        return -EFAULT;
    mask &= ~reserved();
    return STA__RAW4(call->enter.id, args[0], &mask, args[2], args[3]);
}

/* Makes a call that waits with another mask in force; `args` has the one without reserved signals.
 */
static int64_t call_under_mask(int64_t sys_nr, const uint64_t *args, uint64_t mask)
{
    int64_t result = -EINTR;

    waiting_blocked = mask & reserved();
    is_waiting = true;
    if (!send_deferred())
        result = STA__RAW6(sys_nr, args[0], args[1], args[2], args[3], args[4], args[5]);
    is_waiting = false;
    return result;
}

/* Such a call with a pointer to the mask as its argument number `index`. */
static int64_t call_with_mask(const struct sta__call *call, unsigned index)
{
    uint64_t args[6], mask, stripped;

    for (unsigned i = 0; i < 6; i++)
        args[i] = call->enter.args[i];
    if (!sta__memory_read(&mask, (const void *)args[index], sizeof(mask)))
        return -EFAULT;
    stripped = mask & ~reserved();
    args[index] = (uint64_t)&stripped;
    return call_under_mask(call->enter.id, args, mask);
}

/* The same, where the argument (the sixth) points to a pair of the mask's address and its size. */
static int64_t call_with_mask_pair(const struct sta__call *call)
{
    uint64_t args[6], pair[2], mask = app_blocked, stripped;

    for (unsigned i = 0; i < 6; i++)
        args[i] = call->enter.args[i];
    if (!sta__memory_read(pair, (const void *)args[5], sizeof(pair)))
        return -EFAULT;
    if (is_mask(pair[0], pair[1])) {
        if (!sta__memory_read(&mask, (const void *)pair[0], sizeof(mask)))
            return -EFAULT;
        stripped = mask & ~reserved();
        pair[0] = (uint64_t)&stripped;
    }
    args[5] = (uint64_t)pair;
    return call_under_mask(call->enter.id, args, mask);
}

/* What an application that blocks a reserved signal, or ignores it, hands down to the program that
 * it becomes. The thread's own calls must not trap meanwhile. */
static int64_t call_exec(const struct sta__call *call, bool ignored)
{
    const struct sta__thread_hooks *hooks =
        atomic_load_explicit(&sta__thread_hooks, memory_order_acquire);
    const struct action ignore = {.handler = (uintptr_t)SIG_IGN};
    const unsigned long *args = call->enter.args;
    /* A thread that traps while the signal is ignored dies. */
    bool alone = !hooks->pause() || has_own_action;
    int64_t err;

    set_mask(SIG_BLOCK, app_blocked);
    if (ignored && alone)
        set_action(SIGSYS, &ignore, NULL);
    err = STA__RAW6(call->enter.id, args[0], args[1], args[2], args[3], args[4], args[5]);
    if (ignored && alone)
        set_action(SIGSYS, &state.ours[SIGSYS], NULL);
    set_mask(SIG_UNBLOCK, app_blocked);
    hooks->resume();
    return err;
}

/* What is not of the form that concerns us (no mask, a wrong size) is left to the kernel. */
bool sta__signals_call(struct sta__call *call)
{
    const unsigned long *args = call->enter.args;
    struct action action;
    bool ignored;

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
    case SYS_rt_sigpending:
        if (args[1] != sizeof(uint64_t))
            return false;
        call->ret = call_sigpending(args);
        return true;
    case SYS_rt_sigtimedwait:
        if (args[3] != sizeof(uint64_t))
            return false;
        call->ret = call_sigtimedwait(args);
        return true;
    case SYS_signalfd:
    case SYS_signalfd4:
        if (!is_mask(args[1], args[2]))
            return false;
        call->ret = call_signalfd(call);
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
    case SYS_execve:
    case SYS_execveat:
        change_action(SIGSYS, NULL, &action);
        ignored = action.handler == (uintptr_t)SIG_IGN;
        if (!ignored && !app_blocked)
            return false;
        call->ret = call_exec(call, ignored);
        return true;
    default:
        return false;
    }
}

void sta__signals_returning(ucontext_t *context)
{
    if (!is_masking)
        return;
    app_blocked |= *mask_of(context) & reserved();
    *mask_of(context) &= ~reserved();
}
