/* SPDX-License-Identifier: MIT */
/* The application's calls about signals, made in its name without reserved signals in their masks.
 * On the dispatch path: no libc. */
#include "transform/signals.h"

#include <errno.h>

#include "base/copy_user.h"
#include "base/memory.h"
#include "transform/entry.h"
#include "transform/faults.h"
#include "transform/signals_state.h"
#include "transform/text.h"

/* The kernel keeps these flags of an action, and no others (UAPI_SA_FLAGS). */
#define KEPT_FLAGS                                                                     \
    (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER | \
     SA_RESETHAND | STA__SA_RESTORER | 0x800ul /* SA_EXPOSE_TAGBITS */)

/* Of a signal whose action is the library's. False: it is not any more. */
static bool change_taken(int signal, const struct sta__action *given, struct sta__action *old)
{
    if (!(sta__signals_reserved() & sta__signal_bit(signal)))
        return sta__faults_change_action(signal, given, old);
    sta__signals_change_action(signal, given, old);
    return true;
}

/* Of another one. */
static int64_t change_other(int signal, const struct sta__action *given, struct sta__action *old)
{
    uint64_t masked = atomic_load_explicit(&sta__signals.masked[signal], memory_order_relaxed);
    struct sta__action stripped;
    int64_t err;

    if (given) {
        stripped = *given;
        stripped.mask &= ~sta__signals_taken();
    }
    err = sta__signals_set_action(signal, given ? &stripped : NULL, old);
    if (err < 0)
        return err;
    if (given && !sta__masking.has_own_actions)
        atomic_store_explicit(&sta__signals.masked[signal], given->mask & sta__signals_taken(),
                              memory_order_relaxed);
    old->mask |= masked;
    return 0;
}

/* rt_sigaction(signal, action, old, size) */
static int64_t call_sigaction(const unsigned long *args)
{
    int signal = (int)args[0];
    const void *given_at = (const void *)args[1];
    void *old_at = (void *)args[2];
    struct sta__action given = {0}, old;
    int64_t err;

    if (given_at && !sta__memory_read(&given, given_at, sizeof(given)))
        return -EFAULT;
    given.flags &= KEPT_FLAGS;
    given.mask &= ~(sta__signal_bit(SIGKILL) | sta__signal_bit(SIGSTOP));
    if (!(sta__signals_taken() & sta__signal_bit(signal)) ||
        !change_taken(signal, given_at ? &given : NULL, &old)) {
        err = change_other(signal, given_at ? &given : NULL, &old);
        if (err < 0)
            return err;
    }
    return old_at && !sta__memory_write(old_at, &old, sizeof(old)) ? -EFAULT : 0;
}

static uint64_t changed_mask(int how, uint64_t old, uint64_t set)
{
    return how == SIG_BLOCK ? old | set : how == SIG_UNBLOCK ? old & ~set : set;
}

/* Where no signals are reserved the mask is the application's own. */
static int64_t call_sigprocmask_natively(const unsigned long *args)
{
    uint32_t known = sta__faults_change();
    int64_t result = STA__RAW4(SYS_rt_sigprocmask, args[0], args[1], args[2], args[3]);

    sta__faults_changed(known);
    return result;
}

/* rt_sigprocmask(how, set, old, size) */
static int64_t call_sigprocmask(const unsigned long *args)
{
    const void *set_at = (const void *)args[1];
    void *old_at = (void *)args[2];
    uint64_t set = 0, all = UINT64_MAX, old, given;
    int how = (int)args[0];

    if (set_at && !sta__memory_read(&set, set_at, sizeof(set)))
        return -EFAULT;
    if (set_at && how != SIG_BLOCK && how != SIG_UNBLOCK && how != SIG_SETMASK)
        return -EINVAL;
    STA__RAW4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof(old));
    old |= sta__masking.app_blocked;
    given = set_at ? changed_mask(how, old, set) : old;
    if (sta__masking.is_masking) {
        sta__masking.app_blocked = given & sta__signals_reserved();
        given &= ~sta__signals_reserved();
    }
    sta__masking.is_waiting = sta__masking.is_waiting && !set_at;
    sta__faults_mask(given);
    sta__signals_set_mask(SIG_SETMASK, given);
    sta__signals_send_deferred();
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
    for (unsigned i = 0; i < STA__RESERVABLE_COUNT; i++) {
        if (sta__masking.deferred[i].si_signo)
            pending |= sta__signal_bit(sta__masking.deferred[i].si_signo);
    }
    return sta__memory_write((void *)args[0], &pending, sizeof(pending)) ? 0 : -EFAULT;
}

