/* SPDX-License-Identifier: MIT */
/*
 * Tracepoints read from made-up trees, with every fault that a tree can have.
 */
#include "tracefs_tree.h"

static struct sta_tracepoint found;

static int by_name(struct tree *tree, const char *name)
{
    clear_log(tree);
    memset(&found, 0, sizeof(found));
    return sta_tracepoint_by_name_at(&tree->options, name, &found);
}

static int by_id(struct tree *tree, int id)
{
    clear_log(tree);
    memset(&found, 0, sizeof(found));
    return sta_tracepoint_by_id_at(&tree->options, id, &found);
}

static void assert_found(int id, int sys_nr, bool is_enter, const char *category, const char *name)
{
    assert_int_equal(found.id, id);
    assert_int_equal(found.target.sys_nr, sys_nr);
    assert_int_equal(found.target.is_enter, is_enter);
    assert_int_equal(found.source, STA_TRACEPOINT_TRACEFS);
    assert_string_equal(found.category, category);
    assert_string_equal(found.name, name);
}

static void put_small_tree(struct tree *tree)
{
    tree_put_id(tree, "raw_syscalls", "sys_exit", 22);
    tree_put_id(tree, "raw_syscalls", "sys_enter", 23);
    tree_put_id(tree, "syscalls", "sys_exit_read", 40);
    tree_put_id(tree, "syscalls", "sys_enter_read", 41);
    tree_put_id(tree, "syscalls", "sys_exit_newstat", 42);
    tree_put_id(tree, "syscalls", "sys_enter_newstat", 43);
    tree_put(tree, "syscalls/enable", "0\n");
    tree_put(tree, "syscalls/filter", "none\n");
}

/* By name */

static void every_form_of_name_finds_its_event(void **state)
{
    struct tree *tree = *state;

    put_small_tree(tree);
    assert_int_equal(by_name(tree, "sys_enter_read"), 0);
    assert_found(41, 0, true, "syscalls", "sys_enter_read");
    assert_int_equal(by_name(tree, "syscalls:sys_exit_read"), 0);
    assert_found(40, 0, false, "syscalls", "sys_exit_read");
    assert_int_equal(by_name(tree, "raw_syscalls:sys_enter"), 0);
    assert_found(23, STA_ALL_SYSCALLS, true, "raw_syscalls", "sys_enter");
    assert_int_equal(by_name(tree, "*SYS_ENTER"), 0);
    assert_found(23, STA_ALL_SYSCALLS, true, "raw_syscalls", "sys_enter");
    assert_int_equal(by_name(tree, "*SYS_EXIT"), 0);
    assert_found(22, STA_ALL_SYSCALLS, false, "raw_syscalls", "sys_exit");
    assert_string_equal(tree->log, "");
}

static void renamed_events_are_found_by_both_names(void **state)
{
    struct tree *tree = *state;

    put_small_tree(tree);
    assert_int_equal(by_name(tree, "sys_enter_newstat"), 0);
    assert_found(43, 4, true, "syscalls", "sys_enter_newstat");
    assert_int_equal(by_name(tree, "syscalls:sys_exit_stat"), 0);
    assert_found(42, 4, false, "syscalls", "sys_exit_newstat");
}

static void one_name_reads_one_file(void **state)
{
    struct tree *tree = *state;

    put_small_tree(tree);
    tree_put(tree, "raw_syscalls/sys_enter/id", "garbage");
    tree_put(tree, "syscalls/sys_exit_read/id", "garbage");
    tree_put(tree, "syscalls/sys_enter_newstat/id", "garbage");
    tree_put(tree, "syscalls/sys_enter_write", "no directory");
    assert_int_equal(by_name(tree, "sys_enter_read"), 0);
    assert_string_equal(tree->log, "");
}

