/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include <sta/syscalls.h>

#include "base/options.h"
#include "syscalls/event.h"

static void numbers_have_the_names_of_the_headers(void **state)
{
    (void)state;
    assert_string_equal(sta_syscall_name(SYS_read), "read");
    assert_string_equal(sta_syscall_name(SYS_umount2), "umount2");
    assert_string_equal(sta_syscall_name(SYS_set_mempolicy_home_node), "set_mempolicy_home_node");
    assert_int_equal(sta_syscall_number("read"), SYS_read);
    assert_int_equal(sta_syscall_number("_sysctl"), SYS__sysctl);
    assert_int_equal(sta_syscall_number("writev"), SYS_writev);
}

static void calls_newer_than_the_headers_are_known(void **state)
{
    static const char *const newer[] = {
        "cachestat",         "fchmodat2",         "map_shadow_stack", "futex_wake",
        "futex_wait",        "futex_requeue",     "statmount",        "listmount",
        "lsm_get_self_attr", "lsm_set_self_attr", "lsm_list_modules", "mseal",
        "setxattrat",        "getxattrat",        "listxattrat",      "removexattrat",
        "open_tree_attr",    "file_getattr",      "file_setattr"};

    (void)state;
    for (int i = 0; i < (int)(sizeof(newer) / sizeof(newer[0])); i++) {
        assert_int_equal(sta_syscall_number(newer[i]), 451 + i);
        assert_string_equal(sta_syscall_name(451 + i), newer[i]);
    }
    assert_int_equal(sta_syscall_number("uretprobe"), 335);
    assert_int_equal(sta_syscall_number("uprobe"), 336);
}

