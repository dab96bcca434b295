/* SPDX-License-Identifier: MIT */
/*
 * Which system calls are found in code, and which method is chosen for each. (Over whole files,
 * against objdump: test_sites_objdump.sh.)
 */
#ifndef _GNU_SOURCE
#    define _GNU_SOURCE
#endif

#include <dlfcn.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "code_text.h"
#include "loaded.h"
#include "transform/scan_blocks.h"
#include "transform/site.h"

#define SITES_MAX 8

/* As offsets in the code; -1: none. */
struct expected {
    enum sta_site_method method;
    enum sta_site_reason reason;
    int nr;
    int address, patch_at, patch_size, landing, hops[STA__HOP_MAX];
    int displaced, displaced_size;
};

struct found {
    struct code_text text;
    struct sta__site sites[SITES_MAX];
    size_t count;
};

static struct found found;

static void take(const struct sta__site *site, void *data)
{
    struct found *all = data;

    assert_true(all->count < SITES_MAX);
    all->sites[all->count++] = *site;
}

static void find(const char *source)
{
    int result;

    found.count = 0;
    code_text_read(&found.text, source);
    result = sta__sites_find(&found.text.code, take, &found);
    assert_int_equal(result, found.count);
}

static int offset(uintptr_t address)
{
    return address ? (int)(address - (uintptr_t)found.text.bytes) : -1;
}

static void compare(const char *source, const char *what, int got, int wanted)
{
    if (got != wanted)
        fail_msg("%s: %s is %d, not %d", source, what, got, wanted);
}

static void compare_site(const char *source, size_t index, const struct expected *wanted)
{
    const struct sta__site *got = &found.sites[index];

    if (index >= found.count)
        fail_msg("%s: %zu sites", source, found.count);
    compare(source, "address", offset(got->address), wanted->address);
    compare(source, "method", got->method, (int)wanted->method);
    compare(source, "reason", got->reason, (int)wanted->reason);
    compare(source, "nr", got->nr, wanted->nr);
    if (got->method == STA_SITE_LEFT)
        return;
    compare(source, "patch_at", offset(got->patch_at), wanted->patch_at);
    compare(source, "patch_size", got->patch_size, wanted->patch_size);
    compare(source, "landing", offset(got->landing), wanted->landing);
    for (unsigned i = 0; i < STA__HOP_MAX; i++)
        compare(source, "hop", offset(got->hops[i]), wanted->hops[i]);
    compare(source, "displaced", offset(got->displaced), wanted->displaced);
    compare(source, "displaced_size", got->displaced_size, wanted->displaced_size);
}

/* A case with one site. */
static void check(const char *source, struct expected wanted)
{
    find(source);
    compare(source, "number of sites", (int)found.count, 1);
    compare_site(source, 0, &wanted);
}

#define MOV(nr_, at, patch, size) \
    ((struct expected){STA_SITE_MOV, STA_REASON_NONE, nr_, at, patch, size, -1, {-1, -1}, -1, 0})
