/* SPDX-License-Identifier: MIT */
/*
 * The hook slot of a host runtime: one function of the sta_syscall_fn type that dispatches to the
 * global registry, or to the original while there is none.
 */
#include "attach/hook.h"

#include <errno.h>
#include <stdatomic.h>

#include <sta/attach.h>

#include "base/gate.h"

static _Atomic(struct sta *) global;
static _Atomic(sta_syscall_fn) slot_original = sta__raw_syscall;

static int64_t hook(int64_t sys_nr, int64_t a1, int64_t a2, int64_t a3, int64_t a4, int64_t a5,
                    int64_t a6)
{
    /* Acquire: pairs with sta_set_global(). */
    struct sta *sta = atomic_load_explicit(&global, memory_order_acquire);

    if (sta)
        return sta_dispatch(sta, sys_nr, a1, a2, a3, a4, a5, a6);
    return atomic_load_explicit(&slot_original, memory_order_acquire)(sys_nr, a1, a2, a3, a4, a5,
                                                                      a6);
}

void sta_set_global(struct sta *sta)
{
    /* Release: whoever sees the registry sees it made. */
    atomic_store_explicit(&global, sta, memory_order_release);
}

void sta__hook_forget(struct sta *sta)
{
    atomic_compare_exchange_strong(&global, &sta, NULL);
}

int sta_setup_syscall_hooker(sta_syscall_fn *slot)
{
    struct sta *sta = atomic_load_explicit(&global, memory_order_acquire);
    sta_syscall_fn original;

    if (!slot)
        return -EINVAL;
    if (!sta)
        return -ENODEV;
    if (*slot == hook)
        return -EALREADY;
    original = *slot ? *slot : sta__raw_syscall;
    atomic_store_explicit(&slot_original, original, memory_order_release);
    sta_set_original_syscall(sta, original);
    *slot = hook;
    return 0;
}
