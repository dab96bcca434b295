/* SPDX-License-Identifier: MIT */
#include "transform/choose.h"

#include "transform/straight_line.h"

/* Numbers past this are nobody's. */
#define NR_MAX 0xffff

/* From the detour's jump to the site, at most: what is moved has to fit into a stub. */
#define DETOUR_MAX 64

/* mov $nr,%eax; and its longer forms. Not xor: it has no room for a jump. */
static bool is_number_load(const struct sta__instruction *instruction)
{
    return instruction->kind == STA__INSTRUCTION_SET_EAX &&
           instruction->length >= STA__NEAR_JUMP_SIZE && instruction->eax <= NR_MAX;
}

bool sta__choose_mov(const struct sta__code_map *map, struct sta__site *site)
{
    struct sta__line line = {.map = map, .at = site->address};
    struct sta__instruction before;

    if (sta__line_back(&line) && is_number_load(&line.instruction)) {
        site->method = STA_SITE_MOV;
        site->reason = STA_REASON_NONE;
        site->nr = (int32_t)line.instruction.eax;
        site->patch_at = line.at;
        site->patch_size = line.instruction.length;
        return true;
    }
    site->reason = sta__code_map_before(map, site->address, &before) && is_number_load(&before)
                       ? STA_REASON_JUMPED_TO
                       : STA_REASON_NO_MOV;
    return false;
}

/* The nearest instruction before the site that a jump fits into, and all from there on can be
 * moved. A branch to its first byte is welcome; one that lands behind it must not be. */
bool sta__choose_detour(const struct sta__code_map *map, struct sta__site *site)
{
    struct sta__line line = {.map = map, .at = site->address};

    while (sta__line_back(&line) && sta__is_movable(&line.instruction) &&
           site->address - line.at <= DETOUR_MAX) {
        if (line.instruction.length < STA__NEAR_JUMP_SIZE)
            continue;
        site->method = STA_SITE_DETOUR;
        site->reason = STA_REASON_NO_PADDING;
        site->patch_at = line.at;
        site->patch_size = line.instruction.length;
        return true;
    }
    return false;
}

/* What a short jump at `from` reaches, as places where something of `size` bytes may begin. */
struct reach {
    uintptr_t low, high;
};

static struct reach reach_of(uintptr_t from)
{
    uintptr_t end = from + STA__SHORT_JUMP_SIZE;

    return (struct reach){end + (uintptr_t)(intptr_t)INT8_MIN, end + INT8_MAX};
}

static void set_short(struct sta__site *site)
{
    site->method = STA_SITE_SHORT;
    site->patch_at = site->address;
    site->patch_size = STA__SHORT_JUMP_SIZE;
}

/* The lowest padding is taken: sites come in the order of addresses and all reach equally far, so
 * what is left for the next ones is the best that can be. */
static bool choose_landing(struct sta__code_map *map, struct sta__site *site, struct reach reach)
{
    site->landing = sta__padding_find(map, reach.low, reach.high, STA__NEAR_JUMP_SIZE);
    if (!site->landing)
        return false;
    sta__padding_take(map, site->landing, site->landing + STA__NEAR_JUMP_SIZE);
    return true;
}

/* The way to a landing from hop number `index`, which is to lie in `reach`, to hop number
 * `count` - 1. */
static bool choose_way(struct sta__code_map *map, struct sta__site *site, struct reach reach,
                       unsigned index, unsigned count)
{
    uintptr_t hop;

    if (index == count)
        return choose_landing(map, site, reach);
    for (hop = reach.low; (hop = sta__padding_find(map, hop, reach.high, STA__SHORT_JUMP_SIZE));
         hop++) {
        site->hops[index] = hop;
        sta__padding_take(map, hop, hop + STA__SHORT_JUMP_SIZE);
        if (choose_way(map, site, reach_of(hop), index + 1, count))
            return true;
        sta__padding_give_back(map, hop, hop + STA__SHORT_JUMP_SIZE);
        site->hops[index] = 0;
    }
    return false;
}

static bool choose_shortest_way(struct sta__code_map *map, struct sta__site *site,
                                struct reach reach, unsigned hops)
{
    for (unsigned count = 0; count <= hops; count++)
        if (choose_way(map, site, reach, 0, count)) {
            set_short(site);
            return true;
        }
    return false;
}

static void reveal(struct sta__code_map *map, uintptr_t site,
                   const struct sta__short_effort *effort)
{
    struct reach reach = {site, site};

    for (unsigned i = 0; i <= effort->hops; i++) {
        reach.low = reach_of(reach.low).low;
        reach.high = reach_of(reach.high).high;
    }
    reach.high += STA__NEAR_JUMP_SIZE;
    sta__padding_reveal(map, reach.low, reach.high);
    if (effort->spare)
        sta__padding_reveal_spare(map, reach.low, reach.high);
}

bool sta__choose_short(struct sta__code_map *map, struct sta__site *site,
                       const struct sta__short_effort *effort)
{
    if (effort->around)
        reveal(map, site->address, effort);
    return choose_shortest_way(map, site, reach_of(site->address), effort->hops);
}

/* Whether there is room in the instruction for a jump to its copy and one more. All branches are
 * known, but those through tables, which lead to where instructions begin. */
static bool is_displaceable(const struct sta__code_map *map, uintptr_t at,
                            const struct sta__instruction *instruction)
{
    return instruction->length >= STA__NEAR_JUMP_SIZE + STA__SHORT_JUMP_SIZE &&
           instruction->kind != STA__INSTRUCTION_NOP && sta__is_movable(instruction) &&
           !sta__code_map_is_target(map, at + 1, at + instruction->length) &&
           !sta__padding_is_taken(map, at, at + instruction->length);
}

/* Whether a way to a landing begins in the instruction at `at`. What is behind that is executed,
 * and so no padding that its room could be taken for a part of. */
static bool displace(struct sta__code_map *map, struct sta__site *site, uintptr_t at, uint8_t size)
{
    struct reach reach = reach_of(site->address);
    uintptr_t room = at + STA__NEAR_JUMP_SIZE, end = at + size;

    if (room < reach.low)
        return false;
    if (end < reach.high)
        reach.high = end;
    reach.low = room;
    sta__padding_add(map, room, end);
    if (choose_shortest_way(map, site, reach, STA__HOP_MAX)) {
        site->displaced = at;
        site->displaced_size = size;
        sta__padding_take(map, at, end);
        return true;
    }
    sta__padding_forget(map, room, end);
    return false;
}

bool sta__choose_displacing(struct sta__code_map *map, struct sta__site *site)
{
    struct reach reach = reach_of(site->address);
    struct sta__instruction instruction;

    for (uintptr_t at = reach.low - STA__NEAR_JUMP_SIZE; at + STA__NEAR_JUMP_SIZE <= reach.high;
         at++) {
        if (!sta__code_map_is_start(map, at))
            continue;
        sta__code_map_instruction(map, at, &instruction);
        if (is_displaceable(map, at, &instruction) && displace(map, site, at, instruction.length))
            return true;
    }
    return false;
}
