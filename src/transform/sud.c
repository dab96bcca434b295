/* SPDX-License-Identifier: MIT */
/*
 * Interception by Syscall User Dispatch (Documentation/admin-guide/syscall-user-dispatch.rst).
 *
 * The kernel turns each system call of an armed thread into a SIGSYS, unless the instruction lies
 * in the gate. The handler does no more than to send the thread to sta__entry, as if the
 * instruction had been a jump there, so no call is ever made inside a signal handler.
 *
 * Arming is per thread and not inherited. Existing threads are told to arm themselves by a queued
 * SIGSYS that carries our mark, new ones do it on their way out of clone. The same signal tells
 * them to disarm; a thread that it has not reached yet disarms itself at its next call.
 */
#include "transform/method.h"

#include <errno.h>
#include <linux/audit.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <ucontext.h>

#include "base/gate.h"
#include "base/quiesce.h"
#include "transform/entry.h"
#include "transform/int80.h"
#include "transform/signals.h"
#include "transform/tasks.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH /* linux/prctl.h since 5.11 */
#    define PR_SET_SYSCALL_USER_DISPATCH 59
#    define PR_SYS_DISPATCH_OFF          0
#    define PR_SYS_DISPATCH_ON           1
#endif
#ifndef SYS_USER_DISPATCH /* si_code, asm-generic/siginfo.h */
#    define SYS_USER_DISPATCH 2
#endif

/* How long install and remove wait for threads to answer. */
#define ANSWER_POLL_NS (100 * 1000)
#define ANSWER_POLLS   10000

static struct {
    _Atomic bool wanted;       /* threads are to be armed; else disarmed */
    _Atomic unsigned armed;    /* threads that are */
    _Atomic unsigned untraced; /* threads that cannot be */
    _Atomic unsigned told;     /* signals sent to other threads */
    _Atomic unsigned answered; /* signals that arrived */
} state;

static STA__THREAD_LOCAL bool armed;

static int64_t dispatch_on(void)
{
    return STA__RAW6(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, __start_sta_gate,
                     __stop_sta_gate - __start_sta_gate, 0, 0);
}

static int64_t dispatch_off(void)
{
    return STA__RAW6(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0, 0);
}

static int64_t arm(void)
{
    int64_t err;

    if (armed)
        return 0;
    sta__signals_unblock();
    err = dispatch_on();
    if (err < 0) {
        atomic_fetch_add_explicit(&state.untraced, 1, memory_order_relaxed);
        return err;
    }
    armed = true;
    atomic_fetch_add_explicit(&state.armed, 1, memory_order_release);
    return 0;
}

static void disarm(void)
{
    if (!armed)
        return;
    dispatch_off();
    armed = false;
    atomic_fetch_sub_explicit(&state.armed, 1, memory_order_release);
}

static void follow_wanted(void)
{
    if (atomic_load_explicit(&state.wanted, memory_order_acquire))
        arm();
    else
        disarm();
}

/* A thread of ours that waits in a call must not see EINTR because of our signal: the call is begun
 * again, as the kernel does for those that it restarts. */
static void begin_call_again(ucontext_t *context)
{
    greg_t *regs = context->uc_mcontext.gregs;

    if (regs[REG_RIP] == (greg_t)sta__entry_call_end && regs[REG_RAX] == -EINTR) {
        regs[REG_RAX] = ((const struct sta__entry_frame *)regs[REG_RSP])->call.enter.id;
        regs[REG_RIP] -= 2;
    }
}

static void on_sigsys(int signal, siginfo_t *info, void *context)
{
    ucontext_t *interrupted = context;
    greg_t *regs = interrupted->uc_mcontext.gregs;

    if (info->si_code == SI_QUEUE && info->si_value.sival_ptr == &state) {
        atomic_fetch_add_explicit(&state.answered, 1, memory_order_release);
        follow_wanted();
        begin_call_again(interrupted);
        return;
    }
    if (info->si_code != SYS_USER_DISPATCH) {
        sta__signals_chain(signal, info, context);
        return;
    }
    if (!atomic_load_explicit(&state.wanted, memory_order_acquire)) {
        disarm();
        regs[REG_RIP] -= 2; /* rax holds the number again: the kernel rolled the call back */
        return;
    }
    if (info->si_arch == AUDIT_ARCH_I386) {
        if (!sta__int80(regs)) {
            disarm();
            atomic_fetch_add_explicit(&state.untraced, 1, memory_order_relaxed);
            regs[REG_RIP] -= 2;
        }
        return;
    }
    regs[REG_RCX] = regs[REG_RIP];
    regs[REG_RIP] = (greg_t)sta__entry;
}

static void on_began(void)
{
    follow_wanted();
}

static void on_forked(void)
{
    atomic_store_explicit(&state.armed, 0, memory_order_relaxed);
    atomic_store_explicit(&state.untraced, 0, memory_order_relaxed);
    atomic_store_explicit(&state.told, 0, memory_order_relaxed);
    atomic_store_explicit(&state.answered, 0, memory_order_relaxed);
    armed = false;
    follow_wanted();
}

