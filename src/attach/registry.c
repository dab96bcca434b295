/* SPDX-License-Identifier: MIT */
/*
 * Attaching and detaching. A list is never changed: a new one is made, takes the old one's place
 * with one store, and the old one is retired: freed when no thread can be reading it any more.
 */
#include "attach/registry.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "attach/dispatch.h"
#include "base/grace.h"
#include "base/options.h"
#include "base/vectors.h"

/* Attaching does not wait for readers; it leaves old lists behind, up to this many bytes. */
#define RETIRED_SIZE_MAX ((size_t)1024 * 1024)

#define KNOWN_FLAGS        STA_CALLBACK_GENERAL_REGS
#define OPTIONS_FIRST_SIZE offsetof(struct sta_attach_options, cookie)

static bool is_valid_target(const struct sta_target *target)
{
    return target->sys_nr == STA_ALL_SYSCALLS ||
           (target->sys_nr >= 0 && target->sys_nr < STA_SYSCALL_LIMIT);
}

static _Atomic(struct sta__list *) *list_slot(struct sta *sta, const struct sta_target *target)
{
    struct sta__hooks *hooks =
        target->sys_nr == STA_ALL_SYSCALLS ? &sta->all : &sta->calls[target->sys_nr];

    return target->is_enter ? &hooks->enter : &hooks->exit;
}

/* The writers' view of a list: they hold the lock. */
static struct sta__list *list_in(_Atomic(struct sta__list *) *slot)
{
    return atomic_load_explicit(slot, memory_order_relaxed);
}

static size_t list_size(uint32_t count)
{
    return sizeof(struct sta__list) + count * sizeof(struct sta__entry);
}

static struct sta__list *list_alloc(struct sta *sta, uint32_t count)
{
    struct sta__list *list = sta__arena_alloc(&sta->arena, list_size(count));

    if (list)
        list->count = count;
    return list;
}

static void retire(struct sta *sta, struct sta__retired *block, size_t size)
{
    block->size = size;
    block->next = sta->retired;
    sta->retired = block;
    sta->retired_size += size;
}

static void retire_attachment(struct sta *sta, struct sta__attachment *attachment)
{
    attachment->retired.counters = attachment->counters;
    retire(sta, &attachment->retired, sizeof(*attachment));
}

static bool is_always_active(int sys_nr)
{
    return sys_nr == SYS_clone || sys_nr == SYS_fork || sys_nr == SYS_vfork || sys_nr == SYS_exit ||
           sys_nr == SYS_sigaltstack || sys_nr == SYS_clone3 || sys_nr == SYS_unshare ||
           sys_nr == SYS_setns;
}

/* See only_enter, registry.h. */
static const struct sta__entry *only_entry(const struct sta__list *own, const struct sta__list *all)
{
    const struct sta__list *list = own ? own : all;

    return list && !(own && all) && list->count == 1 ? list->entries : NULL;
}

/* Release: who sees a list announced finds it. */
static void update_active(struct sta *sta, int nr)
{
    struct sta__hooks *hooks = &sta->calls[nr];
    const struct sta__list *enter = list_in(&hooks->enter), *all_enter = list_in(&sta->all.enter);
    const struct sta__list *exit = list_in(&hooks->exit), *all_exit = list_in(&sta->all.exit);
    uint8_t active = (enter || all_enter ? STA__ACTIVE_ENTER : 0) |
                     (exit || all_exit ? STA__ACTIVE_EXIT : 0) |
                     (is_always_active(nr) ? STA__ACTIVE_ALWAYS : 0);

    if (!sta__call_returns(nr))
        active &= (uint8_t)~STA__ACTIVE_EXIT;
    atomic_store_explicit(&hooks->only_enter, only_entry(enter, all_enter), memory_order_release);
    atomic_store_explicit(&hooks->only_exit, only_entry(exit, all_exit), memory_order_release);
    atomic_store_explicit(&hooks->active, active, memory_order_release);
}

/* The last one has empty lists, no number and nothing that it is always active for. */
void sta__registry_update_active(struct sta *sta)
{
    for (int nr = 0; nr <= STA_SYSCALL_LIMIT; nr++)
        update_active(sta, nr);
}

