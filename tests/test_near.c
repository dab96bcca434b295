/* SPDX-License-Identifier: MIT */
/*
 * Memory near code: within reach of it, and never where it could do harm. Each test fills or clears
 * the neighbourhood as it needs it, in a child.
 */
#define TEST_METHOD STA_METHOD_REWRITE
#include "intercept.h"

#include "transform/maps.h"
#include "transform/near.h"

#define PAGE   ((uintptr_t)4096)
#define MIB    ((uintptr_t)1 << 20)
#define GIB    ((uintptr_t)1 << 30)
#define MIDDLE ((uintptr_t)0x200000000000) /* far from all that there is */

/* Whether a displacement of 32 bits, counted from the end of an instruction, leads from any byte of
 * one to any of the other, and back. */
static bool is_in_reach(const struct sta__range *code, uintptr_t start, size_t size)
{
    intptr_t up = (intptr_t)(start + size - code->start), down = (intptr_t)(code->end - start);

    return up + 15 < INT32_MAX && down + 15 < INT32_MAX;
}

struct access {
    uintptr_t address;
    bool is_right;
};

static bool check_access(const struct sta__map *map, void *data)
{
    struct access *access = data;

    if (access->address < map->start || access->address >= map->end)
        return true;
    access->is_right = map->readable && !map->writable && map->executable && !map->shared;
    return false;
}

static uintptr_t alloc_and_check(uintptr_t start, uintptr_t end, size_t size)
{
    const struct sta__range code = {start, end};
    uintptr_t got = sta__near_alloc(&code, size);
    struct access access = {got, false};

    if (!got)
        return 0;
    CHECK_EQ(got % PAGE, 0);
    CHECK(got >= MIB);
    if (!is_in_reach(&code, got, size))
        victim_failed("%#lx is not in reach of %#lx-%#lx", (long)got, (long)start, (long)end);
    CHECK_EQ(sta__maps_each(check_access, &access), 0);
    CHECK(access.is_right);
    for (size_t i = 0; i < size; i++)
        CHECK_EQ(((const char *)got)[i], 0);
    return got;
}

VICTIM(memory_is_in_reach_wherever_the_code_is)
{
    static const size_t sizes[] = {PAGE, 3 * PAGE, MIB};
    const uintptr_t starts[] = {0x10000,
                                MIB,
                                0x400000,
                                GIB,
                                2 * GIB,
                                4 * GIB,
                                MIDDLE,
                                0x555555554000,
                                (uintptr_t)alloc_and_check & -PAGE,
                                (uintptr_t)getppid & -PAGE};

    for (size_t i = 0; i < COUNT_OF(starts); i++)
        for (size_t j = 0; j < COUNT_OF(sizes); j++)
            for (uintptr_t length = PAGE; length <= GIB; length *= 64)
                /* AddressSanitizer reserves 15 TiB from 2 GiB on. */
                if (!(UNDER_ASAN && starts[i] >= 2 * GIB && starts[i] < MIDDLE) &&
                    !alloc_and_check(starts[i], starts[i] + length, sizes[j]))
                    victim_failed("no memory near %#lx", (long)starts[i]);
}

/* Filling */

struct gap {
    uintptr_t start, end;
};

struct gaps {
    uintptr_t from, to, previous_end;
    struct gap found[512];
    size_t count;
};

static void add_gap(struct gaps *gaps, uintptr_t start, uintptr_t end)
{
    if (start < gaps->from)
        start = gaps->from;
    if (end > gaps->to)
        end = gaps->to;
    if (start >= end)
        return;
    CHECK(gaps->count < COUNT_OF(gaps->found));
    gaps->found[gaps->count++] = (struct gap){start, end};
}

static bool find_gap(const struct sta__map *map, void *data)
{
    struct gaps *gaps = data;

    add_gap(gaps, gaps->previous_end, map->start);
    gaps->previous_end = map->end;
    return true;
}

/* Reserves all memory that is free between these addresses. */
static void fill(uintptr_t from, uintptr_t to)
{
    static struct gaps gaps;

    gaps = (struct gaps){.from = from, .to = to};
    CHECK_EQ(sta__maps_each(find_gap, &gaps), 0);
    add_gap(&gaps, gaps.previous_end, to);
    for (size_t i = 0; i < gaps.count; i++) {
        uintptr_t start = gaps.found[i].start;
        size_t size = gaps.found[i].end - start;

        CHECK_EQ(mmap((void *)start, size, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0),
                 start);
    }
}

static void clear(uintptr_t start, size_t size)
{
    CHECK_EQ(munmap((void *)start, size), 0);
}

VICTIM(nothing_is_in_reach_of_all_of_too_much_code)
{
    fill(MIDDLE, MIDDLE + 8 * GIB); /* with the code */
    CHECK_EQ(alloc_and_check(MIDDLE, MIDDLE + 2 * GIB, PAGE), 0);
    CHECK_EQ(alloc_and_check(MIDDLE, MIDDLE + 8 * GIB, PAGE), 0);
    CHECK_EQ(alloc_and_check(MIDDLE, MIDDLE + PAGE, 2 * GIB), 0);
}

