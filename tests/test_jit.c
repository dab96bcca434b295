/* SPDX-License-Identifier: MIT */
/* Native code as its callers see it: how it is called, what it leaves alone, what it is made of. */
#ifndef _GNU_SOURCE
#    define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <sta/program.h>

#include "ebpf/tail.h"
#include "vm/build.h"

#ifndef PR_SET_MDWE
#    define PR_SET_MDWE              65
#    define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

/* A map whose look-up is a function of the test: bpf_map_lookup_elem() leads there directly. */
static void *(*on_lookup)(const void *key);

static void *lookup(struct sta_map *map, const void *key)
{
    (void)map;
    return on_lookup(key);
}

static const struct sta__map_ops ops = {.lookup = lookup};
static uint64_t map_values[4];
static struct sta_map test_map = {.ops = &ops,
                                  .type = BPF_MAP_TYPE_ARRAY,
                                  .key_size = 4,
                                  .value_size = sizeof(map_values),
                                  .max_entries = 1,
                                  .values = map_values};

static int find_map(void *data, int fd_or_index, int is_index, struct sta_map **out)
{
    (void)data, (void)is_index;
    *out = &test_map;
    return fd_or_index == 1 ? 0 : -EBADF;
}

static void arguments_and_result_are_where_they_belong(void **state)
{
    const struct bpf_insn insns[] = {I(LDXDW, 0, 1, 8, 0), I(MUL64K, 0, 0, 0, 1000),
                                     I(ADD64X, 0, 2, 0, 0), I(EXIT, 0, 0, 0, 0)};
    struct sta__jit jit = compiled(insns, COUNT(insns), NULL);
    struct sta__tail_run run = {.ctx_size = 16};
    uint64_t ctx[2] = {5, 7}, ret = 1;

    (void)state;
    assert_int_equal(jit.run(ctx, sizeof(ctx), &ret, NULL), 0);
    assert_int_equal(ret, 7016);
    assert_int_equal(jit.enter(ctx, &run, NULL), 7016);
    sta__jit_free(&jit);
}

/* A program that names the registers of `uses`, stores to as many bytes of its stack, and calls
 * helpers, subprograms or nothing. */
static size_t write_frame(struct bpf_insn *to, unsigned uses, int stack, bool calls, bool nests)
{
    size_t n = 0, call = 0;

    for (unsigned reg = 6; reg < 10; reg++) {
        if (uses >> (reg - 6) & 1)
            to[n++] = I(MOV64K, reg, 0, 0, reg);
    }
    if (stack)
        to[n++] = I(STDW, 10, 0, -stack, 77);
    if (nests) {
        call = n;
        to[n++] = I(CALL, 0, BPF_PSEUDO_CALL, 0, 0);
    }
    if (calls) {
        to[n++] = I(LDDW, 1, BPF_PSEUDO_MAP_FD, 0, 1);
        to[n++] = (struct bpf_insn){0};
        to[n++] = I(MOV64K, 2, 0, 0, 0);
        to[n++] = I(CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem);
    }
    to[n++] = I(MOV64K, 0, 0, 0, 0);
    if (stack)
        to[n++] = I(LDXDW, 0, 10, -stack, 0);
    for (unsigned reg = 6; reg < 10; reg++) {
        if (uses >> (reg - 6) & 1)
            to[n++] = I(ADD64X, 0, reg, 0, 0);
    }
    to[n++] = I(EXIT, 0, 0, 0, 0);
    if (nests) {
        to[call].imm = (int32_t)(n - call - 1);
        n += write_frame(to + n, 15 - uses, 24, calls, false);
    }
    return n;
}

static unsigned lookups;
static bool is_misaligned;

/* What a function finds at its beginning: a multiple of 16, less the return address. */
static void *look_at_alignment(const void *key)
{
    (void)key;
    lookups++;
    is_misaligned |= (uintptr_t)__builtin_frame_address(0) % 16 != 0;
    return NULL;
}

