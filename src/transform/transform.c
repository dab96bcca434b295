/* SPDX-License-Identifier: MIT */
/*
 * Installing and removing interception for this process: one registry, one method at a time.
 */
#include <sta/transform.h>

#include <errno.h>
#include <string.h>
#include <time.h>

#include "attach/registry.h"
#include "base/copy_user.h"
#include "base/gate.h"
#include "base/grace.h"
#include "base/ids.h"
#include "base/options.h"
#include "base/quiesce.h"
#include "transform/door.h"
#include "transform/entry.h"
#include "transform/faults.h"
#include "transform/method.h"

#define KNOWN_FLAGS (STA_TRANSFORM_EXHAUSTIVE | STA_TRANSFORM_PRIVATE_STACK)

/* Best first. */
static const struct sta__method *const methods[] = {&sta__method_rewrite, &sta__method_sud};

static struct {
    _Atomic int changed_by;    /* thread id of who is installing or removing; 0: nobody */
    _Atomic(struct sta *) sta; /* whose transformer is installed; NULL: none */
    const struct sta__method *method;
} installed;

/* One at a time. A thread that does not exist is none: this process was forked while it was at it.
 */
static void begin_change(void)
{
    const struct timespec interval = {.tv_nsec = 1000 * 1000};
    int self = (int)STA__RAW0(SYS_gettid);

    for (;;) {
        int other = 0;

        if (atomic_compare_exchange_strong(&installed.changed_by, &other, self))
            return;
        if (STA__RAW3(SYS_tgkill, STA__RAW0(SYS_getpid), other, 0) == -ESRCH &&
            atomic_compare_exchange_strong(&installed.changed_by, &other, self))
            return;
        STA__RAW2(SYS_nanosleep, &interval, 0);
    }
}

static struct sta *installed_sta(void)
{
    return atomic_load_explicit(&installed.sta, memory_order_acquire);
}

static void let_others_change(void)
{
    atomic_store_explicit(&installed.changed_by, 0, memory_order_release);
    /* Pairs with the one in sta__copy_want(): who finds that this thread is changing something
     * leaves what he wants to be seen here. */
    sta__full_barrier();
}

static bool faults_are_missing(void)
{
    return sta__copy_is_wanted() && installed_sta() && !sta__faults_are_on();
}

/* Where rt_sigaction and the like are to be intercepted from now on, that has to be made so. */
static void look_at_calls_again(struct sta *sta)
{
    void (*changed)(struct sta *) = atomic_load_explicit(&sta->changed, memory_order_acquire);

    if (changed)
        changed(sta);
}

/* Programs that read are there. May run inside a callback, so it does not wait for others: who is
 * changing something comes here afterwards. */
static void handle_faults_if_wanted(void)
{
    while (faults_are_missing()) {
        int other = 0;
        struct sta *sta;

        if (!atomic_compare_exchange_strong(&installed.changed_by, &other,
                                            (int)STA__RAW0(SYS_gettid)))
            return;
        sta = installed_sta();
        if (sta && !sta__faults_are_on()) {
            sta__faults_begin();
            look_at_calls_again(sta);
            sta__faults_begun();
        }
        let_others_change();
    }
}

/* No callback runs: what was handled is the application's again, before its calls are. */
static void leave_faults(void)
{
    if (!sta__faults_are_on())
        return;
    sta__faults_end();
    sta__grace_wait();
    sta__faults_ended();
}

static void end_change(void)
{
    let_others_change();
    handle_faults_if_wanted();
}

static bool is_in_callback(void)
{
    return sta__section_current(__builtin_frame_address(0)) != NULL;
}

static void set_active(struct sta *sta, unsigned flags)
{
    bool is_private = (flags & STA_TRANSFORM_PRIVATE_STACK) != 0;

    atomic_store_explicit(&sta__entry_kind,
                          STA__CALL_VECTORS | STA__CALL_SITE |
                              (is_private ? STA__CALL_PRIVATE_STACK : 0),
                          memory_order_relaxed);
    /* Release: whoever sees the registry sees it made. */
    atomic_store_explicit(&sta__active, sta, memory_order_release);
    atomic_store_explicit(&sta__active_ordinary, is_private ? NULL : sta, memory_order_release);
}

static int install_first(struct sta *sta, const struct sta_transform_options *options)
{
    int err = -ENOTSUP;

    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
        if (options->method != STA_METHOD_AUTO && methods[i]->id != options->method)
            continue;
        if (methods[i]->probe(&sta->log) < 0)
            continue;
        err = methods[i]->install(sta, options->flags);
        if (err == 0) {
            installed.method = methods[i];
            return 0;
        }
    }
    return err;
}

static void remove_before_free(struct sta *sta)
{
    sta_transform_remove(sta);
}

