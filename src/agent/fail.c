/* SPDX-License-Identifier: MIT */
/* See fail.h. On the dispatch path: general registers only, no libc. */
#include "agent/fail.h"

static int on_enter(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret;
    return sta_override_return(-(int64_t)(intptr_t)user_data);
}

int sta__agent_fail(struct sta *sta, const struct sta__agent_config *config)
{
    int err = 0;

    for (int sys_nr = 0; sys_nr < STA_SYSCALL_LIMIT && err >= 0; sys_nr++) {
        const struct sta_attach_options options = {
            .size = sizeof(options),
            .target = {.sys_nr = sys_nr, .is_enter = true},
            .callback = on_enter,
            .user_data = (void *)(intptr_t)config->fail[sys_nr],
            .flags = STA_CALLBACK_GENERAL_REGS,
            .name = "sta-agent fail",
        };

        if (config->fail[sys_nr])
            err = sta_attach_with(sta, &options);
    }
    return err < 0 ? err : 0;
}
