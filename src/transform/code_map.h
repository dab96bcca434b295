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
 * It grows as spans of the code are decoded; those that nobody asks about are not. The bits are in
 * records, one for each chunk of the code that something is known of. Shared between the files that
 * find sites; nobody else includes this.
 */
#ifndef STA_TRANSFORM_CODE_MAP_H
#define STA_TRANSFORM_CODE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transform/decode.h"
#include "transform/site.h"

#define STA__CHUNK_SIZE ((size_t)512) /* bytes of code */

/* A record has the bits of each kind for a chunk. */
enum sta__code_bit { STA__STARTS, STA__TARGETS, STA__PADDING, STA__TAKEN };

#define STA__BITS_SIZE   (STA__CHUNK_SIZE / 8)
#define STA__RECORD_SIZE (4 * STA__BITS_SIZE)

/* See code_bits.c. */
struct sta__code_bits {
    uint8_t *records;
    size_t size, populated; /* bytes of them */
    uint32_t count;
    uint32_t known;    /* in how many all targets are marked; UINT32_MAX: in all */
    uint32_t chunks[]; /* for each chunk its record; 0: it has none */
};

struct sta__code_map {
    const struct sta__code *code;
    struct sta__code_bits *bits;
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
 * beginning of; in chunks that have a record. */
void sta__code_map_mark_far_branches(const struct sta__code_map *map);

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

/* Zeroed; NULL: there is no memory. */
struct sta__code_bits *sta__code_bits_open(const struct sta__code *code);
void sta__code_bits_close(struct sta__code_bits *bits);

/* Makes a record for a chunk that has none. */
void sta__code_bits_add(struct sta__code_bits *bits, size_t chunk);

/* Sees to it that the chunks there have records. */
void sta__code_bits_want(const struct sta__code_map *map, uintptr_t from, uintptr_t to);

/* From now on, targets in chunks that have no record yet are not known. */
void sta__code_bits_are_known(const struct sta__code_map *map);

/* Who asks for those nevertheless has to wait: looks for far branches once more, for all chunks. */
void sta__code_bits_know_all(const struct sta__code_map *map);

/* The byte with the bit number `index`; that of record 0 if there is no record. */
STA__INLINE uint8_t *sta__code_byte(const struct sta__code_bits *bits, enum sta__code_bit kind,
                                    size_t index)
{
    return bits->records + (size_t)bits->chunks[index / STA__CHUNK_SIZE] * STA__RECORD_SIZE +
           kind * STA__BITS_SIZE + index % STA__CHUNK_SIZE / 8;
}

STA__INLINE void sta__code_byte_set(uint8_t *byte, size_t index)
{
    *byte = (uint8_t)(*byte | 1u << index % 8);
}

STA__INLINE bool sta__bit(const struct sta__code_map *map, enum sta__code_bit kind,
                          uintptr_t address)
{
    size_t index = sta__code_index(map, address);

    return *sta__code_byte(map->bits, kind, index) >> index % 8 & 1;
}

STA__INLINE void sta__bit_set(const struct sta__code_map *map, enum sta__code_bit kind,
                              uintptr_t address)
{
    size_t index = sta__code_index(map, address);

    if (!map->bits->chunks[index / STA__CHUNK_SIZE])
        sta__code_bits_add(map->bits, index / STA__CHUNK_SIZE);
    sta__code_byte_set(sta__code_byte(map->bits, kind, index), index);
}

/* Not of targets. */
STA__INLINE void sta__bit_clear(const struct sta__code_map *map, enum sta__code_bit kind,
                                uintptr_t address)
{
    size_t index = sta__code_index(map, address);
    uint8_t *byte = sta__code_byte(map->bits, kind, index);

    *byte = (uint8_t)(*byte & ~(1u << index % 8));
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
