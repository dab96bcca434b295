/* SPDX-License-Identifier: MIT */
/*
 * The table against the running kernel's tracefs: every tracepoint that it has.
 */
#include "tracefs_tree.h"

#include <dirent.h>

#define EVENTS "/sys/kernel/tracing/events"

static char failures[4096];

static void collect_failures(void *data, enum sta_log_level level, const char *message)
{
    size_t used = strlen(failures);

    (void)data;
    if (level != STA_LOG_INFO)
        snprintf(failures + used, sizeof(failures) - used, "%s\n", message);
}

static const struct sta_tracefs_options options = {.size = sizeof(options),
                                                   .log = collect_failures};

/* The id as read by other means. */
static int kernels_id(const char *category, const char *event)
{
    char path[512];
    int id = -1;
    FILE *file;

    snprintf(path, sizeof(path), EVENTS "/%s/%s/id", category, event);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &id), 1);
    fclose(file);
    return id;
}

static void assert_resolves_both_ways(const char *category, const char *event)
{
    struct sta_tracepoint by_name, by_id;
    struct sta_target by_text, by_number;
    char text[512];
    int id = kernels_id(category, event);

    snprintf(text, sizeof(text), "%s:%s", category, event);
    if (sta_tracepoint_by_name_at(&options, text, &by_name) != 0 ||
        sta_tracepoint_by_id_at(&options, id, &by_id) != 0)
        fail_msg("%s with id %d does not resolve: %s", text, id, failures);
    assert_int_equal(by_name.id, id);
    assert_int_equal(by_name.source, STA_TRACEPOINT_TRACEFS);
    assert_string_equal(by_name.name, event);
    assert_string_equal(by_name.category, category);
    assert_int_equal(by_id.id, id);
    assert_int_equal(by_id.source, STA_TRACEPOINT_TRACEFS);
    assert_string_equal(by_id.name, event);
    assert_string_equal(by_id.category, category);
    assert_int_equal(by_id.target.sys_nr, by_name.target.sys_nr);
    assert_int_equal(by_id.target.is_enter, by_name.target.is_enter);

    assert_int_equal(sta_target_parse_at(&options, &by_text, text), 0);
    snprintf(text, sizeof(text), "%d", id);
    assert_int_equal(sta_target_parse_at(&options, &by_number, text), 0);
    assert_int_equal(by_text.sys_nr, by_number.sys_nr);
    assert_int_equal(by_text.is_enter, by_number.is_enter);
    assert_int_equal(by_text.sys_nr, by_id.target.sys_nr);
    assert_int_equal(by_text.is_enter, strncmp(event, "sys_enter", 9) == 0);
    assert_string_equal(failures, "");
}

static int count_category(const char *category)
{
    char path[512];
    int count = 0;
    struct dirent *entry;
    DIR *directory;

    snprintf(path, sizeof(path), EVENTS "/%s", category);
    directory = opendir(path);
    assert_non_null(directory);
    while ((entry = readdir(directory)))
        if (strncmp(entry->d_name, "sys_", 4) == 0) {
            assert_resolves_both_ways(category, entry->d_name);
            count++;
        }
    closedir(directory);
    return count;
}

static void every_tracepoint_resolves_both_ways(void **state)
{
    int named, raw;

    (void)state;
    if (!kernel_tracefs_is_readable())
        skip();
    named = count_category("syscalls");
    raw = count_category("raw_syscalls");
    print_message("%d tracepoints of single calls and %d of all calls resolve\n", named, raw);
    assert_int_equal(raw, 2);
    assert_in_range(named, 600, 2 * STA_SYSCALL_LIMIT);
}

struct list {
    int count;
    struct sta_target last;
};

static int check_listed(const struct sta_tracepoint *tracepoint, void *data)
{
    struct list *list = data;
    struct sta_event_format format;
    bool is_raw = tracepoint->target.sys_nr == STA_ALL_SYSCALLS;

    assert_int_equal(tracepoint->id, kernels_id(tracepoint->category, tracepoint->name));
    if (list->count > 0)
        assert_true(tracepoint->target.sys_nr > list->last.sys_nr ||
                    (tracepoint->target.sys_nr == list->last.sys_nr && list->last.is_enter &&
                     !tracepoint->target.is_enter));
    assert_int_equal(sta_tracepoint_format(&options, tracepoint, &format), 0);
    assert_in_range(format.field_count, 1, STA_EVENT_FIELD_MAX);
    assert_string_equal(format.fields[0].name, is_raw ? "id" : "__syscall_nr");
    assert_int_equal(format.fields[0].offset, 8);
    if (!tracepoint->target.is_enter) {
        assert_string_equal(format.fields[1].name, "ret");
        assert_int_equal(format.fields[1].offset, 16);
        assert_true(format.fields[1].is_signed);
    }
    list->last = tracepoint->target;
    list->count++;
    return 0;
}