static void every_frame_keeps_registers_and_alignment(void **state)
{
    static const int stacks[] = {0, 8, 16, 120, 128, 136, 144, 504, 512};
    struct bpf_insn insns[64];

    (void)state;
    on_lookup = look_at_alignment;
    lookups = 0;
    is_misaligned = false;
    for (unsigned i = 0; i < 16 * COUNT(stacks) * 4; i++) {
        unsigned uses = i % 16;
        int stack = stacks[i / 16 % COUNT(stacks)];
        bool calls = i / 16 / COUNT(stacks) & 1, nests = i / 16 / COUNT(stacks) & 2;
        struct sta__jit jit =
            compiled(insns, write_frame(insns, uses, stack, calls, nests), find_map);
        uint64_t expected = stack ? 77 : 0;

        for (unsigned reg = 6; reg < 10; reg++)
            expected += uses >> (reg - 6) & 1 ? reg : 0;
        assert_int_equal(run_jit(&jit, NULL, 0), expected);
        sta__jit_free(&jit);
    }
    assert_false(is_misaligned);
    assert_int_equal(lookups, 16 * COUNT(stacks) * 3); /* one of each that calls, two if nested */
}

#define OUTERMOST 0x1b1b1b1b2c2c2c2d /* rbp in native_call() */
#define WALK_MAX  10

static const struct sta__jit *walked;
static unsigned walks, inside[2]; /* for each walk: how many frames return into the program */

static bool is_inside(uintptr_t address)
{
    uintptr_t start = (uintptr_t)walked->run;

    return address >= start && address < start + walked->size;
}

/* From frame to frame, to where a frame pointer is not one. (The helper may have a frame or not.)
 */
static void *walk(const void *key)
{
    const uintptr_t *frame = __builtin_frame_address(0);
    unsigned count = 0;

    (void)key;
    for (unsigned i = 0; i < WALK_MAX && (uintptr_t)frame != OUTERMOST; i++) {
        count += is_inside(frame[1]);
        frame = (const uintptr_t *)frame[0];
    }
    inside[walks++] = (uintptr_t)frame == OUTERMOST ? count : UINT32_MAX;
    return NULL;
}

static void frame_pointers_lead_out_of_calls(void **state)
{
    struct bpf_insn insns[64];
    struct sta__jit jit = compiled(insns, write_frame(insns, 5, 8, true, true), find_map);

    (void)state;
    on_lookup = walk;
    walked = &jit;
    walks = 0;
    run_jit(&jit, NULL, 0); /* a call in the subprogram, then one in the program */
    assert_int_equal(walks, 2);
    assert_in_range(inside[1], 0, WALK_MAX);
    assert_int_equal(inside[0], inside[1] + 1);
    sta__jit_free(&jit);
}

static jmp_buf way_out;

static void *leave(const void *key)
{
    (void)key;
    longjmp(way_out, 1);
}

static void programs_can_be_left_by_longjmp(void **state)
{
    struct bpf_insn insns[64];
    struct sta__jit jit = compiled(insns, write_frame(insns, 15, 64, true, true), find_map);
    volatile unsigned times = 0;

    (void)state;
    on_lookup = leave;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t ret;

        if (setjmp(way_out) == 0)
            jit.run(NULL, 0, &ret, NULL);
        else
            times++;
    }
    assert_int_equal(times, 3);
    on_lookup = look_at_alignment;
    assert_int_equal(run_jit(&jit, NULL, 0), 77 + 6 + 7 + 8 + 9);
    sta__jit_free(&jit);
}

/* As the kernel shows it: "r-xp" and so on; empty: not mapped. Sets *is_wx if anything at all is
 * writable and executable. */
static void protection_of(uintptr_t address, char out[8], bool *is_wx)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512], protection[8];
    unsigned long start, end;

    assert_non_null(maps);
    out[0] = 0;
    *is_wx = false;
    while (fgets(line, sizeof(line), maps)) {
        assert_int_equal(sscanf(line, "%lx-%lx %7s", &start, &end, protection), 3);
        *is_wx |= protection[1] == 'w' && protection[2] == 'x';
        if (address >= start && address < end)
            strcpy(out, protection);
    }
    fclose(maps);
}