static void malformed_and_unknown_names_are_refused(void **state)
{
    static const char *const malformed[] = {"",
                                            "read",
                                            "41",
                                            "sys_enter_",
                                            "sys_enterread",
                                            "syscalls:",
                                            "SYS_ENTER",
                                            "*sys_enter",
                                            "sched:sys_enter_read",
                                            "*SYS_ENTERX",
                                            " sys_enter_read",
                                            "syscalls:*SYS_ENTER"};
    static const char *const unknown[] = {"sys_enter_nosuch", "sys_enter_read ",
                                          "syscalls:sys_enter", "raw_syscalls:sys_enter_read",
                                          "sys_enter_../read"};
    struct tree *tree = *state;

    put_small_tree(tree);
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        assert_int_equal(by_name(tree, malformed[i]), -EINVAL);
        assert_logged(tree, malformed[i]);
        assert_int_equal(found.id, 0);
    }
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        assert_int_equal(by_name(tree, unknown[i]), -ENOENT);
        assert_logged(tree, unknown[i]);
    }
    assert_int_equal(by_name(tree, "sys_enter_\n\x01"), -ENOENT);
    assert_logged(tree, "sys_enter_\\x0a\\x01");
    assert_int_equal(by_name(tree, NULL), -EINVAL);
    assert_logged(tree, "E ");
    assert_int_equal(sta_tracepoint_by_name_at(&tree->options, "sys_enter_read", NULL), -EINVAL);
    assert_int_equal(sta_tracepoint_by_name(NULL, &found), -EINVAL);
}

static void an_event_that_the_kernel_lacks_is_reported(void **state)
{
    struct tree *tree = *state;

    put_small_tree(tree);
    assert_int_equal(by_name(tree, "sys_enter_write"), -ENOENT);
    assert_logged(tree, "E ");
    assert_logged(tree, "/events/syscalls/sys_enter_write/id: No such file or directory");
    assert_int_equal(mkdir(tree_path(tree, "syscalls/sys_enter_write"), 0755), 0);
    assert_int_equal(by_name(tree, "sys_enter_write"), -ENOENT);
}

/* Faults of one id file */

static void what_is_no_id_is_reported_with_its_content(void **state)
{
    static const struct {
        const char *content, *message;
    } cases[] = {
        {"", "sys_enter_read/id: '' is no tracepoint id"},
        {"\n", "'\\x0a' is no"},
        {"84", "'84' is no"}, /* lost its end, perhaps more */
        {"0\n", "'0\\x0a' is no"},
        {"042\n", "'042\\x0a' is no"},
        {"-5\n", "'-5\\x0a' is no"},
        {"+5\n", "'+5\\x0a' is no"},
        {" 5\n", "' 5\\x0a' is no"},
        {"5 \n", "'5 \\x0a' is no"},
        {"5\n\n", "'5\\x0a\\x0a' is no"},
        {"5\r\n", "'5\\x0d\\x0a' is no"},
        {"0x5\n", "'0x5\\x0a' is no"},
        {"5\n6\n", "is no"},
        {"garbage\n", "'garbage\\x0a' is no"},
        {"\x1b[31m\xff\\\n", "'\\x1b[31m\\xff\\x5c\\x0a' is no"},
        {"65536\n", "'65536\\x0a' is no"}, /* would be taken for a built-in id */
        {"2147483647\n", "is no"},
        {"2147483648\n", "is no"},
        {"4294967337\n", "is no"}, /* 41 in 32 bits */
        {"18446744073709551657\n", "is no"},
        {"99999999999999999999999999999999999999999999999999999999999999999999\n", "is no"},
    };
    struct tree *tree = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tree_put(tree, "syscalls/sys_enter_read/id", cases[i].content);
        assert_int_equal(by_name(tree, "sys_enter_read"), -EINVAL);
        assert_logged(tree, "E ");
        assert_logged(tree, "/events/syscalls/sys_enter_read/id");
        assert_logged(tree, cases[i].message);
        assert_int_equal(found.id, 0);
    }
    tree_put_bytes(tree, "syscalls/sys_enter_read/id", "4\0001\n", 4);
    assert_int_equal(by_name(tree, "sys_enter_read"), -EINVAL);
    assert_logged(tree, "'4\\x001\\x0a'");
    tree_put(tree, "syscalls/sys_enter_read/id", "65535\n");
    assert_int_equal(by_name(tree, "sys_enter_read"), 0);
}

