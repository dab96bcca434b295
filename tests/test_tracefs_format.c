/* SPDX-License-Identifier: MIT */
/*
 * The format file of an event.
 */
#include "tracefs_tree.h"

#include "syscalls/format.h"

static const char head[] = "name: sys_enter_read\n"
                           "ID: 842\n"
                           "format:\n"
                           "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
                           "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n"
                           "\n";
static const char tail[] = "\nprint fmt: \"fd: 0x%08lx\", ((unsigned long)(REC->fd))\n";
static const char fields[] = "\tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;\n"
                             "\tfield:const char * filename;\toffset:16;\tsize:8;\tsigned:0;\n"
                             "\tfield:unsigned long args[6];\toffset:24;\tsize:48;\tsigned:0;\n";

static struct sta_event_format format;
static struct sta__format_error error;

static int parse(const char *body)
{
    static char text[16384];

    snprintf(text, sizeof(text), "%s%s%s", head, body, tail);
    return sta__format_parse(text, strlen(text), &format, &error);
}

static void fields_behind_the_common_ones_are_described(void **state)
{
    (void)state;
    assert_int_equal(parse(fields), 0);
    assert_int_equal(format.field_count, 3);

    assert_string_equal(format.fields[0].type, "int");
    assert_string_equal(format.fields[0].name, "__syscall_nr");
    assert_int_equal(format.fields[0].offset, 8);
    assert_int_equal(format.fields[0].size, 4);
    assert_int_equal(format.fields[0].array_length, 1);
    assert_true(format.fields[0].is_signed);

    assert_string_equal(format.fields[1].type, "const char *");
    assert_string_equal(format.fields[1].name, "filename");
    assert_int_equal(format.fields[1].size, 8);
    assert_false(format.fields[1].is_signed);

    assert_string_equal(format.fields[2].type, "unsigned long");
    assert_string_equal(format.fields[2].name, "args");
    assert_int_equal(format.fields[2].offset, 24);
    assert_int_equal(format.fields[2].size, 48);
    assert_int_equal(format.fields[2].array_length, 6);
}

static void unusual_declarations_are_understood(void **state)
{
    (void)state;
    assert_int_equal(parse(""), 0);
    assert_int_equal(format.field_count, 0);
    assert_int_equal(parse("\tfield:const struct landlock_ruleset_attr *const attr;\toffset:16;"
                           "\tsize:8;\tsigned:0;\n"),
                     0);
    assert_string_equal(format.fields[0].type, "const struct landlock_ruleset_attr *const");
    assert_string_equal(format.fields[0].name, "attr");
    assert_int_equal(parse("\tfield:__data_loc char[] __filename_val;\toffset:48;\tsize:4;"
                           "\tsigned:0;\n"),
                     0);
    assert_string_equal(format.fields[0].type, "__data_loc char[]");
    assert_string_equal(format.fields[0].name, "__filename_val");
}

