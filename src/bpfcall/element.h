/* SPDX-License-Identifier: MIT */
/* What the commands on elements share. */
#ifndef STA_BPFCALL_ELEMENT_H
#define STA_BPFCALL_ELEMENT_H

#include "bpfcall/command.h"
#include "maps/map.h"

/* Bytes of a value as bpf(2) has it: those of all CPUs; a descriptor or an id. */
size_t sta__element_value_size(const struct sta_map *map);

/* Whether the map is one of programs, perf events, cgroups or maps: values are descriptors. */
bool sta__element_is_thing(const struct sta_map *map);

/* What a descriptor of the map allows: the way it is open, beside the map's own flags. 0 or
 * -EPERM. */
int sta__element_access(const struct sta__bpf_map *map, uint32_t fd, bool reads, bool writes);

/* Both in our memory. `value` of a map of things is a descriptor. */
long sta__element_update(const struct sta__command *command, struct sta__bpf_map *map,
                         const void *key, const void *value, uint64_t flags);
long sta__element_delete(struct sta__bpf_map *map, const void *key);

#endif