static void a_huge_id_file_is_refused_and_not_read_whole(void **state)
{
    struct tree *tree = *state;

    tree_put(tree, "syscalls/sys_enter_read/id", "1");
    assert_int_equal(truncate(tree_path(tree, "syscalls/sys_enter_read/id"), 1L << 40), 0);
    assert_int_equal(by_name(tree, "sys_enter_read"), -EINVAL);
    assert_logged(tree, "'1\\x00");
    assert_logged(tree, "...'");
}

static void what_is_not_a_file_is_reported(void **state)
{
    struct tree *tree = *state;

    mkdir(tree_path(tree, "syscalls/sys_enter_read"), 0755);
    mkdir(tree_path(tree, "syscalls/sys_enter_read/id"), 0755);
    assert_int_equal(by_name(tree, "sys_enter_read"), -EISDIR);
    assert_logged(tree, "/events/syscalls/sys_enter_read/id: Is a directory");

    tree_put(tree, "syscalls/sys_enter_write", "a file");
    assert_int_equal(by_name(tree, "sys_enter_write"), -ENOTDIR);
    assert_logged(tree, "/events/syscalls/sys_enter_write/id: Not a directory");

    assert_int_equal(symlink("sys_enter_open", tree_path(tree, "syscalls/sys_enter_open")), 0);
    assert_int_equal(by_name(tree, "sys_enter_open"), -ELOOP);
    assert_logged(tree, "/events/syscalls/sys_enter_open/id: Too many levels");

    mkdir(tree_path(tree, "syscalls/sys_enter_close"), 0755);
    assert_int_equal(mkfifo(tree_path(tree, "syscalls/sys_enter_close/id"), 0644), 0);
    assert_int_equal(by_name(tree, "sys_enter_close"), -EINVAL); /* and does not wait */
    assert_int_equal(by_id(tree, 41), -ENOENT);
    assert_logged(tree, "W ");
    assert_logged(tree, "Is a directory");
    assert_logged(tree, "Not a directory");
    assert_logged(tree, "Too many levels");
}

static const char *meets_an_unreadable_file(struct tree *tree)
{
    if (by_name(tree, "sys_enter_read") != -EACCES)
        return "by name: not -EACCES";
    if (!strstr(tree->log, "E ") || !strstr(tree->log, "sys_enter_read/id: Permission denied"))
        return "by name: no message";
    if (by_id(tree, 40) != 0 || found.id != 40)
        return "by id: another event is not found";
    if (by_id(tree, 41) != -ENOENT)
        return "by id: the unreadable one is found";
    if (!strstr(tree->log, "W ") || !strstr(tree->log, "sys_enter_read/id: Permission denied"))
        return "by id: no message";
    return NULL;
}

static void an_unreadable_file_is_reported(void **state)
{
    struct tree *tree = *state;

    put_small_tree(tree);
    chmod(tree_path(tree, "syscalls/sys_enter_read/id"), 0);
    as_ordinary_user(meets_an_unreadable_file, tree);
}

/* By id */

