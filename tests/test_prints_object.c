/* SPDX-License-Identifier: MIT */
/* An object that prints, formats and reads numbers, by the macros of libbpf's headers. */
#define TEST_METHOD STA_METHOD_AUTO
#include "intercept.h"

#include "object_global.h"

#include <sys/prctl.h>

#include <sta/map.h>
#include <sta/object.h>
#include <sta/trace.h>

static void check_text(const char *is, const char *wanted)
{
    if (strcmp(is, wanted) != 0)
        victim_failed("'%s', not '%s'", is, wanted);
}

static char lines[4][128];
static int line_count;

static int keep_line(void *data, const struct sta_trace_line *line)
{
    (void)data;
    CHECK(line_count < 4);
    CHECK_EQ(line->tgid, getpid());
    snprintf(lines[line_count++], sizeof(lines[0]), "%s", line->text);
    return 0;
}

static int answers;

static int check_record(void *data, const void *record, size_t size)
{
    int answer;

    (void)data;
    CHECK_EQ(size, 12);
    memcpy(&answer, (const char *)record + 8, sizeof(answer));
    CHECK_EQ(answer, 42);
    answers++;
    return 0;
}

VICTIM(objects_print_and_format)
{
    struct sta *sta = new_registry();
    struct sta_object *object = NULL;
    char path[512];

    if (!*BPF_OBJECT_DIR)
        victim_skip("no clang that compiles for BPF");
    snprintf(path, sizeof(path), "%s/prints.bpf.o", BPF_OBJECT_DIR);
    prctl(PR_SET_NAME, "printer");
    CHECK_EQ(sta_object_open(&object, sta, path), 0);
    *(int *)global(object, "target_pid") = getpid();
    CHECK_EQ(sta_object_load(object), 0);
    install(sta);
    CHECK_EQ(sta_object_attach(object), 1);
    getppid();
    CHECK_EQ(sta_trace_read(keep_line, NULL), 2);
    check_text(lines[0], "hello from printer, 7");
    check_text(lines[1], "1 2 3 4 printer");
    check_text((char *)global(object, "text"), "printer:-0012:ff");
    CHECK_EQ(*(long *)global(object, "text_length"), 17);
    CHECK_EQ(*(long *)global(object, "number"), -42);
    CHECK_EQ(*(long *)global(object, "number_length"), 6);
    CHECK_EQ(*(long *)global(object, "compared"), 0);
    CHECK_EQ(sta_ring_consume(sta_object_map(object, "records"), check_record, NULL), 1);
    CHECK_EQ(answers, 1);
    sta_object_close(object);
    sta_free(sta);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_print_and_format),
    };

    return run_interception_tests(argc, argv, tests);
}
