/* SPDX-License-Identifier: MIT */
/*
 * A shared object with libsta.a inside: the archive is position-independent.
 */
#include "plugin.h"

#include <sta.h>
#include <sys/syscall.h>

static int count(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret;
    ++*(int *)user_data;
    return 0;
}

int plugin_count_calls(int calls)
{
    const struct sta_target target = {.sys_nr = SYS_getpid, .is_enter = true};
    struct sta *sta;
    int seen = 0;
    int err = sta_new(&sta, NULL);

    if (err < 0)
        return err;
    err = sta_attach(sta, &target, count, &seen);
    for (int i = 0; err > 0 && i < calls; i++)
        sta_dispatch(sta, SYS_getpid, 0, 0, 0, 0, 0, 0);
    sta_free(sta);
    return err < 0 ? err : seen;
}
