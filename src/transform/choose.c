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

static void set_short(struct sta__code_map *map, struct sta__site *site, uintptr_t hop,
                      uintptr_t landing)
{
    sta__padding_take(map, landing, landing + STA__NEAR_JUMP_SIZE);
    if (hop)
        sta__padding_take(map, hop, hop + STA__SHORT_JUMP_SIZE);
    site->method = STA_SITE_SHORT;
    site->patch_at = site->address;
    site->patch_size = STA__SHORT_JUMP_SIZE;
    site->hop = hop;
    site->landing = landing;
}

/* The lowest padding is taken: sites come in the order of addresses and all reach equally far, so
 * what is left for the next ones is the best that can be. */
static bool choose_landing(struct sta__code_map *map, struct sta__site *site)
{
    struct reach reach = reach_of(site->address);
    uintptr_t landing = sta__padding_find(map, reach.low, reach.high, STA__NEAR_JUMP_SIZE);

    if (landing)
        set_short(map, site, 0, landing);
    return landing;
}

static bool choose_hop(struct sta__code_map *map, struct sta__site *site)
{
    struct reach reach = reach_of(site->address), next;
    uintptr_t hop = reach.low, landing;

    while ((hop = sta__padding_find(map, hop, reach.high, STA__SHORT_JUMP_SIZE))) {
        next = reach_of(hop);
        landing = sta__padding_find(map, next.low, hop - STA__NEAR_JUMP_SIZE, STA__NEAR_JUMP_SIZE);
        if (!landing)
            landing =
                sta__padding_find(map, hop + STA__SHORT_JUMP_SIZE, next.high, STA__NEAR_JUMP_SIZE);
        if (landing) {
            set_short(map, site, hop, landing);
            return true;
        }
        hop++;
    }
    return false;
}

bool sta__choose_short(struct sta__code_map *map, struct sta__site *site,
                       enum sta__short_effort effort)
{
    struct reach reach = reach_of(site->address);
    uintptr_t low = reach_of(reach.low).low;
    uintptr_t high = reach_of(reach.high).high + STA__NEAR_JUMP_SIZE;

    switch (effort) {
    case STA__SHORT_KNOWN:
        return choose_landing(map, site);
    case STA__SHORT_AROUND:
        sta__padding_reveal(map, reach.low, reach.high + STA__NEAR_JUMP_SIZE);
        return choose_landing(map, site);
    case STA__SHORT_HOP:
        return choose_hop(map, site);
    case STA__SHORT_HOP_AROUND:
        sta__padding_reveal(map, low, high);
        return choose_landing(map, site) || choose_hop(map, site);
    case STA__SHORT_SPARE:
        sta__padding_reveal_spare(map, low, high);
        return choose_landing(map, site) || choose_hop(map, site);
    }
    return false;
}
