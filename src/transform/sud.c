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

#include "attach/registry.h"
#include "base/gate.h"
#include "base/quiesce.h"
#include "transform/door.h"
#include "transform/entry.h"
#include "transform/int80.h"
#include "transform/newcode.h"
#include "transform/notices.h"
#include "transform/signals.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH /* linux/prctl.h since 5.11 */
#    define PR_SET_SYSCALL_USER_DISPATCH 59
#    define PR_SYS_DISPATCH_OFF          0
#    define PR_SYS_DISPATCH_ON           1
#endif
#ifndef SYSCALL_DISPATCH_FILTER_BLOCK
#    define SYSCALL_DISPATCH_FILTER_ALLOW 0
#    define SYSCALL_DISPATCH_FILTER_BLOCK 1
#endif
#ifndef SYS_USER_DISPATCH /* si_code, asm-generic/siginfo.h */
#    define SYS_USER_DISPATCH 2
#endif

/* How long remove waits for threads that have answered. */
#define ANSWER_POLL_NS (100 * 1000)
#define ANSWER_POLLS   10000

static struct {
    _Atomic bool wanted;       /* threads are to be armed; else disarmed */
    _Atomic unsigned armed;    /* threads that are */
    _Atomic unsigned untraced; /* threads that cannot be */
} state;

/* Atomic, as the handler of a notice may change it at any moment. */
static STA__THREAD_LOCAL _Atomic bool armed;
static STA__THREAD_LOCAL bool ending; /* about to exit, and no longer counted */

static int64_t dispatch_on(void)
{
    return STA__RAW6(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, __start_sta_gate,
                     __stop_sta_gate - __start_sta_gate, 0, 0);
}

/* Of threads with a door: the kernel looks at it at each call (selector). */
static STA__THREAD_LOCAL unsigned char watched;

static int64_t dispatch_on_watched(void)
{
    watched = SYSCALL_DISPATCH_FILTER_BLOCK;
    return STA__RAW6(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, __start_sta_gate,
                     __stop_sta_gate - __start_sta_gate, &watched, 0);
}

static int64_t dispatch_off(void)
{
    return STA__RAW6(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0, 0);
}

/* `context`: what was interrupted, if this runs in the signal handler. */
static int64_t arm(ucontext_t *context)
{
    int64_t err;

    if (ending || sta__entry_borrows || atomic_exchange(&armed, true))
        return 0;
    sta__signals_unblock(context);
    err = sta__door ? dispatch_on_watched() : dispatch_on();
    if (err < 0) {
        armed = false;
        atomic_fetch_add_explicit(&state.untraced, 1, memory_order_relaxed);
        return err;
    }
    atomic_fetch_add_explicit(&state.armed, 1, memory_order_release);
    return 0;
}

static void disarm(ucontext_t *context)
{
    dispatch_off();
    sta__signals_block_again(context);
    /* A child that borrows the parent's thread-local storage is not counted; nor is a process that
     * shares memory. */
    if (!sta__entry_borrows && atomic_exchange(&armed, false))
        atomic_fetch_sub_explicit(&state.armed, 1, memory_order_release);
}

static bool is_wanted(void)
{
    return sta__door || atomic_load_explicit(&state.wanted, memory_order_acquire);
}

static void follow_wanted(ucontext_t *context)
{
    if (is_wanted())
        arm(context);
    else if (armed)
        disarm(context);
}

/* A thread of ours that waits in a call must not see EINTR because of our signal: the call is begun
 * again, as the kernel does for those that it restarts. */
static void begin_call_again(ucontext_t *context)
{
    greg_t *regs = context->uc_mcontext.gregs;
    bool is_behind_call = regs[REG_RIP] == (greg_t)sta__entry_call_end ||
                          regs[REG_RIP] == (greg_t)sta__entry_call_with_after_end;

    if (is_behind_call && regs[REG_RAX] == -EINTR) {
        regs[REG_RAX] = ((const struct sta__entry_frame *)regs[REG_RSP])->call.enter.id;
        regs[REG_RIP] -= 2;
    }
}