/* Puts `list` (NULL: none) in the slot and retires what was there. A child that was forked by
 * another thread in the middle of this derives `active` anew with its own first change. */
static void publish(struct sta *sta, int sys_nr, _Atomic(struct sta__list *) *slot,
                    struct sta__list *list)
{
    struct sta__list *old = list_in(slot);
    bool was_stale = sta->active_is_stale;

    sta->active_is_stale = true;
    atomic_signal_fence(memory_order_seq_cst); /* before anything is done */
    /* Release: a dispatcher that sees the list sees its entries. */
    atomic_store_explicit(slot, list, memory_order_release);
    if (old)
        retire(sta, &old->retired, list_size(old->count));
    if (was_stale || sys_nr == STA_ALL_SYSCALLS)
        sta__registry_update_active(sta);
    else
        update_active(sta, sys_nr);
    atomic_signal_fence(memory_order_seq_cst); /* not before all of it is done */
    sta->active_is_stale = false;
}

/* Without the lock: who is told may wait for others in turn. */
static void tell_gone(const struct sta__retired *blocks)
{
    for (; blocks; blocks = blocks->next) {
        if (blocks->gone)
            blocks->gone(blocks->gone_data);
    }
}

/*
 * Waits for a grace period and frees what was retired before it. From inside a callback nothing is
 * freed: the callback's own dispatch still reads the old lists.
 */
static enum sta__grace reclaim(struct sta *sta)
{
    struct sta__lock_state saved;
    struct sta__retired *blocks, *last;
    enum sta__grace grace;

    sta__lock(&sta->lock, &saved);
    blocks = sta->retired;
    sta->retired = NULL;
    sta->retired_size = 0;
    sta__unlock(&sta->lock, &saved);

    grace = sta__grace_wait();
    if (grace == STA__GRACE_OVER)
        tell_gone(blocks);

    sta__lock(&sta->lock, &saved);
    if (grace == STA__GRACE_OVER) {
        while (blocks) {
            struct sta__retired *next = blocks->next;

            if (blocks->counters)
                sta__counters_free(&sta->counters, blocks->counters);
            sta__arena_free(&sta->arena, blocks, blocks->size);
            blocks = next;
        }
    } else if (blocks) {
        for (last = blocks;; last = last->next) {
            sta->retired_size += last->size;
            if (!last->next)
                break;
        }
        last->next = sta->retired;
        sta->retired = blocks;
    }
    sta__unlock(&sta->lock, &saved);
    return grace;
}

static void attachment_free(struct sta *sta, struct sta__attachment *attachment)
{
    sta__counters_free(&sta->counters, attachment->counters);
    sta__arena_free(&sta->arena, attachment, sizeof(*attachment));
}

static struct sta__attachment *attachment_new(struct sta *sta,
                                              const struct sta_attach_options *options,
                                              void (*gone)(void *user_data))
{
    struct sta__attachment *attachment = sta__arena_alloc(&sta->arena, sizeof(*attachment));

    if (!attachment)
        return NULL;
    attachment->counters = sta__counters_alloc(&sta->counters, &sta->arena);
    if (!attachment->counters) {
        sta__arena_free(&sta->arena, attachment, sizeof(*attachment));
        return NULL;
    }
    attachment->target = options->target;
    attachment->flags = options->flags;
    attachment->priority = options->priority;
    attachment->retired.gone = gone;
    attachment->retired.gone_data = options->user_data;
    attachment->cookie = options->cookie;
    if (options->name)
        strcpy(attachment->name, options->name); /* its length was checked */
    return attachment;
}

/* A copy of `old` (NULL: empty) with one entry more, behind those of the same or lower priority. */
static struct sta__list *list_with(struct sta *sta, const struct sta__list *old,
                                   const struct sta__entry *entry)
{
    uint32_t count = old ? old->count : 0;
    struct sta__list *list = list_alloc(sta, count + 1);
    uint32_t at = count;

    if (!list)
        return NULL;
    while (at > 0 && old->entries[at - 1].attachment->priority > entry->attachment->priority)
        at--;
    if (old) {
        memcpy(list->entries, old->entries, at * sizeof(*entry));
        memcpy(list->entries + at + 1, old->entries + at, (count - at) * sizeof(*entry));
    }
    list->entries[at] = *entry;
    return list;
}

