/* SPDX-License-Identifier: MIT */
/*
 * Searching all of the code for a few bytes: in blocks as far as there are whole ones, then byte by
 * byte.
 */
#include "transform/scan_blocks.h"

#include "transform/code_map.h"

#define BLOCK ((uintptr_t)STA__SCAN_BLOCK_SIZE)

/* Blocks that are searched together: their branches are on the stack. */
#define BATCH 8

static uint8_t byte_at(uintptr_t at)
{
    return *(const uint8_t *)at;
}

/* Where the last whole block ends that can be searched: it has a byte behind it. */
static uintptr_t end_of_blocks(uintptr_t at, uintptr_t end)
{
    return at + (end - at - 1) / BLOCK * BLOCK;
}

static uintptr_t next_syscall_bytewise(uintptr_t at, uintptr_t end)
{
    for (; end - at >= 2; at++)
        if (byte_at(at) == 0x0f && byte_at(at + 1) == 0x05)
            return at;
    return end;
}

uintptr_t sta__scan_syscall(uintptr_t at, uintptr_t end)
{
    if (at < end)
        at = sta__scan_blocks_for_syscall(at, end_of_blocks(at, end));
    return next_syscall_bytewise(at, end);
}

/* From the byte before the last one of an opcode to the end of the distance. */
#define BRANCH_SIZE (2 + sizeof(int32_t))

/* Marks where the branches lead whose distances begin two bytes behind `at` + `list[i]`. What is
 * not inside, which cannot be foreseen, with a bit that nobody asks for; and so what is in no
 * record. */
static void mark_branches(const struct sta__code_map *map, uintptr_t at, const uint16_t *list,
                          unsigned count)
{
    const size_t size = map->code->end - map->code->start;
    const size_t first = at - map->code->start + BRANCH_SIZE;
    const struct sta__code_bits *const bits = map->bits;

    for (unsigned i = 0; i < count; i++) {
        int32_t distance;
        size_t index;

        __builtin_memcpy(&distance, (const void *)(at + list[i] + 2), sizeof(distance));
        index = first + list[i] + (uintptr_t)(intptr_t)distance;
        index = index < size ? index : size;
        sta__code_byte_set(sta__code_byte(bits, STA__TARGETS, index), index);
    }
}

static void mark_branch(const struct sta__code_map *map, uintptr_t at)
{
    const uint16_t here = 0;

    mark_branches(map, at, &here, 1);
}

/* Lists where the bits are set, which count from `at` on; returns how many there are. Mostly
 * two at most: to go on for as long as there are some could not be foreseen either. */
static unsigned list_bits(uint64_t bits, unsigned at, uint16_t *list)
{
    unsigned count = 0;

    do {
        for (unsigned i = 0; i < 2; i++) {
            list[count] = (uint16_t)(at + (unsigned)__builtin_ctzll(bits | UINT64_C(1) << 63));
            count += bits != 0;
            bits &= bits - 1;
        }
    } while (bits);
    return count;
}

static void mark_branches_of_blocks(const struct sta__code_map *map, uintptr_t at, uintptr_t end)
{
    uint64_t all_bits[BATCH];
    uint16_t list[BLOCK * BATCH + 1];
    unsigned count = 0;

    sta__scan_blocks_for_branches(at, end, all_bits);
    for (unsigned i = 0; i < (end - at) / BLOCK; i++)
        count += list_bits(all_bits[i], i * BLOCK, list + count);
    mark_branches(map, at, list, count);
}

static void mark_branch_bytewise(const struct sta__code_map *map, uintptr_t at)
{
    uint8_t last = byte_at(at + 1);

    if (last == 0xe9 || (byte_at(at) == 0x0f && (last & 0xf0) == 0x80))
        mark_branch(map, at);
}

/*
 * Parts of a function may lie anywhere in the code, so all of it counts, instructions or not: a
 * branch too many costs a site the best method at worst. Every sixth word or so has one, and which
 * cannot be foreseen; so they are noted and marked with as few conditions as can be.
 */
void sta__code_map_mark_far_branches(const struct sta__code_map *map)
{
    uintptr_t at = map->code->start, end = map->code->end, blocks;

    if (end - at < BRANCH_SIZE - 1)
        return;
    if (byte_at(at) == 0xe9)
        mark_branch(map, at - 1);
    end -= BRANCH_SIZE - 1; /* they can begin before that */
    if (at == end)
        return;
    blocks = end_of_blocks(at, end);
    for (; blocks - at >= BATCH * BLOCK; at += BATCH * BLOCK)
        mark_branches_of_blocks(map, at, at + BATCH * BLOCK);
    mark_branches_of_blocks(map, at, blocks);
    for (at = blocks; at < end; at++)
        mark_branch_bytewise(map, at);
}
