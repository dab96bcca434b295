/* SPDX-License-Identifier: MIT */
/* Programs as objects. */
#ifndef STA_BPFCALL_PROGRAM_OBJECT_H
#define STA_BPFCALL_PROGRAM_OBJECT_H

#include "bpfcall/bpfcall.h"

extern const struct sta__fd_ops sta__program_object_ops;

/* The program keeps the map from now on; once, however often it is asked. 0 or -ENOMEM. */
int sta__program_object_add_map(struct sta__bpf_program *program, struct sta__bpf_map *map);

/* Program arrays are for programs of one type, as tail calls hand the context on: that of the first
 * one that uses it or is put into it. 0 or -EINVAL. Other maps are for all. */
int sta__program_object_fits(const struct sta__bpf_program *program, struct sta__bpf_map *map);

/* Fills in the ids of its maps, as many as there is room for; returns how many there are. */
uint32_t sta__program_object_map_ids(struct sta__bpf_program *program, uint32_t *ids,
                                     uint32_t room);

#endif
