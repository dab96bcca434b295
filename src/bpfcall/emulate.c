/* SPDX-License-Identifier: MIT */
/* See sta/bpfcall.h: which system calls are answered, and by what. */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "attach/run.h"
#include "base/options.h"
#include "bpfcall/bpfcall.h"

#define OPTIONS_FIRST_SIZE sizeof(struct sta_emulate_options)

/* A hook per call, so that a callback knows which one it answers without a table of its own. */
#define HOOKS(X)                          \
    X(bpf, sta__hook_bpf)                 \
    X(close, sta__hook_close)             \
    X(close_range, sta__hook_close_range) \
    X(dup2, sta__hook_dup2)               \
    X(dup3, sta__hook_dup3)

static int answer(struct sta__bpf *bpf, const struct sta_sys_enter *enter, sta__bpf_hook hook)
{
    long result = hook(bpf, enter->args);

    return result == STA__NOT_OURS ? 0 : sta_override_return(result);
}

#define CALLBACK(name, hook)                                                   \
    static int on_##name(void *ctx, size_t ctx_size, uint64_t *ret, void *bpf) \
    {                                                                          \
        (void)ctx_size, (void)ret;                                             \
        return answer(bpf, ctx, hook);                                         \
    }
HOOKS(CALLBACK)

static const struct {
    int sys_nr;
    const char *name;
    sta_callback callback;
} hooks[] = {
#define ENTRY(name, hook) {SYS_##name, "bpf: " #name, on_##name},
    HOOKS(ENTRY)};

_Static_assert(sizeof(hooks) / sizeof(hooks[0]) <= STA__HOOKS_MAX, "they have to fit");

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

static void detach_hooks(struct sta__bpf *bpf)
{
    while (bpf->hook_count > 0)
        sta_detach(bpf->sta, bpf->hooks[--bpf->hook_count]);
}

static int attach_hooks(struct sta__bpf *bpf)
{
    struct sta_attach_options options = {.size = sizeof(options), .user_data = bpf};

    for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
        int id;

        options.target = (struct sta_target){hooks[i].sys_nr, true};
        options.callback = hooks[i].callback;
        options.name = hooks[i].name;
        id = sta_attach_with(bpf->sta, &options);
        if (id < 0) {
            sta__log(&bpf->log, STA_LOG_ERROR, "cannot attach to %s", hooks[i].name + 5);
            detach_hooks(bpf);
            return id;
        }
        bpf->hooks[bpf->hook_count++] = id;
    }
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
    detach_hooks(bpf);
    sta__bpf_free(bpf);
    return 0;
}
