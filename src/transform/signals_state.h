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

/* The signals whose actions may be the library's: those that methods reserve, SIGSYS and SIGILL,
 * and those that are shared, see faults.h: SIGSEGV and SIGBUS. */
#define STA__RESERVABLE_COUNT 2
#define STA__TAKEABLE_COUNT   4

STA__INLINE int sta__takeable(unsigned index)
{
    return index == 0 ? SIGSYS : index == 1 ? SIGILL : index == 2 ? SIGSEGV : SIGBUS;
}

STA__INLINE unsigned sta__takeable_index(int signal)
{
    return signal == SIGSYS ? 0 : signal == SIGILL ? 1 : signal == SIGSEGV ? 2 : 3;
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
    _Atomic uint64_t shared;                           /* likewise */
    struct sta__lock lock;                             /* protects `actions` */
    struct sta__action actions[STA__SIGNAL_COUNT + 1]; /* the application's, for taken signals */
    struct sta__action ours[STA__SIGNAL_COUNT + 1];    /* what is installed for reserved ones */
    /* For the others: which taken signals the application has in its sa_mask. */
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
    struct sta__action own_actions[STA__TAKEABLE_COUNT];
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

STA__INLINE uint64_t sta__signals_shared(void)
{
    /* Acquire: the application's actions have been saved. */
    return atomic_load_explicit(&sta__signals.shared, memory_order_acquire);
}

/* Whose actions are the library's. */
STA__INLINE uint64_t sta__signals_taken(void)
{
    return sta__signals_reserved() | sta__signals_shared();
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

/* Reads and, if `new` is not NULL, writes the application's action for a taken signal. */
void sta__signals_change_action(int signal, const struct sta__action *new, struct sta__action *old);

/* The action to take for a signal that has arrived. */
struct sta__action sta__signals_take_action(int signal);

/* What the kernel is to have for a taken signal, where the application's action is this. */
struct sta__action sta__signals_installed(int signal, const struct sta__action *app);

/* The application's action is the library's from now on: this is what it was. And the reverse, when
 * the signal is not taken any more. Other taken signals in its mask are seen to. */
void sta__signals_save(int signal, const struct sta__action *app);
void sta__signals_give_back(int signal);

/* Puts these, which are not taken any more, back into the masks of all actions. */
void sta__signals_unstrip(uint64_t signals);

/* Sends the thread a signal that it has taken. */
int sta__signals_send_self(siginfo_t *info);

/* Where a handler of ours returns to. */
void sta__signals_restorer(void);

#endif