/* Under the lock. Returns the id or -errno. */
static int attach_locked(struct sta *sta, const struct sta_attach_options *options,
                         void (*gone)(void *user_data))
{
    _Atomic(struct sta__list *) *slot = list_slot(sta, &options->target);
    struct sta__entry entry = {
        .callback = options->callback, .user_data = options->user_data, .flags = options->flags};
    struct sta__list *list;

    if (sta->next_id == INT_MAX)
        return -ENOSPC;
    entry.attachment = attachment_new(sta, options, gone);
    if (!entry.attachment)
        return -ENOMEM;
    entry.counters = entry.attachment->counters;
    entry.id = sta->next_id;
    list = list_with(sta, list_in(slot), &entry);
    if (!list) {
        attachment_free(sta, entry.attachment);
        return -ENOMEM;
    }
    sta->next_id++;
    publish(sta, options->target.sys_nr, slot, list);
    return entry.id;
}

/* Barrier, acquire: either this sees the store in rewrite.c, or what looks at `active` after that
 * store sees the change. */
static void tell_changed(struct sta *sta)
{
    void (*changed)(struct sta *);

    sta__full_barrier();
    changed = atomic_load_explicit(&sta->changed, memory_order_acquire);
    if (changed)
        changed(sta);
}

int sta__attach_owned(struct sta *sta, const struct sta_attach_options *options,
                      void (*gone)(void *user_data))
{
    struct sta_attach_options given;
    struct sta__lock_state saved;
    bool crowded;
    int err;

    if (!sta || !options)
        return -EINVAL;
    err = sta__options_copy(&given, sizeof(given), OPTIONS_FIRST_SIZE, options);
    if (err < 0)
        return err;
    if (!given.callback || !is_valid_target(&given.target) || (given.flags & ~KNOWN_FLAGS)) {
        sta__log(&sta->log, STA_LOG_ERROR, "attach: %s (system call %d, flags 0x%x)",
                 !given.callback                   ? "no callback"
                 : !is_valid_target(&given.target) ? "no such system call number"
                                                   : "unknown flags",
                 given.target.sys_nr, given.flags);
        return -EINVAL;
    }
    if (given.name && strnlen(given.name, STA_ATTACH_NAME_SIZE) == STA_ATTACH_NAME_SIZE)
        return -ENAMETOOLONG;

    if (!(given.flags & STA_CALLBACK_GENERAL_REGS))
        sta__vectors_need();
    sta__lock(&sta->lock, &saved);
    err = attach_locked(sta, &given, gone);
    crowded = sta->retired_size > RETIRED_SIZE_MAX;
    sta__unlock(&sta->lock, &saved);
    if (err > 0)
        tell_changed(sta);
    if (crowded)
        reclaim(sta);
    return err;
}

int sta_attach_with(struct sta *sta, const struct sta_attach_options *options)
{
    return sta__attach_owned(sta, options, NULL);
}

int sta_attach(struct sta *sta, const struct sta_target *target, sta_callback callback,
               void *user_data)
{
    struct sta_attach_options options = {
        .size = sizeof(options), .callback = callback, .user_data = user_data};

    if (!target)
        return -EINVAL;
    options.target = *target;
    return sta_attach_with(sta, &options);
}

/* Where an attachment is. */
struct place {
    _Atomic(struct sta__list *) *slot;
    uint32_t index;
};

static bool find_in(_Atomic(struct sta__list *) *slot, int id, struct place *place)
{
    const struct sta__list *list = list_in(slot);

    for (uint32_t i = 0; list && i < list->count; i++) {
        if (list->entries[i].id == id) {
            *place = (struct place){slot, i};
            return true;
        }
    }
    return false;
}