static int install(struct sta *sta, const struct sta_transform_options *options)
{
    int err;

    if (installed_sta()) {
        sta__log(&sta->log, STA_LOG_ERROR, "a transformer is installed in this process already");
        return -EBUSY;
    }
    sta__entry_init();
    set_active(sta, options->flags);
    err = install_first(sta, options);
    if (err < 0) {
        set_active(NULL, 0);
        return err;
    }
    atomic_store_explicit(&installed.sta, sta, memory_order_release);
    atomic_fetch_add_explicit(&sta__interceptions, 1, memory_order_release);
    atomic_store_explicit(&sta__copy_wanted, handle_faults_if_wanted, memory_order_release);
    sta->before_free = remove_before_free;
    return 0;
}

int sta_transform_install(struct sta *sta, const struct sta_transform_options *options)
{
    struct sta_transform_options given = {.size = sizeof(given)};
    int err;

    if (!sta)
        return -EINVAL;
    err = options ? sta__options_copy(&given, sizeof(given), sizeof(given), options) : 0;
    if (err < 0)
        return err;
    if (given.method > STA_METHOD_REWRITE || (given.flags & ~KNOWN_FLAGS))
        return -EINVAL;
    if (is_in_callback())
        return -EDEADLK;
    if (STA__THREAD_SANITIZER) {
        sta__log(&sta->log, STA_LOG_ERROR, "no interception under ThreadSanitizer");
        return -ENOTSUP;
    }
    begin_change();
    err = install(sta, &given);
    end_change();
    return err;
}

int sta_transform_remove(struct sta *sta)
{
    if (!sta)
        return -EINVAL;
    if (is_in_callback())
        return -EDEADLK;
    begin_change();
    if (installed_sta() != sta) {
        end_change();
        return -ENOENT;
    }
    set_active(NULL, 0);
    atomic_fetch_add_explicit(&sta__interceptions, 1, memory_order_release);
    leave_faults();
    installed.method->remove(sta);
    atomic_store_explicit(&installed.sta, NULL, memory_order_release);
    sta->before_free = NULL;
    end_change();
    /* No callback runs any more when this returns. */
    sta__grace_wait();
    return 0;
}

int sta__door_open(struct sta__door *door, const struct sta__log *log)
{
    int err;

    if (sta__door)
        return -EALREADY;
    if (is_in_callback() || STA__THREAD_SANITIZER) {
        sta__log(log, STA_LOG_ERROR, "no interception %s",
                 STA__THREAD_SANITIZER ? "under ThreadSanitizer" : "from inside a callback");
        return STA__THREAD_SANITIZER ? -ENOTSUP : -EDEADLK;
    }
    begin_change();
    if (installed_sta()) {
        end_change();
        return -EBUSY;
    }
    sta__entry_init();
    sta__door = door; /* before the first call of this thread traps */
    err = sta__sud_begin_thread(log);
    if (err == 0)
        return 0;
    sta__door = NULL;
    end_change();
    return err;
}

void sta__door_watch(bool watch)
{
    sta__sud_watch(watch);
}

void sta__door_close(void)
{
    if (!sta__door)
        return;
    sta__door = NULL;
    sta__sud_end_thread();
    end_change();
}

struct sta *sta__transform_hold(void)
{
    struct sta *sta;

    begin_change();
    sta = installed_sta();
    if (!sta)
        end_change();
    return sta;
}

void sta__transform_release(void)
{
    end_change();
}

/* Begins a look at what is installed, of which `out` is to tell: a struct of `size` bytes that
 * begins with its size. Clears it; the caller ends the look with end_change(). 0; -EINVAL;
 * -ENOENT. */
static int begin_look(struct sta *sta, size_t *out, size_t size)
{
    if (!sta || !out || *out != size)
        return -EINVAL;
    begin_change();
    if (installed_sta() != sta) {
        end_change();
        return -ENOENT;
    }
    memset(out, 0, size);
    *out = size;
    return 0;
}

int sta_transform_report(struct sta *sta, struct sta_transform_report *out)
{
    int err = begin_look(sta, (size_t *)out, sizeof(*out));

    if (err < 0)
        return err;
    out->method = installed.method->id;
    installed.method->report(out);
    end_change();
    return 0;
}

int sta_transform_mapping(struct sta *sta, unsigned index, struct sta_transform_mapping *out)
{
    int err = begin_look(sta, (size_t *)out, sizeof(*out));

    if (err < 0)
        return err;
    err = installed.method->mapping ? installed.method->mapping(index, out) : -ENOENT;
    end_change();
    return err;
}

int sta_transform_site(struct sta *sta, unsigned mapping, unsigned index,
                       struct sta_transform_site *out)
{
    int err = begin_look(sta, (size_t *)out, sizeof(*out));

    if (err < 0)
        return err;
    err = installed.method->site ? installed.method->site(mapping, index, out) : -ENOENT;
    end_change();
    return err;
}