/* A deferred signal in `set`; NULL: there is none. */
static siginfo_t *find_deferred(uint64_t set)
{
    for (unsigned i = 0; i < STA__RESERVABLE_COUNT; i++) {
        siginfo_t *deferred = &sta__masking.deferred[i];

        if (deferred->si_signo && (set & sta__signal_bit(deferred->si_signo)))
            return deferred;
    }
    return NULL;
}

/* If a deferred signal is in `set`: hands it out as rt_sigtimedwait does. Else returns `result`. */
static int64_t take_deferred(uint64_t set, void *info_at, int64_t result)
{
    siginfo_t *deferred = find_deferred(set);

    if (!deferred)
        return result;
    result = info_at && !sta__memory_write(info_at, deferred, sizeof(*deferred))
                 ? -EFAULT
                 : deferred->si_signo;
    deferred->si_signo = 0;
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
    stripped = set & ~sta__signals_reserved();
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
    mask &= ~sta__signals_reserved();
    return STA__RAW4(call->enter.id, args[0], &mask, args[2], args[3]);
}

/* Makes a call that waits with another mask in force; `args` has the one without reserved signals.
 */
static int64_t call_under_mask(int64_t sys_nr, const uint64_t *args, uint64_t mask)
{
    int64_t result = -EINTR;
    uint32_t known = sta__faults_wait();

    sta__masking.waiting_blocked = mask & sta__signals_reserved();
    sta__masking.is_waiting = true;
    if (!sta__signals_send_deferred())
        result = STA__RAW6(sys_nr, args[0], args[1], args[2], args[3], args[4], args[5]);
    sta__masking.is_waiting = false;
    sta__faults_waited(known);
    return result;
}

/* Where no signals are reserved: it does not matter with which mask. */
static int64_t call_waiting(const struct sta__call *call)
{
    const unsigned long *args = call->enter.args;
    uint32_t known = sta__faults_wait();
    int64_t result =
        STA__RAW6(call->enter.id, args[0], args[1], args[2], args[3], args[4], args[5]);

    sta__faults_waited(known);
    return result;
}

/* Such a call with a pointer to the mask as its argument number `index`. */
static int64_t call_with_mask(const struct sta__call *call, unsigned index)
{
    uint64_t args[6], mask, stripped;

    if (!sta__signals_reserved())
        return call_waiting(call);
    for (unsigned i = 0; i < 6; i++)
        args[i] = call->enter.args[i];
    if (!sta__memory_read(&mask, (const void *)args[index], sizeof(mask)))
        return -EFAULT;
    stripped = mask & ~sta__signals_reserved();
    args[index] = (uint64_t)&stripped;
    return call_under_mask(call->enter.id, args, mask);
}

/* The same, where the argument (the sixth) points to a pair of the mask's address and its size. */
static int64_t call_with_mask_pair(const struct sta__call *call)
{
    uint64_t args[6], pair[2], mask = sta__masking.app_blocked, stripped;

    if (!sta__signals_reserved())
        return call_waiting(call);
    for (unsigned i = 0; i < 6; i++)
        args[i] = call->enter.args[i];
    if (!sta__memory_read(pair, (const void *)args[5], sizeof(pair)))
        return -EFAULT;
    if (is_mask(pair[0], pair[1])) {
        if (!sta__memory_read(&mask, (const void *)pair[0], sizeof(mask)))
            return -EFAULT;
        stripped = mask & ~sta__signals_reserved();
        pair[0] = (uint64_t)&stripped;
    }
    args[5] = (uint64_t)pair;
    return call_under_mask(call->enter.id, args, mask);
}

/* The taken signals that the application ignores. */
static uint64_t ignored_signals(void)
{
    uint64_t ignored = 0;

    for (unsigned i = 0; i < STA__TAKEABLE_COUNT; i++) {
        int signal = sta__takeable(i);
        struct sta__action action;

        if (!(sta__signals_taken() & sta__signal_bit(signal)))
            continue;
        sta__signals_change_action(signal, NULL, &action);
        if (action.handler == (uintptr_t)SIG_IGN)
            ignored |= sta__signal_bit(signal);
    }
    return ignored;
}

