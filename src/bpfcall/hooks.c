/* SPDX-License-Identifier: MIT */
/* See hooks.h. */
#include "bpfcall/hooks.h"

#include <sys/syscall.h>

#ifndef SYS_epoll_pwait2 /* since 5.11 */
#    define SYS_epoll_pwait2 441
#endif
#ifndef SYS_faccessat2 /* since 5.8 */
#    define SYS_faccessat2 439
#endif

STA__THREAD_LOCAL struct sta__bpf *sta__bpf_of_thread;

const struct sta__hooked_call sta__hooked_calls[] = {
    {SYS_bpf, "bpf: bpf", sta__hook_bpf},
    {SYS_close, "bpf: close", sta__hook_close},
    {SYS_close_range, "bpf: close_range", sta__hook_close_range},
    {SYS_dup2, "bpf: dup2", sta__hook_dup2},
    {SYS_dup3, "bpf: dup3", sta__hook_dup3},
    {SYS_perf_event_open, "bpf: perf_event_open", sta__hook_perf_event_open},
    {SYS_ioctl, "bpf: ioctl", sta__hook_ioctl},
    {SYS_mmap, "bpf: mmap", sta__hook_mmap},
    {SYS_epoll_ctl, "bpf: epoll_ctl", sta__hook_epoll_ctl},
    {SYS_epoll_wait, "bpf: epoll_wait", sta__hook_epoll_wait},
    {SYS_epoll_pwait, "bpf: epoll_pwait", sta__hook_epoll_wait},
    {SYS_epoll_pwait2, "bpf: epoll_pwait2", sta__hook_epoll_wait},
    {SYS_poll, "bpf: poll", sta__hook_poll},
    {SYS_ppoll, "bpf: ppoll", sta__hook_ppoll},
    {SYS_select, "bpf: select", sta__hook_select},
    {SYS_pselect6, "bpf: pselect6", sta__hook_pselect6},
    {SYS_open, "bpf: open", sta__hook_open},
    {SYS_openat, "bpf: openat", sta__hook_openat},
    {SYS_access, "bpf: access", sta__hook_access},
    {SYS_faccessat, "bpf: faccessat", sta__hook_faccessat},
    {SYS_faccessat2, "bpf: faccessat2", sta__hook_faccessat},
};

const unsigned sta__hooked_call_count = sizeof(sta__hooked_calls) / sizeof(sta__hooked_calls[0]);

_Static_assert(sizeof(sta__hooked_calls) / sizeof(sta__hooked_calls[0]) <= STA__HOOKS_MAX,
               "they have to fit");

long sta__bpf_answer(struct sta__bpf *bpf, long sys_nr, const unsigned long *args)
{
    for (unsigned i = 0; i < sta__hooked_call_count; i++) {
        if (sta__hooked_calls[i].sys_nr == sys_nr)
            return sta__hooked_calls[i].hook(bpf, args);
    }
    return STA__NOT_OURS;
}

int sta__hooks_attach(struct sta *sta, sta_callback callback, void *user_data,
                      int ids[STA__HOOKS_MAX])
{
    struct sta_attach_options options = {
        .size = sizeof(options), .callback = callback, .user_data = user_data};

    for (unsigned i = 0; i < sta__hooked_call_count; i++) {
        options.target = (struct sta_target){sta__hooked_calls[i].sys_nr, true};
        options.name = sta__hooked_calls[i].name;
        ids[i] = sta_attach_with(sta, &options);
        if (ids[i] < 0) {
            sta__hooks_detach(sta, ids, (int)i);
            return ids[i];
        }
    }
    return (int)sta__hooked_call_count;
}

void sta__hooks_detach(struct sta *sta, const int *ids, int count)
{
    while (count > 0)
        sta_detach(sta, ids[--count]);
}
