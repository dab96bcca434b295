/* SPDX-License-Identifier: MIT */
/* Object files, as clang makes them (BPF_OBJECT_DIR): opened, loaded, attached to real calls. */
#define TEST_METHOD STA_METHOD_AUTO
#include "intercept.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "bpf/sections.h"
#include "objects.h"

VICTIM(each_section_sees_its_calls)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = open_object(sta, "sections");
    long *seen;

    set_target(object);
    CHECK_EQ(*(int *)number(object, "answer"), 42);
    load(object);
    install(sta);
    attach_all(object, 6);
    for (int i = 0; i < 3; i++)
        getppid();
    seen = number(object, "seen");
    for (int i = 0; i < SEEN_RAW_EXIT; i++)
        CHECK_EQ(seen[i], 3);
    CHECK(seen[SEEN_RAW_EXIT] >= 3);
    CHECK_EQ(*number(object, "last_result"), getppid());
    CHECK_EQ(sta_object_detach(object), 0);
    getppid();
    CHECK_EQ(seen[SEEN_TP_ENTER], 4);
    attach_all(object, 6);
    getppid();
    CHECK_EQ(seen[SEEN_TP_ENTER], 5);
    sta_object_close(object);
    getppid();
    sta_free(sta);
}

VICTIM(registers_are_those_of_the_call)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = open_object(sta, "registers");
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    set_target(object);
    *(int *)number(object, "target_fd") = fds[1];
    install(sta);
    attach_all(object, 3);
    CHECK_EQ(write(fds[1], "three", 3), 3);
    CHECK_EQ(write(fds[1], "four", 4), 4);
    CHECK_EQ(*number(object, "raw_bytes"), 7);
    CHECK_EQ(*number(object, "probe_bytes"), 7);
    CHECK_EQ(*number(object, "probe_calls"), 2);
    CHECK_EQ(*number(object, "return_value"), 4);
    CHECK_EQ(write(-1, "", 1), -1);
    CHECK_EQ(*number(object, "return_value"), -EBADF);
    sta_object_close(object);
    sta_free(sta);
}

VICTIM(typed_tracepoints_see_all_calls)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = open_object(sta, "typed");

    set_target(object);
    install(sta);
    attach_all(object, 2);
    getppid();
    getppid();
    CHECK_EQ(*number(object, "entered"), 2);
    CHECK(*number(object, "left") >= 2);
    sta_object_close(object);
    sta_free(sta);
}

VICTIM(maps_and_programs_are_found_by_name)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = open_object(sta, "sections");
    struct sta_map_info info = {.size = sizeof(info)};

    CHECK(sta_object_map(object, ".bss") == NULL);
    CHECK(sta_object_program(object, "tp_enter") == NULL);
    CHECK(sta_object_global(object, "nothing", NULL) == NULL);
    load(object);
    CHECK_EQ(sta_object_load(object), -EALREADY);
    CHECK(sta_object_map(object, ".bss") != NULL);
    CHECK_EQ(sta_map_info(sta_object_map(object, ".rodata"), &info), 0);
    CHECK_EQ(info.is_frozen, 1);
    CHECK(sta_object_map(object, "nothing") == NULL);
    CHECK(sta_object_program(object, "tp_enter") != NULL);
    CHECK(sta_object_program(object, "nothing") == NULL);
    sta_object_close(object);
    sta_object_close(NULL);
    sta_free(sta);
}

VICTIM(maps_are_wired_as_the_source_says)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = open_object(sta, "maps");
    int key = 0, value;
    long numbers[1024];

    *(int *)number(object, "limit") = 3;
    install(sta);
    attach_all(object, 2);
    for (int i = 0; i < 5; i++)
        getppid();
    CHECK_EQ(sta_object_detach(object), 0);
    CHECK_EQ(sta_map_lookup(sta_object_map(object, "inner_one"), &key, &value, 0), 0);
    CHECK(value >= 5);
    CHECK_EQ(sta_map_lookup(sta_object_map(object, "per_cpu"), &key, numbers, 0), 0);
    for (uint32_t i = 1; i < sta_map_cpus(); i++)
        numbers[0] += numbers[i];
    CHECK(numbers[0] >= 5);
    sta_object_close(object);
    sta_free(sta);
}