/* Ignores these signals in fact, or has them handled again. */
static void ignore(uint64_t signals, bool really)
{
    const struct sta__action ignoring = {.handler = (uintptr_t)SIG_IGN};

    for (unsigned i = 0; i < STA__TAKEABLE_COUNT; i++) {
        int signal = sta__takeable(i);
        struct sta__action ours;

        if (!(signals & sta__signal_bit(signal)))
            continue;
        ours = sta__signals_installed(signal, &ignoring);
        sta__signals_set_action(signal, really ? &ignoring : &ours, NULL);
    }
}

/* What an application that blocks a reserved signal, or ignores it, hands down to the program that
 * it becomes. The thread's own calls must not trap meanwhile. */
static int64_t call_exec(const struct sta__call *call, uint64_t ignored)
{
    const struct sta__thread_hooks *hooks =
        atomic_load_explicit(&sta__thread_hooks, memory_order_acquire);
    const unsigned long *args = call->enter.args;
    /* A thread that traps, or faults, while the signal is ignored dies. */
    bool alone = (hooks ? !hooks->pause() : sta__text_is_alone()) || sta__masking.has_own_actions;
    int64_t err;

    sta__signals_set_mask(SIG_BLOCK, sta__masking.app_blocked);
    if (alone)
        ignore(ignored, true);
    err = STA__RAW6(call->enter.id, args[0], args[1], args[2], args[3], args[4], args[5]);
    if (alone)
        ignore(ignored, false);
    sta__signals_set_mask(SIG_UNBLOCK, sta__masking.app_blocked);
    if (hooks)
        hooks->resume();
    return err;
}

bool sta__signals_may_concern(int64_t sys_nr)
{
    switch (sys_nr) {
    case SYS_rt_sigaction:
    case SYS_rt_sigprocmask:
    case SYS_rt_sigpending:
    case SYS_rt_sigtimedwait:
    case SYS_rt_sigreturn:
    case SYS_signalfd:
    case SYS_signalfd4:
    case SYS_rt_sigsuspend:
    case SYS_ppoll:
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
    case SYS_pselect6:
    case SYS_io_pgetevents:
    case SYS_io_uring_enter:
    case SYS_execve:
    case SYS_execveat:
        return true;
    default:
        return false;
    }
}

bool sta__signals_concern(int64_t sys_nr)
{
    return sta__signals_taken() && sta__signals_may_concern(sys_nr);
}

/* What is not of the form that concerns us (no mask, a wrong size) is left to the kernel. */
bool sta__signals_call(struct sta__call *call)
{
    const unsigned long *args = call->enter.args;
    uint64_t ignored;

    if (!sta__signals_taken())
        return false;
    switch (call->enter.id) {
    case SYS_rt_sigaction:
        if (args[3] != sizeof(uint64_t) || (int)args[0] < 1 || (int)args[0] > STA__SIGNAL_COUNT)
            return false;
        call->ret = call_sigaction(args);
        return true;
    case SYS_rt_sigprocmask:
        if (args[3] != sizeof(uint64_t))
            return false;
        call->ret =
            sta__signals_reserved() ? call_sigprocmask(args) : call_sigprocmask_natively(args);
        return true;
    case SYS_rt_sigpending:
        if (!sta__signals_reserved() || args[1] != sizeof(uint64_t))
            return false;
        call->ret = call_sigpending(args);
        return true;
    case SYS_rt_sigtimedwait:
        if (!sta__signals_reserved() || args[3] != sizeof(uint64_t))
            return false;
        call->ret = call_sigtimedwait(args);
        return true;
    case SYS_signalfd:
    case SYS_signalfd4:
        if (!sta__signals_reserved() || !is_mask(args[1], args[2]))
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
    case SYS_io_uring_enter:
        if (!args[4])
            return false;
        call->ret = call_waiting(call);
        return true;
    case SYS_execve:
    case SYS_execveat:
        ignored = ignored_signals();
        if (!ignored && !sta__masking.app_blocked)
            return false;
        call->ret = call_exec(call, ignored);
        return true;
    default:
        return false;
    }
}