static void ids_are_found_in_any_order_of_registration(void **state)
{
    static const char *const orders[] = {"rising", "falling", "shuffled"};
    struct tree *tree = *state;
    char name[STA_TRACEPOINT_NAME_SIZE];

    tree_put_id(tree, "raw_syscalls", "sys_enter", 30000);
    tree_put_id(tree, "raw_syscalls", "sys_exit", 30001);
    for (int order = 0; order < 3; order++) {
        for (int i = 0; i < 200; i++) {
            int id = order == 0 ? 100 + 3 * i : order == 1 ? 2000 - i : 3000 + i * 77 % 200;

            snprintf(name, sizeof(name), "sys_%s_%s", i % 2 ? "enter" : "exit",
                     sta_syscall_name(200 + i / 2));
            tree_put_id(tree, "syscalls", name, id);
        }
        for (int i = 0; i < 200; i++) {
            int id = order == 0 ? 100 + 3 * i : order == 1 ? 2000 - i : 3000 + i * 77 % 200;

            if (by_id(tree, id) != 0)
                fail_msg("%s: %d is not found; log:\n%s", orders[order], id, tree->log);
            assert_int_equal(found.id, id);
            assert_string_equal(tree->log, "");
        }
        assert_int_equal(by_id(tree, 1), -ENOENT);
        assert_int_equal(by_id(tree, 20000), -ENOENT);
        assert_logged(tree, "E no system call tracepoint has id 20000");
        assert_int_equal(by_id(tree, 30001), 0);
        assert_found(30001, STA_ALL_SYSCALLS, false, "raw_syscalls", "sys_exit");
    }
}

static int unmount_and_teardown(void **state)
{
    struct tree *tree = *state;

    umount2(tree->root, MNT_DETACH);
    return tree_teardown(state);
}

/* Older kernels list tracefs as ramfs is listed to this day: the last made entry comes first. */
static void a_falling_listing_is_bisected_like_a_rising_one(void **state)
{
    struct tree *tree = *state;
    char name[STA_TRACEPOINT_NAME_SIZE];
    long most = 0;

    if (reads_so_far() < 0 || mount("nodev", tree->root, "ramfs", 0, "mode=755") < 0) {
        print_message("skipped: no ramfs can be mounted, or no reads counted\n");
        skip();
    }
    for (int nr = 200; nr < 300; nr++) {
        snprintf(name, sizeof(name), "sys_exit_%s", sta_syscall_name(nr));
        tree_put_id(tree, "syscalls", name, nr * 7);
    }
    tree_put_id(tree, "raw_syscalls", "sys_enter", 1);
    tree_put_id(tree, "raw_syscalls", "sys_exit", 2);
    for (int nr = 200; nr < 300; nr++) {
        long before = reads_so_far(), reads;

        assert_int_equal(by_id(tree, nr * 7), 0);
        assert_int_equal(found.target.sys_nr, nr);
        assert_string_equal(tree->log, "");
        reads = reads_so_far() - before;
        most = reads > most ? reads : most;
    }
    print_message("%ld reads at most\n", most);
    assert_in_range(most, 1, 50); /* two a file and a few for asking; 100 files were 200 */
}

static void small_trees_are_searched_too(void **state)
{
    struct tree *tree = *state;

    assert_int_equal(by_id(tree, 40), -ENOENT); /* no event at all */
    tree_put_id(tree, "syscalls", "sys_enter_read", 41);
    assert_int_equal(by_id(tree, 40), -ENOENT);
    assert_int_equal(by_id(tree, 42), -ENOENT);
    assert_int_equal(by_id(tree, 41), 0);
    tree_put_id(tree, "syscalls", "sys_exit_read", 40);
    assert_int_equal(by_id(tree, 40), 0);
    assert_int_equal(by_id(tree, 41), 0);
    assert_int_equal(by_id(tree, 42), -ENOENT);
}

static void damaged_files_are_passed_over_in_a_search(void **state)
{
    struct tree *tree = *state;

    put_small_tree(tree);
    tree_put(tree, "raw_syscalls/sys_enter/id", "");
    tree_put(tree, "syscalls/sys_exit_read/id", "forty\n");
    unlink(tree_path(tree, "syscalls/sys_exit_newstat/id"));
    assert_int_equal(by_id(tree, 41), 0);
    assert_found(41, 0, true, "syscalls", "sys_enter_read");
    assert_int_equal(by_id(tree, 43), 0);
    assert_found(43, 4, true, "syscalls", "sys_enter_newstat");
    assert_int_equal(by_id(tree, 40), -ENOENT);
    assert_logged(tree, "W ");
    assert_logged(tree, "/events/raw_syscalls/sys_enter/id: '' is no tracepoint id");
    assert_logged(tree, "/events/syscalls/sys_exit_read/id: 'forty\\x0a' is no tracepoint id");
    assert_logged(tree, "/events/syscalls/sys_exit_newstat/id: No such file or directory");
    assert_logged(tree, "E no system call tracepoint has id 40");
}

