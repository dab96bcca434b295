/* SPDX-License-Identifier: MIT */
/*
 * Attaching, detaching, and what the registry knows of its attachments.
 */
#include "core.h"

#include <limits.h>

#define NR 39

static struct sta_attach_options valid_options(atomic_int *runs)
{
    return (struct sta_attach_options){.size = sizeof(struct sta_attach_options),
                                       .target = {NR, true},
                                       .callback = count_run,
                                       .user_data = runs};
}

/* A struct as a later version of the library may have it. */
struct later_options {
    struct sta_attach_options known;
    char tail[40];
};

/* Registries */

struct log {
    int count;
    enum sta_log_level level;
    char message[600];
};

static void remember_message(void *log_data, enum sta_log_level level, const char *message)
{
    struct log *log = log_data;

    log->count++;
    log->level = level;
    snprintf(log->message, sizeof(log->message), "%s", message);
}

static void options_of_a_registry_are_checked(void **state)
{
    struct {
        struct sta_options known;
        char tail[16];
    } options = {.known = {.size = sizeof(options.known)}};
    struct sta *sta;

    (void)state;
    assert_int_equal(sta_new(NULL, NULL), -EINVAL);
    assert_int_equal(sta_new(&sta, &options.known), 0);
    sta_free(sta);
    options.known.size = sizeof(options);
    assert_int_equal(sta_new(&sta, &options.known), 0);
    sta_free(sta);
    options.tail[15] = 1;
    assert_int_equal(sta_new(&sta, &options.known), -E2BIG);
    assert_null(sta);
    for (size_t size = 0; size < sizeof(options.known); size++) {
        options.known.size = size;
        assert_int_equal(sta_new(&sta, &options.known), -EINVAL);
        assert_null(sta);
    }
    sta_free(NULL);
}

static void the_log_hears_why_an_attach_is_refused(void **state)
{
    struct log log = {0};
    struct sta_options options = {sizeof(options), remember_message, &log};
    struct sta_target target = {512, true};
    atomic_int runs = 0;
    struct sta *sta;

    (void)state;
    assert_int_equal(sta_new(&sta, &options), 0);
    log.count = 0; /* what this machine lacks is told, too */
    assert_int_equal(sta_attach(sta, &target, count_run, &runs), -EINVAL);
    assert_int_equal(log.count, 1);
    assert_int_equal(log.level, STA_LOG_ERROR);
    assert_non_null(strstr(log.message, "512"));
    assert_null(strchr(log.message, '\n'));
    target.sys_nr = NR;
    assert_true(sta_attach(sta, &target, count_run, &runs) > 0);
    assert_int_equal(log.count, 1);
    sta_free(sta);
    assert_int_equal(log.count, 1);
}

static void registries_know_nothing_of_each_other(void **state)
{
    struct sta *one = *state, *two = new_registry();
    atomic_int in_one = 0, in_two = 0;
    int id = attach_enter(one, NR, count_run, &in_one);

    assert_int_equal(sta_detach(two, id), -ENOENT);
    assert_int_equal(attach_enter(two, NR, count_run, &in_two), id);
    dispatch(one, NR);
    assert_int_equal(in_one, 1);
    assert_int_equal(in_two, 0);
    detach(two, id);
    assert_int_equal(info_of(one, id).runs, 1);
    sta_free(two);
    dispatch(one, NR);
    assert_int_equal(in_one, 2);
}

static void a_new_registry_has_nothing_of_one_that_was_freed(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        struct sta *sta = new_registry();
        atomic_int runs = 0;

        made.count = 0;
        assert_int_equal(sta_detach(sta, 1), -ENOENT);
        for (int nr = -1; nr <= STA_SYSCALL_LIMIT; nr++)
            dispatch(sta, nr);
        assert_int_equal(made.count, STA_SYSCALL_LIMIT + 2);
        assert_int_equal(attach_enter(sta, NR, count_run, &runs), 1);
        for (int nr = -1; nr < STA_SYSCALL_LIMIT; nr++)
            attach_exit(sta, nr, count_run, &runs);
        dispatch(sta, NR);
        assert_int_equal(runs, 3);
        assert_int_equal(info_of(sta, 1).runs, 1);
        sta_free(sta);
    }
}

static long virtual_pages(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = -1;

    must(file && fscanf(file, "%ld", &pages) == 1);
    fclose(file);
    return pages;
}

static void registries_come_and_go_without_a_trace(void **state)
{
    atomic_int runs = 0;
    long before = 0;

    (void)state;
    for (int round = 0; round < 300; round++) {
        struct sta *sta = new_registry();

        for (int i = 0; i < 60; i++)
            attach_enter(sta, i % 2 ? i : STA_ALL_SYSCALLS, count_run, &runs);
        for (int id = 1; id < 60; id += 7)
            detach(sta, id);
        dispatch(sta, NR);
        sta_free(sta);
        if (round == 20)
            before = virtual_pages();
    }
    /* The sanitizers map memory of their own as they like. */
    assert_in_range(virtual_pages(), 0, before + 256);
}