VICTIM(the_rest_of_what_libbpf_does_works)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = open_object(sta, "more");
    unsigned major, minor;
    struct utsname name;

    CHECK_EQ(*(int *)number(object, "custom"), 7);
    install(sta);
    attach_all(object, 2);
    getuid();
    getuid();
    CHECK_EQ(uname(&name), 0);
    CHECK_EQ(sscanf(name.release, "%u.%u", &major, &minor), 2);
    CHECK_EQ(*(int *)number(object, "kernel_version") >> 8, major << 8 | minor);
    CHECK_EQ(*(int *)number(object, "numbers"), 28);
    CHECK_EQ(*(int *)number(object, "tail_calls"), 2);
    *(int *)number(object, "custom") = 1;
    getuid();
    CHECK_EQ(*(int *)number(object, "numbers"), 30);
    getppid();
    CHECK_EQ(*(int *)number(object, "tail_calls"), 4);
    CHECK(sta_object_program(object, "not_loaded") == NULL);
    sta_object_close(object);
    sta_free(sta);
}

struct opened {
    int samples, lost, wrong;
    int stop_after;
};

/* The beginning of struct event, opens.bpf.c; the path is its last member but for padding. */
static int on_open(void *data, uint32_t cpu, const void *sample, size_t size)
{
    struct opened *opened = data;
    const char *text = sample;

    if (!sample) {
        opened->lost += (int)size;
        return 0;
    }
    opened->samples++;
    opened->wrong += cpu >= sta_map_cpus() || size < 312 || !memmem(text, size, "/no/such/", 9);
    return opened->samples == opened->stop_after ? -ECANCELED : 0;
}

VICTIM(perf_rings_are_consumed)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = open_object(sta, "opens");
    struct opened opened = {0};
    struct sta_perf *perf;
    char path[32];

    set_target(object);
    load(object);
    CHECK_EQ(sta_perf_open(&perf, sta_object_map(object, "started"), 1), -EINVAL);
    CHECK_EQ(sta_perf_open(&perf, sta_object_map(object, "events"), 3), -EINVAL);
    CHECK_EQ(sta_perf_open(&perf, sta_object_map(object, "events"), 1), 0);
    install(sta);
    attach_all(object, 4);
    CHECK_EQ(sta_perf_poll(perf, 0, on_open, &opened), 0);
    CHECK_EQ(sta_perf_poll(perf, 10, on_open, &opened), 0);
    /* Many more than fit, over the end of the ring again and again. */
    for (int i = 0; i < 300; i++) {
        snprintf(path, sizeof(path), "/no/such/%d", i);
        open(path, O_RDONLY);
        if (i % 7 == 0)
            CHECK(sta_perf_poll(perf, 1000, on_open, &opened) > 0);
    }
    sta_perf_consume(perf, on_open, &opened);
    CHECK_EQ(opened.samples, 300);
    CHECK_EQ(opened.lost, 0);
    CHECK_EQ(opened.wrong, 0);
    for (int i = 0; i < 100; i++)
        open("/no/such/room", O_RDONLY);
    sta_perf_consume(perf, on_open, &opened);
    open("/no/such/room", O_RDONLY);
    sta_perf_consume(perf, on_open, &opened);
    CHECK(opened.lost > 0);
    for (uint32_t i = 0; i < 100; i++) /* another CPU's ring may have counted what it lost */
        open("/no/such/room", O_RDONLY);
    sta_perf_consume(perf, on_open, &opened);
    CHECK(opened.samples + opened.lost <= 501);
    CHECK_EQ(opened.wrong, 0);
    open("/no/such/file", O_RDONLY);
    open("/no/such/file", O_RDONLY);
    opened.stop_after = opened.samples + 1;
    CHECK_EQ(sta_perf_consume(perf, on_open, &opened), -ECANCELED);
    sta_perf_close(perf);
    open("/no/such/ring", O_RDONLY);
    sta_perf_close(NULL);
    sta_object_close(object);
    sta_free(sta);
}

VICTIM(what_cannot_be_attached_is_refused_by_name)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = NULL;

    CHECK_EQ(sta_object_open(&object, sta, path_of("mixed")), -ENOTSUP);
    CHECK(object == NULL);
    CHECK(strstr(last_error, "'probe_of_a_function'") && strstr(last_error, "'kprobe/vfs_read'"));
    sta_free(sta);
}