VICTIM(there_is_none_in_a_full_neighbourhood)
{
    static const intptr_t holes[] = {-0x7ff00000, -0x40000000, -0x1000, 0x1000, 0x7ff00000};

    fill(MIDDLE - 2 * GIB - MIB, MIDDLE + 2 * GIB + MIB);
    CHECK_EQ(alloc_and_check(MIDDLE, MIDDLE + PAGE, PAGE), 0);
    for (size_t i = 0; i < COUNT_OF(holes); i++) {
        uintptr_t hole = MIDDLE + (uintptr_t)holes[i];

        clear(hole, PAGE);
        CHECK_EQ(alloc_and_check(MIDDLE, MIDDLE + PAGE, 2 * PAGE), 0);
        CHECK_EQ(alloc_and_check(MIDDLE, MIDDLE + PAGE, PAGE), hole);
        CHECK_EQ(alloc_and_check(MIDDLE, MIDDLE + PAGE, PAGE), 0);
    }
    clear(MIDDLE - 2 * GIB - MIB, MIB); /* just not in reach */
    clear(MIDDLE + 2 * GIB, MIB);
    CHECK_EQ(alloc_and_check(MIDDLE, MIDDLE + PAGE, PAGE), 0);
}

VICTIM(the_nearest_place_below_is_taken_else_one_above)
{
    fill(MIDDLE - 2 * GIB - MIB, MIDDLE + 2 * GIB + MIB);
    clear(MIDDLE - GIB, 16 * PAGE);
    clear(MIDDLE - MIB, 16 * PAGE);
    clear(MIDDLE + MIB, 16 * PAGE);
    /* The upper end of each: what is below may want to grow. */
    CHECK_EQ(alloc_and_check(MIDDLE, MIDDLE + PAGE, 16 * PAGE), MIDDLE - MIB);
    CHECK_EQ(alloc_and_check(MIDDLE, MIDDLE + PAGE, PAGE), MIDDLE - GIB + 15 * PAGE);
    CHECK_EQ(alloc_and_check(MIDDLE, MIDDLE + PAGE, 16 * PAGE), MIDDLE + MIB);
    CHECK_EQ(alloc_and_check(MIDDLE, MIDDLE + PAGE, 16 * PAGE), 0);
}

/* There a NULL pointer with an offset has to be a fault. */
VICTIM(nothing_lies_in_the_first_mebibyte)
{
    fill(MIB, 4 * GIB);
    CHECK_EQ(alloc_and_check(2 * MIB, 2 * MIB + PAGE, PAGE), 0);
    CHECK_EQ(alloc_and_check(GIB, GIB + PAGE, PAGE), 0);
    clear(MIB, PAGE);
    CHECK_EQ(alloc_and_check(2 * MIB, 2 * MIB + PAGE, PAGE), MIB);
}

/* The stack */

static bool find_stack(const struct sta__map *map, void *data)
{
    if (strcmp(map->path, "[stack]") != 0)
        return true;
    *(uintptr_t *)data = map->start;
    return false;
}

VICTIM(a_stack_keeps_its_room)
{
    uintptr_t stack = 0, code;

    CHECK_EQ(sta__maps_each(find_stack, &stack), 0);
    if (!stack)
        victim_skip("no mapping is called [stack]");
    code = stack - 32 * MIB;
    fill(code - 3 * GIB, code + PAGE);      /* all below it; between it and the stack nothing is */
    fill(stack, (uintptr_t)0x7ffffffff000); /* and all above the stack */
    CHECK_EQ(alloc_and_check(code, code + PAGE, PAGE), 0);
    clear(code - GIB, PAGE);
    CHECK_EQ(alloc_and_check(code, code + PAGE, PAGE), code - GIB);
}

/* Another thread maps and unmaps what is free meanwhile. */

static _Atomic bool stop;

static void *map_and_unmap(void *unused)
{
    (void)unused;
    while (!atomic_load(&stop)) {
        void *got = mmap((void *)(MIDDLE - PAGE), PAGE, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

        CHECK(got == MAP_FAILED || (uintptr_t)got == MIDDLE - PAGE);
        if (got != MAP_FAILED)
            munmap(got, PAGE);
    }
    return NULL;
}

VICTIM(what_another_thread_maps_is_left_to_it)
{
    pthread_t thread;

    CHECK_EQ(mmap((void *)MIDDLE, PAGE, PROT_NONE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
             MIDDLE);
    CHECK_EQ(pthread_create(&thread, NULL, map_and_unmap, NULL), 0);
    for (int i = 0; i < 500; i++) {
        uintptr_t got = alloc_and_check(MIDDLE, MIDDLE + PAGE, PAGE);

        if (got)
            clear(got, PAGE);
    }
    atomic_store(&stop, true);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_in_reach_wherever_the_code_is),
        cmocka_unit_test(nothing_is_in_reach_of_all_of_too_much_code),
        cmocka_unit_test(there_is_none_in_a_full_neighbourhood),
        cmocka_unit_test(the_nearest_place_below_is_taken_else_one_above),
        cmocka_unit_test(nothing_lies_in_the_first_mebibyte),
        cmocka_unit_test(a_stack_keeps_its_room),
        cmocka_unit_test(what_another_thread_maps_is_left_to_it),
    };

    return run_interception_tests(argc, argv, tests);
}
