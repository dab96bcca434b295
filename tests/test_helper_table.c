/* SPDX-License-Identifier: MIT */
/*
 * README's table of helpers is the library's: each helper is there once, and its state is what the
 * table of the library says. A row is "| of | `name`, `name`, .. | state |".
 */
#include "core.h"

#include "ebpf/helper.h"

#define HELPERS_MAX 256

static char *read_table(void)
{
    FILE *file = fopen(README_PATH, "re");
    char *text = calloc(1, 1 << 20), *start, *end;
    size_t size;

    assert_non_null(file);
    size = fread(text, 1, (1 << 20) - 1, file);
    fclose(file);
    assert_true(size > 1000);
    start = strstr(text, "\n### Helpers\n");
    assert_non_null(start);
    end = strstr(start + 1, "\n### ");
    assert_non_null(end);
    *end = 0;
    memmove(text, start, strlen(start) + 1);
    return text;
}

static const struct sta__helper *find_by_name(const char *name, int *id)
{
    for (*id = 0; *id < HELPERS_MAX; ++*id) {
        const struct sta__helper *helper = sta__helper_find(*id);

        if (helper && strcmp(helper->name, name) == 0)
            return helper;
    }
    return NULL;
}

static void check_state(const struct sta__helper *helper, const char *state)
{
    char wanted[200];

    snprintf(wanted, sizeof(wanted), "refused: %s", helper->fn ? "" : helper->why_not);
    if (helper->fn ? strncmp(state, "works", 5) != 0 : strcmp(state, wanted) != 0)
        fail_msg("README says of '%s': '%s', but it is '%s'", helper->name, state,
                 helper->fn ? "works" : wanted);
}

/* One row: names between backticks, then the state. */
static void check_row(char *row, bool listed[HELPERS_MAX])
{
    char *names, *state, *end;

    if (!(names = strchr(row + 1, '|')) || !(state = strchr(names + 1, '|')))
        return;
    *state++ = 0;
    end = strrchr(state, '|');
    assert_non_null(end);
    *end = 0;
    while (*state == ' ')
        state++;
    for (end = state + strlen(state); end > state && end[-1] == ' ';)
        *--end = 0;
    for (char *name = strchr(names, '`'); name; name = strchr(name, '`')) {
        const struct sta__helper *helper;
        int id;

        end = strchr(++name, '`');
        assert_non_null(end);
        *end = 0;
        helper = find_by_name(name, &id);
        if (!helper)
            fail_msg("README lists '%s', which is no helper", name);
        if (listed[id])
            fail_msg("README lists '%s' twice", name);
        listed[id] = true;
        check_state(helper, state);
        name = end + 1;
    }
}

static void the_readme_says_what_there_is(void **state)
{
    bool listed[HELPERS_MAX] = {false};
    char *text = read_table(), *rest = text, *row;
    int count = 0;

    (void)state;
    while ((row = strsep(&rest, "\n"))) {
        if (row[0] == '|')
            check_row(row, listed);
    }
    for (int id = 0; id < HELPERS_MAX; id++) {
        const struct sta__helper *helper = sta__helper_find(id);

        if (helper && !listed[id])
            fail_msg("README does not list '%s', which is '%s'", helper->name,
                     helper->fn ? "works" : helper->why_not);
        count += listed[id];
    }
    assert_true(count > 80);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_readme_says_what_there_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