static void the_list_has_every_tracepoint_in_order_with_its_format(void **state)
{
    struct list list = {0};
    int listed;

    (void)state;
    if (!kernel_tracefs_is_readable())
        skip();
    listed = sta_tracepoint_list(&options, check_listed, &list);
    assert_int_equal(listed, list.count);
    assert_int_equal(list.count, count_category("syscalls") + 2);
    assert_string_equal(failures, "");
}

static void one_id_takes_a_handful_of_files(void **state)
{
    struct sta_tracepoint tracepoint;
    long before, own, most = 0;

    (void)state;
    if (!kernel_tracefs_is_readable())
        skip();
    if (reads_so_far() < 0) {
        print_message("skipped: /proc/self/io does not tell how much was read\n");
        skip();
    }
    before = reads_so_far();
    own = reads_so_far() - before; /* what asking costs */
    for (int nr = 0; nr < 100; nr++) {
        char name[64];
        long reads;

        snprintf(name, sizeof(name), "sys_enter_%s", sta_syscall_name(nr));
        before = reads_so_far();
        assert_int_equal(sta_tracepoint_by_name_at(&options, name, &tracepoint), 0);
        reads = reads_so_far() - before - own;
        assert_in_range(reads, 1, 2); /* the second one sees the end */
        before = reads_so_far();
        assert_int_equal(sta_tracepoint_by_id_at(&options, tracepoint.id, &tracepoint), 0);
        reads = reads_so_far() - before - own;
        most = reads > most ? reads : most;
    }
    print_message("an id is found with %ld files read at most\n", most / 2);
    assert_in_range(most / 2, 3, 20);
}

static void other_ids_of_the_kernel_are_no_system_calls(void **state)
{
    struct sta_tracepoint tracepoint;

    (void)state;
    if (!kernel_tracefs_is_readable())
        skip();
    if (access(EVENTS "/sched/sched_switch/id", R_OK) < 0) {
        print_message("skipped: no event sched_switch\n");
        skip();
    }
    assert_int_equal(
        sta_tracepoint_by_id_at(&options, kernels_id("sched", "sched_switch"), &tracepoint),
        -ENOENT);
    assert_non_null(strstr(failures, "no system call tracepoint has id"));
    failures[0] = '\0';
}

static void known_arguments_are_described(void **state)
{
    struct sta_tracepoint tracepoint;
    struct sta_event_format format;

    (void)state;
    if (!kernel_tracefs_is_readable())
        skip();
    assert_int_equal(sta_tracepoint_by_name("sys_enter_openat", &tracepoint), 0);
    assert_int_equal(sta_tracepoint_format(NULL, &tracepoint, &format), 0);
    assert_in_range(format.field_count, 5, 8); /* newer kernels append the string itself */
    assert_string_equal(format.fields[1].name, "dfd");
    assert_string_equal(format.fields[2].name, "filename");
    assert_string_equal(format.fields[2].type, "const char *");
    assert_int_equal(format.fields[2].offset, 24);
    assert_int_equal(format.fields[2].size, 8);
    assert_int_equal(sta_tracepoint_by_name("*SYS_ENTER", &tracepoint), 0);
    assert_int_equal(sta_tracepoint_format(NULL, &tracepoint, &format), 0);
    assert_int_equal(format.field_count, 2);
    assert_string_equal(format.fields[1].name, "args");
    assert_int_equal(format.fields[1].array_length, 6);
    assert_int_equal(format.fields[1].size, 48);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tracepoint_resolves_both_ways),
        cmocka_unit_test(the_list_has_every_tracepoint_in_order_with_its_format),
        cmocka_unit_test(one_id_takes_a_handful_of_files),
        cmocka_unit_test(other_ids_of_the_kernel_are_no_system_calls),
        cmocka_unit_test(known_arguments_are_described),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
