/* SPDX-License-Identifier: MIT */
/*
 * A host that embeds the core: it attaches to all calls, dispatches one call by hand, and prints
 * what its callbacks saw. Callbacks run in the middle of a system call, so they only take notes.
 */
#include "plugin.h"

#include <sta.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct notes {
    int events;
    long enter_id;
    long exit_id;
    long exit_ret;
};

static int note_enter(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    const struct sta_sys_enter *event = ctx;
    struct notes *notes = user_data;

    (void)ctx_size, (void)ret;
    notes->events++;
    notes->enter_id = event->id;
    return 0;
}

static int note_exit(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    const struct sta_sys_exit *event = ctx;
    struct notes *notes = user_data;

    (void)ctx_size, (void)ret;
    notes->events++;
    notes->exit_id = event->id;
    notes->exit_ret = event->ret;
    return 0;
}

static int failed(const char *what, int err)
{
    fprintf(stderr, "embed: %s: %s\n", what, strerror(-err));
    return 1;
}

int main(void)
{
    const struct sta_target entries = {.sys_nr = STA_ALL_SYSCALLS, .is_enter = true};
    const struct sta_target exits = {.sys_nr = STA_ALL_SYSCALLS, .is_enter = false};
    struct notes notes = {0};
    struct sta *sta;
    long pid;
    int err;

    err = sta_new(&sta, NULL);
    if (err < 0)
        return failed("sta_new", err);
    err = sta_attach(sta, &entries, note_enter, &notes);
    if (err > 0)
        err = sta_attach(sta, &exits, note_exit, &notes);
    if (err < 0)
        return failed("sta_attach", err);

    pid = sta_dispatch(sta, SYS_getpid, 0, 0, 0, 0, 0, 0);
    sta_free(sta);

    printf("libsta %s\n", sta_version());
    printf("events: %d\n", notes.events);
    printf("enter:  %s\n", sta_syscall_name(notes.enter_id));
    printf("exit:   %s = %s\n", sta_syscall_name(notes.exit_id),
           notes.exit_ret == getpid() ? "our pid" : "something else");

    err = plugin_count_calls(3);
    if (err < 0)
        return failed("plugin_count_calls", err);
    printf("plugin: %d calls\n", err);
    return pid == getpid() ? 0 : 1;
}