static void *make_and_free(void *data)
{
    pthread_barrier_wait(data);
    for (int i = 0; i < 20; i++)
        sta_free(new_registry());
    return NULL;
}

static void registries_can_be_made_and_freed_on_several_threads(void **state)
{
    pthread_barrier_t begin;
    pthread_t threads[4];

    (void)state;
    pthread_barrier_init(&begin, NULL, COUNT(threads));
    for (size_t i = 0; i < COUNT(threads); i++)
        threads[i] = start(make_and_free, &begin);
    for (size_t i = 0; i < COUNT(threads); i++)
        finish(threads[i]);
    pthread_barrier_destroy(&begin);
}

/* Attaching */

static void what_cannot_be_attached_is_refused(void **state)
{
    static const int bad_numbers[] = {-2, STA_SYSCALL_LIMIT, STA_SYSCALL_LIMIT + 1, INT_MIN,
                                      INT_MAX};
    struct sta *sta = *state;
    struct sta_target target = {NR, true};
    atomic_int runs = 0;
    struct sta_attach_options options;

    assert_int_equal(sta_attach(NULL, &target, count_run, &runs), -EINVAL);
    assert_int_equal(sta_attach(sta, NULL, count_run, &runs), -EINVAL);
    assert_int_equal(sta_attach(sta, &target, NULL, &runs), -EINVAL);
    assert_int_equal(sta_attach_with(sta, NULL), -EINVAL);
    options = valid_options(&runs);
    assert_int_equal(sta_attach_with(NULL, &options), -EINVAL);
    options.callback = NULL;
    assert_int_equal(sta_attach_with(sta, &options), -EINVAL);
    for (unsigned bit = 0; bit < 32; bit++) {
        options = valid_options(&runs);
        options.flags = 1u << bit;
        if (options.flags == STA_CALLBACK_GENERAL_REGS)
            assert_int_equal(sta_attach_with(sta, &options), 1);
        else
            assert_int_equal(sta_attach_with(sta, &options), -EINVAL);
    }
    for (size_t i = 0; i < COUNT(bad_numbers); i++) {
        target.sys_nr = bad_numbers[i];
        assert_int_equal(sta_attach(sta, &target, count_run, &runs), -EINVAL);
    }
    detach(sta, 1);
    dispatch(sta, NR);
    assert_int_equal(runs, 0);
    /* What was refused used up no id. */
    assert_int_equal(attach_enter(sta, NR, count_run, NULL), 2);
}

static void the_bounds_of_the_table_can_be_attached_to(void **state)
{
    static const int numbers[] = {STA_ALL_SYSCALLS, 0, STA_SYSCALL_LIMIT - 1};
    atomic_int runs = 0;

    for (size_t i = 0; i < COUNT(numbers); i++) {
        attach_enter(*state, numbers[i], count_run, &runs);
        attach_exit(*state, numbers[i], count_run, &runs);
    }
    dispatch(*state, STA_SYSCALL_LIMIT - 1);
    assert_int_equal(runs, 4);
    dispatch(*state, 0);
    assert_int_equal(runs, 8);
}

static void options_of_other_versions_are_understood_where_possible(void **state)
{
    atomic_int runs = 0;
    struct later_options options = {.known = valid_options(&runs)};

    for (size_t size = 0; size < offsetof(struct sta_attach_options, cookie); size++) {
        options.known.size = size;
        assert_int_equal(sta_attach_with(*state, &options.known), -EINVAL);
    }
    for (size_t size = offsetof(struct sta_attach_options, cookie); size <= sizeof(options);
         size++) {
        options.known.size = size;
        assert_true(sta_attach_with(*state, &options.known) > 0);
    }
    options.tail[sizeof(options.tail) - 1] = 1;
    assert_int_equal(sta_attach_with(*state, &options.known), -E2BIG);
    options.known.size--;
    assert_true(sta_attach_with(*state, &options.known) > 0);
}

