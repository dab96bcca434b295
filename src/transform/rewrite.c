/* SPDX-License-Identifier: MIT */
/* Interception by rewriting the system call instructions; see sync.h and site.h. */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "attach/registry.h"
#include "transform/entry.h"
#include "transform/images.h"
#include "transform/method.h"
#include "transform/moved_on.h"
#include "transform/newcode.h"
#include "transform/sync.h"
#include "transform/trap.h"

static void warn(const struct sta__log *log, const char *what, int err)
{
    if (err < 0)
        sta__log(log, STA_LOG_WARN, "%s: %s", what, strerror(-err));
}

/* What is attached has changed. May run inside a callback. */
static void on_changed(struct sta *sta)
{
    struct sta__lock_state saved;
    int err = 0;

    sta__lock(&sta__images_lock, &saved);
    /* Else it is being removed. */
    if (atomic_load_explicit(&sta->changed, memory_order_acquire)) {
        if (sta__newcode_is_blind())
            sta__images_look_again();
        err = sta__sync(sta);
    }
    sta__unlock(&sta__images_lock, &saved);
    warn(&sta->log, "some system calls could not be rewritten", err);
}

static int probe(const struct sta__log *log)
{
    (void)log;
    return 0;
}

static int restore_paddings(bool is_watched)
{
    int err = sta__wait_until_moved_on();
    struct sta__lock_state saved;

    sta__lock(&sta__images_lock, &saved);
    if (err == 0 && !is_watched)
        err = sta__images_look_again();
    if (err == 0)
        err = sta__sync_paddings();
    sta__unlock(&sta__images_lock, &saved);
    return err;
}

/* The calls that take code away go last: until then nobody unmaps code that is being restored. */
static int restore_last(bool *uses_paddings)
{
    struct sta__lock_state saved;
    int err;

    sta__lock(&sta__images_lock, &saved);
    *uses_paddings = sta__sync_uses_paddings();
    sta__newcode_watch(false);
    err = sta__sync(NULL);
    sta__unlock(&sta__images_lock, &saved);
    return err;
}

static void forget_all(bool is_restored)
{
    struct sta__lock_state saved;

    sta__lock(&sta__images_lock, &saved);
    if (is_restored) {
        sta__images_drop(0, UINTPTR_MAX);
        sta__trap_end();
    } else {
        /* What could not be restored leads to stubs and traps, which work, for good. */
        sta__images = NULL;
    }
    sta__unlock(&sta__images_lock, &saved);
    sta__trap_block_again();
}

static void restore_all(struct sta *sta)
{
    struct sta__lock_state saved;
    int err, last_err, paddings_err;
    bool uses_paddings;

    sta__lock(&sta__images_lock, &saved);
    if (sta__newcode_is_blind())
        sta__images_look_again();
    err = sta__sync_most();
    sta__unlock(&sta__images_lock, &saved);
    paddings_err = restore_paddings(true);
    last_err = restore_last(&uses_paddings);
    if (uses_paddings && paddings_err == 0)
        paddings_err = restore_paddings(false);
    warn(&sta->log, "some system calls could not be restored", err < 0 ? err : last_err);
    warn(&sta->log, "paddings between functions are not restored", paddings_err);
    forget_all(err == 0 && last_err == 0);
}

/* From here on whoever changes what is attached comes and waits for the lock, or has made the
 * change before what is attached is looked at (barrier; release: who comes finds the images). */
static void be_told(struct sta *sta)
{
    atomic_store_explicit(&sta->changed, on_changed, memory_order_release);
    sta__full_barrier();
}

/* Release: who comes all the same, and has the lock, finds this. */
static void be_told_no_more(struct sta *sta)
{
    atomic_store_explicit(&sta->changed, NULL, memory_order_release);
}

static int rewrite_all(struct sta *sta, bool is_exhaustive)
{
    struct sta__lock_state saved;
    int err;

    sta__lock(&sta__images_lock, &saved);
    sta__sync_want_all(is_exhaustive);
    err = sta__images_add_mapped(0, UINTPTR_MAX);
    if (err == 0) {
        sta__newcode_watch(true);
        be_told(sta);
        err = sta__sync(sta);
    }
    if (err < 0)
        be_told_no_more(sta);
    sta__unlock(&sta__images_lock, &saved);
    if (err < 0)
        restore_all(sta);
    else
        sta__trap_unblock();
    return err;
}

