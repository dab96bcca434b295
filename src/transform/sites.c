/* SPDX-License-Identifier: MIT */
/*
 * Finding system calls. Most code has none, so it comes in steps that each look at less:
 *
 *     the bytes 0f 05, anywhere
 *     the functions around them: is it an instruction?
 *     if one is, the code as a whole once more, for branches
 *     the methods, one by one, for those sites that have none yet
 */
#include <errno.h>
#include <sys/mman.h>

#include "base/gate.h"
#include "transform/choose.h"
#include "transform/judge.h"
#include "transform/straight_line.h"

/* Enough for libc. */
#define ROOM_AT_FIRST 1024

struct search {
    const struct sta__code *code;
    struct sta__code_map map;
    struct sta__site *sites;
    size_t count, room;
};

/* The list of sites. */

static int grow(struct search *search)
{
    size_t room = search->room ? 2 * search->room : ROOM_AT_FIRST;
    size_t size = room * sizeof(*search->sites);
    int64_t memory;

    if (search->room)
        memory = STA__RAW4(SYS_mremap, search->sites, search->room * sizeof(*search->sites), size,
                           MREMAP_MAYMOVE);
    else
        memory = STA__RAW6(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                           -1, 0);
    if (memory < 0)
        return -ENOMEM;
    search->sites = (struct sta__site *)memory;
    search->room = room;
    return 0;
}

static void shrink_to_nothing(struct search *search)
{
    if (search->room)
        STA__RAW2(SYS_munmap, search->sites, search->room * sizeof(*search->sites));
}

static int collect(struct search *search)
{
    uintptr_t at = search->code->start, end = search->code->end;

    for (; (at = sta__scan_syscall(at, end)) != end; at++) {
        if (search->count == search->room && grow(search) < 0)
            return -ENOMEM;
        search->sites[search->count++] = (struct sta__site){
            .address = at,
            .patch_at = at,
            .nr = STA__NR_UNKNOWN,
            .method = STA_SITE_LEFT,
            .reason = STA_REASON_NO_CODE,
            .patch_size = STA__SHORT_JUMP_SIZE,
        };
    }
    return 0;
}

/* Is it an instruction? */

/* Returns whether there is a system call among the sites. From here on until it gets a better one,
 * the method of these is STA_SITE_TRAP. */
static bool locate(struct search *search)
{
    struct sta__span span = {0, 0, false};
    bool found = false;

    for (size_t i = 0; i < search->count; i++) {
        struct sta__site *site = &search->sites[i];

        if (site->address >= span.end) {
            span = sta__span_at(search->code, site->address);
            sta__code_map_decode(&search->map, &span);
        }
        site->reason = sta__judge_code(&search->map, &span, site->address);
        if (site->reason == STA_REASON_NONE) {
            site->method = STA_SITE_TRAP;
            found = true;
        }
    }
    return found;
}

/* As far as short jumps and a landing reach. */
#define SURROUNDINGS ((STA__HOP_MAX + 1) * 130 + 64)

/* Whether it looks as if the best method will work: the others need padding. */
static bool has_mov(const struct sta__code_map *map, const struct sta__site *site)
{
    const uint8_t *mov = (const uint8_t *)site->address - STA__NEAR_JUMP_SIZE;

    return sta__code_map_is_start(map, (uintptr_t)mov) && mov[0] == 0xb8 &&
           !sta__code_map_is_target(map, (uintptr_t)mov + 1, site->address + 1);
}

/* Where it matters whether a branch leads there. */
static void want_surroundings(const struct search *search)
{
    for (size_t i = 0; i < search->count; i++) {
        const struct sta__site *site = &search->sites[i];

        if (site->method == STA_SITE_TRAP && !has_mov(&search->map, site))
            sta__code_bits_want(&search->map, site->address - SURROUNDINGS,
                                site->address + SURROUNDINGS);
    }
}

/* The methods */

static void leave(struct sta__site *site, enum sta_site_reason reason)
{
    site->method = STA_SITE_LEFT;
    site->reason = (uint8_t)reason;
}

static void choose_alone(struct search *search, struct sta__site *site)
{
    if (sta__choose_mov(&search->map, site))
        return;
    site->nr = sta__line_number(&search->map, site->address);
    if (site->nr != STA__NR_UNKNOWN)
        return;
    if (sta__is_cancellation_point(&search->map, site->address))
        leave(site, STA_REASON_CANCELLATION);
    else if (!sta__judge_is_reached(&search->map, site))
        leave(site, STA_REASON_UNKNOWN_CODE);
}

static void choose_short(struct search *search, unsigned hops, bool around, bool spare)
{
    const struct sta__short_effort effort = {hops, around, spare};

    for (size_t i = 0; i < search->count; i++)
        if (search->sites[i].method == STA_SITE_TRAP)
            sta__choose_short(&search->map, &search->sites[i], &effort);
}

static bool is_any_left_to(const struct search *search, enum sta_site_method method)
{
    for (size_t i = 0; i < search->count; i++)
        if (search->sites[i].method == method)
            return true;
    return false;
}

/* What sites change themselves cannot be displaced for others. */
static void choose_displacing(struct search *search)
{
    if (!is_any_left_to(search, STA_SITE_TRAP))
        return;
    for (size_t i = 0; i < search->count; i++) {
        const struct sta__site *site = &search->sites[i];

        if (site->method != STA_SITE_LEFT)
            sta__padding_take(&search->map, site->patch_at, site->patch_at + site->patch_size);
    }
    for (size_t i = 0; i < search->count; i++)
        if (search->sites[i].method == STA_SITE_TRAP)
            sta__choose_displacing(&search->map, &search->sites[i]);
}

static void choose_all(struct search *search)
{
    struct sta__site *sites = search->sites, *end = sites + search->count;

    for (struct sta__site *site = sites; site < end; site++)
        if (site->method == STA_SITE_TRAP)
            sta__code_map_settle(&search->map, site->address);
    for (struct sta__site *site = sites; site < end; site++)
        if (site->method == STA_SITE_TRAP)
            choose_alone(search, site);
    /* The cheapest first. */
    choose_short(search, 0, false, false);
    choose_short(search, 0, true, false);
    choose_short(search, 1, false, false);
    choose_short(search, 1, true, false);
    for (struct sta__site *site = sites; site < end; site++)
        if (site->method == STA_SITE_TRAP)
            sta__choose_detour(&search->map, site);
    /* Rather than a trap only: padding that is executed has to be written with more care. */
    choose_short(search, STA__HOP_MAX, true, true);
    choose_displacing(search);
    for (struct sta__site *site = sites; site < end; site++)
        if (site->method == STA_SITE_TRAP)
            site->reason = STA_REASON_NO_DETOUR;
}

static int analyse(struct search *search)
{
    if (sta__code_map_open(&search->map, search->code) < 0)
        return -ENOMEM;
    if (locate(search)) {
        want_surroundings(search);
        sta__code_map_mark_far_branches(&search->map);
        sta__code_bits_are_known(&search->map);
        choose_all(search);
    }
    sta__code_map_close(&search->map);
    return 0;
}

int sta__sites_find(const struct sta__code *code, sta__site_found found, void *data)
{
    struct search search = {.code = code};
    int result = collect(&search);

    if (result == 0 && search.count > 0)
        result = analyse(&search);
    for (size_t i = 0; i < search.count && result == 0; i++)
        found(&search.sites[i], data);
    shrink_to_nothing(&search);
    return result < 0 ? result : (int)search.count;
}
