/* SPDX-License-Identifier: MIT */
#include "transform/code_map.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/gate.h"
#include "transform/straight_line.h"

/* Where linkers align what has no unwind data: the sections .init, .plt, .text, .fini. */
#define SECTION_ALIGNMENT 16

/* So many int3 in a row are no accident. */
#define INT3S_MIN 3

int sta__code_map_open(struct sta__code_map *map, const struct sta__code *code)
{
    map->code = code;
    map->bits = sta__code_bits_open(code);
    return map->bits ? 0 : -ENOMEM;
}

void sta__code_map_close(struct sta__code_map *map)
{
    sta__code_bits_close(map->bits);
}

static bool is_inside(const struct sta__code_map *map, uintptr_t address)
{
    return address >= map->code->start && address < map->code->end;
}

static void mark_target(struct sta__code_map *map, uintptr_t address)
{
    if (is_inside(map, address))
        sta__bit_set(map, STA__TARGETS, address);
}

/* Spans */

struct sta__span sta__span_at(const struct sta__code *code, uintptr_t address)
{
    struct sta__span span = {code->start, code->end, false};
    struct sta__function function;
    size_t index;

    if (!code->unwind)
        return span;
    index = sta__unwind_index(code->unwind, address);
    if (index > 0 && sta__unwind_function(code->unwind, index - 1, &function) &&
        function.start >= code->start && function.end <= code->end) {
        if (address < function.end)
            return (struct sta__span){function.start, function.end, true};
        span.start = function.end;
    }
    if (sta__unwind_function(code->unwind, index, &function) && function.start > address &&
        function.start < code->end)
        span.end = function.start;
    return span;
}

/* Decoding */

bool sta__falls_through(uint8_t kind)
{
    switch (kind) {
    case STA__INSTRUCTION_JUMP:
    case STA__INSTRUCTION_JUMP_INDIRECT:
    case STA__INSTRUCTION_RETURN:
    case STA__INSTRUCTION_UD:
    case STA__INSTRUCTION_HLT:
        return false;
    }
    return true;
}

static bool has_target(const struct sta__instruction *instruction)
{
    switch (instruction->kind) {
    case STA__INSTRUCTION_JUMP:
    case STA__INSTRUCTION_JUMP_IF:
    case STA__INSTRUCTION_LOOP:
    case STA__INSTRUCTION_CALL:
    case STA__INSTRUCTION_XBEGIN:
        return true;
    }
    return false;
}

static uintptr_t align(uintptr_t at)
{
    return (at + SECTION_ALIGNMENT - 1) & -(uintptr_t)SECTION_ALIGNMENT;
}

/* Behind the end of a section: zeros up to where the next one begins. */
static uintptr_t skip_zeros(uintptr_t at, uintptr_t end)
{
    uintptr_t next = align(at);

    if (next > end)
        next = end;
    for (uintptr_t byte = at; byte < next; byte++)
        if (*(const uint8_t *)byte != 0)
            return at;
    return next;
}

static bool follows_syscall_bytes(const struct sta__code_map *map, uintptr_t at)
{
    const uint8_t *byte = (const uint8_t *)at;

    return at - map->code->start >= 2 && byte[-2] == 0x0f && byte[-1] == 0x05;
}

/*
 * glibc ends threads with
 *
 *     again:  xor %edi,%edi
 *             mov %edx,%eax
 *             syscall
 *             jmp again
 *
 * The call does not return. Were the jump taken for one, `again` would be a place where it is not
 * known how a thread came there. (A branch to the jump itself would make it a real one, after all:
 * see sta__code_map_settle().)
 */
static bool is_behind_exit(const struct sta__code_map *map, uintptr_t at, int64_t target)
{
    struct sta__instruction before;
    uintptr_t site;
    int32_t nr;

    if (target >= 0 || !follows_syscall_bytes(map, at))
        return false;
    site = sta__code_map_before(map, at, &before);
    if (!site || before.kind != STA__INSTRUCTION_SYSCALL)
        return false;
    nr = sta__line_number(map, site);
    return nr == SYS_exit || nr == SYS_exit_group;
}

void sta__code_map_settle(struct sta__code_map *map, uintptr_t site)
{
    uintptr_t behind = site + STA__SHORT_JUMP_SIZE;
    struct sta__instruction instruction;

    if (!sta__code_map_is_target(map, behind, behind + 1) ||
        sta__code_map_start(map, behind) != behind)
        return;
    sta__code_map_instruction(map, behind, &instruction);
    if (instruction.kind == STA__INSTRUCTION_JUMP)
        mark_target(map, behind + (uintptr_t)instruction.target);
}

static void mark_instruction(struct sta__code_map *map, uintptr_t at,
                             const struct sta__instruction *instruction)
{
    sta__bit_set(map, STA__STARTS, at);
    if (instruction->kind == STA__INSTRUCTION_JUMP && is_behind_exit(map, at, instruction->target))
        return;
    if (has_target(instruction))
        mark_target(map, at + (uintptr_t)instruction->target);
    else if (instruction->kind == STA__INSTRUCTION_ENDBR)
        mark_target(map, at);
}

/* Whether the instruction that ends at `address` goes on into the one there. */
static bool is_fallen_into(const struct sta__code_map *map, uintptr_t address)
{
    struct sta__instruction before;

    return sta__code_map_before(map, address, &before) && sta__falls_through(before.kind);
}

/* What has no unwind data may be the rest of the function before it: glibc's clone() is described
 * up to the system call only, so that unwinding ends in the child. */
static bool is_entered_from_before(struct sta__code_map *map, const struct sta__span *span)
{
    struct sta__span before;

    if (span->is_function || span->start == map->code->start)
        return false;
    before = sta__span_at(map->code, span->start - 1);
    if (!before.is_function)
        return false;
    sta__code_map_need(map, &before);
    return is_fallen_into(map, span->start);
}