static void malformed_lines_are_refused_and_counted(void **state)
{
    static const struct {
        const char *line, *reason;
    } cases[] = {
        {"\tfield:\n", "declaration"},
        {"\tfield:int fd\n", "declaration"},
        {"\tfield:;\toffset:8;\tsize:4;\tsigned:1;\n", "missing"},
        {"\tfield:fd;\toffset:8;\tsize:4;\tsigned:1;\n", "missing"},
        {"\tfield: fd;\toffset:8;\tsize:4;\tsigned:1;\n", "missing"},
        {"\tfield:int ;\toffset:8;\tsize:4;\tsigned:1;\n", "missing"},
        {"\tfield:int [4];\toffset:8;\tsize:4;\tsigned:1;\n", "missing"},
        {"\tfield:int fd;\n", "offset"},
        {"\tfield:int fd;\toffset:;\tsize:4;\tsigned:1;\n", "offset"},
        {"\tfield:int fd;\toffset:-8;\tsize:4;\tsigned:1;\n", "offset"},
        {"\tfield:int fd;\toffset:8x;\tsize:4;\tsigned:1;\n", "offset"},
        {"\tfield:int fd;\toffset:4294967304;\tsize:4;\tsigned:1;\n", "offset"},
        {"\tfield:int fd;\toffset:8\tsize:4;\tsigned:1;\n", "offset"},
        {"\tfield:int fd; offset:8;\tsize:4;\tsigned:1;\n", "offset"},
        {"\tfield:int fd;\toffset:8;\tsigned:1;\n", "size"},
        {"\tfield:int fd;\toffset:8;\tsize:99999999999999999999;\tsigned:1;\n", "size"},
        {"\tfield:int fd[3];\toffset:8;\tsize:10;\tsigned:1;\n", "size"},
        {"\tfield:int fd;\toffset:8;\tsize:4;\n", "sign"},
        {"\tfield:int fd;\toffset:8;\tsize:4;\tsigned:2;\n", "sign"},
        {"\tfield:int fd;\toffset:8;\tsize:4;\tsigned:1;x\n", "sign"},
        {"\tfield:int fd;\toffset:8;\tsize:4;\tsigned:1\n", "sign"},
        {"\tfield:int fd[];\toffset:8;\tsize:4;\tsigned:1;\n", "array"},
        {"\tfield:int fd[;\toffset:8;\tsize:4;\tsigned:1;\n", "array"},
        {"\tfield:int fd[0];\toffset:8;\tsize:4;\tsigned:1;\n", "array"},
        {"\tfield:int fd[2;\toffset:8;\tsize:4;\tsigned:1;\n", "array"},
        {"\tfield:int fd[N];\toffset:8;\tsize:4;\tsigned:1;\n", "array"},
        {"\tfield:int fd[2][2];\toffset:8;\tsize:4;\tsigned:1;\n", "array"},
        {"nonsense\n", "neither"},
        {" \tfield:int fd;\toffset:8;\tsize:4;\tsigned:1;\n", "neither"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[512];

        snprintf(body, sizeof(body), "\tfield:int a;\toffset:8;\tsize:4;\tsigned:1;\n%s",
                 cases[i].line);
        if (parse(body) != -EINVAL)
            fail_msg("accepted: %s", cases[i].line);
        assert_int_equal(error.line, 8);
        if (!strstr(error.reason, cases[i].reason))
            fail_msg("%s: another reason: %s", cases[i].line, error.reason);
    }
}

static void long_names_and_many_fields_are_refused(void **state)
{
    char body[4096], *end;

    (void)state;
    snprintf(body, sizeof(body), "\tfield:int %031d;\toffset:8;\tsize:4;\tsigned:1;\n", 7);
    assert_int_equal(parse(body), 0);
    assert_int_equal(strlen(format.fields[0].name), 31);
    snprintf(body, sizeof(body), "\tfield:int %032d;\toffset:8;\tsize:4;\tsigned:1;\n", 7);
    assert_int_equal(parse(body), -EINVAL);
    assert_string_equal(error.reason, "the name is too long");
    snprintf(body, sizeof(body), "\tfield:%063d fd;\toffset:8;\tsize:4;\tsigned:1;\n", 7);
    assert_int_equal(parse(body), 0);
    snprintf(body, sizeof(body), "\tfield:%064d fd;\toffset:8;\tsize:4;\tsigned:1;\n", 7);
    assert_int_equal(parse(body), -EINVAL);
    assert_string_equal(error.reason, "the type is too long");

    end = body;
    for (int i = 0; i < STA_EVENT_FIELD_MAX; i++)
        end += sprintf(end, "\tfield:int a%d;\toffset:8;\tsize:4;\tsigned:1;\n", i);
    assert_int_equal(parse(body), 0);
    assert_int_equal(format.field_count, STA_EVENT_FIELD_MAX);
    sprintf(end, "\tfield:int one_more;\toffset:8;\tsize:4;\tsigned:1;\n");
    assert_int_equal(parse(body), -EINVAL);
    assert_string_equal(error.reason, "there are too many fields");
    assert_int_equal(error.line, 6 + STA_EVENT_FIELD_MAX + 1);
}

/* Parses a copy that ends where the text ends, so that a read past the end is noticed. */
static int parse_exactly(const char *text, size_t length)
{
    char *copy = malloc(length ? length : 1);
    int result;

    memcpy(copy, text, length);
    result = sta__format_parse(copy, length, &format, &error);
    free(copy);
    return result;
}

static void a_truncated_text_is_refused(void **state)
{
    char text[2048];
    size_t length = (size_t)snprintf(text, sizeof(text), "%s%s%s", head, fields, tail);
    size_t enough = (size_t)(strstr(text, "print fmt:") - text) + strlen("print fmt:");

    (void)state;
    for (size_t i = 0; i <= length; i++)
        assert_int_equal(parse_exactly(text, i), i < enough ? -EINVAL : 0);
}

static void mutated_texts_are_harmless(void **state)
{
    static const char alphabet[] = "\t\n ;:[]0123456789field:offset:signed:\0\xff";
    uint32_t random = 2463534242u;
    int accepted = 0;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        char text[2048];
        size_t length = (size_t)snprintf(text, sizeof(text), "%s%s%s", head, fields, tail);

        for (int edits = round % 5; edits >= 0; edits--) {
            random ^= random << 13, random ^= random >> 17, random ^= random << 5;
            text[random % length] = alphabet[(random >> 11) % sizeof(alphabet)];
            if (random >> 28 == 0)
                length -= random % 20;
        }
        if (parse_exactly(text, length) < 0) {
            assert_in_range(error.line, 1, 100);
            assert_non_null(error.reason);
            continue;
        }
        accepted++;
        assert_in_range(format.field_count, 0, STA_EVENT_FIELD_MAX);
        for (unsigned i = 0; i < format.field_count; i++) {
            assert_in_range(strnlen(format.fields[i].name, 32), 1, 31);
            assert_in_range(strnlen(format.fields[i].type, 64), 1, 63);
            assert_int_not_equal(format.fields[i].array_length, 0);
        }
    }
    print_message("%d of 20000 accepted\n", accepted);
    assert_int_not_equal(accepted, 0);
}

