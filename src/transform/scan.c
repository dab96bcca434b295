/* SPDX-License-Identifier: MIT */
/*
 * Searching all of the code for a few bytes: in blocks as far as there are whole ones, then byte by
 * byte.
 */
#include "transform/scan_blocks.h"

#include "transform/code_map.h"

#define BLOCK ((uintptr_t)STA__SCAN_BLOCK_SIZE)

/* Blocks that are searched together: bits for each are on the stack. */
#define BATCH 64

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

/* Marks where the branch leads that may begin at `at`. */
static void mark_branch(struct sta__code_map *map, uintptr_t at)
{
    const struct sta__code *code = map->code;
    unsigned opcode_size = byte_at(at) == 0xe9 ? 1 : 2;
    uintptr_t target = at + opcode_size + sizeof(int32_t);
    int32_t distance;

    if (target > code->end)
        return;
    if (opcode_size == 2 && (byte_at(at) != 0x0f || (byte_at(at + 1) & 0xf0) != 0x80))
        return;
    __builtin_memcpy(&distance, (const void *)(target - sizeof(distance)), sizeof(distance));
    target += (uintptr_t)(intptr_t)distance;
    if (target - code->start < code->end - code->start)
        sta__bit_set(map->targets, target - code->start);
}

static void mark_branches_of_blocks(struct sta__code_map *map, uintptr_t at, uintptr_t end)
{
    uint64_t all_bits[BATCH];

    sta__scan_blocks_for_branches(at, end, all_bits);
    for (unsigned i = 0; at < end; i++, at += BLOCK)
        for (uint64_t bits = all_bits[i]; bits; bits &= bits - 1)
            mark_branch(map, at + (unsigned)__builtin_ctzll(bits));
}

/*
 * Parts of a function may lie anywhere in the code, so all of it counts, instructions or not: a
 * branch too many costs a site the best method at worst. Every sixth word or so has one. To look at
 * these at once would cost a misprediction each; so they are noted first, without a branch.
 */
void sta__code_map_mark_far_branches(struct sta__code_map *map)
{
    uintptr_t at = map->code->start, end = map->code->end, blocks = end_of_blocks(at, end);

    for (; blocks - at >= BATCH * BLOCK; at += BATCH * BLOCK)
        mark_branches_of_blocks(map, at, at + BATCH * BLOCK);
    mark_branches_of_blocks(map, at, blocks);
    for (at = blocks; at < end; at++)
        mark_branch(map, at);
}
