/* SPDX-License-Identifier: MIT */
/*
 * Constants. The verifier believes what is in a map that is frozen and that programs only read: a
 * number there is known to it, a string to have an end. But the memory is a memfd, and whoever has
 * a descriptor of it may map and write it. So this process gets a copy of its own, in the place
 * where the values were:
 *
 *      +------+---------------+            +------+---------------+
 *      | head | values, memfd |    ──►     | head | values, a copy|
 *      +------+---------------+            +------+---------------+
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/gate.h"
#include "base/pages.h"
#include "maps/map.h"
#include "maps/shared.h"

int sta__map_keep_constants(struct sta_map *map)
{
    char *values = (char *)map->head + STA__MAP_HEAD_SIZE;
    size_t size = map->size - STA__MAP_HEAD_SIZE;
    int64_t copy, moved;

    if (!(map->flags & BPF_F_RDONLY_PROG))
        return 0;
    if (!map->values || map->max_entries != 1) { /* the verifier does not look into these */
        map->is_frozen = true;
        return 0;
    }
    copy = STA__RAW6(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sta__is_error(copy))
        return (int)copy;
    memcpy((void *)copy, values, size);
    /* In one step, for who reads them meanwhile. */
    moved = STA__RAW6(SYS_mremap, copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, values, 0);
    if (sta__is_error(moved)) {
        STA__RAW2(SYS_munmap, copy, size);
        return (int)moved;
    }
    map->is_frozen = true;
    return 0;
}
