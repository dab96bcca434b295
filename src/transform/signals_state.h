/* SPDX-License-Identifier: MIT */
/*
 * What is known of the application's use of signals: shared by signals.c, which delivers them, and
 * signal_calls.c, which makes the application's calls. Nobody else includes this.
 */
#ifndef STA_TRANSFORM_SIGNALS_STATE_H
#define STA_TRANSFORM_SIGNALS_STATE_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/gate.h"
#include "base/lock.h"

#define STA__SIGNAL_COUNT 64

/* The signals that methods reserve: SIGSYS and SIGILL. */
#define STA__RESERVABLE_COUNT 2

STA__INLINE int sta__reservable(unsigned index)
{
    return index == 0 ? SIGSYS : SIGILL;
}

STA__INLINE unsigned sta__reservable_index(int signal)
{
    return signal == SIGSYS ? 0 : 1;
}

/* The kernel's struct sigaction (arch/x86/include/uapi/asm/signal.h); libc's is another. */
struct sta__action {
    uintptr_t handler;
    unsigned long flags;
    uintptr_t restorer;
    uint64_t mask;
};

#define STA__SA_RESTORER 0x04000000ul

/* The process's. */
struct sta__signals {
    _Atomic uint64_t reserved;                         /* the signals, as a mask */
    struct sta__lock lock;                             /* protects `actions` */
    struct sta__action actions[STA__SIGNAL_COUNT + 1]; /* the application's, for reserved signals */
    struct sta__action ours[STA__SIGNAL_COUNT + 1];    /* what is installed for them */
    /* For the others: which reserved signals the application has in its sa_mask. */
    _Atomic uint64_t masked[STA__SIGNAL_COUNT + 1];
};

/*
 * The thread's mask. While `is_masking`, reserved signals are not blocked, whatever the application
 * wants; what it wants is here. Else it is as the kernel has it. A method may begin or end this in
 * a signal handler at any moment, so it is changed with signals blocked.
 */
struct sta__masking {
    bool is_masking;
    uint64_t app_blocked;
    /* While the thread waits with another mask in force (sigsuspend, ppoll, ...), that one. */
    bool is_waiting;
    uint64_t waiting_blocked;
    /* Signals that came while the application blocked them, for when it no longer does. The kernel,
     * too, keeps only one of each. si_signo 0: none. */
    siginfo_t deferred[STA__RESERVABLE_COUNT];
    /* A process that shares memory with its parent, but not the actions: a vfork child mostly. What
     * it changes before it execs must not reach the parent. */
    bool has_own_actions;
    struct sta__action own_actions[STA__RESERVABLE_COUNT];
};

extern STA__HIDDEN struct sta__signals sta__signals;
extern STA__HIDDEN STA__THREAD_LOCAL struct sta__masking sta__masking;

STA__INLINE uint64_t sta__signal_bit(int signal)
{
    return UINT64_C(1) << (signal - 1);
}

STA__INLINE uint64_t sta__signals_reserved(void)
{
    return atomic_load_explicit(&sta__signals.reserved, memory_order_relaxed);
}

STA__INLINE int sta__signals_set_action(int signal, const struct sta__action *action,
                                        struct sta__action *old)
{
    return (int)STA__RAW4(SYS_rt_sigaction, signal, action, old, sizeof(uint64_t));
}

STA__INLINE void sta__signals_set_mask(int how, uint64_t mask)
{
    STA__RAW4(SYS_rt_sigprocmask, how, &mask, 0, sizeof(mask));
}

/* Sends the deferred signals that the application does not block any more; true if there were some.
 */
bool sta__signals_send_deferred(void);

/* Reads and, if `new` is not NULL, writes the application's action for a reserved signal. */
void sta__signals_change_action(int signal, const struct sta__action *new, struct sta__action *old);

#endif
