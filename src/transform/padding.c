/* SPDX-License-Identifier: MIT */
/*
 * Padding: bytes that can be changed without a thread noticing. There are two kinds.
 *
 * What is never executed: compilers align what follows a jump or a return with nops, and functions
 * with nops or int3. Behind such an instruction nothing arrives at them but a branch. Only here an
 * unknown branch would do harm: it would run what a site put there. What a jump table leads to
 * begins with an instruction of its own, behind the padding, so those need not be known.
 *
 * What is executed and means nothing: the address that a long nop names, but does not use. The nop
 * stays one of the same length, whatever is in there:
 *
 *     66 2e 0f 1f 84 00 00 00 00 00     cs nopw 0(%rax,%rax,1)
 *     66 2e 0f 1f 84 e9 .. .. .. ..     cs nopw ...(%rcx,%rbp,8), with a jump inside
 */
#include "transform/code_map.h"

#define WINDOW 64 /* bits that are looked at together */

void sta__padding_add(struct sta__code_map *map, uintptr_t from, uintptr_t to)
{
    for (; from < to; from++)
        if (!sta__bit(map, STA__TAKEN, from))
            sta__bit_set(map, STA__PADDING, from);
}

void sta__padding_forget(struct sta__code_map *map, uintptr_t from, uintptr_t to)
{
    for (; from < to; from++)
        sta__bit_clear(map, STA__PADDING, from);
}

void sta__padding_take(struct sta__code_map *map, uintptr_t from, uintptr_t to)
{
    sta__padding_forget(map, from, to);
    for (; from < to; from++)
        sta__bit_set(map, STA__TAKEN, from);
}

void sta__padding_give_back(struct sta__code_map *map, uintptr_t from, uintptr_t to)
{
    for (uintptr_t at = from; at < to; at++)
        sta__bit_clear(map, STA__TAKEN, at);
    sta__padding_add(map, from, to);
}

bool sta__padding_is_taken(const struct sta__code_map *map, uintptr_t from, uintptr_t to)
{
    for (; from < to; from++)
        if (sta__bit(map, STA__TAKEN, from))
            return true;
    return false;
}

/* Never executed */

static bool is_all_padding(const struct sta__span *span)
{
    struct sta__instruction instruction;

    for (uintptr_t at = span->start; at < span->end; at += instruction.length)
        if (!sta__code_decode(at, span->end, &instruction) || !sta__is_padding(&instruction))
            return false;
    return true;
}

/* A gap is padding as a whole or not at all, and only if the function before it does not run into
 * it. (If that one ends with a call, it may be one that returns, as far as we know.) */
static void reveal_gap(struct sta__code_map *map, const struct sta__span *gap)
{
    struct sta__span before, behind;
    struct sta__instruction last;

    if (gap->start == map->code->start || gap->end == map->code->end || !is_all_padding(gap))
        return;
    before = sta__span_at(map->code, gap->start - 1);
    behind = sta__span_at(map->code, gap->end);
    sta__code_map_need(map, &before);
    sta__code_map_need(map, &behind);
    if (!sta__code_map_before(map, gap->start, &last) || sta__falls_through(last.kind))
        return;
    sta__padding_add(map, gap->start, gap->end);
}

void sta__padding_reveal(struct sta__code_map *map, uintptr_t from, uintptr_t to)
{
    struct sta__span span;

    if (from < map->code->start)
        from = map->code->start;
    if (to > map->code->end)
        to = map->code->end;
    for (uintptr_t at = from; at < to; at = span.end) {
        span = sta__span_at(map->code, at);
        if (span.is_function)
            sta__code_map_need(map, &span);
        else
            reveal_gap(map, &span);
    }
}

/* Executed */

/* The bytes of an instruction behind ModRM. */
static void add_spare(struct sta__code_map *map, uintptr_t at,
                      const struct sta__instruction *instruction)
{
    if (instruction->kind == STA__INSTRUCTION_NOP && instruction->modrm_offset != 0 &&
        !sta__code_map_is_target(map, at + 1, at + instruction->length))
        sta__padding_add(map, at + instruction->modrm_offset + 1, at + instruction->length);
}

void sta__padding_reveal_spare(struct sta__code_map *map, uintptr_t from, uintptr_t to)
{
    struct sta__instruction instruction;

    if (from < map->code->start)
        from = map->code->start;
    if (to > map->code->end)
        to = map->code->end;
    for (uintptr_t at = from; at < to; at++) {
        if (!sta__bit(map, STA__STARTS, at))
            continue;
        sta__code_map_instruction(map, at, &instruction);
        add_spare(map, at, &instruction);
    }
}

/* Handing out */

static bool is_free(const struct sta__code_map *map, uintptr_t address)
{
    return address >= map->code->start && address < map->code->end &&
           sta__bit(map, STA__PADDING, address);
}

/* A branch into padding makes the rest of it code. Strikes that out of the padding that `address`
 * is part of; true if there was nothing to strike out up to `end`. */
static bool is_unreached(struct sta__code_map *map, uintptr_t address, uintptr_t end)
{
    uintptr_t at = address, rest;

    while (is_free(map, at - 1))
        at--;
    while (at < end && !sta__code_map_is_target(map, at, at + 1))
        at++;
    if (at == end)
        return true;
    for (rest = at; is_free(map, rest); rest++)
        ;
    sta__padding_forget(map, at, rest);
    return false;
}

/* The bits of the padding from that number on, which is a multiple of 64. */
static uint64_t padding_word(const struct sta__code_map *map, size_t index)
{
    uint64_t word;

    __builtin_memcpy(&word, sta__code_byte(map->bits, STA__PADDING, index), sizeof(word));
    return word;
}

/* Bit n of the result: `from` + n on there are `size` free bytes. Counts for the lower bits only,
 * as many as `*count` says then. */
static uint64_t free_runs(const struct sta__code_map *map, uintptr_t from, unsigned size,
                          unsigned *count)
{
    size_t index = sta__code_index(map, from);
    unsigned offset = index % WINDOW;
    uint64_t bits = padding_word(map, index - offset) >> offset, runs;

    if (offset)
        bits |= padding_word(map, index - offset + WINDOW) << (WINDOW - offset);
    *count = WINDOW - (size - 1);
    runs = bits;
    for (unsigned i = 1; i < size; i++)
        runs &= bits >> i;
    return runs & ((UINT64_C(1) << *count) - 1);
}

uintptr_t sta__padding_find(struct sta__code_map *map, uintptr_t from, uintptr_t to, unsigned size)
{
    const struct sta__code *code = map->code;
    unsigned count;
    uint64_t runs;

    if (from < code->start)
        from = code->start;
    if (to > code->end - size)
        to = code->end - size;
    while (from <= to) {
        runs = free_runs(map, from, size, &count);
        if (!runs) {
            from += count;
            continue;
        }
        from += (unsigned)__builtin_ctzll(runs);
        if (from > to)
            return 0;
        if (is_unreached(map, from, from + size))
            return from;
    }
    return 0;
}
