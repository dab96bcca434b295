/* SPDX-License-Identifier: MIT */
/*
 * Instructions that were moved do what the originals do: both are run, on the same data.
 */
#ifndef _GNU_SOURCE
#    define _GNU_SOURCE
#endif

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "code_text.h"
#include "transform/site.h"

/* Code that runs: the original, its copy, and data in between that it refers to. */
#define AREA_SIZE     (3 * 4096)
#define ORIGINAL_AT   0
#define DATA_AT       4096
#define COPY_AT       (2 * 4096 + 123)
#define DATA_SIZE     64
#define RET           0xc3
#define RET_SIZE      1
#define DISTANCE_TEXT "f8 0f 00 00" /* from 8 bytes behind the beginning to DATA_AT */

static uint8_t *area;
static struct code_text text;

static int setup(void **state)
{
    (void)state;
    area = mmap(NULL, AREA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return area == MAP_FAILED ? -1 : 0;
}

static int relocate(uint8_t *out, size_t size, uintptr_t out_address, uintptr_t run_address)
{
    return sta__relocate(out, size, out_address, text.code.start, text.code.end,
                         (intptr_t)(run_address - text.code.start));
}

struct outcome {
    uint64_t result;
    uint8_t data[DATA_SIZE];
};

/* Calls the code at `offset` with fresh data: what it returns, and what becomes of the data. */
static void run(size_t offset, struct outcome *outcome)
{
    uint64_t (*function)(void);
    uint8_t *at = area + offset;

    for (unsigned i = 0; i < DATA_SIZE; i++)
        area[DATA_AT + i] = (uint8_t)(0x2a + i);
    memcpy(&function, &at, sizeof(function));
    assert_int_equal(mprotect(area, DATA_AT, PROT_READ | PROT_EXEC), 0);
    assert_int_equal(mprotect(area + 2 * 4096, 4096, PROT_READ | PROT_EXEC), 0);
    outcome->result = function();
    assert_int_equal(mprotect(area, AREA_SIZE, PROT_READ | PROT_WRITE), 0);
    memcpy(outcome->data, area + DATA_AT, DATA_SIZE);
}

/* The text ends before its `ret`, which cannot be moved. */
static void check(const char *source)
{
    struct outcome original, copy;
    int length;

    code_text_read(&text, source);
    memset(area, 0, AREA_SIZE);
    memcpy(area + ORIGINAL_AT, text.bytes, text.size);
    area[ORIGINAL_AT + text.size] = RET;
    length = relocate(area + COPY_AT, 4096 - 123 - RET_SIZE, (uintptr_t)area + COPY_AT,
                      (uintptr_t)area + ORIGINAL_AT);
    if (length != (int)text.size)
        fail_msg("%s: %d", source, length);
    area[COPY_AT + length] = RET;
    run(ORIGINAL_AT, &original);
    run(COPY_AT, &copy);
    if (original.result != copy.result)
        fail_msg("%s: %#llx, and the copy %#llx", source, (unsigned long long)original.result,
                 (unsigned long long)copy.result);
    assert_memory_equal(original.data, copy.data, DATA_SIZE);
}

static void operands_near_the_code_are_still_found(void **state)
{
    (void)state;
    check("90 48 8d 05 " DISTANCE_TEXT);             /* lea */
    check("66 90 8b 05 " DISTANCE_TEXT);             /* mov, load */
    check("b8 01 00 00 00 90 89 05 " DISTANCE_TEXT); /* mov, store */
    check("0f b6 05 " DISTANCE_TEXT " 0f b7 0d " DISTANCE_TEXT " 01 c8");
    check("31 c0 83 3d " DISTANCE_TEXT " 2a 0f 94 c0"); /* immediates behind the displacement */
    check("31 c0 80 3d " DISTANCE_TEXT " 2a 0f 94 c0");
    check("31 c0 81 3d " DISTANCE_TEXT " 2a 2b 2c 2d 0f 94 c0");
    check("c7 05 " DISTANCE_TEXT " 78 56 34 12 31 c0");
    check("66 c7 05 " DISTANCE_TEXT " 34 12 31 c0");
    check("48 c7 05 " DISTANCE_TEXT " 78 56 34 82 31 c0");
    check("f0 83 05 " DISTANCE_TEXT " 07 31 c0");
    check("31 c0 0f ba 25 " DISTANCE_TEXT " 03 0f 92 c0");
    check("31 c0 f7 05 " DISTANCE_TEXT " 02 00 00 00 0f 95 c0");
    check("69 05 " DISTANCE_TEXT " 03 00 00 00");
    check("0f 10 05 " DISTANCE_TEXT " 66 48 0f 7e c0");             /* movups; movq to rax */
    check("90*15 66 0f 70 05 " DISTANCE_TEXT " 1b 66 48 0f 7e c0"); /* pshufd; aligned */
    if (__builtin_cpu_supports("avx"))
        check("c5 f8 10 05 " DISTANCE_TEXT " c4 e1 f9 7e c0");
}

static void the_rest_is_copied_as_it_is(void **state)
{
    (void)state;
    check("b8 27 00 00 00");
    check("48 b8 01 02 03 04 05 06 07 08");
    check("48 8d 44 24 f8 48 29 e0");
    check("64 48 8b 04 25 00 00 00 00"); /* mov %fs:0,%rax: absolute */
    check("31 c0 0f 1f 84 00 00 00 00 00 66 90 f5 90");
    code_text_read(&text, "48 8d 05 00 00 00 00 b8 27 00 00 00 8b 40 10");
    assert_int_equal(relocate(area, 64, 0x1000, 0x1000), text.size);
    assert_memory_equal(area, text.bytes, text.size);
    code_text_read(&text, "");
    assert_int_equal(relocate(area, 64, 0x1000, 0x1000), 0);
}

static int32_t moved_displacement(uintptr_t out_address, uintptr_t run_address,
                                  int32_t displacement)
{
    int32_t moved;

    code_text_read(&text, "48 8d 05 00 00 00 00");
    memcpy(text.bytes + 3, &displacement, sizeof(displacement));
    assert_int_equal(relocate(area, 7, out_address, run_address), 7);
    memcpy(&moved, area + 3, sizeof(moved));
    return moved;
}

static void displacements_reach_two_gigabytes_and_no_further(void **state)
{
    static const uintptr_t near = 0x7f0000000000, far = 0x7f0080000000;

    (void)state;
    assert_int_equal(moved_displacement(near, near + 0x1000, 0x10), 0x1010);
    assert_int_equal(moved_displacement(near + 0x1000, near, 0x10), -0xff0);
    assert_int_equal(moved_displacement(near, far, -1), INT32_MAX);
    assert_int_equal(moved_displacement(far, near, 0), INT32_MIN);
    code_text_read(&text, "48 8d 05 00 00 00 00");
    assert_int_equal(relocate(area, 64, near, far), -ERANGE);
    assert_int_equal(relocate(area, 64, far + 1, near), -ERANGE);
    assert_int_equal(relocate(area, 64, 0, near), -ERANGE);
    /* what is not relative reaches anywhere */
    code_text_read(&text, "b8 27 00 00 00");
    assert_int_equal(relocate(area, 64, 0, near), 5);
}

static void a_copy_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    code_text_read(&text, "31 c0 48 8d 05 00 00 00 00 90");
    for (size_t size = 0; size < text.size; size++) {
        memset(area, 0xee, 16);
        assert_int_equal(relocate(area, size, 0x1000, 0x1000), -ENOSPC);
        assert_int_equal(area[size], 0xee);
    }
    assert_int_equal(relocate(area, text.size, 0x1000, 0x1000), text.size);
}

