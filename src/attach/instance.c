/* SPDX-License-Identifier: MIT */
/* Making and freeing registries. */
#include <sta/attach.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach/hook.h"
#include "attach/registry.h"
#include "base/gate.h"
#include "base/grace.h"
#include "base/options.h"

/*
 * Registries that were freed. Their memory is kept for the next ones and never given back: a thread
 * that was about to enter the dispatcher when interception ended may look at one still, and must
 * find a registry there, though an empty one.
 */
static struct sta *spares;
static struct sta__lock spares_lock;

static struct sta *take_spare(void)
{
    struct sta__lock_state saved;
    struct sta *sta;

    sta__lock(&spares_lock, &saved);
    sta = spares;
    if (sta)
        spares = sta->next_spare;
    sta__unlock(&spares_lock, &saved);
    return sta;
}

static void keep_spare(struct sta *sta)
{
    struct sta__lock_state saved;

    sta__lock(&spares_lock, &saved);
    sta->next_spare = spares;
    spares = sta;
    sta__unlock(&spares_lock, &saved);
}

static struct sta *registry_alloc(void)
{
    struct sta *sta = take_spare();

    if (sta)
        return sta;
    sta = aligned_alloc(_Alignof(struct sta), sizeof(*sta));
    if (sta)
        memset(sta, 0, sizeof(*sta));
    return sta;
}

int sta_new(struct sta **out, const struct sta_options *options)
{
    struct sta_options given = {.size = sizeof(given)};
    struct sta *sta;
    int err;

    if (!out)
        return -EINVAL;
    *out = NULL;
    err = options ? sta__options_copy(&given, sizeof(given), sizeof(given), options) : 0;
    if (err < 0)
        return err;
    err = sta__readers_init(&(struct sta__log){given.log, given.log_data});
    if (err < 0)
        return err;
    sta = registry_alloc();
    if (!sta)
        return -ENOMEM;
    sta->log = (struct sta__log){given.log, given.log_data};
    sta->next_id = 1;
    sta_set_original_syscall(sta, NULL);
    sta__registry_update_active(sta);
    *out = sta;
    return 0;
}

void sta_free(struct sta *sta)
{
    if (!sta)
        return;
    if (sta->before_free)
        sta->before_free(sta);
    sta__hook_forget(sta);
    sta__registry_clear(sta);
    keep_spare(sta);
}
