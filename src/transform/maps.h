/* SPDX-License-Identifier: MIT */
/*
 * The mappings of this process, from /proc/self/maps (Documentation/filesystems/proc.rst).
 * No libc: from any thread, in any state.
 */
#ifndef STA_TRANSFORM_MAPS_H
#define STA_TRANSFORM_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sta__map {
    uintptr_t start, end;
    uint64_t offset; /* in the file, in bytes */
    uint64_t device; /* as the file shows it: major << 32 | minor */
    uint64_t inode;  /* 0: no file */
    bool readable, writable, executable, shared;
    const char *path; /* terminated; "" if there is none */
};

/* False: no more, please. The map is gone when it returns. */
typedef bool (*sta__map_visit)(const struct sta__map *map, void *data);

/* Visits the mappings in the order of addresses. 0 or -errno. */
int sta__maps_each(sta__map_visit visit, void *data);

#endif
