/* SPDX-License-Identifier: MIT */
/* Helpers about the thread's signals and about the attachment that runs. On the dispatch path. */
#include <errno.h>
#include <signal.h>

#include <sta/context.h>

#include "base/gate.h"
#include "base/ids.h"
#include "ebpf/helpers.h"

#define SIGNAL_MAX 64 /* _NSIG */

static uint64_t number(int64_t value)
{
    return (uint64_t)value;
}

/*
 * As if the kernel had sent it. It says so of signals that a thread sends to itself only: one to
 * the process, from another thread than its first, has the process as its sender.
 *
 * The signal is taken when the helper returns, in the middle of the program's run, unless the
 * thread blocks it; in the kernel that is at the end of the system call.
 */
static int64_t send(uint32_t signal, bool is_to_thread)
{
    uint64_t ids = sta__pid_tgid();
    uint32_t tgid = (uint32_t)(ids >> 32), tid = (uint32_t)ids;
    union {
        siginfo_t info;
        uint64_t words[sizeof(siginfo_t) / 8];
    } to_send;
    int64_t err;

    if (signal > SIGNAL_MAX)
        return -EINVAL;
    for (size_t i = 0; i < sizeof(to_send) / 8; i++)
        to_send.words[i] = 0;
    to_send.info.si_signo = (int)signal;
    to_send.info.si_code = SI_KERNEL;
    if (is_to_thread)
        return STA__RAW4(SYS_rt_tgsigqueueinfo, tgid, tid, signal, &to_send);
    err = STA__RAW3(SYS_rt_sigqueueinfo, tgid, signal, &to_send);
    return err == -EPERM ? STA__RAW2(SYS_kill, tgid, signal) : err;
}

STA__HELPER_FUNCTION(send_signal)
{
    (void)r2, (void)r3, (void)r4, (void)r5;
    return number(send((uint32_t)r1, false));
}

STA__HELPER_FUNCTION(send_signal_thread)
{
    (void)r2, (void)r3, (void)r4, (void)r5;
    return number(send((uint32_t)r1, true));
}

STA__HELPER_FUNCTION(get_attach_cookie)
{
    (void)r1, (void)r2, (void)r3, (void)r4, (void)r5;
    return sta_current_cookie();
}

/* Branch records are of the processor, and user space cannot read them: as where it has none. */
STA__HELPER_FUNCTION(get_branch_snapshot)
{
    (void)r1, (void)r2, (void)r4, (void)r5;
    return number(r3 ? -EINVAL : -ENOENT);
}