static void an_id_claimed_twice_gives_one_of_the_two(void **state)
{
    struct tree *tree = *state;

    put_small_tree(tree);
    tree_put_id(tree, "syscalls", "sys_enter_write", 41);
    assert_int_equal(by_id(tree, 41), 0);
    assert_true(found.target.sys_nr == 0 || found.target.sys_nr == 1);
}

static void a_call_that_nobody_knows_is_left_out(void **state)
{
    struct tree *tree = *state;

    put_small_tree(tree);
    tree_put_id(tree, "syscalls", "sys_enter_frobnicate", 77);
    tree_put_id(tree, "syscalls", "weird\n", 78);
    tree_put_id(tree, "syscalls", "sys_enter_stat", 79); /* the kernel's name is newstat */
    assert_int_equal(by_id(tree, 77), -ENOENT);
    assert_logged(tree, "W tracepoint 77 is 'sys_enter_frobnicate', a call that libsta does not");
    assert_logged(tree, "E no system call tracepoint has id 77");
    assert_int_equal(by_id(tree, 78), -ENOENT);
    assert_logged(tree, "'weird\\x0a'");
    assert_int_equal(by_id(tree, 79), -ENOENT);
    assert_int_equal(by_id(tree, 41), 0);
}

static void ids_that_cannot_be_are_refused(void **state)
{
    static const int invalid[] = {0, -1, INT_MIN};
    static const int unknown[] = {65535, STA_BUILTIN_ID_BASE + 2 * 338, STA_BUILTIN_ID_BASE + 1026,
                                  INT_MAX};
    struct tree *tree = *state;

    put_small_tree(tree);
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        assert_int_equal(by_id(tree, invalid[i]), -EINVAL);
        assert_logged(tree, "E ");
    }
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        assert_int_equal(by_id(tree, unknown[i]), -ENOENT);
        assert_logged(tree, "E no system call tracepoint has id");
    }
    assert_int_equal(sta_tracepoint_by_id_at(&tree->options, 41, NULL), -EINVAL);
}

static void builtin_ids_are_understood_where_tracefs_is_readable(void **state)
{
    struct tree *tree = *state;

    put_small_tree(tree);
    assert_int_equal(by_id(tree, STA_BUILTIN_ID_BASE + 2), 0);
    assert_string_equal(tree->log, "");
    assert_int_equal(found.source, STA_TRACEPOINT_BUILTIN);
    assert_int_equal(found.target.sys_nr, 0);
    assert_true(found.target.is_enter);
}

/* The list */

struct list {
    int count, stop_after;
    struct sta_tracepoint seen[2048];
};

static int remember(const struct sta_tracepoint *tracepoint, void *data)
{
    struct list *list = data;

    list->seen[list->count++] = *tracepoint;
    return list->count == list->stop_after ? -ECANCELED : 0;
}

static int list_all(struct tree *tree, struct list *list)
{
    clear_log(tree);
    list->count = 0;
    return sta_tracepoint_list(&tree->options, remember, list);
}

static void the_list_is_in_order(void **state)
{
    static const int ids[] = {23, 22, 41, 40, 43, 42};
    static struct list list;
    struct tree *tree = *state;

    put_small_tree(tree);
    assert_int_equal(list_all(tree, &list), 6);
    assert_int_equal(list.count, 6);
    for (int i = 0; i < 6; i++)
        assert_int_equal(list.seen[i].id, ids[i]);
    assert_string_equal(tree->log, "");
    list.stop_after = 3;
    assert_int_equal(list_all(tree, &list), -ECANCELED);
    assert_int_equal(list.count, 3);
    assert_int_equal(sta_tracepoint_list(&tree->options, NULL, NULL), -EINVAL);
}

