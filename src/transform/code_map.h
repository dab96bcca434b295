/* SPDX-License-Identifier: MIT */
/*
 * What is known of some code, a bit for each of its bytes:
 *
 *     starts    an instruction begins here
 *     targets   a branch may land here
 *     padding   this byte may be given to somebody: see padding.c
 *     taken     it was
 *
 *     bytes     e9 .. .. .. ..  66 90  0f 1f 00  55  48 89 e5  ...
 *     starts     1  0  0  0  0   1  0   1  0  0   1   1  0  0
 *     targets    0  0  0  0  0   0  0   0  0  0   1   0  0  0
 *     padding    0  0  0  0  0   1  1   1  1  1   0   0  0  0
 *
 * It grows as spans of the code are decoded; those that nobody asks about are not. Shared between
 * the files that find sites; nobody else includes this.
 */
#ifndef STA_TRANSFORM_CODE_MAP_H
#define STA_TRANSFORM_CODE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transform/decode.h"
#include "transform/site.h"

struct sta__code_map {
    const struct sta__code *code;
    uint8_t *starts, *targets, *padding, *taken;
    size_t mapped; /* bytes that they have together */
};

/* A function, or what lies between two functions. */
struct sta__span {
    uintptr_t start, end;
    bool is_function;
};

/* 0 or -ENOMEM. Nothing is known yet. */
int sta__code_map_open(struct sta__code_map *map, const struct sta__code *code);
void sta__code_map_close(struct sta__code_map *map);

/* The span that an address of the code lies in. Without unwind data that is all of the code. */
struct sta__span sta__span_at(const struct sta__code *code, uintptr_t address);

/* Decodes a span, with the function before it where it matters whether that one goes on into it.
 * Functions are decoded up to what is no instruction; between functions, decoding begins again
 * behind that where it looks as if something begins. */
void sta__code_map_decode(struct sta__code_map *map, const struct sta__span *span);

/* The same, but for spans decoded already. */
void sta__code_map_need(struct sta__code_map *map, const struct sta__span *span);

/* After all branches are known: sees to what depends on those to what is behind this system call.
 */
void sta__code_map_settle(struct sta__code_map *map, uintptr_t site);

/* The first place from `at` on that has the bytes of the system call instruction, 0f 05; `end` if
 * there is none. */
uintptr_t sta__scan_syscall(uintptr_t at, uintptr_t end);

/* Marks where the jumps with a distance of four bytes lead that any place of the code could be the
 * beginning of. */
void sta__code_map_mark_far_branches(struct sta__code_map *map);

/* Decodes what is known to be an instruction. */
void sta__code_map_instruction(const struct sta__code_map *map, uintptr_t address,
                               struct sta__instruction *out);

/* Whether an instruction is known to begin at `address`, which may be anywhere. */
bool sta__code_map_is_start(const struct sta__code_map *map, uintptr_t address);

/* The beginning of the instruction that the byte at `address` belongs to; 0 if none is known. */
uintptr_t sta__code_map_start(const struct sta__code_map *map, uintptr_t address);

/* The instruction that ends at `address`: its beginning, or 0. */
uintptr_t sta__code_map_before(const struct sta__code_map *map, uintptr_t address,
                               struct sta__instruction *out);

/* Whether a branch may land between `from` and `to`, the latter not included. */
bool sta__code_map_is_target(const struct sta__code_map *map, uintptr_t from, uintptr_t to);

/* Whether a thread that executes such an instruction may go on with the one behind it. */
bool sta__falls_through(uint8_t kind);

/*
 * The padding of the code, handed out piece by piece.
 */

void sta__padding_add(struct sta__code_map *map, uintptr_t from, uintptr_t to);
void sta__padding_forget(struct sta__code_map *map, uintptr_t from, uintptr_t to);
void sta__padding_take(struct sta__code_map *map, uintptr_t from, uintptr_t to);
void sta__padding_give_back(struct sta__code_map *map, uintptr_t from, uintptr_t to);
bool sta__padding_is_taken(const struct sta__code_map *map, uintptr_t from, uintptr_t to);

/* Makes known what padding there is between two addresses, in functions and between them. */
void sta__padding_reveal(struct sta__code_map *map, uintptr_t from, uintptr_t to);

/* The same for spare bytes of nops that are executed. */
void sta__padding_reveal_spare(struct sta__code_map *map, uintptr_t from, uintptr_t to);

/* The first `size` bytes (2 to 8) of known padding in a row that begin between `from` and `to`,
 * both included. 0: there are none. */
uintptr_t sta__padding_find(struct sta__code_map *map, uintptr_t from, uintptr_t to, unsigned size);

/* Small things */

STA__INLINE size_t sta__code_index(const struct sta__code_map *map, uintptr_t address)
{
    return address - map->code->start;
}

STA__INLINE bool sta__bit(const uint8_t *bits, size_t index)
{
    return bits[index / 8] >> index % 8 & 1;
}

STA__INLINE void sta__bit_set(uint8_t *bits, size_t index)
{
    bits[index / 8] = (uint8_t)(bits[index / 8] | 1u << index % 8);
}

STA__INLINE void sta__bit_clear(uint8_t *bits, size_t index)
{
    bits[index / 8] = (uint8_t)(bits[index / 8] & ~(1u << index % 8));
}

STA__INLINE bool sta__is_padding(const struct sta__instruction *instruction)
{
    return instruction->kind == STA__INSTRUCTION_NOP || instruction->kind == STA__INSTRUCTION_INT3;
}

/* Decodes the instruction at `at`, which must end at `end` or before. */
STA__INLINE bool sta__code_decode(uintptr_t at, uintptr_t end, struct sta__instruction *out)
{
    return sta__decode(out, (const uint8_t *)at, end - at) > 0 && !out->differs_by_maker;
}

#endif