static bool find(struct sta *sta, int id, struct place *place)
{
    if (find_in(&sta->all.enter, id, place) || find_in(&sta->all.exit, id, place))
        return true;
    for (int nr = 0; nr < STA_SYSCALL_LIMIT; nr++) {
        if (find_in(&sta->calls[nr].enter, id, place) || find_in(&sta->calls[nr].exit, id, place))
            return true;
    }
    return false;
}

/* Under the lock. 0 or -errno. */
static int detach_locked(struct sta *sta, int id)
{
    struct sta__list *old, *list = NULL;
    struct sta__attachment *attachment;
    struct place place;

    if (!find(sta, id, &place))
        return -ENOENT;
    old = list_in(place.slot);
    if (old->count > 1) {
        list = list_alloc(sta, old->count - 1);
        if (!list)
            return -ENOMEM;
        memcpy(list->entries, old->entries, place.index * sizeof(*old->entries));
        memcpy(list->entries + place.index, old->entries + place.index + 1,
               (list->count - place.index) * sizeof(*old->entries));
    }
    attachment = old->entries[place.index].attachment;
    /* In this order: were another thread to fork in between, the child must not find retired what
     * is attached still. */
    publish(sta, attachment->target.sys_nr, place.slot, list);
    retire_attachment(sta, attachment);
    return 0;
}

int sta_detach(struct sta *sta, int attach_id)
{
    struct sta__lock_state saved;
    int err;

    if (!sta)
        return -EINVAL;
    sta__lock(&sta->lock, &saved);
    err = detach_locked(sta, attach_id);
    sta__unlock(&sta->lock, &saved);
    if (err < 0)
        return err;
    tell_changed(sta);
    return reclaim(sta) == STA__GRACE_DEADLOCK ? -EINPROGRESS : 0;
}

static void add_up(const struct sta__attachment *attachment, struct sta_attach_info *info)
{
    for (uint32_t stripe = 0; stripe < STA__STRIPE_COUNT; stripe++) {
        const struct sta__counters *set = sta__counters_of(attachment->counters, stripe);

        info->runs += atomic_load_explicit(&set->runs, memory_order_relaxed);
        info->missed += atomic_load_explicit(&set->missed, memory_order_relaxed);
        info->failed += atomic_load_explicit(&set->failed, memory_order_relaxed);
        info->overrides += atomic_load_explicit(&set->overrides, memory_order_relaxed);
    }
}

int sta_attach_info(struct sta *sta, int attach_id, struct sta_attach_info *out)
{
    const struct sta__attachment *attachment;
    struct sta__lock_state saved;
    struct place place;
    bool found;

    if (!sta || !out || out->size != sizeof(*out))
        return -EINVAL;
    sta__lock(&sta->lock, &saved);
    found = find(sta, attach_id, &place);
    if (found) {
        attachment = list_in(place.slot)->entries[place.index].attachment;
        memset(out, 0, sizeof(*out));
        out->size = sizeof(*out);
        out->target = attachment->target;
        out->flags = attachment->flags;
        out->priority = attachment->priority;
        memcpy(out->name, attachment->name, sizeof(out->name));
        add_up(attachment, out);
    }
    sta__unlock(&sta->lock, &saved);
    return found ? 0 : -ENOENT;
}

static void clear(struct sta *sta, int sys_nr, bool is_enter)
{
    const struct sta_target target = {sys_nr, is_enter};
    _Atomic(struct sta__list *) *slot = list_slot(sta, &target);
    const struct sta__list *list = list_in(slot);

    for (uint32_t i = 0; list && i < list->count; i++)
        retire_attachment(sta, list->entries[i].attachment);
    if (list)
        publish(sta, sys_nr, slot, NULL);
}

void sta__registry_clear(struct sta *sta)
{
    struct sta__lock_state saved;

    sta__lock(&sta->lock, &saved);
    clear(sta, STA_ALL_SYSCALLS, true);
    clear(sta, STA_ALL_SYSCALLS, false);
    for (int nr = 0; nr < STA_SYSCALL_LIMIT; nr++) {
        clear(sta, nr, true);
        clear(sta, nr, false);
    }
    sta__unlock(&sta->lock, &saved);

    reclaim(sta);
    sta__counters_destroy(&sta->counters, &sta->arena);
    sta__arena_destroy(&sta->arena);
}
