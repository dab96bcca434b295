/* SPDX-License-Identifier: MIT */
/*
 * Spin locks in maps' values: one at a time, nothing is called while it is held but subprograms,
 * and it is given back before the program ends. Nothing but the two helpers touches it.
 *
 * A lock is known by its map and by the `id` of the pointer to its value, which pointers to values
 * with a lock keep when they turn out not to be NULL: what came out of one look-up is one value.
 */
#include <errno.h>

#include "ebpf/verify/verifier.h"

static int find_lock(struct sta__verifier *v, uint8_t reg)
{
    const struct sta__reg *pointer = sta__reg_of(v->state, reg);
    int64_t off = pointer->off + (int64_t)pointer->n.bits.value;

    if (!sta__range_is_const(&pointer->n))
        return sta__deny(v, -EINVAL,
                         "R%u doesn't have constant offset. bpf_spin_lock has to be at the "
                         "constant offset",
                         reg);
    if (!pointer->map->has_lock)
        return sta__deny(v, -EINVAL, "map has no valid bpf_spin_lock");
    if (off != pointer->map->lock_at)
        return sta__deny(v, -EINVAL,
                         "off %lld doesn't point to 'struct bpf_spin_lock' that is at %u",
                         (long long)off, pointer->map->lock_at);
    return 0;
}

int sta__lock_take(struct sta__verifier *v, uint8_t reg)
{
    const struct sta__reg *pointer = sta__reg_of(v->state, reg);
    int err = find_lock(v, reg);

    if (err)
        return err;
    if (v->state->lock_map)
        return sta__deny(v, -EINVAL, "Locking two bpf_spin_locks are not allowed");
    v->state->lock_map = pointer->map;
    v->state->lock_id = pointer->id;
    return 0;
}

int sta__lock_give_back(struct sta__verifier *v, uint8_t reg)
{
    const struct sta__reg *pointer = sta__reg_of(v->state, reg);
    int err = find_lock(v, reg);

    if (err)
        return err;
    if (!v->state->lock_map)
        return sta__deny(v, -EINVAL, "bpf_spin_unlock without taking a lock");
    if (v->state->lock_map != pointer->map || v->state->lock_id != pointer->id)
        return sta__deny(v, -EINVAL, "bpf_spin_unlock of different lock");
    v->state->lock_map = NULL;
    v->state->lock_id = 0;
    return 0;
}

int sta__lock_check_call(struct sta__verifier *v, int32_t helper)
{
    if (!v->state->lock_map || helper == BPF_FUNC_spin_unlock)
        return 0;
    return sta__deny(v, -EINVAL, "function calls are not allowed while holding a lock");
}

int sta__lock_check_access(struct sta__verifier *v, const struct sta__reg *pointer, int32_t off,
                           uint32_t size)
{
    const struct sta_map *map = pointer->map;

    /* The bounds were checked: there is no overflow. */
    if (!map->has_lock || pointer->n.smin + off >= (int64_t)map->lock_at + 4 ||
        (int64_t)pointer->n.umax + off + size <= map->lock_at)
        return 0;
    return sta__deny(v, -EACCES, "bpf_spin_lock cannot be accessed directly by load/store");
}
