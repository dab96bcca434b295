/* SPDX-License-Identifier: MIT */
/*
 * The programs in data/ebpf do what is written beside them, run by the interpreter and natively. A
 * directory or a file given as argument is taken in their place: other suites of this format.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <sta/program.h>

#include "ebpf_data.h"

static const char *path = EBPF_DATA_DIR;

struct tally {
    unsigned flags;
    unsigned failed;
};

static void note(void *data, enum sta_log_level level, const char *message)
{
    (void)level;
    snprintf(data, 256, "%s", message);
}

static void print_bytes(const char *what, const uint8_t *bytes, size_t size)
{
    fprintf(stderr, "    %s", what);
    for (size_t i = 0; i < size; i++)
        fprintf(stderr, " %02x", bytes[i]);
    fprintf(stderr, "\n");
}

static void begin_failure(const struct ebpf_case *test, struct tally *tally)
{
    fprintf(stderr, "%s:%u: %s:\n", test->path, test->line, test->name);
    tally->failed++;
}

static void check_error(const struct ebpf_case *test, struct tally *tally, int err,
                        const char *message)
{
    if (err < 0 && strstr(message, test->error))
        return;
    begin_failure(test, tally);
    fprintf(stderr, "    refused with   %s\n    expected       %s\n",
            err < 0 ? message : "(nothing)", test->error);
}

static void check_run(const struct ebpf_case *test, struct tally *tally,
                      struct sta_program *program)
{
    _Alignas(16) uint8_t mem[EBPF_MEM_MAX];
    uint64_t result = 0;
    int err;

    memcpy(mem, test->mem, test->mem_size);
    err = sta_program_run(program, test->mem_size ? mem : NULL, test->mem_size, &result);
    if (err < 0 || result != test->result) {
        begin_failure(test, tally);
        fprintf(stderr, "    r0             %#llx (returned %d)\n    expected       %#llx\n",
                (unsigned long long)result, err, (unsigned long long)test->result);
    }
    if (test->has_mem_after && memcmp(mem, test->mem_after, test->mem_size) != 0) {
        begin_failure(test, tally);
        print_bytes("memory        ", mem, test->mem_size);
        print_bytes("expected      ", test->mem_after, test->mem_size);
    }
}

/* Native code is not to be taken for granted: loading falls back to interpreting. */
static void check_mode(const struct sta_program *program, unsigned flags)
{
    struct sta_program_info info = {.size = sizeof(info)};

    assert_int_equal(sta_program_info(program, &info), 0);
    assert_true((info.native == NULL) == ((flags & STA_PROGRAM_INTERPRET) != 0));
}

static void run_case(const struct ebpf_case *test, void *data)
{
    struct tally *tally = data;
    char message[256] = "";
    struct sta_program_options options = {.size = sizeof(options),
                                          .flags = tally->flags | STA_PROGRAM_TRUSTED,
                                          .log = note,
                                          .log_data = message};
    struct sta_program *program = NULL;
    int err = sta_program_load(&program, test->insns, test->count, &options);

    if (test->error[0]) {
        check_error(test, tally, err, message);
    } else if (err < 0) {
        begin_failure(test, tally);
        fprintf(stderr, "    not loaded     %s\n", message);
    } else {
        check_mode(program, tally->flags);
        check_run(test, tally, program);
    }
    sta_program_free(program);
}

static void run_all(unsigned flags)
{
    struct tally tally = {.flags = flags};
    int count = ebpf_data_visit(path, run_case, &tally);

    assert_true(count > 0);
    printf("%d cases, %u failures\n", count, tally.failed);
    assert_int_equal(tally.failed, 0);
}

static void interpreted_programs_do_what_is_written(void **state)
{
    (void)state;
    run_all(STA_PROGRAM_INTERPRET);
}

static void compiled_programs_do_what_is_written(void **state)
{
    (void)state;
    run_all(0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interpreted_programs_do_what_is_written),
        cmocka_unit_test(compiled_programs_do_what_is_written),
    };

    if (argc > 1)
        path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
