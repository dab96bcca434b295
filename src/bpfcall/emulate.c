/* SPDX-License-Identifier: MIT */
/* See sta/bpfcall.h: which system calls are answered, and by what. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "attach/run.h"
#include "base/options.h"
#include "bpfcall/hooks.h"
#include "bpfcall/own_btf.h"

#define OPTIONS_FIRST_SIZE sizeof(struct sta_emulate_options)

/* A thread that loads an object has that object's own in the place of this. */
static int answer(void *ctx, size_t ctx_size, uint64_t *ret, void *emulation)
{
    const struct sta_sys_enter *enter = ctx;
    struct sta__bpf *bpf = sta__bpf_of_thread ? sta__bpf_of_thread : emulation;
    long result = sta__bpf_answer(bpf, enter->id, enter->args);

    (void)ctx_size, (void)ret;
    return result == STA__NOT_OURS ? 0 : sta_override_return(result);
}

/* The one of this process, and the registry it is of. */
static struct sta__bpf *emulating;
static struct sta__lock emulating_lock;

/* Under the lock. */
static bool set_emulating(struct sta__bpf *expected, struct sta__bpf *wanted)
{
    struct sta__lock_state saved;
    bool is_set;

    sta__lock(&emulating_lock, &saved);
    is_set = emulating == expected;
    if (is_set)
        emulating = wanted;
    sta__unlock(&emulating_lock, &saved);
    return is_set;
}

bool sta__emulates(const struct sta *sta)
{
    struct sta__lock_state saved;
    bool does;

    sta__lock(&emulating_lock, &saved);
    does = emulating && emulating->sta == sta && emulating->hook_count > 0;
    sta__unlock(&emulating_lock, &saved);
    return does;
}

static int attach_hooks(struct sta__bpf *bpf)
{
    int count = sta__hooks_attach(bpf->sta, answer, bpf, bpf->hooks);

    if (count < 0) {
        sta__log(&bpf->log, STA_LOG_ERROR, "cannot attach to bpf(2) and what goes with it");
        return count;
    }
    bpf->hook_count = count;
    return 0;
}

static bool is_in_callback(void)
{
    return sta__section_current(__builtin_frame_address(0)) != NULL;
}

int sta__bpf_new(struct sta__bpf **out, struct sta *sta, const struct sta__log *log)
{
    struct sta__bpf *bpf = calloc(1, sizeof(*bpf));

    if (!bpf)
        return -ENOMEM;
    bpf->sta = sta;
    bpf->log = *log;
    bpf->has_own_btf = access(STA__KERNEL_BTF_PATH, R_OK) < 0;
    *out = bpf;
    return 0;
}

void sta__bpf_free(struct sta__bpf *bpf)
{
    sta__fds_clear(bpf);
    free(bpf);
}

int sta_emulate_start(struct sta *sta, const struct sta_emulate_options *given)
{
    struct sta_emulate_options options;
    struct sta__bpf *bpf;
    int err;

    if (!sta)
        return -EINVAL;
    err = sta__options_copy(&options, sizeof(options), OPTIONS_FIRST_SIZE, given);
    if (err == 0 && options.flags)
        err = -EINVAL;
    if (err == 0 && is_in_callback())
        err = -EDEADLK;
    if (err == 0)
        err = sta__bpf_new(&bpf, sta, &(struct sta__log){options.log, options.log_data});
    if (err < 0)
        return err;
    if (!set_emulating(NULL, bpf)) {
        sta__log(&bpf->log, STA_LOG_ERROR, "a registry of this process emulates bpf(2) already");
        free(bpf);
        return -EBUSY;
    }
    err = attach_hooks(bpf);
    if (err < 0) {
        set_emulating(bpf, NULL);
        free(bpf);
    }
    return err;
}

int sta_emulate_stop(struct sta *sta)
{
    struct sta__bpf *bpf = emulating;

    if (is_in_callback())
        return -EDEADLK;
    if (!bpf || bpf->sta != sta || !set_emulating(bpf, NULL))
        return -ENOENT;
    sta__hooks_detach(bpf->sta, bpf->hooks, bpf->hook_count);
    sta__bpf_free(bpf);
    return 0;
}