static void code_is_executable_and_not_writable(void **state)
{
    const struct bpf_insn insns[] = {I(MOV64K, 0, 0, 0, 1), I(EXIT, 0, 0, 0, 0)};
    struct sta__jit jit = compiled(insns, COUNT(insns), NULL);
    uintptr_t address = (uintptr_t)jit.run;
    char protection[8];
    bool is_wx;

    (void)state;
    protection_of(address, protection, &is_wx);
    assert_string_equal(protection, "r-xp");
    assert_false(is_wx);
    sta__jit_free(&jit);
    protection_of(address, protection, &is_wx);
    assert_string_equal(protection, "");
    assert_null(jit.run);
    sta__jit_free(&jit);
}

/* The number of pages that the process has mapped. */
static unsigned long mapped_pages(void)
{
    FILE *statm = fopen("/proc/self/statm", "r");
    unsigned long pages;

    assert_non_null(statm);
    assert_int_equal(fscanf(statm, "%lu", &pages), 1);
    fclose(statm);
    return pages;
}

static void nothing_is_left_of_freed_programs(void **state)
{
    struct bpf_insn insns[64];
    size_t count = write_frame(insns, 15, 64, true, true);
    unsigned long before = 0;

    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        struct sta__jit jit = compiled(insns, count, find_map);

        sta__jit_free(&jit);
        if (i == 1000)
            before = mapped_pages();
    }
    assert_in_range(mapped_pages(), 0, before + 64); /* malloc's are counted, too */
}

static void helpers_that_are_not_there_are_refused(void **state)
{
    const struct bpf_insn insns[] = {I(MOV64K, 0, 0, 0, 1), I(CALL, 0, 0, 0, 9999),
                                     I(EXIT, 0, 0, 0, 0)};
    static const struct sta__jit_options plain;
    struct sta__code code = decoded(insns, COUNT(insns), NULL);
    struct sta__jit jit;

    (void)state;
    assert_int_equal(sta__jit_compile(&jit, &code, &plain, &build_log), -EINVAL);
    assert_non_null(strstr(build_message, "insn 1: helper unknown#9999 is not offered"));
    code.marks[1] |= STA__MARK_DEAD; /* where nobody comes it may stand */
    jit = compiled_code(&code, &plain);
    assert_int_equal(run_jit(&jit, NULL, 0), 1);
    sta__jit_free(&jit);
    sta__code_free(&code);
}

static const struct bpf_insn returns_7[] = {I(MOV64K, 0, 0, 0, 7), I(EXIT, 0, 0, 0, 0)};

/* In a process that may not have executable memory any more. 0: as it should be. */
static int compile_where_it_is_forbidden(void)
{
    static const struct sta__jit_options plain;
    struct sta__code code = decoded(returns_7, COUNT(returns_7), NULL);
    struct sta_program_options options = {.size = sizeof(options), .flags = STA_PROGRAM_TRUSTED};
    struct sta_program_info info = {.size = sizeof(info)};
    struct sta_program *program;
    struct sta__jit jit;
    uint64_t r0 = 0;

    if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) < 0)
        return 77;
    build_message[0] = 0;
    if (sta__jit_compile(&jit, &code, &plain, &build_log) != -EACCES ||
        !strstr(build_message, "executable memory"))
        return 1;
    if (sta_program_load(&program, returns_7, COUNT(returns_7), &options) < 0)
        return 2;
    if (sta_program_info(program, &info) < 0 || info.native)
        return 3;
    if (sta_program_run(program, NULL, 0, &r0) < 0 || r0 != 7)
        return 4;
    sta_program_free(program);
    sta__code_free(&code);
    return 0;
}

static void system_that_forbids_it_is_reported_and_done_without(void **state)
{
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0)
        _exit(compile_where_it_is_forbidden());
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("skipped: the kernel has no PR_SET_MDWE\n");
        skip();
    }
    assert_int_equal(status, 0);
}

static volatile unsigned signals;

static void use_stack(int number)
{
    volatile char stack[2048];

    (void)number;
    memset((char *)stack, 0xa5, sizeof(stack));
    signals++;
}

