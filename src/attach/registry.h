/* SPDX-License-Identifier: MIT */
/*
 * What is attached, as the dispatcher reads it and the registry writes it.
 *
 *   struct sta ── all ───┬─ enter ─► list: entry, entry, ...      immutable; replaced as a whole
 *              │         └─ exit  ─► list                         and freed after a grace period
 *              └─ calls[0 .. 511], the same pair for each call
 *                                          entry ─► callback, counters, attachment: who it is
 */
#ifndef STA_ATTACH_REGISTRY_H
#define STA_ATTACH_REGISTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <sta/attach.h>

#include "attach/counters.h"
#include "base/arena.h"
#include "base/compiler.h"
#include "base/lock.h"
#include "base/log.h"

/* Head of each block that is freed after a grace period. */
struct sta__retired {
    struct sta__retired *next;
    size_t size;
    struct sta__counters *counters; /* to be freed with it; may be NULL */
    /* Called before, with `gone_data`; may be NULL. */
    void (*gone)(void *data);
    void *gone_data;
};

struct sta__attachment {
    struct sta__retired retired;
    struct sta_target target;
    unsigned flags;
    int priority;
    uint64_t cookie;
    char name[STA_ATTACH_NAME_SIZE];
    struct sta__counters *counters;
};

/* What the dispatcher needs of an attachment, side by side. */
struct sta__entry {
    sta_callback callback;
    void *user_data;
    struct sta__counters *counters;
    struct sta__attachment *attachment;
    unsigned flags;
    int id;
};

struct sta__list {
    struct sta__retired retired;
    uint32_t count;
    struct sta__entry entries[];
};

/* What is attached to one call, or to all. A dispatch for which `active` is 0 looks at nothing
 * else. */
struct sta__hooks {
    /* The usual case made short: what there is to run for the call, be it attached to the call or
     * to all, if that is a single callback; else NULL. An entry of one of the lists, written and
     * read like them. */
    _Atomic(const struct sta__entry *) only_enter;
    _Atomic(const struct sta__entry *) only_exit;
    /* NULL: nothing. Written under the lock with release, read with acquire. */
    _Atomic(struct sta__list *) enter;
    _Atomic(struct sta__list *) exit;
    /* What there is to do for the call, by these lists and those of all calls: STA__ACTIVE_*. */
    _Atomic uint8_t active;
} __attribute__((aligned(STA__CACHE_LINE)));

#define STA__ACTIVE_ENTER 1 /* enter callbacks */
#define STA__ACTIVE_EXIT  2 /* exit callbacks */
#define STA__ACTIVE_ALWAYS \
    4 /* it concerns the dispatcher itself: clone, exit, sigaltstack, setns */

struct sta {
    _Atomic(sta_syscall_fn) original;
    struct sta__hooks all;

    /* The registry's own; the dispatcher does not look at it. */
    struct sta__lock lock; /* protects all below and every store to the lists */
    int next_id;
    struct sta__arena arena;
    struct sta__counters_pool counters;
    struct sta__retired *retired;
    size_t retired_size;  /* bytes */
    bool active_is_stale; /* the lists have changed, and `active` is yet to follow */
    struct sta__log log;
    /* Set by who depends on this registry; may be NULL. `changed` is called without the lock when
     * some `active` may have changed, also inside callbacks. */
    void (*before_free)(struct sta *sta);
    void (*_Atomic changed)(struct sta *sta);
    struct sta *next_spare; /* while it is none: see sta_free() */

    /* The last one stands for all numbers that can have none of their own: its lists stay empty. */
    struct sta__hooks calls[STA_SYSCALL_LIMIT + 1] __attribute__((aligned(STA__CACHE_LINE)));
};

/* As sta_attach_with(); if it succeeds, `gone` is called with the callback's user_data, without the
 * registry's lock, when no thread runs the callback any more and none ever will. */
int sta__attach_owned(struct sta *sta, const struct sta_attach_options *options,
                      void (*gone)(void *user_data));

/* Derives `active` and the like from the lists. The caller holds the lock, or nobody else knows the
 * registry. */
void sta__registry_update_active(struct sta *sta);

/* Detaches everything and gives all memory back. No other thread may attach or detach meanwhile. */
void sta__registry_clear(struct sta *sta);

STA__INLINE struct sta__hooks *sta__hooks_of(struct sta *sta, int sys_nr)
{
    return &sta->calls[(unsigned)sys_nr < STA_SYSCALL_LIMIT ? (unsigned)sys_nr : STA_SYSCALL_LIMIT];
}

#endif
