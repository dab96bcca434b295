/* SPDX-License-Identifier: MIT */
/*
 * Where functions begin and end, by the unwind data of this program and its libraries.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "transform/unwind.h"

/* One loaded ELF file. */
struct image {
    uintptr_t code_start, code_end; /* its executable segment */
    uintptr_t header;               /* .eh_frame_hdr */
    uintptr_t low, high;            /* the segment that it is in */
};

static bool holds(const struct dl_phdr_info *info, const ElfW(Phdr) * segment, uintptr_t address)
{
    uintptr_t start = info->dlpi_addr + segment->p_vaddr;

    return segment->p_type == PT_LOAD && address >= start && address < start + segment->p_filesz;
}

static struct image image_of(const struct dl_phdr_info *info)
{
    struct image image = {0};

    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;

        if (segment->p_type == PT_GNU_EH_FRAME)
            image.header = start;
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X)) {
            image.code_start = start;
            image.code_end = start + segment->p_filesz;
        }
    }
    for (int i = 0; i < info->dlpi_phnum && image.header; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

        if (holds(info, segment, image.header)) {
            image.low = info->dlpi_addr + segment->p_vaddr;
            image.high = image.low + segment->p_filesz;
        }
    }
    return image;
}

struct search {
    uintptr_t address;
    struct image found;
};

static int look_for(struct dl_phdr_info *info, size_t size, void *data)
{
    struct search *search = data;
    struct image image = image_of(info);

    (void)size;
    if (search->address < image.code_start || search->address >= image.code_end)
        return 0;
    search->found = image;
    return 1;
}

/* The image whose code has this address. */
static struct image image_with(const void *address)
{
    struct search search = {.address = (uintptr_t)address};

    assert_int_equal(dl_iterate_phdr(look_for, &search), 1);
    assert_true(search.found.header != 0);
    return search.found;
}

static struct sta__unwind open_image(const struct image *image)
{
    struct sta__unwind unwind;

    assert_int_equal(sta__unwind_open(&unwind, image->header, image->low, image->high), 0);
    assert_true(unwind.count > 0);
    return unwind;
}

static void every_address_of_a_function_leads_to_it(void **state)
{
    uintptr_t start = (uintptr_t)every_address_of_a_function_leads_to_it;
    struct image image = image_with((void *)start);
    struct sta__unwind unwind = open_image(&image);
    struct sta__function function, other;

    (void)state;
    assert_true(sta__unwind_find(&unwind, start, &function));
    assert_int_equal(function.start, start);
    for (uintptr_t address = start; address < function.end; address++) {
        assert_true(sta__unwind_find(&unwind, address, &other));
        assert_int_equal(other.start, start);
        assert_int_equal(other.end, function.end);
    }
    if (sta__unwind_find(&unwind, function.end, &other))
        assert_true(other.start == function.end);
}

static void libc_functions_begin_where_their_symbols_are(void **state)
{
    static const char *const names[] = {"getppid", "read", "malloc", "qsort", "printf"};
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);

    (void)state;
    assert_non_null(libc);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        void *symbol = dlsym(libc, names[i]);
        struct image image = image_with(symbol);
        struct sta__unwind unwind = open_image(&image);
        struct sta__function function;

        assert_true(sta__unwind_find(&unwind, (uintptr_t)symbol + 1, &function));
        assert_int_equal(function.start, (uintptr_t)symbol);
    }
    dlclose(libc);
}

static int check_order(struct dl_phdr_info *info, size_t size, void *data)
{
    struct image image = image_of(info);
    struct sta__unwind unwind;
    uintptr_t last_end = 0;
    size_t *functions = data;

    (void)size;
    if (!image.header || sta__unwind_open(&unwind, image.header, image.low, image.high) < 0)
        return 0;
    for (size_t i = 0; i < unwind.count; i++) {
        struct sta__function function;

        assert_true(sta__unwind_function(&unwind, i, &function));
        assert_true(function.start >= last_end);
        assert_true(function.start >= image.code_start && function.end <= image.code_end);
        last_end = function.end;
    }
    *functions += unwind.count;
    return 0;
}