static void names_are_limited(void **state)
{
    char name[STA_ATTACH_NAME_SIZE + 1];
    atomic_int runs = 0;
    struct sta_attach_options options = valid_options(&runs);
    int id;

    memset(name, 'x', sizeof(name));
    name[STA_ATTACH_NAME_SIZE] = 0;
    options.name = name;
    assert_int_equal(sta_attach_with(*state, &options), -ENAMETOOLONG);
    name[STA_ATTACH_NAME_SIZE - 1] = 0;
    id = sta_attach_with(*state, &options);
    assert_true(id > 0);
    name[0] = 'y'; /* the registry has a copy */
    assert_string_equal(info_of(*state, id).name, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    options.name = "";
    id = sta_attach_with(*state, &options);
    assert_string_equal(info_of(*state, id).name, "");
}

static void ids_grow_and_are_never_used_again(void **state)
{
    atomic_int runs = 0;
    int last = 0;

    for (int i = 0; i < 1000; i++) {
        int id = attach(*state, i % 100 - 1, i % 2, count_run, &runs);

        assert_true(id > last);
        if (i % 3)
            detach(*state, id);
        last = id;
    }
}

static void the_same_callback_can_be_attached_twice(void **state)
{
    atomic_int runs = 0;
    int first = attach_enter(*state, NR, count_run, &runs);
    int second = attach_enter(*state, NR, count_run, &runs);

    dispatch(*state, NR);
    assert_int_equal(runs, 2);
    detach(*state, first);
    dispatch(*state, NR);
    assert_int_equal(runs, 3);
    assert_int_equal(info_of(*state, second).runs, 2);
}

/* Detaching */

static void what_is_not_attached_cannot_be_detached(void **state)
{
    static const int bad_ids[] = {0, -1, 2, INT_MIN, INT_MAX};
    atomic_int runs = 0;
    int id = attach_enter(*state, NR, count_run, &runs);

    assert_int_equal(id, 1);
    assert_int_equal(sta_detach(NULL, id), -EINVAL);
    for (size_t i = 0; i < COUNT(bad_ids); i++)
        assert_int_equal(sta_detach(*state, bad_ids[i]), -ENOENT);
    assert_int_equal(sta_detach(*state, id), 0);
    assert_int_equal(sta_detach(*state, id), -ENOENT);
    dispatch(*state, NR);
    assert_int_equal(runs, 0);
}

/* 10,000 attachments */

enum { MANY = 10000 };

static int ids[MANY];

static void shuffle_ids(int count)
{
    unsigned seed = 4711;

    for (int i = count - 1; i > 0; i--) {
        int other = (int)((unsigned)rand_r(&seed) % (unsigned)(i + 1));
        int id = ids[i];

        ids[i] = ids[other];
        ids[other] = id;
    }
}

static void detach_at_random(struct sta *sta, int count, atomic_int *runs, int nr)
{
    shuffle_ids(count);
    for (int i = 0; i < count; i++) {
        detach(sta, ids[i]);
        assert_int_equal(sta_detach(sta, ids[i]), -ENOENT);
        if (i % 2500 == 0) {
            *runs = 0;
            for (int at = 0; at < (nr < 0 ? STA_SYSCALL_LIMIT : 1); at++)
                dispatch(sta, nr < 0 ? at : nr);
            assert_int_equal(*runs, count - i - 1);
        }
    }
    *runs = 0;
    dispatch(sta, NR);
    assert_int_equal(*runs, 0);
}

static void ten_thousand_attachments_on_many_calls(void **state)
{
    atomic_int runs = 0;

    /* Neither exit nor rt_sigreturn has an exit event. */
    for (int i = 0; i < MANY; i++)
        ids[i] =
            attach(*state, i % 2 ? i % STA_SYSCALL_LIMIT : i % 200 % 15, i % 2, count_run, &runs);
    detach_at_random(*state, MANY, &runs, -1);
}

static void ten_thousand_attachments_on_one_call(void **state)
{
    const int count = UNDER_TSAN ? MANY / 10 : MANY; /* each change copies the list */
    atomic_int runs = 0;

    for (int i = 0; i < count; i++)
        ids[i] = attach_enter(*state, NR, count_run, &runs);
    dispatch(*state, NR);
    assert_int_equal(runs, count);
    detach_at_random(*state, count, &runs, NR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registries_can_be_made_and_freed_on_several_threads), /* first of all */
        cmocka_unit_test(options_of_a_registry_are_checked),
        cmocka_unit_test(the_log_hears_why_an_attach_is_refused),
        WITH_REGISTRY(registries_know_nothing_of_each_other),
        cmocka_unit_test(a_new_registry_has_nothing_of_one_that_was_freed),
        cmocka_unit_test(registries_come_and_go_without_a_trace),
        WITH_REGISTRY(what_cannot_be_attached_is_refused),
        WITH_REGISTRY(the_bounds_of_the_table_can_be_attached_to),
        WITH_REGISTRY(options_of_other_versions_are_understood_where_possible),
        WITH_REGISTRY(names_are_limited),
        WITH_REGISTRY(ids_grow_and_are_never_used_again),
        WITH_REGISTRY(the_same_callback_can_be_attached_twice),
        WITH_REGISTRY(what_is_not_attached_cannot_be_detached),
        WITH_REGISTRY(ten_thousand_attachments_on_many_calls),
        WITH_REGISTRY(ten_thousand_attachments_on_one_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
