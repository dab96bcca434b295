/* SPDX-License-Identifier: MIT */
/*
 * Stack traces: each in the slot that its hash says, so that the same one has the same number.
 *
 *      slot:  | lock | hash | count | address 0 | address 1 | ..
 *
 * A slot is written under its lock: count = 0, addresses, hash, count; whoever is killed leaves it
 * empty. On the dispatch path.
 */
#ifndef STA_MAPS_STACK_TRACE_H
#define STA_MAPS_STACK_TRACE_H

#include "maps/map.h"
#include "maps/owner_lock.h"

struct sta__stack_slot {
    sta__owner_word lock;
    _Atomic uint32_t hash;
    _Atomic uint32_t count; /* addresses; 0: it is empty */
    _Atomic uint64_t addresses[];
};

extern const struct sta__map_ops sta__stack_trace_ops;

/* bpf_get_stackid, behind the walk: the number of a trace; -EEXIST: another one has its slot and
 * `flags` have no BPF_F_REUSE_STACKID; -EBUSY; -EFAULT: it is empty. Of BPF_F_FAST_STACK_CMP the
 * meaning is the kernel's: equal hashes are taken for equal traces. */
long sta__stack_trace_put(struct sta_map *map, const uint64_t *addresses, uint32_t count,
                          uint64_t flags);

#endif
