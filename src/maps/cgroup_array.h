/* SPDX-License-Identifier: MIT */
/*
 * BPF_MAP_TYPE_CGROUP_ARRAY: control groups that bpf_current_task_under_cgroup() asks about. An
 * element is a group's id, that is, its directory's inode number; 0: there is none. On the dispatch
 * path.
 */
#ifndef STA_MAPS_CGROUP_ARRAY_H
#define STA_MAPS_CGROUP_ARRAY_H

#include "maps/map.h"

extern const struct sta__map_ops sta__cgroup_array_ops;

/* The group at `index`, which is less than max_entries. */
uint64_t sta__cgroup_array_id(struct sta_map *map, uint32_t index);

#endif
