/* SPDX-License-Identifier: MIT */
/*
 * Targets from text.
 */
#include "tracefs_tree.h"

static struct sta_target target;

static int parse(struct tree *tree, const char *text)
{
    clear_log(tree);
    target = (struct sta_target){-77, false};
    return sta_target_parse_at(&tree->options, &target, text);
}

static void assert_target(int sys_nr, bool is_enter)
{
    assert_int_equal(target.sys_nr, sys_nr);
    assert_int_equal(target.is_enter, is_enter);
}

static int setup(void **state)
{
    struct tree *tree;

    if (tree_setup(state) < 0)
        return -1;
    tree = *state;
    tree_put_id(tree, "raw_syscalls", "sys_enter", 23);
    tree_put_id(tree, "raw_syscalls", "sys_exit", 22);
    tree_put_id(tree, "syscalls", "sys_enter_read", 41);
    tree_put_id(tree, "syscalls", "sys_exit_newstat", 42);
    return 0;
}

static void every_form_is_understood(void **state)
{
    static const struct {
        const char *text;
        struct sta_target target;
    } forms[] = {
        {"41", {0, true}},
        {"42", {4, false}},
        {"23", {STA_ALL_SYSCALLS, true}},
        {"22", {STA_ALL_SYSCALLS, false}},
        {"65536", {STA_ALL_SYSCALLS, true}}, /* built-in ids */
        {"65537", {STA_ALL_SYSCALLS, false}},
        {"65538", {0, true}},
        {"sys_enter_read", {0, true}},
        {"sys_exit_read", {0, false}},
        {"syscalls:sys_enter_read", {0, true}},
        {"syscalls:sys_exit_newuname", {63, false}},
        {"sys_exit_umount2", {166, false}},
        {"sys_exit_umount", {166, false}},
        {"sys_enter_uselib", {134, true}}, /* no event of the kernel's, but a call */
        {"raw_syscalls:sys_enter", {STA_ALL_SYSCALLS, true}},
        {"raw_syscalls:sys_exit", {STA_ALL_SYSCALLS, false}},
        {"*SYS_ENTER", {STA_ALL_SYSCALLS, true}},
        {"*SYS_EXIT", {STA_ALL_SYSCALLS, false}},
    };
    struct tree *tree = *state;

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (parse(tree, forms[i].text) != 0)
            fail_msg("'%s' is refused:\n%s", forms[i].text, tree->log);
        assert_target(forms[i].target.sys_nr, forms[i].target.is_enter);
        assert_string_equal(tree->log, "");
    }
}

static void other_forms_are_refused(void **state)
{
    static const char *const malformed[] = {"",
                                            "abc",
                                            "12x",
                                            " 12",
                                            "+1",
                                            "-5",
                                            "0",
                                            "012",
                                            "12 ",
                                            "1e3",
                                            "0x29",
                                            "1.5",
                                            "99999999999999999999",
                                            "2147483648",
                                            "4294967337",
                                            "-99999999999999999999",
                                            "read",
                                            "sys_enter_",
                                            ":",
                                            "41:",
                                            "syscalls:41",
                                            "*",
                                            "*SYS_",
                                            "\xff\xfe",
                                            "%s%n"};
    struct tree *tree = *state;

    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        if (parse(tree, malformed[i]) != -EINVAL)
            fail_msg("'%s' is not refused", malformed[i]);
        assert_target(-77, false);
        assert_logged(tree, "E ");
        assert_logged(tree, "is neither a tracepoint id nor a tracepoint's name");
    }
    assert_int_equal(parse(tree, "12x"), -EINVAL);
    assert_logged(tree, "'12x'");
}

static void unknown_ids_and_names_are_refused(void **state)
{
    static const char *const unknown[] = {"1",
                                          "43",
                                          "65535",
                                          "66214",
                                          "70000",
                                          "2147483647",
                                          "sys_enter_nosuch",
                                          "syscalls:sys_exit_nosuch",
                                          "raw_syscalls:sys_enter_read",
                                          "syscalls:sys_enter"};
    struct tree *tree = *state;

    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        if (parse(tree, unknown[i]) != -ENOENT)
            fail_msg("'%s' is not refused", unknown[i]);
        assert_target(-77, false);
        assert_logged(tree, "E ");
        assert_logged(tree, unknown[i]);
    }
}

static void null_is_refused(void **state)
{
    struct tree *tree = *state;

    assert_int_equal(parse(tree, NULL), -EINVAL);
    assert_logged(tree, "E ");
    assert_int_equal(sta_target_parse_at(&tree->options, NULL, "41"), -EINVAL);
    assert_int_equal(sta_target_parse(NULL, "sys_enter_read"), -EINVAL);
    assert_int_equal(sta_target_parse(&target, NULL), -EINVAL);
}

static void names_are_parsed_without_reading_a_file(void **state)
{
    struct tree *tree = *state;

    tree_put(tree, "syscalls/sys_enter_read/id", "garbage");
    assert_int_equal(parse(tree, "sys_enter_read"), 0);
    assert_string_equal(tree->log, "");
    tree->options.root = "/dev/null";
    assert_int_equal(parse(tree, "sys_exit_write"), 0);
    assert_int_equal(parse(tree, "*SYS_EXIT"), 0);
    assert_string_equal(tree->log, "");
    assert_int_equal(parse(tree, "41"), -ENOTDIR);
    assert_logged(tree, "E /dev/null/events: Not a directory");
}

static void without_tracefs_builtin_ids_are_understood(void **state)
{
    struct tree *tree = *state;

    tree->options.root = "/nonexistent";
    assert_int_equal(parse(tree, "65538"), 0);
    assert_target(0, true);
    assert_int_equal(parse(tree, "41"), -ENOENT);
    assert_logged(tree, "I tracefs is missing or unreadable");
    assert_logged(tree, "E no system call tracepoint has id 41");
}

#define WITH_TREE(test) cmocka_unit_test_setup_teardown(test, setup, tree_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TREE(every_form_is_understood),
        WITH_TREE(other_forms_are_refused),
        WITH_TREE(unknown_ids_and_names_are_refused),
        WITH_TREE(null_is_refused),
        WITH_TREE(names_are_parsed_without_reading_a_file),
        WITH_TREE(without_tracefs_builtin_ids_are_understood),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