/* Whether a thread is as a system call instruction outside the gate leaves it: behind the
 * instruction, rcx its address, r11 the flags. (The entry leaves 0 in r11.) */
static bool is_behind_call(const greg_t *regs)
{
    uintptr_t at = (uintptr_t)regs[REG_RIP];

    if (at != (uintptr_t)regs[REG_RCX] || regs[REG_R11] != regs[REG_EFL] ||
        (at >= (uintptr_t)__start_sta_gate && at < (uintptr_t)__stop_sta_gate))
        return false;
    return ((const unsigned char *)at)[-2] == 0x0f && ((const unsigned char *)at)[-1] == 0x05;
}

/*
 * Follows what is wanted in a signal that is no trap.
 *
 * It may have taken a trap's place, since the kernel queues no second signal of a number: then the
 * thread is behind its system call instruction with nothing done, and has to go back to it. A
 * thread that was not armed has made the call, and r11, which is free there, tells the next signal.
 */
static void follow_wanted_unasked(ucontext_t *interrupted)
{
    greg_t *regs = interrupted->uc_mcontext.gregs;

    if (is_behind_call(regs)) {
        if (armed)
            regs[REG_RIP] -= 2; /* rax holds the number again: the kernel rolled the call back */
        else
            regs[REG_R11] = 0;
    }
    follow_wanted(interrupted);
}

static void on_sigsys(int signal, siginfo_t *info, void *context)
{
    ucontext_t *interrupted = context;
    greg_t *regs = interrupted->uc_mcontext.gregs;
    bool wanted;

    if (info->si_code != SYS_USER_DISPATCH) {
        bool is_notice = sta__notice_is(info);

        if (is_notice)
            sta__entry_borrows = false; /* children get none: this is the parent, just back */
        do
            follow_wanted_unasked(interrupted);
        while (!(is_notice ? sta__notice_answer(info) : sta__notice_answer_lost(signal)));
        if (is_notice)
            begin_call_again(interrupted);
        else
            sta__signals_chain(signal, info, context);
        return;
    }
    do {
        wanted = is_wanted();
        if (wanted)
            arm(interrupted);
        else
            disarm(interrupted);
    } while (!sta__notice_answer_lost(signal));
    if (!wanted) {
        regs[REG_RIP] -= 2; /* rax holds the number again: the kernel rolled the call back */
        return;
    }
    if (info->si_arch == AUDIT_ARCH_I386) {
        if (!sta__int80(regs)) {
            disarm(interrupted);
            atomic_fetch_add_explicit(&state.untraced, 1, memory_order_relaxed);
            regs[REG_RIP] -= 2;
        }
        return;
    }
    sta__newcode_trapped((uintptr_t)regs[REG_RIP] - 2, regs[REG_RAX]);
    regs[REG_RCX] = regs[REG_RIP];
    regs[REG_RIP] = (greg_t)sta__entry_by_jump;
}

/* A notice may come, and find nothing to change, after this has looked what is wanted and before it
 * has done so: look again. */
static void on_began(void)
{
    bool wanted;

    do {
        wanted = is_wanted();
        if (wanted)
            arm(NULL);
        else
            disarm(NULL);
    } while (wanted != is_wanted());
}

static void on_forked(void)
{
    atomic_store_explicit(&state.armed, 0, memory_order_relaxed);
    atomic_store_explicit(&state.untraced, 0, memory_order_relaxed);
    sta__notices_forked();
    armed = ending = false;
    follow_wanted(NULL);
}

/* `armed` and the counts are the parent's, who will go on with them. */
static void on_forked_vm(void)
{
    if (is_wanted())
        dispatch_on();
}

static void on_ends(void)
{
    if (sta__entry_borrows)
        return;
    ending = true;
    if (atomic_exchange(&armed, false))
        atomic_fetch_sub_explicit(&state.armed, 1, memory_order_release);
}

static bool on_pause(void)
{
    dispatch_off();
    return atomic_load_explicit(&state.armed, memory_order_relaxed) > 1;
}