#define SHORT(reason_, nr_, at, landing_, hop_) \
    ((struct expected){                         \
        STA_SITE_SHORT, STA_REASON_##reason_, nr_, at, at, 2, landing_, {hop_, -1}, -1, 0})
#define HOPS(nr_, at, landing_, hop1, hop2) \
    ((struct expected){                     \
        STA_SITE_SHORT, STA_REASON_NO_MOV, nr_, at, at, 2, landing_, {hop1, hop2}, -1, 0})
#define DISPLACING(nr_, at, landing_, hop_, displaced_, size) \
    ((struct expected){STA_SITE_SHORT,                        \
                       STA_REASON_NO_MOV,                     \
                       nr_,                                   \
                       at,                                    \
                       at,                                    \
                       2,                                     \
                       landing_,                              \
                       {hop_, -1},                            \
                       displaced_,                            \
                       size})
#define DETOUR(nr_, at, patch, size) \
    ((struct expected){              \
        STA_SITE_DETOUR, STA_REASON_NO_PADDING, nr_, at, patch, size, -1, {-1, -1}, -1, 0})
#define TRAP(nr_, at) \
    ((struct expected){STA_SITE_TRAP, STA_REASON_NO_DETOUR, nr_, at, at, 2, -1, {-1, -1}, -1, 0})
#define LEFT(reason_, at) \
    ((struct expected){STA_SITE_LEFT, STA_REASON_##reason_, -1, at, at, 2, -1, {-1, -1}, -1, 0})

/* mov */

static void a_mov_of_the_number_just_before_is_replaced(void **state)
{
    (void)state;
    check("{ b8 27 00 00 00 0f 05 c3 }", MOV(0x27, 5, 0, 5));
    check("{ 90 c7 c0 27 00 00 00 0f 05 c3 }", MOV(0x27, 7, 1, 6));
    check("{ 48 c7 c0 27 00 00 00 0f 05 c3 }", MOV(0x27, 7, 0, 7));
    check("{ b8 ff ff 00 00 0f 05 c3 }", MOV(0xffff, 5, 0, 5));
    /* a jump to the mov itself is welcome, and one behind the call is none of our business */
    check("{ 74 00 b8 27 00 00 00 0f 05 74 00 c3 }", MOV(0x27, 7, 2, 5));
    /* as is padding: the best method is taken */
    check("{ b8 27 00 00 00 0f 05 c3 90*8 }", MOV(0x27, 5, 0, 5));
}

static void a_mov_of_something_else_is_not(void **state)
{
    (void)state;
    /* of 16 bits; of 64; a number that none has; to another register */
    check("{ 66 b8 27 00 0f 05 c3 }", TRAP(-1, 4));
    check("{ 48 b8 27 00 00 00 00 00 00 00 0f 05 c3 }", DETOUR(-1, 10, 0, 10));
    check("{ b8 00 00 01 00 0f 05 c3 }", DETOUR(0x10000, 5, 0, 5));
    check("{ 48 c7 c0 ff ff ff ff 0f 05 c3 }", DETOUR(-1, 7, 0, 7));
    check("{ bf 27 00 00 00 0f 05 c3 }", DETOUR(-1, 5, 0, 5));
    check("{ 41 b8 27 00 00 00 0f 05 c3 }", DETOUR(-1, 6, 0, 6));
}

static void a_branch_to_the_call_itself_rules_the_mov_out(void **state)
{
    (void)state;
    check("{ 74 05 b8 27 00 00 00 0f 05 c3 90*5 }", SHORT(JUMPED_TO, -1, 7, 10, -1));
    /* from behind; from another function; into the middle of the mov; by loop, call, xbegin */
    check("{ b8 27 00 00 00 0f 05 75 fc c3 90*5 }", SHORT(JUMPED_TO, -1, 5, 10, -1));
    check("{ b8 27 00 00 00 0f 05 c3 90*8 } { e9 f0 ff ff ff }", SHORT(JUMPED_TO, -1, 5, 8, -1));
    check("{ b8 27 00 00 00 0f 05 c3 90*8 } { 0f 84 ef ff ff ff c3 }",
          SHORT(JUMPED_TO, -1, 5, 8, -1));
    check("{ 74 03 b8 27 00 00 00 0f 05 c3 90*5 }", SHORT(JUMPED_TO, -1, 7, 10, -1));
    check("{ b8 27 00 00 00 0f 05 e2 fc c3 90*5 }", SHORT(JUMPED_TO, -1, 5, 10, -1));
    check("{ b8 27 00 00 00 0f 05 e8 f9 ff ff ff c3 90*5 }", SHORT(JUMPED_TO, -1, 5, 13, -1));
    check("{ c7 f8 05 00 00 00 b8 27 00 00 00 0f 05 c3 90*5 }", SHORT(JUMPED_TO, -1, 11, 14, -1));
    /* as does what indirect branches may reach: endbr64 */
    check("{ b8 27 00 00 00 f3 0f 1e fa 0f 05 c3 90*5 }", SHORT(NO_MOV, -1, 9, 12, -1));
}

static void the_merge_of_two_ways_to_a_call_is_seen(void **state)
{
    (void)state;
    /* as libc's write: one way loads the number, the other jumps behind it */
    check("{ 80 3d 00 00 00 00 00 74 08 b8 01 00 00 00 0f 05 c3 b8 02 00 00 00 eb f6 90*8 }",
          SHORT(JUMPED_TO, -1, 14, 24, -1));
    /* as libc's read: the number is xored, nothing merges */
    check("{ 80 3d 00 00 00 00 00 74 07 31 c0 0f 05 c3 90 90 c3 90*5 }",
          SHORT(NO_MOV, 0, 11, 17, -1));
}

/* short */

static void padding_behind_what_does_not_go_on_is_used(void **state)
{
    (void)state;
    check("{ 31 c0 0f 05 c3 90*5 }", SHORT(NO_MOV, 0, 2, 5, -1));
    check("{ 31 c0 0f 05 eb 05 0f 1f 44 00 00 c3 }", SHORT(NO_MOV, 0, 2, 6, -1));
    check("{ 31 c0 0f 05 c3 cc*5 }", SHORT(NO_MOV, 0, 2, 5, -1));
    check("{ 31 c0 0f 05 e9 00 01 00 00 cc*5 }", SHORT(NO_MOV, 0, 2, 9, -1));
    check("{ 31 c0 0f 05 ff e0 cc*5 }", SHORT(NO_MOV, 0, 2, 6, -1));
    check("{ 31 c0 0f 05 0f 0b cc*5 }", SHORT(NO_MOV, 0, 2, 6, -1));
    check("{ 31 c0 0f 05 f4 66 90 0f 1f 00 }", SHORT(NO_MOV, 0, 2, 5, -1));
    /* before the site; the lowest first */
    check("{ eb 05 90*5 31 c0 0f 05 c3 90*5 }", SHORT(NO_MOV, 0, 9, 2, -1));
    /* the call is jumped to: no matter */
    check("{ 74 02 31 c0 0f 05 c3 90*5 }", SHORT(NO_MOV, -1, 4, 7, -1));
}

static void padding_that_is_executed_is_not(void **state)
{
    (void)state;
    /* nothing before it, a call, a conditional jump, int3: all go on */
    check("{ 31 c0 0f 05 90*5 c3 }", TRAP(0, 2));
    check("{ 31 c0 0f 05 e8 00 01 00 00 90*5 c3 }", TRAP(0, 2));
    check("{ 31 c0 0f 05 ff d0 90*5 c3 }", TRAP(0, 2));
    check("{ 31 c0 0f 05 75 7f 90*5 c3 }", TRAP(0, 2));
    check("{ 31 c0 0f 05 cc*6 c3 }", TRAP(0, 2));
    /* pause does something */
    check("{ 31 c0 0f 05 c3 f3 90 f3 90 f3 90 }", TRAP(0, 2));
}

static void padding_that_is_jumped_into_is_code_from_there_on(void **state)
{
    (void)state;
    check("{ 74 05 31 c0 0f 05 c3 90*8 c3 }", TRAP(0, 4));                 /* first byte */
    check("{ 74 09 31 c0 0f 05 c3 90*8 c3 }", TRAP(0, 4));                 /* 4 before it */
    check("{ 74 0a 31 c0 0f 05 c3 90*8 c3 }", SHORT(NO_MOV, 0, 4, 7, -1)); /* 5 before it */
    /* by a far jump from elsewhere */
    check("{ 31 c0 0f 05 c3 90*8 c3 } { e9 f2 ff ff ff }", TRAP(0, 2));
    check("{ 31 c0 0f 05 c3 90*8 c3 } { 0f 8f f6 ff ff ff c3 }", SHORT(NO_MOV, 0, 2, 5, -1));
    check("{ 31 c0 0f 05 c3 90*8 c3 } { 0f 8f f2 ff ff ff c3 }", TRAP(0, 2));
}

/* From so far away, and so far before what is of use, that nobody has looked there so far. */
static void padding_is_code_from_afar_on(void **state)
{
    (void)state;
    check("{ e9 01 00 00 00 c3 } { c3 } cc*2000 { 31 c0 0f 05 c3 }",
          SHORT(NO_MOV, 0, 2009, 1883, -1));
    check("{ e9 03 00 00 00 c3 } { c3 } cc*2000 { 31 c0 0f 05 c3 }", TRAP(0, 2009));
}

static void gaps_between_functions_are_padding_only_as_a_whole(void **state)
{
    (void)state;
    check("{ 31 c0 0f 05 c3 } cc*11 { c3 }", SHORT(NO_MOV, 0, 2, 5, -1));
    check("{ c3 } 66 2e 0f 1f 84 00*5 { 31 c0 0f 05 c3 }", SHORT(NO_MOV, 0, 13, 1, -1));
    /* two functions away */
    check("{ c3 } 90*5 { 55 5d c3 } { 31 c0 0f 05 c3 }", SHORT(NO_MOV, 0, 11, 1, -1));
    /* the function runs into it, or calls what may return to it */
    check("{ 31 c0 0f 05 } cc*11 { c3 }", TRAP(0, 2));
    check("{ 31 c0 0f 05 e8 00 01 00 00 } cc*11 { c3 }", TRAP(0, 2));
    /* there is something else in it */
    check("{ 31 c0 0f 05 c3 } 90*5 c3 90*5 { c3 }", TRAP(0, 2));
    check("{ 31 c0 0f 05 c3 } 90*5 b8 90 { c3 }", TRAP(0, 2));
    /* it has no end; a short jump leads into it */
    check("{ 31 c0 0f 05 c3 } 90*11", TRAP(0, 2));
    check("{ 31 c0 0f 05 c3 } 90*8 { 75 f6 c3 }", TRAP(0, 2));
    check("{ 31 c0 0f 05 c3 } 90*8 { 75 fb c3 }", SHORT(NO_MOV, 0, 2, 5, -1));
    /* the function before it is not known to its end */
    check("{ 06 c3 } 90*8 { 31 c0 0f 05 c3 }", TRAP(0, 12));
}

static void padding_counts_only_within_reach(void **state)
{
    (void)state;
    /* 127 bytes from behind the call, and one more; as far back as 128, and one more */
    check("{ 31 c0 0f 05 f5*126 c3 90*5 }", SHORT(NO_MOV, 0, 2, 131, -1));
    check("{ 31 c0 0f 05 f5*127 c3 90*5 }", TRAP(0, 2));
    check("{ c3 90*5 f5*119 31 c0 0f 05 c3 }", SHORT(NO_MOV, 0, 127, 1, -1));
    check("{ c3 90*5 f5*120 31 c0 0f 05 c3 }", TRAP(0, 128));
}

static void padding_is_handed_out_once(void **state)
{
    static const char *source = "{ 31 c0 0f 05 31 c0 0f 05 31 c0 0f 05 c3 90*11 }";

    (void)state;
    find(source);
    assert_int_equal(found.count, 3);
    compare_site(source, 0, &SHORT(NO_MOV, 0, 2, 13, -1));
    compare_site(source, 1, &SHORT(NO_MOV, 0, 6, 18, -1));
    compare_site(source, 2, &TRAP(0, 10));
}

static void padding_out_of_reach_is_reached_by_a_hop(void **state)
{
    (void)state;
    check("{ 31 c0 0f 05 f5*100 c3 66 90 f5*100 c3 90*5 }", SHORT(NO_MOV, 0, 2, 208, 105));
    check("{ c3 90*5 f5*100 c3 90 90 f5*100 31 c0 0f 05 c3 }", SHORT(NO_MOV, 0, 211, 1, 107));
    /* between functions, too */
    check("{ 31 c0 0f 05 f5*100 c3 } 66 90 { f5*100 c3 } cc*5 { c3 }",
          SHORT(NO_MOV, 0, 2, 208, 105));
    /* one byte is no hop; the hop's own reach ends, too */
    check("{ 31 c0 0f 05 f5*100 c3 90 f5*101 c3 90*5 }", TRAP(0, 2));
    check("{ 31 c0 0f 05 f5*100 c3 66 90 f5*127 c3 90*5 }", TRAP(0, 2));
}

static void two_hops_are_made_before_a_trap(void **state)
{
    (void)state;
    check("{ 31 c0 0f 05 f5*100 c3 66 90 f5*100 c3 66 90 f5*100 c3 90*5 }",
          HOPS(0, 2, 311, 105, 208));
    check("{ c3 90*5 f5*100 c3 90 90 f5*100 c3 90 90 f5*100 31 c0 0f 05 c3 }",
          HOPS(0, 314, 1, 210, 107));
    /* the first leads on, where another one does not */
    check("{ c3 90 90 f5*100 31 c0 0f 05 f5*100 c3 66 90 f5*100 c3 66 90 f5*100 c3 90*5 }",
          HOPS(0, 105, 414, 208, 311));
    /* three are too many; a detour comes first */
    check("{ 31 c0 0f 05 f5*100 c3 66 90 f5*100 c3 66 90 f5*100 c3 66 90 f5*100 c3 90*5 }",
          TRAP(0, 2));
    check("{ be 01 00 00 00 31 c0 0f 05 f5*100 c3 66 90 f5*100 c3 66 90 f5*100 c3 90*5 }",
          DETOUR(0, 7, 0, 5));
}

static void room_in_executed_nops_is_used_before_a_trap(void **state)
{
    (void)state;
    /* 8 bytes: the SIB and the displacement are free */
    check("{ 31 c0 0f 05 0f 1f 84 00 00 00 00 00 c3 }", SHORT(NO_MOV, 0, 2, 7, -1));
    check("{ 31 c0 0f 05 66 2e 0f 1f 84 00*5 c3 }", SHORT(NO_MOV, 0, 2, 9, -1));
    /* 7 bytes: only four; a hop fits */
    check("{ 31 c0 0f 05 0f 1f 80 00 00 00 00 c3 }", TRAP(0, 2));
    check("{ 31 c0 0f 05 0f 1f 80 00 00 00 00 f5*120 c3 90*5 }", SHORT(NO_MOV, 0, 2, 132, 7));
    /* not if a branch leads into it, but one to it is fine */
    check("{ 75 08 31 c0 0f 05 0f 1f 84 00 00 00 00 00 c3 }", TRAP(0, 4));
    check("{ 75 04 31 c0 0f 05 0f 1f 84 00 00 00 00 00 c3 }", SHORT(NO_MOV, 0, 4, 9, -1));
    /* a detour comes first */
    check("{ be 01 00 00 00 31 c0 0f 05 0f 1f 84 00 00 00 00 00 c3 }", DETOUR(0, 7, 0, 5));
}

static void an_instruction_in_reach_is_displaced_before_a_trap(void **state)
{
    (void)state;
    /* of 10 bytes: a landing */
    check("{ 31 c0 0f 05 48 b8 11*8 c3 }", DISPLACING(0, 2, 9, -1, 4, 10));
    check("{ 31 c0 75 00 0f 05 48 b8 11*8 c3 }", DISPLACING(-1, 4, 11, -1, 6, 10));
    check("{ 48 b8 11*8 ff d0 31 c0 0f 05 c3 }", DISPLACING(0, 14, 5, -1, 0, 10));
    /* of 7: a hop; relative to the instruction pointer */
    check("{ 31 c0 0f 05 48 8d 35 00*4 f5*120 c3 90*5 }", DISPLACING(0, 2, 132, 9, 4, 7));
    check("{ 31 c0 0f 05 81 c7 00*4 f5*121 c3 90*5 }", TRAP(0, 2));
    /* a branch to it is fine, one into it is not */
    check("{ 75 04 31 c0 0f 05 48 b8 11*8 c3 }", DISPLACING(0, 4, 11, -1, 6, 10));
    check("{ 75 05 31 c0 0f 05 48 b8 11*8 c3 }", TRAP(0, 4));
    check("{ 75 0d 31 c0 0f 05 48 b8 11*8 c3 }", TRAP(0, 4));
    check("{ 75 0e 31 c0 0f 05 48 b8 11*8 c3 }", DISPLACING(0, 4, 11, -1, 6, 10));
    /* it cannot be moved; the last place in reach, and one more */
    check("{ 31 c0 0f 05 67 48 8d 35 00*4 f5*120 c3 90*5 }", TRAP(0, 2));
    check("{ 31 c0 0f 05 f5*122 48 b8 11*8 c3 }", DISPLACING(0, 2, 131, -1, 126, 10));
    check("{ 31 c0 0f 05 f5*123 48 b8 11*8 c3 }", TRAP(0, 2));
}

static void an_instruction_is_displaced_for_one_site_only(void **state)
{
    static const char *twice = "{ 31 c0 0f 05 31 c0 0f 05 48 c7 85 11*8 c3 }",
                      *another = "{ 31 c0 0f 05 48 c7 c0 27 00 00 00 0f 05 f5*118 c3 90*5 }";

    (void)state;
    find(twice);
    assert_int_equal(found.count, 2);
    compare_site(twice, 0, &DISPLACING(0, 2, 13, -1, 8, 11));
    compare_site(twice, 1, &TRAP(0, 6));
    /* not what another site changes */
    find(another);
    assert_int_equal(found.count, 2);
    compare_site(another, 0, &TRAP(0, 2));
    compare_site(another, 1, &MOV(0x27, 11, 4, 7));
}

/* detour */

static void an_earlier_instruction_of_five_bytes_is_replaced(void **state)
{
    (void)state;
    check("{ be 01 00 00 00 31 c0 0f 05 c3 }", DETOUR(0, 7, 0, 5));
    /* the nearest; relative to the instruction pointer; a branch to it */
    check("{ be 01 00 00 00 ba 01 00 00 00 31 c0 0f 05 c3 }", DETOUR(0, 12, 5, 5));
    check("{ 48 8d 35 00 00 00 00 31 c0 0f 05 c3 }", DETOUR(0, 9, 0, 7));
    check("{ 75 00 be 01 00 00 00 31 c0 0f 05 c3 }", DETOUR(0, 9, 2, 5));
    check("{ 06 c3 } { be 01 00 00 00 31 c0 0f 05 c3 }", DETOUR(0, 9, 2, 5));
}

static void nothing_may_land_or_leave_between_a_detour_and_its_call(void **state)
{
    (void)state;
    /* a branch lands behind its first byte, up to the call */
    check("{ 75 01 be 01 00 00 00 31 c0 0f 05 c3 }", TRAP(0, 9));
    check("{ 75 05 be 01 00 00 00 31 c0 0f 05 c3 }", TRAP(0, 9));
    check("{ 75 07 be 01 00 00 00 31 c0 0f 05 c3 }", TRAP(-1, 9));
    check("{ be 01 00 00 00 31 c0 0f 05 c3 } { e9 f6 ff ff ff }", TRAP(0, 7));
    /* a branch, a call, another system call, int3 leave */
    check("{ be 01 00 00 00 75 04 31 c0 0f 05 c3 c3 }", TRAP(0, 9));
    check("{ be 01 00 00 00 ff d0 31 c0 0f 05 c3 }", TRAP(0, 9));
    check("{ be 01 00 00 00 cc 31 c0 0f 05 c3 }", TRAP(0, 8));
    check("{ be 01 00 00 00 e8 00 01 00 00 31 c0 0f 05 c3 }", TRAP(0, 12));
    find("{ be 01 00 00 00 31 c0 0f 05 31 c0 0f 05 c3 }");
    assert_int_equal(found.count, 2);
    compare_site("two calls", 0, &DETOUR(0, 7, 0, 5));
    compare_site("two calls", 1, &TRAP(0, 11));
    /* what is moved cannot be: relative to the instruction pointer of 32 bits */
    check("{ 67 48 8d 35 00 00 00 00 31 c0 0f 05 c3 }", TRAP(0, 10));
    /* the function begins there */
    check("{ be 01 00 00 00 } { 31 c0 0f 05 c3 }", TRAP(0, 7));
    check("{ be 01 00 00 00 f5*58 31 c0 0f 05 c3 }", TRAP(0, 65)); /* too far */
}

/* left alone */

static void the_bytes_inside_other_instructions_are_no_code(void **state)
{
    (void)state;
    check("{ b8 0f 05 00 00 c3 }", LEFT(NO_CODE, 1));       /* immediate */
    check("{ 48 8b 80 0f 05 00 00 c3 }", LEFT(NO_CODE, 3)); /* displacement */
    check("{ e8 00 00 0f 05 c3 }", LEFT(NO_CODE, 3));       /* distance */
    check("{ 80 78 0f 05 c3 }", LEFT(NO_CODE, 2));          /* both */
    check("{ b8 00 00 00 0f 05 00 00 00 00 c3 }", LEFT(NO_CODE, 4));
}

static void calls_behind_unknown_code_are_left_alone(void **state)
{
    (void)state;
    check("{ 06 b8 27 00 00 00 0f 05 c3 }", LEFT(UNKNOWN_CODE, 6));
    check("{ b8 27 00 00 00 0f 05 06 c3 }", MOV(0x27, 5, 0, 5)); /* behind it: no matter */
    check("{ 31 c0 48 0f 05 c3 }", LEFT(UNKNOWN_CODE, 3));       /* a prefix */
    check("{ 31 c0 66 eb 00 00 0f 05 c3 }", LEFT(UNKNOWN_CODE, 6));
    /* padding in a function that is not known to its end is none */
    check("{ 31 c0 0f 05 c3 90*5 06 }", TRAP(0, 2));
}

static void code_without_unwind_data_is_decoded_from_the_nearest_known_start(void **state)
{
    (void)state;
    check("b8 27 00 00 00 0f 05 c3", MOV(0x27, 5, 0, 5));
    check("90 f5 c3 b8 27 00 00 00 0f 05 c3", MOV(0x27, 8, 3, 5));
    check("{ c3 } b8 27 00 00 00 0f 05 c3 { c3 }", MOV(0x27, 6, 1, 5));
    /* zeros up to the next section */
    check("c3 00*15 b8 27 00 00 00 0f 05 c3", MOV(0x27, 21, 16, 5));
    /* the end of a function may be left out, as in glibc's clone */
    check("{ 48 85 ff b8 38 00 00 00 } 0f 05 { 48 85 c0 c3 }", MOV(0x38, 8, 3, 5));
}

static void data_in_the_text_is_left_alone(void **state)
{
    (void)state;
    check("06 b8 27 00 00 00 0f 05 c3", LEFT(UNKNOWN_CODE, 6));
    check("0f 05 c3", LEFT(UNKNOWN_CODE, 0));
    check("{ c3 } 0f 05 c3 { c3 }", LEFT(UNKNOWN_CODE, 1));
    check("b8 27 00 00 00 0f 05 00 00 00 00 00", LEFT(UNKNOWN_CODE, 5));
    check("b8 27 00 00 00 0f 05 ec c3", LEFT(UNKNOWN_CODE, 5));
    check("e4 10 b8 27 00 00 00 0f 05 c3", LEFT(UNKNOWN_CODE, 7));
    /* it goes on as no code does; unless what looks like a function ends before that */
    check("b8 27 00 00 00 0f 05 f5 f5 f5 f5 06", LEFT(UNKNOWN_CODE, 5));
    check("b8 27 00 00 00 0f 05 c3 90*8 f5 06", MOV(0x27, 5, 0, 5));
    check("b8 27 00 00 00 0f 05 c3 90*7 f5 06", LEFT(UNKNOWN_CODE, 5));
    /* as an ELF header does; code begins again where there is fill before it */
    check("7f 45 4c 46 02 01 01 00 06*8 00*16 b8 27 00 00 00 0f 05 c3", MOV(0x27, 37, 32, 5));
    check("7f 45 4c 46 02 01 01 00 06*8 00*14 01 02 b8 27 00 00 00 0f 05 c3",
          LEFT(UNKNOWN_CODE, 37));
    check("06*13 cc*3 b8 27 00 00 00 0f 05 c3", MOV(0x27, 21, 16, 5));
    check("06*14 cc*2 b8 27 00 00 00 0f 05 c3", LEFT(UNKNOWN_CODE, 21));
}

/* In a function, too: behind what does not go on, where nothing is known to lead to. */
static void data_in_functions_is_left_alone(void **state)
{
    (void)state;
    check("{ 8b 05 01 00 00 00 c3 0f 05 }", LEFT(UNKNOWN_CODE, 7));
    check("{ 8b 05 00 00 00 00 c3 90 89 f8 0f 05 }", LEFT(UNKNOWN_CODE, 10)); /* aligned, no end */
    check("{ c3 90*7 0f 05 c3 }", LEFT(UNKNOWN_CODE, 8));
    check("{ c3 90*6 89 f8 0f 05 c3 }", LEFT(UNKNOWN_CODE, 9));
    check("{ ff e0 90*6 89 f8 0f 05 ec c3 }", LEFT(UNKNOWN_CODE, 10));
    check("{ ff e0 90*6 89 f8 0f 05 eb 01 b8 00 00 00 00 c3 }", LEFT(UNKNOWN_CODE, 10));
    check("{ f4 90*7 89 f8 0f 05 06 }", LEFT(UNKNOWN_CODE, 10));
    check("{ 0f 0b 90*6 89 f8 0f 05 f5*300 c3 }", LEFT(UNKNOWN_CODE, 10));
    find("{ c3 0f 05 0f 05 }");
    assert_int_equal(found.count, 2);
    compare_site("two in data", 0, &LEFT(UNKNOWN_CODE, 1));
    compare_site("two in data", 1, &LEFT(UNKNOWN_CODE, 3));
}

static void what_a_jump_table_leads_to_is_code(void **state)
{
    (void)state;
    /* its number is known, wherever it is loaded */
    check("{ ff e0 b8 27 00 00 00 0f 05 }", MOV(0x27, 7, 2, 5));
    check("{ ff e0 31 c0 89 d7 0f 05 c3 }", TRAP(0, 6));
    /* it begins and ends as code does */
    check("{ ff e0 90*6 89 f8 0f 05 c3 }", SHORT(NO_MOV, -1, 10, 2, -1));
    check("{ ff e0 90*6 89 f8 0f 05 eb f2 }", SHORT(NO_MOV, -1, 10, 2, -1));
    /* a branch leads to it, too, or on the way to the call */
    check("{ 75 01 c3 89 f8 0f 05 }", TRAP(-1, 5));
    check("{ 75 03 c3 89 f8 0f 05 }", TRAP(-1, 5));
    check("{ c3 89 f8 0f 05 } { e9 f7 ff ff ff }", TRAP(-1, 3));
    check("{ ff e0 f3 0f 1e fa 89 f8 0f 05 }", TRAP(-1, 8));
    /* but not if it leads behind it */
    check("{ 75 05 c3 89 f8 0f 05 c3 }", LEFT(UNKNOWN_CODE, 5));
}

#define MOVE_UP                                              \
    " 49 89 fb 48 89 f0 48 89 d7 48 89 ce 4c 89 c2 4d 89 ca" \
    " 4c 8b 44 24 08 4c 8b 4c 24 10 4c 89 5c 24 08 0f 05 c3"

static void cancellation_points_are_left_alone(void **state)
{
    (void)state;
    check("{ 8b 07 85 c0 75 40" MOVE_UP " }", LEFT(CANCELLATION, 39)); /* musl */
    check("8b 07 85 c0 75 40" MOVE_UP, LEFT(CANCELLATION, 39)); /* which has no unwind data */
    check("{ c3 } 90*15 { 8b 07 a8 08 75 40" MOVE_UP "}", LEFT(CANCELLATION, 55));
    check("{ f3 0f 1e fa 8b 07 f6 07 08 0f 85 00 01 00 00" MOVE_UP " } 90*8 { c3 }",
          LEFT(CANCELLATION, 48)); /* glibc 2.41 */
    check("{ 8b 07 0f ba e0 03 0f 82 00 01 00 00 48 8b c6 48 8b fa 0f 05 c3 }",
          LEFT(CANCELLATION, 18));
    /* no flag is loaded; nothing depends on it; no number moves up; the number is a constant */
    check("{ 85 c0 75 40" MOVE_UP " }", DETOUR(-1, 37, 32, 5));
    check("{ 8b 07 85 c0" MOVE_UP " }", DETOUR(-1, 37, 32, 5));
    check("{ 8b 07 85 c0 75 40 48 89 d7 0f 05 c3 }", TRAP(-1, 9));
    check("{ 8b 07 85 c0 75 40 48 89 f0 48 89 d7 b8 27 00 00 00 0f 05 c3 }", MOV(0x27, 17, 12, 5));
}

/* Numbers */

static int number_after(const char *instruction)
{
    char source[128];

    snprintf(source, sizeof(source), "{ 31 c0 %s 0f 05 c3 }", instruction);
    find(source);
    compare(source, "number of sites", (int)found.count, 1);
    return found.sites[0].nr;
}

static void instructions_that_do_not_write_eax_keep_the_number(void **state)
{
    static const char *const keeps[] = {
        "89 c7",          /* mov %eax,%edi */
        "48 89 07",       /* mov %rax,(%rdi) */
        "88 c1",          /* mov %al,%cl */
        "40 88 c4",       /* mov %al,%spl */
        "41 89 c0",       /* mov %eax,%r8d */
        "8b 38",          /* mov (%rax),%edi */
        "48 8d 3c 24",    /* lea (%rsp),%rdi */
        "b9 00 00 00 00", /* mov $0,%ecx */
        "41 b8 01 00 00 00",
        "40 b4 01", /* mov $1,%spl */
        "c7 07 00 00 00 00",
        "83 f8 05", /* cmp $5,%eax */
        "83 ef 05", /* sub $5,%edi */
        "85 c0",
        "a8 01",
        "3d 00 00 00 00",
        "f7 c0 00 00 00 00", /* test $0,%eax */
        "f7 d9",             /* neg %ecx */
        "50",
        "5f",
        "41 58", /* pop %r8 */
        "48 63 f8",
        "0f b6 f8",
        "0f 44 f8",
        "0f 94 c1",
        "c1 e1 04",
        "ff c1",
        "ff 30", /* push (%rax) */
        "75 10",
        "0f 28 c1",    /* movaps %xmm1,%xmm0 */
        "66 0f ef c0", /* pxor %xmm0,%xmm0 */
        "0f 11 07",
        "66 0f 6e c0", /* movd %eax,%xmm0 */
        "0f 1f 00",
        "0f a3 c1",
        "fc",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(keeps) / sizeof(*keeps); i++)
        compare(keeps[i], "nr", number_after(keeps[i]), 0);
}

static void instructions_that_may_write_eax_lose_the_number(void **state)
{
    static const char *const loses[] = {
        "8b 07",
        "48 8d 07",
        "88 c8",
        "88 cc", /* mov %cl,%ah */
        "b0 01",
        "b4 01", /* mov $1,%ah */
        "66 b8 01 00",
        "48 b8 00 00 00 00 00 00 00 00",
        "05 00 00 00 00",
        "83 c8 01",
        "f7 e1", /* mul %ecx */
        "f7 f9",
        "f7 d8",
        "58",
        "8f c0",
        "91", /* xchg %eax,%ecx */
        "87 c1",
        "0f b1 0f", /* cmpxchg %ecx,(%rdi) */
        "0f c1 c1",
        "48 98",
        "ac",
        "9f",
        "0f b6 c1",
        "0f 44 c1",
        "0f 94 c0",
        "0f 94 c4", /* sete %ah */
        "0f a2",
        "0f 31",
        "0f c8",
        "0f 50 c0",
        "c1 e0 02",
        "ff c0",
        "66 0f 7e c0",    /* movd %xmm0,%eax */
        "c5 f9 7e c0",    /* the same, VEX */
        "c4 e2 70 f2 c2", /* andn %edx,%ecx,%eax */
        "df e0",          /* fnstsw %ax */
        "e8 00 01 00 00", /* call */
        "0f 05",          /* syscall */
        "f3 0f 1e fa",    /* endbr64 */
        "89 f8",          /* mov %edi,%eax */
        "f3 48 0f 1e c8", /* rdsspq %rax */
        "eb 00",          /* whatever jumps */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(loses) / sizeof(*loses); i++) {
        char source[128];

        snprintf(source, sizeof(source), "{ 31 c0 %s 0f 05 c3 }", loses[i]);
        find(source);
        compare(source, "nr", found.sites[found.count - 1].nr, -1);
    }
}

static void a_number_is_followed_through_registers(void **state)
{
    (void)state;
    check("{ 41 b8 ca 00 00 00 45 31 d2 44 89 c0 0f 05 c3 }", DETOUR(0xca, 12, 0, 6));
    check("{ 45 31 c0 41 8b c0 0f 05 c3 }", TRAP(0, 6));
    check("{ 49 c7 c3 05 00 00 00 4c 89 d9 89 c8 0f 05 c3 }", DETOUR(5, 12, 0, 7));
    /* not if it is changed on the way; a copy of something else; the stack pointer */
    check("{ 41 b8 ca 00 00 00 41 ff c0 44 89 c0 0f 05 c3 }", DETOUR(-1, 12, 0, 6));
    check("{ ba ca 00 00 00 f7 e1 89 d0 0f 05 c3 }", DETOUR(-1, 9, 0, 5));
    check("{ b9 ca 00 00 00 89 d0 0f 05 c3 }", DETOUR(-1, 7, 0, 5));
    check("{ bc ca 00 00 00 89 e0 0f 05 c3 }", DETOUR(-1, 7, 0, 5));
    check("{ 66 ba ca 00 89 d0 0f 05 c3 }", TRAP(-1, 6));
}

static void the_loop_around_exit_is_no_branch(void **state)
{
    (void)state;
    check("{ ba 3c 00 00 00 66 90 31 ff 89 d0 0f 05 eb f8 c3 }", DETOUR(60, 11, 0, 5));
    check("{ ba e7 00 00 00 66 90 31 ff 89 d0 0f 05 eb f8 c3 }", DETOUR(231, 11, 0, 5));
    /* other calls return */
    check("{ ba 3d 00 00 00 66 90 31 ff 89 d0 0f 05 eb f8 c3 }", TRAP(-1, 11));
    /* and if something else leads to that jump, it jumps: from before, behind, afar */
    check("{ 75 0d ba 3c 00 00 00 66 90 31 ff 89 d0 0f 05 eb f8 c3 }", TRAP(-1, 13));
    check("{ ba 3c 00 00 00 66 90 31 ff 89 d0 0f 05 eb f8 75 fc c3 }", TRAP(-1, 11));
    check("{ ba 3c 00 00 00 66 90 31 ff 89 d0 0f 05 eb f8 c3 } { e9 f8 ff ff ff }", TRAP(-1, 11));
}

/* Odd code */

static void code_of_any_size_is_searched_to_its_end(void **state)
{
    (void)state;
    find("c3");
    assert_int_equal(found.count, 0);
    find("0f");
    assert_int_equal(found.count, 0);
    for (int size = 0; size < 70; size++) {
        char source[64];

        snprintf(source, sizeof(source), "{ f5*%d b8 27 00 00 00 0f 05 }", size + 1);
        check(source, MOV(0x27, size + 6, size + 1, 5));
        snprintf(source, sizeof(source), "{ f5*%d b8 27 00 00 00 0f 05 c3 f5*%d }", size + 1, size);
        check(source, size ? MOV(0x27, size + 6, size + 1, 5) : MOV(0x27, 6, 1, 5));
    }
}

static void put_vectors(const uint8_t *from)
{
    __asm__ volatile("movups (%0), %%xmm0\n"
                     "movups 16(%0), %%xmm1\n"
                     "movups 32(%0), %%xmm2\n"
                     "movups 48(%0), %%xmm3\n"
                     "movups 64(%0), %%xmm4\n"
                     "movups 80(%0), %%xmm5\n"
                     "movups 96(%0), %%xmm6\n"
                     "movups 112(%0), %%xmm7\n"
                     :
                     : "r"(from)
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "memory");
}

static void get_vectors(uint8_t *to)
{
    __asm__ volatile("movups %%xmm0, (%0)\n"
                     "movups %%xmm1, 16(%0)\n"
                     "movups %%xmm2, 32(%0)\n"
                     "movups %%xmm3, 48(%0)\n"
                     "movups %%xmm4, 64(%0)\n"
                     "movups %%xmm5, 80(%0)\n"
                     "movups %%xmm6, 96(%0)\n"
                     "movups %%xmm7, 112(%0)\n"
                     :
                     : "r"(to)
                     : "memory");
}

/* What is searched in vector registers leaves them as they were. */
static void searching_keeps_vector_registers(void **state)
{
    static uint8_t code[4096 + 1];
    static uint64_t bits[4096 / STA__SCAN_BLOCK_SIZE];
    static uint8_t before[8 * 16], after[2][8 * 16];
    uintptr_t start = (uintptr_t)code, end = start + 4096;

    (void)state;
    for (size_t i = 0; i < sizeof(before); i++)
        before[i] = (uint8_t)(i + 1);
    put_vectors(before);
    sta__scan_blocks_for_syscall(start, end);
    get_vectors(after[0]);
    put_vectors(before);
    sta__scan_blocks_for_branches(start, end, bits);
    get_vectors(after[1]);
    assert_memory_equal(after[0], before, sizeof(before));
    assert_memory_equal(after[1], before, sizeof(before));
}

static void each_place_of_a_block_is_searched(void **state)
{
    (void)state;
    for (unsigned at = 0; at < 2 * STA__SCAN_BLOCK_SIZE; at++) {
        uint8_t code[2 * STA__SCAN_BLOCK_SIZE + 1] = {0};
        uint64_t bits[2] = {0};
        uintptr_t start = (uintptr_t)code, end = start + sizeof(code) - 1;

        code[at] = 0x0f;
        code[at + 1] = 0x05;
        assert_int_equal(sta__scan_blocks_for_syscall(start, end) - start,
                         at / STA__SCAN_BLOCK_SIZE * STA__SCAN_BLOCK_SIZE);
        sta__scan_blocks_for_branches(start, end, bits);
        assert_int_equal(bits[0] | bits[1], 0);
        code[at + 1] = (uint8_t)(0x80 + at % 16);
        assert_int_equal(sta__scan_blocks_for_syscall(start, end), end);
        sta__scan_blocks_for_branches(start, end, bits);
        assert_int_equal(bits[at / 64], UINT64_C(1) << at % 64);
        assert_int_equal(bits[1 - at / 64], 0);
        code[at + 1] = 0xe9;
        code[at] = (uint8_t)at;
        sta__scan_blocks_for_branches(start, end, bits);
        assert_int_equal(bits[at / 64], UINT64_C(1) << at % 64);
    }
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static void count_site(const struct sta__site *site, void *data)
{
    (void)site;
    (*(int *)data)++;
}

/* Bytes that are often those of calls, jumps and padding. On the heap, so that AddressSanitizer
 * sees a read past the end. */
static void random_code_does_no_harm(void **state)
{
    static const uint8_t often[] = {0x0f, 0x05, 0xeb, 0x75, 0xe9, 0x90, 0x90, 0xcc,
                                    0xc3, 0xb8, 0x00, 0xff, 0x0f, 0x1f, 0x84, 0xf5};
    uint32_t seed = 1;

    (void)state;
    for (int round = 0; round < 3000; round++) {
        size_t size = next_random(&seed) % 400 + 1;
        uint8_t *code = malloc(size);
        struct sta__code range = {(uintptr_t)code, (uintptr_t)code + size, NULL};
        int called = 0, result;

        for (size_t i = 0; i < size; i++)
            code[i] = next_random(&seed) % 4 ? often[next_random(&seed) % sizeof(often)]
                                             : (uint8_t)next_random(&seed);
        result = sta__sites_find(&range, count_site, &called);
        assert_int_equal(result, called);
        free(code);
    }
}

/* This process */

struct tally {
    uintptr_t last;
    unsigned sites;
    unsigned by_method[STA_SITE_METHOD_COUNT], by_reason[STA_REASON_COUNT];
};

static bool is_in_reach(uintptr_t jump, uintptr_t to)
{
    intptr_t distance = (intptr_t)(to - (jump + STA__SHORT_JUMP_SIZE));

    return distance >= INT8_MIN && distance <= INT8_MAX;
}

static void tally_site(const struct sta__site *site, void *data)
{
    struct tally *tally = data;

    assert_true(site->address > tally->last);
    assert_memory_equal((const void *)site->address, "\x0f\x05", 2);
    tally->last = site->address;
    tally->sites++;
    tally->by_method[site->method]++;
    tally->by_reason[site->reason]++;
    if (site->method == STA_SITE_SHORT) {
        uintptr_t from = site->address;

        for (unsigned i = 0; i < STA__HOP_MAX && site->hops[i]; from = site->hops[i++])
            assert_true(is_in_reach(from, site->hops[i]));
        assert_true(is_in_reach(from, site->landing));
    }
    if (site->method == STA_SITE_MOV)
        assert_true(site->patch_at + site->patch_size == site->address && site->nr >= 0);
}

static int tally_file(struct dl_phdr_info *info, size_t size, void *data)
{
    struct loaded loaded;
    struct tally tally = {0};
    struct sta__code code;
    const char *wanted = data;
    int result;

    (void)size;
    if (!loaded_read(&loaded, info) || !strstr(loaded.path, wanted))
        return 0;
    code = loaded_code(&loaded);
    result = sta__sites_find(&code, tally_site, &tally);
    assert_int_equal(result, tally.sites);
    print_message("%s: %u sites: %u mov, %u short, %u detour, %u trap, %u left (%u are no code)\n",
                  loaded.path, tally.sites, tally.by_method[STA_SITE_MOV],
                  tally.by_method[STA_SITE_SHORT], tally.by_method[STA_SITE_DETOUR],
                  tally.by_method[STA_SITE_TRAP], tally.by_method[STA_SITE_LEFT],
                  tally.by_reason[STA_REASON_NO_CODE]);
    assert_true(tally.sites > 0);
    /* All are known for what they are, and none needs a trap. Only a libc with cancellation points
     * of the newer kind has one to leave alone. */
    assert_true(tally.by_reason[STA_REASON_CANCELLATION] <= 1);
    assert_int_equal(tally.by_method[STA_SITE_LEFT], tally.by_reason[STA_REASON_NO_CODE] +
                                                         tally.by_reason[STA_REASON_CANCELLATION]);
    assert_int_equal(tally.by_method[STA_SITE_TRAP], 0);
    return 1;
}

static void libc_the_loader_and_the_vdso_can_be_intercepted(void **state)
{
    (void)state;
    assert_int_equal(dl_iterate_phdr(tally_file, "libc.so"), 1);
    assert_int_equal(dl_iterate_phdr(tally_file, "ld-linux"), 1);
    if (!dl_iterate_phdr(tally_file, "linux-vdso"))
        print_message("there is no vDSO here\n");
}

static void look_for_getppid(const struct sta__site *site, void *data)
{
    uintptr_t start = (uintptr_t)dlsym(RTLD_DEFAULT, "getppid");

    if (site->address < start || site->address > start + 16)
        return;
    assert_int_equal(site->method, STA_SITE_MOV);
    assert_int_equal(site->nr, SYS_getppid);
    ++*(int *)data;
}

static int find_in_libc(struct dl_phdr_info *info, size_t size, void *data)
{
    struct loaded loaded;
    struct sta__code code;

    (void)size;
    if (!loaded_read(&loaded, info) || !strstr(loaded.path, "libc.so"))
        return 0;
    code = loaded_code(&loaded);
    return sta__sites_find(&code, look_for_getppid, data);
}

static void getppid_is_found(void **state)
{
    int times = 0;

    (void)state;
    assert_true(dl_iterate_phdr(find_in_libc, &times) > 0);
    assert_int_equal(times, 1);
}

/* Mappings of this process. Counted without libc's buffers. */
static int count_mappings(void)
{
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC), count = 0;
    static char buffer[4096];
    ssize_t got;

    assert_true(fd >= 0);
    while ((got = read(fd, buffer, sizeof(buffer))) > 0)
        for (ssize_t i = 0; i < got; i++)
            count += buffer[i] == '\n';
    close(fd);
    return count;
}

static void nothing_stays_mapped(void **state)
{
    int before, times = 0;

    (void)state;
    before = count_mappings();
    for (int i = 0; i < 20; i++)
        dl_iterate_phdr(find_in_libc, &times);
    assert_int_equal(times, 20);
    assert_int_equal(count_mappings(), before);
}

/* It runs in system calls of the application, on whatever stack that has there. */

#define STACK_SIZE 65536
#define STACK_MAX  2048

static uint8_t painted[STACK_SIZE] __attribute__((aligned(16)));
static ucontext_t outside, inside;
static struct sta__code libc_code;
static struct loaded libc_loaded;

static int take_libc(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    (void)data;
    return loaded_read(&libc_loaded, info) && strstr(libc_loaded.path, "libc.so");
}

static void nothing_found(const struct sta__site *site, void *data)
{
    (void)site;
    (void)data;
}

static void find_on_painted_stack(void)
{
    sta__sites_find(&libc_code, nothing_found, NULL);
}

static size_t deepest(void (*function)(void))
{
    size_t unused = 0;

    memset(painted, 0xa5, sizeof(painted));
    getcontext(&inside);
    inside.uc_stack.ss_sp = painted;
    inside.uc_stack.ss_size = sizeof(painted);
    inside.uc_link = &outside;
    makecontext(&inside, function, 0);
    swapcontext(&outside, &inside);
    while (unused < sizeof(painted) && painted[unused] == 0xa5)
        unused++;
    return sizeof(painted) - unused;
}

static void it_needs_little_stack(void **state)
{
    size_t used;

    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* sanitizers use more */
#endif
    assert_int_equal(dl_iterate_phdr(take_libc, NULL), 1);
    libc_code = loaded_code(&libc_loaded);
    used = deepest(find_on_painted_stack);
    print_message("%zu bytes of stack\n", used);
    assert_true(used > 0 && used < STACK_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mov_of_the_number_just_before_is_replaced),
        cmocka_unit_test(a_mov_of_something_else_is_not),
        cmocka_unit_test(a_branch_to_the_call_itself_rules_the_mov_out),
        cmocka_unit_test(the_merge_of_two_ways_to_a_call_is_seen),
        cmocka_unit_test(padding_behind_what_does_not_go_on_is_used),
        cmocka_unit_test(padding_that_is_executed_is_not),
        cmocka_unit_test(padding_that_is_jumped_into_is_code_from_there_on),
        cmocka_unit_test(padding_is_code_from_afar_on),
        cmocka_unit_test(gaps_between_functions_are_padding_only_as_a_whole),
        cmocka_unit_test(padding_counts_only_within_reach),
        cmocka_unit_test(padding_is_handed_out_once),
        cmocka_unit_test(padding_out_of_reach_is_reached_by_a_hop),
        cmocka_unit_test(two_hops_are_made_before_a_trap),
        cmocka_unit_test(an_instruction_in_reach_is_displaced_before_a_trap),
        cmocka_unit_test(an_instruction_is_displaced_for_one_site_only),
        cmocka_unit_test(room_in_executed_nops_is_used_before_a_trap),
        cmocka_unit_test(an_earlier_instruction_of_five_bytes_is_replaced),
        cmocka_unit_test(nothing_may_land_or_leave_between_a_detour_and_its_call),
        cmocka_unit_test(the_bytes_inside_other_instructions_are_no_code),
        cmocka_unit_test(calls_behind_unknown_code_are_left_alone),
        cmocka_unit_test(code_without_unwind_data_is_decoded_from_the_nearest_known_start),
        cmocka_unit_test(data_in_the_text_is_left_alone),
        cmocka_unit_test(data_in_functions_is_left_alone),
        cmocka_unit_test(what_a_jump_table_leads_to_is_code),
        cmocka_unit_test(cancellation_points_are_left_alone),
        cmocka_unit_test(instructions_that_do_not_write_eax_keep_the_number),
        cmocka_unit_test(instructions_that_may_write_eax_lose_the_number),
        cmocka_unit_test(a_number_is_followed_through_registers),
        cmocka_unit_test(the_loop_around_exit_is_no_branch),
        cmocka_unit_test(code_of_any_size_is_searched_to_its_end),
        cmocka_unit_test(searching_keeps_vector_registers),
        cmocka_unit_test(each_place_of_a_block_is_searched),
        cmocka_unit_test(random_code_does_no_harm),
        cmocka_unit_test(libc_the_loader_and_the_vdso_can_be_intercepted),
        cmocka_unit_test(getppid_is_found),
        cmocka_unit_test(nothing_stays_mapped),
        cmocka_unit_test(it_needs_little_stack),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