static void the_list_leaves_out_what_is_damaged_or_unknown(void **state)
{
    static struct list list;
    struct tree *tree = *state;

    put_small_tree(tree);
    tree_put(tree, "raw_syscalls/sys_exit/id", "x");
    tree_put(tree, "syscalls/sys_enter_read/id", "");
    tree_put_id(tree, "syscalls", "sys_enter_frobnicate", 77);
    tree_put_id(tree, "syscalls", "sys_enter", 78);
    tree_put(tree, "syscalls/README", "stray");
    assert_int_equal(list_all(tree, &list), 4);
    assert_int_equal(list.seen[0].id, 23);
    assert_int_equal(list.seen[1].id, 40);
    assert_logged(tree, "W ");
    assert_not_logged(tree, "E ");
    assert_logged(tree, "/events/raw_syscalls/sys_exit/id: 'x' is no tracepoint id");
    assert_logged(tree, "/events/syscalls/sys_enter_read/id: '' is no tracepoint id");
    assert_logged(tree, "/events/syscalls/sys_enter_frobnicate: left out");
    assert_logged(tree, "/events/syscalls/sys_enter: left out");
    assert_logged(tree, "/events/syscalls/README: left out");
}

static void a_missing_directory_of_events_is_an_error(void **state)
{
    static struct list list;
    struct tree *tree = *state;

    rmdir(tree_path(tree, "syscalls"));
    assert_int_equal(list_all(tree, &list), -ENOENT);
    assert_logged(tree, "E ");
    assert_logged(tree, "/events/syscalls: No such file or directory");
    tree_put(tree, "syscalls", "a file");
    assert_int_equal(list_all(tree, &list), -ENOTDIR);
    assert_int_equal(by_id(tree, 41), -ENOTDIR);
    assert_logged(tree, "/events/syscalls: Not a directory");
    assert_int_equal(by_name(tree, "sys_enter_read"), -ENOTDIR);
}

/* No tracefs */

static const char *uses_the_builtin_table(struct tree *tree)
{
    static struct list list;
    int count;

    if (by_name(tree, "sys_exit_stat") != 0)
        return "by name: an error";
    if (found.source != STA_TRACEPOINT_BUILTIN || found.id != STA_BUILTIN_ID_BASE + 11 ||
        strcmp(found.name, "sys_exit_newstat") != 0 || strcmp(found.category, "syscalls") != 0)
        return "by name: another result";
    if (!strstr(tree->log, "I ") || !strstr(tree->log, "built-in") || strstr(tree->log, "E "))
        return "by name: no message";
    if (by_id(tree, STA_BUILTIN_ID_BASE + 11) != 0 || found.target.sys_nr != 4)
        return "by id: another result";
    if (by_id(tree, 41) != -ENOENT || !strstr(tree->log, "built-in"))
        return "by id: the kernel's id is found";
    count = list_all(tree, &list);
    if (count < 2 + 2 * 383 || list.seen[0].id != STA_BUILTIN_ID_BASE ||
        list.seen[1].id != STA_BUILTIN_ID_BASE + 1 || list.seen[2].id != STA_BUILTIN_ID_BASE + 2)
        return "the list is another";
    for (int i = 0; i < count; i++)
        if (by_name(tree, list.seen[i].name) != 0 || found.id != list.seen[i].id)
            return "a listed name does not lead back";
    return NULL;
}