/* Through the public function */

static struct sta_tracepoint enter_read(struct tree *tree)
{
    struct sta_tracepoint tracepoint;

    tree_put_id(tree, "syscalls", "sys_enter_read", 842);
    assert_int_equal(sta_tracepoint_by_name_at(&tree->options, "sys_enter_read", &tracepoint), 0);
    return tracepoint;
}

static void the_file_of_the_event_is_read(void **state)
{
    struct tree *tree = *state;
    struct sta_tracepoint tracepoint = enter_read(tree);
    char text[2048];

    snprintf(text, sizeof(text), "%s%s%s", head, fields, tail);
    tree_put(tree, "syscalls/sys_enter_read/format", text);
    assert_int_equal(sta_tracepoint_format(&tree->options, &tracepoint, &format), 0);
    assert_int_equal(format.field_count, 3);
    assert_string_equal(tree->log, "");
}

static void a_bad_file_is_reported_with_its_line(void **state)
{
    struct tree *tree = *state;
    struct sta_tracepoint tracepoint = enter_read(tree);

    memset(&format, 0x55, sizeof(format));
    assert_int_equal(sta_tracepoint_format(&tree->options, &tracepoint, &format), -ENOENT);
    assert_logged(tree, "E ");
    assert_logged(tree, "/events/syscalls/sys_enter_read/format: No such file or directory");
    tree_put(tree, "syscalls/sys_enter_read/format", "");
    assert_int_equal(sta_tracepoint_format(&tree->options, &tracepoint, &format), -EINVAL);
    assert_logged(tree, "sys_enter_read/format: line 1: the text ends too early");
    tree_put(tree, "syscalls/sys_enter_read/format", "name: x\nformat:\n\tfield:int\n");
    assert_int_equal(sta_tracepoint_format(&tree->options, &tracepoint, &format), -EINVAL);
    assert_logged(tree, "sys_enter_read/format: line 3: the declaration does not end");
    assert_int_equal(truncate(tree_path(tree, "syscalls/sys_enter_read/format"), 1L << 40), 0);
    assert_int_equal(sta_tracepoint_format(&tree->options, &tracepoint, &format), -EINVAL);
    assert_int_equal(format.field_count, 0x55555555); /* untouched */
}

static void only_tracefs_knows_formats(void **state)
{
    struct tree *tree = *state;
    struct sta_tracepoint tracepoint = enter_read(tree), builtin;

    assert_int_equal(sta_tracepoint_by_id_at(&tree->options, STA_BUILTIN_ID_BASE + 2, &builtin), 0);
    assert_int_equal(sta_tracepoint_format(&tree->options, &builtin, &format), -ENOENT);
    assert_logged(tree, "E sys_enter_read: only tracefs knows the format");
    tree->options.root = "/nonexistent";
    clear_log(tree);
    assert_int_equal(sta_tracepoint_format(&tree->options, &tracepoint, &format), -ENOENT);
    assert_logged(tree, "E sys_enter_read: only tracefs knows the format");
}

static void made_up_tracepoints_are_refused(void **state)
{
    struct tree *tree = *state;
    struct sta_tracepoint tracepoint = enter_read(tree);

    assert_int_equal(sta_tracepoint_format(&tree->options, NULL, &format), -EINVAL);
    assert_int_equal(sta_tracepoint_format(&tree->options, &tracepoint, NULL), -EINVAL);
    strcpy(tracepoint.name, "../../../etc");
    assert_int_equal(sta_tracepoint_format(&tree->options, &tracepoint, &format), -EINVAL);
    memset(tracepoint.name, 'x', sizeof(tracepoint.name));
    assert_int_equal(sta_tracepoint_format(&tree->options, &tracepoint, &format), -EINVAL);
    tracepoint.target.sys_nr = INT_MAX;
    assert_int_equal(sta_tracepoint_format(&tree->options, &tracepoint, &format), -EINVAL);
}

#define WITH_TREE(test) cmocka_unit_test_setup_teardown(test, tree_setup, tree_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_behind_the_common_ones_are_described),
        cmocka_unit_test(unusual_declarations_are_understood),
        cmocka_unit_test(malformed_lines_are_refused_and_counted),
        cmocka_unit_test(long_names_and_many_fields_are_refused),
        cmocka_unit_test(a_truncated_text_is_refused),
        cmocka_unit_test(mutated_texts_are_harmless),
        WITH_TREE(the_file_of_the_event_is_read),
        WITH_TREE(a_bad_file_is_reported_with_its_line),
        WITH_TREE(only_tracefs_knows_formats),
        WITH_TREE(made_up_tracepoints_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