static void calls_without_implementation_are_known(void **state)
{
    static const struct {
        int number;
        const char *name;
    } calls[] = {
        {134, "uselib"},          {156, "_sysctl"},        {174, "create_module"},
        {177, "get_kernel_syms"}, {178, "query_module"},   {180, "nfsservctl"},
        {181, "getpmsg"},         {182, "putpmsg"},        {183, "afs_syscall"},
        {184, "tuxcall"},         {185, "security"},       {205, "set_thread_area"},
        {211, "get_thread_area"}, {212, "lookup_dcookie"}, {214, "epoll_ctl_old"},
        {215, "epoll_wait_old"},  {236, "vserver"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        assert_int_equal(sta_syscall_number(calls[i].name), calls[i].number);
        assert_string_equal(sta_syscall_name(calls[i].number), calls[i].name);
    }
}

static void every_name_leads_back_to_its_number(void **state)
{
    int count = 0;

    (void)state;
    for (int nr = 0; nr < STA_SYSCALL_LIMIT; nr++) {
        const char *name = sta_syscall_name(nr);

        if (!name)
            continue;
        assert_int_equal(sta_syscall_number(name), nr);
        count++;
    }
    print_message("%d calls are known\n", count);
    assert_in_range(count, 383, STA_SYSCALL_LIMIT);
}

static void tracepoint_names_are_accepted_where_they_differ(void **state)
{
    (void)state;
    assert_int_equal(sta_syscall_number("newstat"), SYS_stat);
    assert_int_equal(sta_syscall_number("newfstat"), SYS_fstat);
    assert_int_equal(sta_syscall_number("newlstat"), SYS_lstat);
    assert_int_equal(sta_syscall_number("sendfile64"), SYS_sendfile);
    assert_int_equal(sta_syscall_number("newuname"), SYS_uname);
    assert_int_equal(sta_syscall_number("umount"), SYS_umount2);
    assert_string_equal(sta_syscall_name(SYS_stat), "stat");
}

static void unknown_names_are_refused(void **state)
{
    static const char *const unknown[] = {"",         "rea",      "readd",   "Read", "read ",
                                          " read",    "r",        "zzz",     "_",    "\xff",
                                          "newstat2", "syscalls", "x32_read"};

    (void)state;
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        assert_int_equal(sta_syscall_number(unknown[i]), -ENOENT);
    assert_int_equal(sta_syscall_number(NULL), -EINVAL);
}

static void numbers_outside_the_table_have_no_name(void **state)
{
    static const int extremes[] = {INT_MIN, INT_MIN + 1, INT_MAX - 1, INT_MAX, 0x40000027};

    (void)state;
    for (int nr = -5; nr <= 1100; nr++)
        if (nr < 0 || nr >= STA_SYSCALL_LIMIT)
            assert_null(sta_syscall_name(nr));
        else if (sta_syscall_name(nr))
            assert_int_not_equal(sta_syscall_name(nr)[0], '\0');
    for (size_t i = 0; i < sizeof(extremes) / sizeof(extremes[0]); i++)
        assert_null(sta_syscall_name(extremes[i]));
    assert_null(sta_syscall_name(337)); /* a gap */
}

static void builtin_ids_follow_the_promised_formula(void **state)
{
    struct sta_target target;
    int known = 0;

    (void)state;
    assert_int_equal(sta__builtin_id(&(struct sta_target){STA_ALL_SYSCALLS, true}), 65536);
    assert_int_equal(sta__builtin_id(&(struct sta_target){STA_ALL_SYSCALLS, false}), 65537);
    assert_int_equal(sta__builtin_id(&(struct sta_target){0, true}), 65538);
    assert_int_equal(sta__builtin_id(&(struct sta_target){469, false}), 66477);
    for (int id = STA_BUILTIN_ID_BASE - 10; id < STA_BUILTIN_ID_BASE + 2000; id++)
        if (sta__builtin_target(id, &target)) {
            assert_int_equal(sta__builtin_id(&target), id);
            known++;
        }
    assert_int_equal(known % 2, 0);
    assert_false(sta__builtin_target(INT_MIN, &target));
    assert_false(sta__builtin_target(INT_MAX, &target));
}

struct sample_options {
    size_t size;
    int first;
    int second; /* added later */
};

#define FIRST_SIZE offsetof(struct sample_options, second)

/* Through a pointer: a compiler that sees both structs warns of what their sizes rule out. */
static int (*volatile copy_options)(void *options, size_t known, size_t first,
                                    const void *source) = sta__options_copy;

static void options_of_other_sizes_are_understood(void **state)
{
    struct {
        struct sample_options known;
        char unknown[16];
    } larger = {.known = {sizeof(larger), 1, 2}};
    struct sample_options copy, older = {FIRST_SIZE, 1, 2};

    (void)state;
    assert_int_equal(copy_options(&copy, sizeof(copy), FIRST_SIZE, NULL), 0);
    assert_int_equal(copy.size, sizeof(copy));
    assert_int_equal(copy.first, 0);

    assert_int_equal(copy_options(&copy, sizeof(copy), FIRST_SIZE, &older), 0);
    assert_int_equal(copy.size, sizeof(copy));
    assert_int_equal(copy.first, 1);
    assert_int_equal(copy.second, 0); /* not looked at */

    assert_int_equal(copy_options(&copy, sizeof(copy), FIRST_SIZE, &larger), 0);
    assert_int_equal(copy.second, 2);
    larger.unknown[15] = 1;
    assert_int_equal(copy_options(&copy, sizeof(copy), FIRST_SIZE, &larger), -E2BIG);

    older.size = FIRST_SIZE - 1;
    assert_int_equal(copy_options(&copy, sizeof(copy), FIRST_SIZE, &older), -EINVAL);
    older.size = 0;
    assert_int_equal(copy_options(&copy, sizeof(copy), FIRST_SIZE, &older), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_have_the_names_of_the_headers),
        cmocka_unit_test(calls_newer_than_the_headers_are_known),
        cmocka_unit_test(calls_without_implementation_are_known),
        cmocka_unit_test(every_name_leads_back_to_its_number),
        cmocka_unit_test(tracepoint_names_are_accepted_where_they_differ),
        cmocka_unit_test(unknown_names_are_refused),
        cmocka_unit_test(numbers_outside_the_table_have_no_name),
        cmocka_unit_test(builtin_ids_follow_the_promised_formula),
        cmocka_unit_test(options_of_other_sizes_are_understood),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