static void functions_are_in_order_and_inside_the_code(void **state)
{
    size_t functions = 0;

    (void)state;
    dl_iterate_phdr(check_order, &functions);
    print_message("%zu functions\n", functions);
    assert_true(functions > 3000); /* libc alone */
}

static void addresses_outside_belong_to_no_function(void **state)
{
    struct image image = image_with((void *)addresses_outside_belong_to_no_function);
    struct sta__unwind unwind = open_image(&image);
    struct sta__function function;

    (void)state;
    assert_false(sta__unwind_find(&unwind, 0, &function));
    assert_false(sta__unwind_find(&unwind, UINTPTR_MAX, &function));
    assert_false(sta__unwind_find(&unwind, image.header, &function));
    assert_false(sta__unwind_function(&unwind, unwind.count, &function));
}

static void a_header_of_another_form_is_refused(void **state)
{
    static const uint8_t good[] = {1, 0x1b, 0x03, 0x3b, 0, 0, 0, 0, 0, 0, 0, 0};
    uint8_t header[sizeof(good)];
    struct sta__unwind unwind;
    uintptr_t at = (uintptr_t)header;

    (void)state;
    memcpy(header, good, sizeof(good));
    assert_int_equal(sta__unwind_open(&unwind, at, at, at + sizeof(header)), 0);
    assert_int_equal(unwind.count, 0);
    assert_int_equal(sta__unwind_open(&unwind, at, at, at + 11), -EINVAL);
    assert_int_equal(sta__unwind_open(&unwind, at, at + 1, at + 12), -EINVAL);
    header[8] = 1; /* one entry, of which there is nothing */
    assert_int_equal(sta__unwind_open(&unwind, at, at, at + sizeof(header)), -EINVAL);
    memcpy(header, good, sizeof(good));
    header[0] = 2;
    assert_int_equal(sta__unwind_open(&unwind, at, at, at + sizeof(header)), -EINVAL);
    memcpy(header, good, sizeof(good));
    header[3] = 0xff;
    assert_int_equal(sta__unwind_open(&unwind, at, at, at + sizeof(header)), -ENOTSUP);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* On the heap, so that AddressSanitizer sees a read past the end. And libc's, since it does not let
 * this program's own constants be copied in one go. */
static void damaged_data_is_never_read_past_its_end(void **state)
{
    struct image image = image_with(dlsym(RTLD_NEXT, "getppid"));
    size_t size = image.high - image.low;
    uint32_t seed = 1;

    (void)state;
    for (int round = 0; round < 500; round++) {
        size_t kept = round % 4 ? size : next_random(&seed) % size + 1;
        uint8_t *copy = malloc(kept);
        uintptr_t header = (uintptr_t)copy + (image.header - image.low);
        struct sta__unwind unwind;
        struct sta__function function;

        memcpy(copy, (void *)image.low, kept);
        for (unsigned i = next_random(&seed) % 200; i > 0; i--)
            copy[next_random(&seed) % kept] = (uint8_t)next_random(&seed);
        if (sta__unwind_open(&unwind, header, (uintptr_t)copy, (uintptr_t)copy + kept) == 0) {
            for (size_t i = 0; i < unwind.count; i++)
                sta__unwind_function(&unwind, i, &function);
            sta__unwind_find(&unwind, header + next_random(&seed), &function);
        }
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_address_of_a_function_leads_to_it),
        cmocka_unit_test(libc_functions_begin_where_their_symbols_are),
        cmocka_unit_test(functions_are_in_order_and_inside_the_code),
        cmocka_unit_test(addresses_outside_belong_to_no_function),
        cmocka_unit_test(a_header_of_another_form_is_refused),
        cmocka_unit_test(damaged_data_is_never_read_past_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
