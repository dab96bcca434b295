/* SPDX-License-Identifier: MIT */
/*
 * The bits of a code map: in memory for those chunks of the code only that something is known of.
 * Mostly that is a tenth of it, and the kernel takes longer to hand out memory than all else here
 * takes.
 *
 *      chunks      0  0  2  0  1  0  0  3  ...     which record, for each chunk of the code
 *
 *      records     0: of all chunks that have none     1                     2
 *                  starts targets padding taken        starts targets ...    starts ...
 *
 * In record 0 only targets are ever set, and mean nothing.
 */
#include <sys/mman.h>

#include "base/gate.h"
#include "base/pages.h"
#include "transform/code_map.h"

#ifndef MADV_POPULATE_WRITE /* linux/mman.h since 5.14 */
#    define MADV_POPULATE_WRITE 23
#endif

/* Memory is asked for in such pieces, before the first use: a fault for each page takes longer. */
#define PIECE ((size_t)64 * 1024)

/* Whose targets are all known: all records, as long as nobody has looked for far branches. */
#define ALL UINT32_MAX

static size_t chunk_count(const struct sta__code *code)
{
    return (code->end - code->start) / STA__CHUNK_SIZE + 1;
}

/* No matter whether it succeeds. */
static void populate(struct sta__code_bits *bits)
{
    size_t size = bits->size - bits->populated;

    if (size > PIECE)
        size = PIECE;
    STA__RAW3(SYS_madvise, bits->records + bits->populated, size, MADV_POPULATE_WRITE);
    bits->populated += size;
}

struct sta__code_bits *sta__code_bits_open(const struct sta__code *code)
{
    /* Behind all of the code there is a chunk that never has a record. */
    size_t chunks = chunk_count(code) + 1;
    size_t before = sta__page_up(sizeof(struct sta__code_bits) + chunks * sizeof(uint32_t));
    size_t size = sta__page_up(chunks * STA__RECORD_SIZE);
    struct sta__code_bits *bits;
    int64_t got = STA__RAW6(SYS_mmap, 0, before + size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (sta__is_error(got))
        return NULL;
    bits = (struct sta__code_bits *)got;
    bits->records = (uint8_t *)got + before;
    bits->size = size;
    bits->count = 1;
    bits->known = ALL;
    populate(bits);
    return bits;
}

void sta__code_bits_close(struct sta__code_bits *bits)
{
    STA__RAW2(SYS_munmap, bits, bits->records + bits->size - (uint8_t *)bits);
}

void sta__code_bits_add(struct sta__code_bits *bits, size_t chunk)
{
    bits->chunks[chunk] = bits->count++;
    if (bits->count * STA__RECORD_SIZE > bits->populated)
        populate(bits);
}

void sta__code_bits_want(const struct sta__code_map *map, uintptr_t from, uintptr_t to)
{
    const struct sta__code *code = map->code;
    size_t last;

    if (from < code->start)
        from = code->start;
    if (to > code->end)
        to = code->end;
    last = (to - code->start) / STA__CHUNK_SIZE;
    for (size_t chunk = (from - code->start) / STA__CHUNK_SIZE; chunk <= last; chunk++)
        if (!map->bits->chunks[chunk])
            sta__code_bits_add(map->bits, chunk);
}

void sta__code_bits_are_known(const struct sta__code_map *map)
{
    map->bits->known = map->bits->count;
}

void sta__code_bits_know_all(const struct sta__code_map *map)
{
    sta__code_bits_want(map, map->code->start, map->code->end);
    map->bits->known = ALL;
    sta__code_map_mark_far_branches(map);
}
