/* SPDX-License-Identifier: MIT */
/*
 * Searching all of the code for a few bytes, eight places at a time in a general register. A place
 * is found by what is zero in the difference between the code and what is looked for:
 *
 *     (x - 0x0101...) & ~x & 0x8080...
 *
 * has the highest bit set of each byte of x that is zero. A borrow may set that of a byte above
 * such a one, too, so whatever is found is looked at once more.
 */
#include "transform/code_map.h"

#define EVERY(byte) ((byte)*UINT64_C(0x0101010101010101))

/* Words that are found before they are looked at: this is on the stack. */
#define BATCH 128

static uint64_t load(uintptr_t at)
{
    uint64_t word;

    __builtin_memcpy(&word, (const void *)at, sizeof(word));
    return word;
}

static uint8_t byte_at(uintptr_t at)
{
    return *(const uint8_t *)at;
}

/* Without the last step: other bits are set, too. */
static uint64_t zero_bytes(uint64_t x)
{
    return (x - EVERY(0x01)) & ~x;
}

static uint64_t maybe_syscalls(uintptr_t at)
{
    return zero_bytes((load(at) ^ EVERY(0x0f)) | (load(at + 1) ^ EVERY(0x05)));
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
    const unsigned step = 4 * sizeof(uint64_t);
    uint64_t found;
    uintptr_t hit;

    for (; end - at > step; at += step) {
        found = maybe_syscalls(at) | maybe_syscalls(at + 8) | maybe_syscalls(at + 16) |
                maybe_syscalls(at + 24);
        if (sta__likely(!(found & EVERY(0x80))))
            continue;
        hit = next_syscall_bytewise(at, at + step + 1);
        if (hit != at + step + 1)
            return hit;
    }
    return next_syscall_bytewise(at, end);
}

/* jmp: e9; jcc: 0f 80 to 0f 8f. */
static uint64_t maybe_branches(uintptr_t at)
{
    uint64_t word = load(at);
    uint64_t conditional = (word ^ EVERY(0x0f)) | ((load(at + 1) & EVERY(0xf0)) ^ EVERY(0x80));

    return (zero_bytes(word ^ EVERY(0xe9)) | zero_bytes(conditional)) & EVERY(0x80);
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

static void mark_branches_of_word(struct sta__code_map *map, uintptr_t at)
{
    for (uint64_t bits = maybe_branches(at); bits; bits &= bits - 1)
        mark_branch(map, at + (unsigned)__builtin_ctzll(bits) / 8);
}

/*
 * Parts of a function may lie anywhere in the code, so all of it counts, instructions or not: a
 * branch too many costs a site the best method at worst. Every sixth word or so has one. To look at
 * these at once would cost a misprediction each; so they are noted first, without a branch.
 */
void sta__code_map_mark_far_branches(struct sta__code_map *map)
{
    uintptr_t at = map->code->start, end = map->code->end;
    uint32_t batch[BATCH];
    uintptr_t base;
    unsigned count;

    while (end - at > BATCH * sizeof(uint64_t)) {
        base = at;
        count = 0;
        for (unsigned i = 0; i < BATCH; i++, at += sizeof(uint64_t)) {
            batch[count] = i * (unsigned)sizeof(uint64_t);
            count += maybe_branches(at) != 0;
        }
        for (unsigned i = 0; i < count; i++)
            mark_branches_of_word(map, base + batch[i]);
    }
    for (; end - at > sizeof(uint64_t); at += sizeof(uint64_t))
        mark_branches_of_word(map, at);
    for (; at < end; at++)
        mark_branch(map, at);
}