static void without_tracefs_the_builtin_table_serves(void **state)
{
    struct tree *tree = *state;
    const char *wrong;

    rmdir(tree_path(tree, "syscalls"));
    rmdir(tree_path(tree, ""));
    wrong = uses_the_builtin_table(tree);
    if (wrong)
        fail_msg("%s", wrong);
    assert_int_equal(by_name(tree, "sys_enter_read"), 0);
    assert_logged(tree, "/events: No such file or directory");
    tree->options.root = "/nonexistent/tracefs";
    wrong = uses_the_builtin_table(tree);
    if (wrong)
        fail_msg("%s", wrong);
}

static void with_unreadable_tracefs_the_builtin_table_serves(void **state)
{
    struct tree *tree = *state;

    put_small_tree(tree);
    chmod(tree_path(tree, ""), 0);
    as_ordinary_user(uses_the_builtin_table, tree);
    chmod(tree_path(tree, ""), 0755);
    chmod(tree->root, 0);
    as_ordinary_user(uses_the_builtin_table, tree);
    chmod(tree->root, 0755);
}

static void an_ordinary_user_gets_the_builtin_table(void **state)
{
    struct tree *tree = *state;
    struct stat status;

    if (stat("/sys/kernel/tracing/events", &status) == 0 &&
        (stat("/sys/kernel/tracing", &status) < 0 || (status.st_mode & 077) != 0)) {
        print_message("skipped: tracefs is readable for ordinary users here\n");
        skip();
    }
    tree->options.root = NULL;
    as_ordinary_user(uses_the_builtin_table, tree);
}

static void a_root_that_is_no_tree_is_an_error(void **state)
{
    struct tree *tree = *state;
    static char too_long[PATH_MAX + 10];
    char events[128];

    rmdir(tree_path(tree, "syscalls"));
    rmdir(tree_path(tree, ""));
    tree->options.root = "/dev/null";
    assert_int_equal(by_name(tree, "sys_enter_read"), -ENOTDIR);
    assert_logged(tree, "E /dev/null/events: Not a directory");

    tree->options.root = tree->root;
    snprintf(events, sizeof(events), "%s/events", tree->root);
    assert_int_equal(mknod(events, S_IFREG | 0644, 0), 0);
    assert_int_equal(by_name(tree, "sys_enter_read"), -ENOTDIR);
    unlink(events);
    assert_int_equal(symlink("events", events), 0);
    assert_int_equal(by_id(tree, 41), -ELOOP);
    assert_logged(tree, "/events: Too many levels of symbolic links");

    memset(too_long, 'x', sizeof(too_long) - 1);
    tree->options.root = too_long;
    assert_int_equal(by_name(tree, "sys_enter_read"), -ENAMETOOLONG);
    assert_logged(tree, "File name too long");
}

/* Options */

static void options_of_unknown_size_are_refused(void **state)
{
    struct {
        struct sta_tracefs_options known;
        long unknown;
    } larger;
    struct tree *tree = *state;
    struct sta_target target;

    put_small_tree(tree);
    larger.known = tree->options;
    larger.known.size = sizeof(larger);
    larger.unknown = 0;
    assert_int_equal(sta_tracepoint_by_id_at(&larger.known, 41, &found), 0);
    larger.unknown = 1;
    assert_int_equal(sta_tracepoint_by_id_at(&larger.known, 41, &found), -E2BIG);
    assert_int_equal(sta_tracepoint_by_name_at(&larger.known, "sys_enter", &found), -E2BIG);
    assert_int_equal(sta_target_parse_at(&larger.known, &target, "sys_enter"), -E2BIG);
    assert_int_equal(sta_tracepoint_list(&larger.known, remember, NULL), -E2BIG);
    assert_logged(tree, "E sta_tracefs_options: ");
    tree->options.size = 0;
    assert_int_equal(by_id(tree, 41), -EINVAL);
    tree->options.size = sizeof(tree->options) - 1;
    assert_int_equal(by_name(tree, "sys_enter_read"), -EINVAL);
}