VICTIM(or_left_out_if_that_is_asked_for)
{
    struct sta *sta = quiet_registry();
    const struct sta_object_options options = {
        .size = sizeof(options), .path = path_of("mixed"), .flags = STA_OBJECT_SKIP_UNSUPPORTED};
    struct sta_object *object;

    CHECK_EQ(sta_object_open_with(&object, sta, &options), 0);
    CHECK(strstr(warnings, "'probe_of_a_function'") && strstr(warnings, "'another_tracepoint'") &&
          strstr(warnings, "'packets'"));
    install(sta);
    attach_all(object, 1);
    getppid();
    CHECK_EQ(*number(object, "entered"), 1);
    sta_object_close(object);
    sta_free(sta);
}

VICTIM(an_unsafe_program_is_refused_with_the_verifiers_reason)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = open_object(sta, "unsafe");

    install(sta);
    CHECK_EQ(sta_object_attach(object), -EACCES);
    if (!strstr(last_error, "'nosy'") || !strstr(last_error, "invalid bpf_context access off=9000"))
        victim_failed("the reason given is: %s", last_error);
    getppid();
    CHECK_EQ(sta_object_attach(object), -EINVAL);
    CHECK(sta_object_map(object, ".bss") == NULL);
    sta_object_close(object);
    sta_free(sta);
}

VICTIM(what_cannot_be_attached_leaves_nothing_attached)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = open_object(sta, "past_end");
    long *entered;

    install(sta);
    CHECK_EQ(sta_object_attach(object), -EACCES);
    CHECK(strstr(last_error, "'does_not_fit'"));
    entered = number(object, "entered");
    getppid();
    CHECK_EQ(*entered, 0);
    CHECK_EQ(sta_object_detach(object), -ENOENT);
    sta_object_close(object);
    sta_free(sta);
}

VICTIM(an_object_can_come_from_memory)
{
    int fd = open(path_of("sections"), O_RDONLY);
    struct sta *sta = quiet_registry();
    struct sta_object_options options = {.size = sizeof(options)};
    struct sta_object *object;
    struct stat file;
    char *data;

    CHECK_EQ(sta_object_open_with(&object, sta, &options), -EINVAL);
    CHECK_EQ(fstat(fd, &file), 0);
    data = malloc((size_t)file.st_size);
    CHECK_EQ(read(fd, data, (size_t)file.st_size), file.st_size);
    close(fd);
    options.data = data;
    options.data_size = (size_t)file.st_size;
    CHECK_EQ(sta_object_open_with(&object, sta, &options), 0);
    memset(data, 0xff, (size_t)file.st_size);
    free(data);
    load(object);
    sta_object_close(object);
    options.data = "no object";
    options.data_size = 9;
    CHECK_EQ(sta_object_open_with(&object, sta, &options), -EINVAL);
    CHECK_EQ(sta_object_open(&object, sta, "/no/such/file"), -ENOENT);
    CHECK_EQ(sta_object_open(&object, sta, "/dev/null"), -EINVAL);
    sta_free(sta);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_section_sees_its_calls),
        cmocka_unit_test(registers_are_those_of_the_call),
        cmocka_unit_test(typed_tracepoints_see_all_calls),
        cmocka_unit_test(maps_and_programs_are_found_by_name),
        cmocka_unit_test(maps_are_wired_as_the_source_says),
        cmocka_unit_test(the_rest_of_what_libbpf_does_works),
        cmocka_unit_test(perf_rings_are_consumed),
        cmocka_unit_test(what_cannot_be_attached_is_refused_by_name),
        cmocka_unit_test(or_left_out_if_that_is_asked_for),
        cmocka_unit_test(an_unsafe_program_is_refused_with_the_verifiers_reason),
        cmocka_unit_test(what_cannot_be_attached_leaves_nothing_attached),
        cmocka_unit_test(an_object_can_come_from_memory),
    };

    if (!*BPF_OBJECT_DIR) {
        printf("skipped: no clang that compiles for BPF\n");
        return VICTIM_SKIPPED;
    }
    return run_interception_tests(argc, argv, tests);
}