static void on_resume(void)
{
    if (is_wanted())
        dispatch_on();
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
    .pause = on_pause,
    .resume = on_resume,
};

static int probe(const struct sta__log *log)
{
    int64_t err = dispatch_off();

    if (err < 0)
        sta__log(log, STA_LOG_ERROR, "Syscall User Dispatch does not work here (prctl: %s)",
                 strerror((int)-err));
    return (int)err;
}

static int reserve_signal(const struct sta__log *log)
{
    int err = sta__notices_init();

    if (err == 0)
        err = sta__signals_reserve(SIGSYS, on_sigsys);
    if (err < 0)
        sta__log(log, STA_LOG_ERROR, "cannot install a SIGSYS handler: %s", strerror(-err));
    return err;
}

int sta__sud_begin_thread(const struct sta__log *log)
{
    int err = probe(log);

    if (err == 0)
        err = reserve_signal(log);
    if (err < 0)
        return err;
    err = (int)arm(NULL);
    if (err == 0)
        return 0;
    sta__log(log, STA_LOG_ERROR, "cannot arm Syscall User Dispatch: %s", strerror(-err));
    sta__signals_block_again(NULL);
    sta__signals_release(SIGSYS);
    return err;
}

void sta__sud_watch(bool watch)
{
    watched = watch ? SYSCALL_DISPATCH_FILTER_BLOCK : SYSCALL_DISPATCH_FILTER_ALLOW;
    atomic_signal_fence(memory_order_seq_cst);
}

void sta__sud_end_thread(void)
{
    disarm(NULL);
    /* Not while other threads, which did not answer when a transformer was removed, need it. */
    if (atomic_load_explicit(&state.armed, memory_order_acquire) == 0)
        sta__signals_release(SIGSYS);
}

static int install(struct sta *sta, unsigned flags)
{
    const struct sta__log *log = &sta->log;
    int err = reserve_signal(log);

    (void)flags;
    if (err < 0)
        return err;
    atomic_store_explicit(&state.wanted, true, memory_order_release);
    atomic_store_explicit(&sta__thread_hooks, &hooks, memory_order_release);
    err = (int)arm(NULL);
    if (err < 0) {
        sta__log(log, STA_LOG_ERROR, "cannot arm Syscall User Dispatch: %s", strerror(-err));
        atomic_store_explicit(&sta__thread_hooks, NULL, memory_order_release);
        atomic_store_explicit(&state.wanted, false, memory_order_release);
        sta__signals_block_again(NULL);
        sta__signals_release(SIGSYS);
        return err;
    }
    sta__notices_send(SIGSYS, log);
    /* Until now other threads could still set one that blocks SIGSYS. */
    sta__signals_strip();
    return 0;
}

/* A thread that answered while it was between looking what is wanted and doing so is armed for a
 * moment still, see on_began(). Returns how many threads stay so. */
static unsigned wait_until_disarmed(void)
{
    const struct timespec interval = {.tv_nsec = ANSWER_POLL_NS};
    unsigned count;

    for (unsigned polls = 0;; polls++) {
        count = atomic_load_explicit(&state.armed, memory_order_acquire);
        if (count == 0 || polls == ANSWER_POLLS)
            return count;
        STA__RAW2(SYS_nanosleep, &interval, 0);
    }
}

static void remove_(struct sta *sta)
{
    const struct sta__log *log = &sta->log;
    unsigned left, still_armed;

    atomic_store_explicit(&state.wanted, false, memory_order_release);
    if (armed)
        disarm(NULL);
    left = sta__notices_send(SIGSYS, log);
    still_armed = wait_until_disarmed();
    if (left < still_armed)
        left = still_armed;
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
    out->threads_left = sta__notices_unanswered(SIGSYS) +
                        atomic_load_explicit(&state.untraced, memory_order_relaxed);
}

const struct sta__method sta__method_sud = {
    .id = STA_METHOD_SUD,
    .probe = probe,
    .install = install,
    .remove = remove_,
    .report = report,
};