/* Counts down in a word of its stack, as far below r10 as can be, and another. */
static void count_on_stack(int depth, int32_t times)
{
    const struct bpf_insn insns[] = {
        I(STDW, 10, 0, -depth, times), I(STDW, 10, 0, -8, 0),      I(LDXDW, 0, 10, -depth, 0),
        I(ADD64K, 0, 0, 0, -1),        I(STXDW, 10, 0, -depth, 0), I(LDXDW, 2, 10, -8, 0),
        I(ADD64K, 2, 0, 0, 3),         I(STXDW, 10, 2, -8, 0),     I(JNE64K, 0, 0, -7, 0),
        I(LDXDW, 0, 10, -8, 0),        I(EXIT, 0, 0, 0, 0),
    };

    assert_int_equal(RUN(insns, NULL, 0), 3 * (uint64_t)times);
}

static void signal_handlers_do_not_disturb_the_stack(void **state)
{
    struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = use_stack, .sa_flags = SA_RESTART}, old;

    (void)state;
    signals = 0;
    assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    for (unsigned rounds = 0; rounds < 200 && signals < 20; rounds++) {
        count_on_stack(16, 100000);
        count_on_stack(128, 100000);
        count_on_stack(136, 100000);
        count_on_stack(512, 100000);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &old, NULL);
    assert_in_range(signals, 20, UINT32_MAX);
}

static void perf_finds_names(void **state)
{
    struct bpf_insn insns[64];
    struct sta__code code = decoded(insns, write_frame(insns, 1, 8, false, true), NULL);
    struct sta__jit_options options = {.name = "a\nname", .writes_map = true};
    struct sta__jit jit;
    char path[64], names[2][64];
    unsigned long start[2];
    unsigned size[2];
    FILE *map;

    (void)state;
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
    unlink(path);
    jit = compiled_code(&code, &options);
    map = fopen(path, "r");
    assert_non_null(map);
    for (int i = 0; i < 2; i++)
        assert_int_equal(fscanf(map, "%lx %x %63s\n", &start[i], &size[i], names[i]), 3);
    assert_int_equal(fgetc(map), EOF);
    fclose(map);
    unlink(path);
    assert_string_equal(names[0], "sta:a?name");
    assert_string_equal(names[1], "sta:a?name:1");
    assert_int_equal(start[0], (uintptr_t)jit.run);
    assert_int_equal(start[1], start[0] + size[0]);
    assert_int_equal(size[0] + size[1], jit.size);
    sta__jit_free(&jit);
    sta__code_free(&code);
}

static void perf_map_is_no_way_to_other_files(void **state)
{
    const struct bpf_insn insns[] = {I(MOV64K, 0, 0, 0, 1), I(EXIT, 0, 0, 0, 0)};
    struct sta__code code = decoded(insns, COUNT(insns), NULL);
    struct sta__jit_options options = {.name = "x", .writes_map = true};
    char path[64], target[] = "/tmp/sta_test_jit_XXXXXX";
    struct sta__jit jit;
    struct stat status;
    int fd = mkstemp(target);

    (void)state;
    assert_true(fd >= 0);
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
    unlink(path);
    assert_int_equal(symlink(target, path), 0);
    jit = compiled_code(&code, &options); /* it is compiled all the same */
    assert_int_equal(run_jit(&jit, NULL, 0), 1);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_size, 0);
    assert_non_null(strstr(build_message, "has no name for perf"));
    close(fd);
    unlink(path);
    unlink(target);
    sta__jit_free(&jit);
    sta__code_free(&code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_and_result_are_where_they_belong),
        cmocka_unit_test(every_frame_keeps_registers_and_alignment),
        cmocka_unit_test(frame_pointers_lead_out_of_calls),
        cmocka_unit_test(programs_can_be_left_by_longjmp),
        cmocka_unit_test(code_is_executable_and_not_writable),
        cmocka_unit_test(nothing_is_left_of_freed_programs),
        cmocka_unit_test(helpers_that_are_not_there_are_refused),
        cmocka_unit_test(system_that_forbids_it_is_reported_and_done_without),
        cmocka_unit_test(signal_handlers_do_not_disturb_the_stack),
        cmocka_unit_test(perf_finds_names),
        cmocka_unit_test(perf_map_is_no_way_to_other_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