static void faults_without_a_log_are_harmless(void **state)
{
    struct tree *tree = *state;
    struct sta_tracefs_options silent = {.size = sizeof(silent), .root = tree->root};

    tree_put(tree, "syscalls/sys_enter_read/id", "garbage");
    assert_int_equal(sta_tracepoint_by_name_at(&silent, "sys_enter_read", &found), -EINVAL);
    assert_int_equal(sta_tracepoint_by_id_at(&silent, 41, &found), -ENOENT);
}

/* Mutated id files: whatever is accepted must be exactly what the kernel would write. */
static void only_what_the_kernel_writes_is_accepted(void **state)
{
    static const char alphabet[] = "0123456789\n\n-+ x\0\xff";
    struct tree *tree = *state;
    uint32_t random = 2463534242u;
    int accepted = 0;

    tree->options.log = NULL;
    for (int round = 0; round < 4000; round++) {
        char content[48] = "", expected[16];
        size_t length = 0;
        int id;

        random ^= random << 13, random ^= random >> 17, random ^= random << 5;
        if (random % 3 == 0)
            length = (size_t)sprintf(content, "%u\n", random >> (random >> 8) % 24);
        for (uint32_t edits = (random >> 5) % 6; edits > 0; edits--) {
            random ^= random << 13, random ^= random >> 17, random ^= random << 5;
            content[random % 40] = alphabet[(random >> 8) % (sizeof(alphabet) - 1)];
            if (random % 40 >= length)
                length = random % 40 + 1;
        }
        tree_put_bytes(tree, "syscalls/sys_enter_read/id", content, length);
        id = sta_tracepoint_by_name_at(&tree->options, "sys_enter_read", &found);
        if (id < 0) {
            assert_int_equal(id, -EINVAL);
            continue;
        }
        assert_int_equal(sprintf(expected, "%d\n", found.id), length);
        assert_memory_equal(content, expected, length);
        assert_in_range(found.id, 1, 65535);
        accepted++;
    }
    print_message("%d of 4000 accepted\n", accepted);
    assert_int_not_equal(accepted, 0);
}

#define WITH_TREE(test) cmocka_unit_test_setup_teardown(test, tree_setup, tree_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TREE(every_form_of_name_finds_its_event),
        WITH_TREE(renamed_events_are_found_by_both_names),
        WITH_TREE(one_name_reads_one_file),
        WITH_TREE(malformed_and_unknown_names_are_refused),
        WITH_TREE(an_event_that_the_kernel_lacks_is_reported),
        WITH_TREE(what_is_no_id_is_reported_with_its_content),
        WITH_TREE(a_huge_id_file_is_refused_and_not_read_whole),
        WITH_TREE(what_is_not_a_file_is_reported),
        WITH_TREE(an_unreadable_file_is_reported),
        WITH_TREE(ids_are_found_in_any_order_of_registration),
        cmocka_unit_test_setup_teardown(a_falling_listing_is_bisected_like_a_rising_one, tree_setup,
                                        unmount_and_teardown),
        WITH_TREE(small_trees_are_searched_too),
        WITH_TREE(damaged_files_are_passed_over_in_a_search),
        WITH_TREE(an_id_claimed_twice_gives_one_of_the_two),
        WITH_TREE(a_call_that_nobody_knows_is_left_out),
        WITH_TREE(ids_that_cannot_be_are_refused),
        WITH_TREE(builtin_ids_are_understood_where_tracefs_is_readable),
        WITH_TREE(the_list_is_in_order),
        WITH_TREE(the_list_leaves_out_what_is_damaged_or_unknown),
        WITH_TREE(a_missing_directory_of_events_is_an_error),
        WITH_TREE(without_tracefs_the_builtin_table_serves),
        WITH_TREE(with_unreadable_tracefs_the_builtin_table_serves),
        WITH_TREE(an_ordinary_user_gets_the_builtin_table),
        WITH_TREE(a_root_that_is_no_tree_is_an_error),
        WITH_TREE(options_of_unknown_size_are_refused),
        WITH_TREE(faults_without_a_log_are_harmless),
        WITH_TREE(only_what_the_kernel_writes_is_accepted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
