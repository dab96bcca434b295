/* SPDX-License-Identifier: MIT */
/* See reach.h. */
#include "bpfcall/reach.h"

#include <errno.h>
#include <string.h>

#include <sta/transform.h>

#include "bpfcall/hooks.h"

/* At the door. What is called meanwhile goes to the kernel: it must not come back here, and where a
 * lock is held, which blocks all signals, it could not. */
static bool answer_at_door(struct sta__door *door, struct sta__call *call)
{
    struct sta__reach *reach = (struct sta__reach *)door;
    long result;

    sta__door_watch(false);
    result = sta__bpf_answer(reach->bpf, call->enter.id, call->enter.args);
    sta__door_watch(true);
    if (result == STA__NOT_OURS)
        return false;
    call->ret = result;
    return true;
}

static int answer_in_callback(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    const struct sta_sys_enter *enter = ctx;
    long result = STA__NOT_OURS;

    (void)ctx_size, (void)ret, (void)user_data;
    if (sta__bpf_of_thread)
        result = sta__bpf_answer(sta__bpf_of_thread, enter->id, enter->args);
    return result == STA__NOT_OURS ? 0 : sta_override_return(result);
}

static int attach_hooks(struct sta__reach *reach, struct sta *sta)
{
    int count = sta__hooks_attach(sta, answer_in_callback, NULL, reach->hooks);

    if (count < 0)
        return count;
    reach->hook_count = count;
    return 0;
}

static int install_own(struct sta__reach *reach, const struct sta__log *log)
{
    const struct sta_options options = {sizeof(options), log->fn, log->data};
    const struct sta_transform_options how = {.size = sizeof(how), .method = STA_METHOD_REWRITE};
    int err = sta_new(&reach->own, &options);

    if (err == 0)
        err = attach_hooks(reach, reach->own);
    if (err == 0)
        err = sta_transform_install(reach->own, &how);
    if (err == 0)
        return 0;
    sta_free(reach->own);
    reach->own = NULL;
    return err;
}

/* -EBUSY: the transformer that was installed is gone, or one is now; try again. */
static int begin(struct sta__reach *reach, const struct sta__log *log)
{
    int err;

    reach->held = sta__transform_hold();
    if (reach->held) {
        err = sta__emulates(reach->held) ? 0 : attach_hooks(reach, reach->held);
        if (err < 0)
            sta__transform_release();
        return err;
    }
    err = sta__door_open(&reach->door, log);
    if (err == 0 || err == -EBUSY || err == -EDEADLK || err == -EALREADY)
        return err;
    return install_own(reach, log);
}

int sta__reach_begin(struct sta__reach *reach, struct sta__bpf *bpf, const struct sta__log *log)
{
    int err;

    memset(reach, 0, sizeof(*reach));
    reach->door.answer = answer_at_door;
    reach->bpf = bpf;
    do
        err = begin(reach, log);
    while (err == -EBUSY);
    if (err == 0)
        sta__bpf_of_thread = bpf;
    else
        sta__log(log, STA_LOG_ERROR, "libbpf's system calls cannot be answered here: %s",
                 strerror(-err));
    return err;
}

void sta__reach_end(struct sta__reach *reach)
{
    sta__bpf_of_thread = NULL;
    sta__door_close();
    if (reach->held) {
        sta__hooks_detach(reach->held, reach->hooks, reach->hook_count);
        sta__transform_release();
    }
    sta_free(reach->own);
}