static void what_cannot_be_moved_is_refused(void **state)
{
    static const char *const refused[] = {
        "eb 00",
        "e9 00 00 00 00",
        "74 00",
        "0f 84 00 00 00 00",
        "e2 00",
        "e3 00",
        "e8 00 00 00 00",
        "c7 f8 00 00 00 00", /* xbegin */
        "ff d0",
        "ff e0",
        "ff 25 00 00 00 00",
        "c3",
        "c2 08 00",
        "0f 05",
        "0f 34",
        "cd 80",
        "cc",
        "f1",
        "0f 0b",
        "f4",
        "f3 0f 1e fa",             /* endbr64 */
        "67 48 8d 05 00 00 00 00", /* relative to eip */
        "d9 74 24 e0",             /* fnstenv tells where the last x87 instruction was */
        "d9 c0",
        "06",          /* no instruction */
        "b8 27 00 00", /* cut off */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        int result;

        code_text_read(&text, refused[i]);
        result = relocate(area, 64, 0x1000, 0x2000);
        if (result != -EILSEQ)
            fail_msg("%s: %d", refused[i], result);
    }
    /* nor behind one that can */
    code_text_read(&text, "b8 27 00 00 00 eb 00");
    assert_int_equal(relocate(area, 64, 0x1000, 0x2000), -EILSEQ);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operands_near_the_code_are_still_found),
        cmocka_unit_test(the_rest_is_copied_as_it_is),
        cmocka_unit_test(displacements_reach_two_gigabytes_and_no_further),
        cmocka_unit_test(a_copy_that_does_not_fit_is_refused),
        cmocka_unit_test(what_cannot_be_moved_is_refused),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
