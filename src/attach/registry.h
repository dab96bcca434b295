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
};

struct sta__attachment {
    struct sta__retired retired;
    struct sta_target target;
    unsigned flags;
    int priority;
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

/* NULL: nothing attached. Written under the lock with release, read with acquire. */
struct sta__hooks {
    _Atomic(struct sta__list *) enter;
    _Atomic(struct sta__list *) exit;
};

/* What there is to do for a number, in one byte that is all a dispatch looks at if nothing is. The
 * last element stands for all numbers that have no lists of their own. Derived from the lists. */
#define STA__ACTIVE_ENTER 1 /* an enter list, of its own or of all calls */
#define STA__ACTIVE_EXIT  2 /* an exit list */
#define STA__ACTIVE_ALWAYS                                                 \
    4 /* the dispatcher itself has to do with it: clone, exit, sigaltstack \
       */
#define STA__ACTIVE_COUNT (STA_SYSCALL_LIMIT + 1)

struct sta {
    _Atomic(sta_syscall_fn) original;
    struct sta__hooks all;
    _Atomic uint8_t active[STA__ACTIVE_COUNT];

    /* The registry's own; the dispatcher does not look at it. */
    struct sta__lock lock; /* protects all below and every store to the lists */
    int next_id;
    struct sta__arena arena;
    struct sta__counters_pool counters;
    struct sta__retired *retired;
    size_t retired_size; /* bytes */
    struct sta__log log;
    void (*before_free)(struct sta *sta); /* set by who depends on this registry; may be NULL */
    struct sta *next_spare;               /* while it is none: see sta_free() */

    struct sta__hooks calls[STA_SYSCALL_LIMIT] __attribute__((aligned(STA__CACHE_LINE)));
};

/* Derives `active` from the lists. The caller holds the lock, or nobody else knows the registry. */
void sta__registry_update_active(struct sta *sta);

/* Detaches everything and gives all memory back. No other thread may attach or detach meanwhile. */
void sta__registry_clear(struct sta *sta);

STA__INLINE unsigned sta__active_index(int sys_nr)
{
    return (unsigned)sys_nr < STA_SYSCALL_LIMIT ? (unsigned)sys_nr : STA_SYSCALL_LIMIT;
}

/* The lists for a number: for those that can have none of their own, NULL. */
STA__INLINE struct sta__hooks *sta__hooks_of(struct sta *sta, int sys_nr)
{
    return (unsigned)sys_nr < STA_SYSCALL_LIMIT ? &sta->calls[sys_nr] : NULL;
}

#endif