/* What fills the space up to the next function or section. */
static bool is_filled_before(uintptr_t at, uintptr_t from)
{
    const uint8_t *byte = (const uint8_t *)at;
    unsigned zeros = 0, int3s = 0;

    while (zeros < SECTION_ALIGNMENT && at - zeros > from && byte[-1 - (int)zeros] == 0)
        zeros++;
    while (int3s < INT3S_MIN && at - int3s > from && byte[-1 - (int)int3s] == 0xcc)
        int3s++;
    return zeros == SECTION_ALIGNMENT || int3s == INT3S_MIN;
}

/* Where code is likely to begin again, behind what could not be decoded. */
static uintptr_t next_start(uintptr_t from, uintptr_t end)
{
    uintptr_t at = align(from + 1);

    while (at < end && !is_filled_before(at, from))
        at += SECTION_ALIGNMENT;
    return at < end ? at : end;
}

/* What was decoded up to where it makes no sense may be data, unless unwind data says that it is a
 * function. And as branches of the rest are not known, there is no padding. */
static void take_back(struct sta__code_map *map, const struct sta__span *span, uintptr_t from,
                      uintptr_t to)
{
    sta__padding_forget(map, from, to);
    for (; from < to && !span->is_function; from++)
        sta__bit_clear(map, STA__STARTS, from);
}

/* The short way to decode; 0: it has to be the long one. */
static uint32_t step_at(uintptr_t at, uintptr_t end)
{
    return end - at >= STA__INSTRUCTION_MAX ? sta__decode_step((const uint8_t *)at) : 0;
}

static int64_t distance_at_end(uintptr_t behind, unsigned size)
{
    int32_t distance;

    if (size == 1)
        return *(const int8_t *)(behind - 1);
    __builtin_memcpy(&distance, (const void *)(behind - sizeof(distance)), sizeof(distance));
    return distance;
}

/* Returns where the next one is. */
static uintptr_t mark_step(struct sta__code_map *map, uintptr_t at, uint32_t step)
{
    uintptr_t behind = at + (step & STA__STEP_LENGTH);
    int64_t distance;

    sta__bit_set(map, STA__STARTS, at);
    if (!(step & STA__STEP_DISTANCE))
        return behind;
    distance = distance_at_end(behind, sta__step_distance(step));
    if (!(step & STA__STEP_ENDS) || !is_behind_exit(map, at, (int64_t)(behind - at) + distance))
        mark_target(map, behind + (uintptr_t)distance);
    return behind;
}

/* Decodes from `at` on as far as it goes. Returns where that is. */
static uintptr_t decode_run(struct sta__code_map *map, const struct sta__span *span, uintptr_t at)
{
    uintptr_t start = at; /* of a function, as far as we know */
    bool falls = true;
    struct sta__instruction instruction;
    uint32_t step;

    while (at < span->end) {
        if (!falls && !span->is_function) {
            at = skip_zeros(at, span->end);
            if (align(at) == at)
                start = at;
        }
        if (at == span->end)
            break;
        step = step_at(at, span->end);
        if (step) {
            at = mark_step(map, at, step);
            falls = !(step & STA__STEP_ENDS);
            continue;
        }
        if (!sta__code_decode(at, span->end, &instruction)) {
            take_back(map, span, start, at);
            break;
        }
        mark_instruction(map, at, &instruction);
        if (falls || !sta__is_padding(&instruction))
            falls = sta__falls_through(instruction.kind);
        else
            sta__padding_add(map, at, at + instruction.length);
        at += instruction.length;
    }
    return at;
}

void sta__code_map_decode(struct sta__code_map *map, const struct sta__span *span)
{
    uintptr_t at = span->start;

    if (!is_entered_from_before(map, span))
        mark_target(map, at); /* functions are called */
    while ((at = decode_run(map, span, at)) < span->end && !span->is_function) {
        at = next_start(at, span->end);
        mark_target(map, at);
    }
}

void sta__code_map_need(struct sta__code_map *map, const struct sta__span *span)
{
    if (!sta__bit(map, STA__STARTS, span->start))
        sta__code_map_decode(map, span);
}

/* Questions */

void sta__code_map_instruction(const struct sta__code_map *map, uintptr_t address,
                               struct sta__instruction *out)
{
    sta__decode(out, (const uint8_t *)address, map->code->end - address);
}

bool sta__code_map_is_start(const struct sta__code_map *map, uintptr_t address)
{
    return is_inside(map, address) && sta__bit(map, STA__STARTS, address);
}

uintptr_t sta__code_map_start(const struct sta__code_map *map, uintptr_t address)
{
    for (unsigned i = 0; i < STA__INSTRUCTION_MAX && address - i >= map->code->start; i++)
        if (sta__bit(map, STA__STARTS, address - i))
            return address - i;
    return 0;
}

uintptr_t sta__code_map_before(const struct sta__code_map *map, uintptr_t address,
                               struct sta__instruction *out)
{
    uintptr_t start = address > map->code->start ? sta__code_map_start(map, address - 1) : 0;

    if (!start)
        return 0;
    sta__code_map_instruction(map, start, out);
    return start + out->length == address ? start : 0;
}

bool sta__code_map_is_target(const struct sta__code_map *map, uintptr_t from, uintptr_t to)
{
    for (; from < to; from++) {
        uint32_t record = map->bits->chunks[sta__code_index(map, from) / STA__CHUNK_SIZE];

        if (sta__unlikely(record == 0 || record >= map->bits->known))
            sta__code_bits_know_all(map);
        if (sta__bit(map, STA__TARGETS, from))
            return true;
    }
    return false;
}