/* `armed` and the counts are the parent's, who will go on with them. */
static void on_forked_vm(void)
{
    if (atomic_load_explicit(&state.wanted, memory_order_acquire))
        dispatch_on();
}

static void on_ends(void)
{
    if (armed)
        atomic_fetch_sub_explicit(&state.armed, 1, memory_order_release);
    armed = false;
}

static void on_untraceable(void)
{
    atomic_fetch_add_explicit(&state.untraced, 1, memory_order_relaxed);
}

static const struct sta__thread_hooks hooks = {
    .began = on_began,
    .forked = on_forked,
    .forked_vm = on_forked_vm,
    .ends = on_ends,
    .untraceable = on_untraceable,
};

static int probe(const struct sta__log *log)
{
    int64_t err = dispatch_off();

    if (err < 0)
        sta__log(log, STA_LOG_ERROR, "Syscall User Dispatch does not work here (prctl: %s)",
                 strerror((int)-err));
    return (int)err;
}

static void tell(int tid, void *unused)
{
    siginfo_t info = {.si_signo = SIGSYS, .si_code = SI_QUEUE};

    (void)unused;
    info.si_pid = (int)STA__RAW0(SYS_getpid);
    info.si_uid = (unsigned)STA__RAW0(SYS_getuid);
    info.si_value.sival_ptr = &state;
    /* Before the signal: it may be answered at once. */
    atomic_fetch_add_explicit(&state.told, 1, memory_order_relaxed);
    if (STA__RAW4(SYS_rt_tgsigqueueinfo, info.si_pid, tid, SIGSYS, &info) < 0)
        atomic_fetch_sub_explicit(&state.told, 1, memory_order_relaxed);
}

static unsigned unanswered(void)
{
    return atomic_load_explicit(&state.told, memory_order_relaxed) -
           atomic_load_explicit(&state.answered, memory_order_acquire);
}

/* Tells every other thread, also those that are created meanwhile by threads not told yet, and
 * waits for the answers. Returns how many threads did not answer (they block SIGSYS). */
static unsigned tell_all(const struct sta__log *log)
{
    const struct timespec interval = {.tv_nsec = ANSWER_POLL_NS};
    struct sta__task_set *told = sta__task_set_new();
    unsigned polls = 0;

    if (!told) {
        sta__log(log, STA_LOG_WARN, "no memory to tell the other threads: they are left alone");
        return 0;
    }
    while (sta__tasks_visit_new(told, tell, NULL) > 0 ||
           (unanswered() > 0 && polls < ANSWER_POLLS)) {
        STA__RAW2(SYS_nanosleep, &interval, 0);
        polls++;
        if (unanswered() == sta__tasks_blocking(told, SIGSYS))
            break;
    }
    sta__task_set_free(told);
    return unanswered();
}

static int install(const struct sta__log *log)
{
    int err = sta__signals_reserve(SIGSYS, on_sigsys);
    unsigned silent;

    if (err < 0) {
        sta__log(log, STA_LOG_ERROR, "cannot install a SIGSYS handler: %s", strerror(-err));
        return err;
    }
    atomic_store_explicit(&state.wanted, true, memory_order_release);
    atomic_store_explicit(&sta__thread_hooks, &hooks, memory_order_release);
    err = (int)arm();
    if (err < 0) {
        sta__log(log, STA_LOG_ERROR, "cannot arm Syscall User Dispatch: %s", strerror(-err));
        atomic_store_explicit(&sta__thread_hooks, NULL, memory_order_release);
        atomic_store_explicit(&state.wanted, false, memory_order_release);
        sta__signals_release(SIGSYS);
        return err;
    }
    silent = tell_all(log);
    if (silent > 0)
        sta__log(log, STA_LOG_WARN,
                 "%u threads block SIGSYS and will be reached when they unblock it", silent);
    return 0;
}

static void remove_(const struct sta__log *log)
{
    unsigned left;

    atomic_store_explicit(&state.wanted, false, memory_order_release);
    disarm();
    tell_all(log);
    left = unanswered() + atomic_load_explicit(&state.armed, memory_order_acquire);
    if (left > 0) {
        /* Their next call, or the signal that waits for them, still needs the handler. */
        sta__log(log, STA_LOG_WARN, "%u threads do not answer: the SIGSYS handler stays for them",
                 left);
        return;
    }
    atomic_store_explicit(&sta__thread_hooks, NULL, memory_order_release);
    sta__signals_release(SIGSYS);
}

static void report(struct sta_transform_report *out)
{
    out->threads = atomic_load_explicit(&state.armed, memory_order_relaxed);
    out->threads_left = unanswered() + atomic_load_explicit(&state.untraced, memory_order_relaxed);
}

const struct sta__method sta__method_sud = {
    .id = STA_METHOD_SUD,
    .name = "syscall user dispatch",
    .probe = probe,
    .install = install,
    .remove = remove_,
    .report = report,
};