/* Syscall User Dispatch on top. Rewritten code never traps: its calls are made in the gate. */
static bool is_exhaustive;

static int install(struct sta *sta, unsigned flags)
{
    int err;

    is_exhaustive = (flags & STA_TRANSFORM_EXHAUSTIVE) != 0;
    if (is_exhaustive && sta__method_sud.probe(&sta->log) < 0)
        return -ENOTSUP;
    err = rewrite_all(sta, is_exhaustive);
    if (err < 0) {
        sta__log(&sta->log, STA_LOG_ERROR, "cannot rewrite the system calls of this process: %s",
                 strerror(-err));
        return err;
    }
    err = is_exhaustive ? sta__method_sud.install(sta, flags) : 0;
    if (err < 0) {
        be_told_no_more(sta);
        restore_all(sta);
    }
    return err;
}

static void remove_(struct sta *sta)
{
    be_told_no_more(sta);
    if (is_exhaustive)
        sta__method_sud.remove(sta);
    restore_all(sta);
}

/* Image number `index` in the order of addresses. */
static const struct sta__image *image_at(unsigned index)
{
    const struct sta__image *found = NULL;
    uintptr_t above = 0;

    do {
        found = NULL;
        for (const struct sta__image *image = sta__images; image; image = image->next) {
            if (image->text.start >= above && (!found || image->text.start < found->text.start))
                found = image;
        }
        above = found ? found->text.end : 0;
    } while (found && index-- > 0);
    return found;
}

static void report_image(const struct sta__image *image, struct sta_transform_mapping *out)
{
    out->start = image->text.start;
    out->end = image->text.end;
    memcpy(out->path, image->path, sizeof(out->path));
    out->sites = (unsigned)image->count;
    for (size_t i = 0; i < image->count; i++) {
        out->by_method[image->sites[i].site.method]++;
        out->by_reason[image->sites[i].site.reason]++;
        out->rewritten += sta__sync_is_rewritten(image, &image->sites[i]);
    }
}

static int mapping(unsigned index, struct sta_transform_mapping *out)
{
    struct sta__lock_state saved;
    const struct sta__image *image;

    sta__lock(&sta__images_lock, &saved);
    image = image_at(index);
    if (image)
        report_image(image, out);
    sta__unlock(&sta__images_lock, &saved);
    return image ? 0 : -ENOENT;
}

static int site(unsigned mapping_index, unsigned index, struct sta_transform_site *out)
{
    struct sta__lock_state saved;
    const struct sta__image *image;
    int err = -ENOENT;

    sta__lock(&sta__images_lock, &saved);
    image = image_at(mapping_index);
    if (image && index < image->count) {
        const struct sta__site *found = &image->sites[index].site;

        out->address = found->address;
        out->sys_nr = found->nr == STA__NR_UNKNOWN ? STA_ALL_SYSCALLS : found->nr;
        out->method = found->method;
        out->reason = found->reason;
        out->rewritten = sta__sync_is_rewritten(image, &image->sites[index]);
        err = 0;
    }
    sta__unlock(&sta__images_lock, &saved);
    return err;
}

static void report(struct sta_transform_report *out)
{
    struct sta__lock_state saved;

    if (is_exhaustive)
        sta__method_sud.report(out);
    sta__lock(&sta__images_lock, &saved);
    for (const struct sta__image *image = sta__images; image; image = image->next) {
        struct sta_transform_mapping one = {0};

        report_image(image, &one);
        out->mappings++;
        out->sites += one.sites;
        out->rewritten += one.rewritten;
        for (int i = 0; i < STA_SITE_METHOD_COUNT; i++)
            out->by_method[i] += one.by_method[i];
    }
    sta__unlock(&sta__images_lock, &saved);
}

const struct sta__method sta__method_rewrite = {
    .id = STA_METHOD_REWRITE,
    .probe = probe,
    .install = install,
    .remove = remove_,
    .report = report,
    .mapping = mapping,
    .site = site,
};
