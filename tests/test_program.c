/* SPDX-License-Identifier: MIT */
/*
 * Programs: loading, running, attaching. What each instruction does is in test_ebpf_data.c.
 */
#include "core.h"

#include <sta/program.h>

#include "ebpf/program.h"
#include "ebpf_asm.h"
#include "said.h"

#define NR 39

static size_t assemble(struct bpf_insn *insns, size_t room, const char *text)
{
    char error[128];
    size_t count = ebpf_assemble(text, insns, room, error, sizeof(error));

    if (count == 0)
        fail_msg("%s", error);
    return count;
}

static int load_with(struct sta_program **out, const char *text,
                     const struct sta_program_options *options)
{
    struct bpf_insn insns[64];

    return sta_program_load(out, insns, assemble(insns, 64, text), options);
}

static struct sta_program *load(const char *text, unsigned flags)
{
    const struct sta_program_options options = {
        .size = sizeof(options), .flags = flags | STA_PROGRAM_TRUSTED, .name = "tested"};
    struct sta_program *program = NULL;

    assert_int_equal(load_with(&program, text, &options), 0);
    return program;
}

static const unsigned modes[] = {STA_PROGRAM_INTERPRET, 0};

static void a_program_gets_context_and_size(void **state)
{
    uint64_t ctx[2] = {0x1122334455667788, 5}, ret = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(modes); i++) {
        struct sta_program *program = load(
            "ldxdw %r0, [%r1]\nldxdw %r3, [%r1+8]\nadd %r0, %r3\nadd %r0, %r2\nexit", modes[i]);

        assert_int_equal(sta_program_run(program, ctx, sizeof(ctx), &ret), 0);
        assert_true(ret == 0x1122334455667788 + 5 + sizeof(ctx));
        assert_int_equal(sta_program_run(program, NULL, 0, NULL), -EINVAL);
        assert_int_equal(sta_program_run(NULL, ctx, sizeof(ctx), &ret), -EINVAL);
        sta_program_free(program);
    }
    sta_program_free(NULL);
}

static void instructions_are_copied(void **state)
{
    const struct sta_program_options options = {.size = sizeof(options),
                                                .flags = STA_PROGRAM_TRUSTED};
    struct bpf_insn insns[2];
    struct sta_program *program;
    uint64_t ret = 0;

    (void)state;
    assemble(insns, 2, "mov %r0, 7\nexit");
    assert_int_equal(sta_program_load(&program, insns, 2, &options), 0);
    memset(insns, 0xff, sizeof(insns));
    assert_int_equal(sta_program_run(program, NULL, 0, &ret), 0);
    assert_int_equal(ret, 7);
    sta_program_free(program);
}

static void info_tells_how_it_runs(void **state)
{
    struct sta_program_info info = {.size = sizeof(info)};
    struct sta_program *program = load("mov %r0, 0\nexit", 0);

    (void)state;
    assert_int_equal(sta_program_info(program, &info), 0);
    assert_int_equal(info.insns, 2);
    assert_non_null(info.native);
    assert_true(info.native_size > 0);
    sta_program_free(program);

    program = load("mov %r0, 0\nexit", STA_PROGRAM_INTERPRET);
    assert_int_equal(sta_program_info(program, &info), 0);
    assert_null(info.native);
    assert_int_equal(info.native_size, 0);
    info.insns = 99;
    info.size = offsetof(struct sta_program_info, insns); /* an older caller */
    assert_int_equal(sta_program_info(program, &info), 0);
    assert_int_equal(info.insns, 99);
    assert_int_equal(sta_program_info(program, NULL), -EINVAL);
    assert_int_equal(sta_program_info(NULL, &info), -EINVAL);
    sta_program_free(program);
}

#ifndef PR_SET_MDWE
#    define PR_SET_MDWE              65
#    define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif
#define SKIPPED 77

/* Nothing is executable from then on that was writable before. */
static void load_without_executable_memory(void)
{
    struct sta_program_info info = {.size = sizeof(info)};
    struct said said = {.lines = 0};
    const struct sta_program_options options = {
        .size = sizeof(options), .flags = STA_PROGRAM_TRUSTED, .log = note, .log_data = &said};
    struct sta_program *program = NULL;
    uint64_t ret = 0;

    if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) < 0)
        _exit(SKIPPED);
    must_equal(load_with(&program, "mov %r0, 7\nexit", &options), 0);
    must(strstr(said.text, "is interpreted"));
    must_equal(sta_program_info(program, &info), 0);
    must(info.native == NULL && info.native_size == 0);
    must_equal(sta_program_run(program, NULL, 0, &ret), 0);
    must_equal(ret, 7);
    sta_program_free(program);
    _exit(0);
}

static void without_executable_memory_programs_are_interpreted(void **state)
{
    int status = -1;
    pid_t child = fork();

    (void)state;
    if (child == 0)
        load_without_executable_memory();
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        print_message("this kernel has no PR_SET_MDWE\n");
        skip();
    }
    assert_int_equal(status, 0);
}

static void wrong_options_are_refused(void **state)
{
    struct said said = {.lines = 0};
    struct sta_program_options options = {.size = sizeof(options), .log = note, .log_data = &said};
    struct sta_program *program = (struct sta_program *)&said;
    struct bpf_insn insns[2];
    struct {
        struct sta_program_options known;
        uint64_t later;
    } newer = {{.size = sizeof(newer), .flags = STA_PROGRAM_TRUSTED}, 1};

    (void)state;
    assemble(insns, 2, "mov %r0, 0\nexit");
    options.flags = STA_PROGRAM_TRUSTED | 1u << 30;
    assert_int_equal(sta_program_load(&program, insns, 2, &options), -EINVAL);
    assert_non_null(strstr(said.text, "0x40000000"));
    options.flags = STA_PROGRAM_TRUSTED;
    options.type = BPF_PROG_TYPE_XDP;
    assert_int_equal(sta_program_load(&program, insns, 2, &options), -EINVAL);
    assert_non_null(strstr(said.text, "type 6"));
    options.type = 0;
    options.size = 4;
    assert_int_equal(sta_program_load(&program, insns, 2, &options), -EINVAL);
    assert_int_equal(sta_program_load(&program, insns, 2, &newer.known), -E2BIG);
    assert_int_equal(sta_program_load(NULL, insns, 2, NULL), -EINVAL);
    assert_int_equal(sta_program_load(&program, NULL, 2, NULL), -EINVAL);
    assert_ptr_equal(program, &said);
    newer.later = 0;
    assert_int_equal(sta_program_load(&program, insns, 2, &newer.known), 0);
    sta_program_free(program);
}

static void too_few_and_too_many_instructions_are_refused(void **state)
{
    struct said said = {.lines = 0};
    const struct sta_program_options options = {
        .size = sizeof(options), .flags = STA_PROGRAM_TRUSTED, .log = note, .log_data = &said};
    struct bpf_insn *insns = calloc(1000001, sizeof(*insns));
    struct sta_program *program = NULL;

    (void)state;
    assert_int_equal(sta_program_load(&program, insns, 0, &options), -E2BIG);
    assert_int_equal(said.lines, 1);
    assert_int_equal(sta_program_load(&program, insns, 1000001, &options), -E2BIG);
    assert_int_equal(said.lines, 2);
    free(insns);
}

static void a_refusal_is_in_the_log_and_in_the_text(void **state)
{
    struct said said = {.lines = 0};
    char text[256] = "before";
    struct sta_program_options options = {
        .size = sizeof(options),
        .flags = STA_PROGRAM_TRUSTED,
        .name = "wrong",
        .log = note,
        .log_data = &said,
        .log_buf = text,
        .log_size = sizeof(text),
    };
    struct sta_program *program = NULL;

    (void)state;
    assert_int_equal(load_with(&program, "mov %r0, 0\nmov %r11, 0\nexit", &options), -EINVAL);
    assert_string_equal(said.text, "program 'wrong': insn 1: R11 is invalid");
    assert_string_equal(text, "insn 1: R11 is invalid\n");
    assert_int_equal(said.lines, 1);
    options.log_size = 7;
    assert_int_equal(load_with(&program, "mov %r0, 0\nmov %r11, 0\nexit", &options), -EINVAL);
    assert_string_equal(text, "insn 1");
    assert_int_equal(load_with(&program, "mov %r0, 0\nexit", &options), 0);
    assert_string_equal(text, "");
    assert_int_equal(said.lines, 2);
    sta_program_free(program);
    assert_int_equal(load_with(&program, "call 9999\nexit", &options), -EINVAL);
    assert_non_null(strstr(said.text, "helper unknown#9999 is not offered"));
}

static int attach_program(struct sta *sta, int nr, bool is_enter, struct sta_program *program)
{
    const struct sta_target target = {nr, is_enter};
    int id = sta_attach_program(sta, &target, program);

    assert_true(id > 0);
    return id;
}

/* Each argument of the call is where the kernel's tracepoint has it. */
static void an_attached_program_sees_the_call(void **state)
{
    static const char enter[] = "ldxdw %r0, [%r1+8]\n"
                                "mov %r6, 0\n"
                                "ldxdw %r2, [%r1+16]\nadd %r6, %r2\nmul %r6, 10\n"
                                "ldxdw %r2, [%r1+24]\nadd %r6, %r2\nmul %r6, 10\n"
                                "ldxdw %r2, [%r1+32]\nadd %r6, %r2\nmul %r6, 10\n"
                                "ldxdw %r2, [%r1+40]\nadd %r6, %r2\nmul %r6, 10\n"
                                "ldxdw %r2, [%r1+48]\nadd %r6, %r2\nmul %r6, 10\n"
                                "ldxdw %r2, [%r1+56]\nadd %r6, %r2\n"
                                "mul %r0, 1000000\nadd %r6, %r0\n"
                                "mov %r2, %r6\ncall 58\nmov %r0, 0\nexit";
    struct sta *sta = *state;

    for (size_t i = 0; i < COUNT(modes); i++) {
        struct sta_program *program = load(enter, modes[i]);
        int id = attach_program(sta, NR, true, program);

        made.count = 0;
        assert_int_equal(dispatch(sta, NR), 39123456);
        assert_int_equal(made.count, 0);
        assert_int_equal(info_of(sta, id).overrides, 1);
        assert_string_equal(info_of(sta, id).name, "tested");
        assert_int_equal(info_of(sta, id).flags, STA_CALLBACK_GENERAL_REGS);
        detach(sta, id);
        sta_program_free(program);
        assert_int_equal(dispatch(sta, NR), 100);
    }
}

static void an_attached_program_overrides_at_exit(void **state)
{
    /* ret + 1, if it is 100 */
    static const char text[] = "ldxdw %r2, [%r1+16]\nmov %r0, 0\njne %r2, 100, exit\n"
                               "add %r2, 1\ncall 58\nexit";
    struct sta *sta = *state;

    for (size_t i = 0; i < COUNT(modes); i++) {
        struct sta_program *program = load(text, modes[i]);
        int id = attach_program(sta, STA_ALL_SYSCALLS, false, program);
        int again = attach_program(sta, NR, false, program);

        made.count = 0;
        assert_int_equal(dispatch(sta, NR), 101);
        made.result = 99;
        assert_int_equal(dispatch(sta, NR), 99);
        made.result = 100;
        assert_int_equal(made.count, 2);
        assert_int_equal(info_of(sta, id).runs, 2);
        assert_int_equal(info_of(sta, again).runs, 2);
        detach(sta, id);
        detach(sta, again);
        sta_program_free(program);
    }
}

/* r0 does not matter to the call; -1 is no failure of the callback. */
static void the_result_of_a_program_changes_nothing(void **state)
{
    for (size_t i = 0; i < COUNT(modes); i++) {
        struct sta_program *program = load("mov %r0, -1\nexit", modes[i]);
        int id = attach_program(*state, NR, true, program);

        assert_int_equal(dispatch(*state, NR), 100);
        assert_int_equal(info_of(*state, id).runs, 1);
        assert_int_equal(info_of(*state, id).failed, 0);
        detach(*state, id);
        sta_program_free(program);
    }
}

static void what_cannot_be_attached_is_refused(void **state)
{
    const struct sta_target good = {NR, true}, bad = {-7, true};
    struct sta_program_options options = {.size = sizeof(options),
                                          .flags = STA_PROGRAM_TRUSTED,
                                          .type = BPF_PROG_TYPE_RAW_TRACEPOINT};
    struct sta_program *program = load("mov %r0, 0\nexit", 0), *raw = NULL;

    assert_int_equal(sta_attach_program(NULL, &good, program), -EINVAL);
    assert_int_equal(sta_attach_program(*state, NULL, program), -EINVAL);
    assert_int_equal(sta_attach_program(*state, &good, NULL), -EINVAL);
    assert_int_equal(sta_attach_program(*state, &bad, program), -EINVAL);
    assert_int_equal(load_with(&raw, "mov %r0, 0\nexit", &options), 0);
    assert_int_equal(sta_attach_program(*state, &good, raw), -EINVAL); /* one call */
    sta_program_free(raw);
    sta_program_free(program);
}

static size_t limit_of(const char *name)
{
    struct sta_target target;

    assert_int_equal(sta_target_parse(&target, name), 0);
    return sta__program_context_limit(&target);
}

/* The kernel's rule (perf_event_set_bpf_prog): not past the end of the format's last field. */
static void a_program_may_read_what_the_event_lists(void **state)
{
    (void)state;
    assert_int_equal(limit_of("raw_syscalls:sys_enter"), 64);
    assert_int_equal(limit_of("raw_syscalls:sys_exit"), 24);
    if (access("/sys/kernel/tracing/events/syscalls/sys_enter_getpid/format", R_OK) < 0) {
        print_message("tracefs cannot be read: named events have all of the context\n");
        assert_int_equal(limit_of("sys_enter_getpid"), 64);
        skip();
    }
    assert_int_equal(limit_of("sys_enter_getpid"), 12); /* the number is an int */
    assert_int_equal(limit_of("sys_enter_close"), 24);
    assert_int_equal(limit_of("sys_enter_read"), 40);
    assert_int_equal(limit_of("sys_enter_mmap"), 64);
    assert_int_equal(limit_of("sys_exit_read"), 24);
}

struct shared {
    struct sta_program *program;
    uint64_t memory[8];
};

enum { THREADS = 4, ROUNDS = 20000 };

static void *run_often(void *data)
{
    struct shared *shared = data;
    uint64_t ret;

    for (int i = 0; i < ROUNDS; i++)
        must_equal(sta_program_run(shared->program, shared->memory, sizeof(shared->memory), &ret),
                   0);
    return NULL;
}

static void threads_run_one_program(void **state)
{
    static const char text[] = "mov %r2, 1\nlock add [%r1], %r2\n"
                               "mov %r3, 1\nlock fetch add [%r1+8], %r3\n"
                               "mov %r4, 1\nlock add32 [%r1+16], %r4\n"
                               "again:\nldxdw %r0, [%r1+24]\nmov %r5, %r0\nmov %r6, %r0\n"
                               "add %r5, 1\nlock cmpxchg [%r1+24], %r5\n"
                               "jne %r0, %r6, again\nmov %r0, 0\nexit";

    (void)state;
    for (size_t i = 0; i < COUNT(modes); i++) {
        struct shared shared = {.program = load(text, modes[i])};
        pthread_t threads[THREADS];

        for (int t = 0; t < THREADS; t++)
            assert_int_equal(pthread_create(&threads[t], NULL, run_often, &shared), 0);
        for (int t = 0; t < THREADS; t++)
            assert_int_equal(pthread_join(threads[t], NULL), 0);
        for (int word = 0; word < 4; word++)
            assert_int_equal(shared.memory[word], THREADS * ROUNDS);
        sta_program_free(shared.program);
    }
}

static int give_map(void *data, int fd_or_index, int is_index, struct sta_map **out)
{
    struct sta_map *maps = data;

    if (fd_or_index != (is_index ? 1 : 5))
        return -EBADF;
    *out = &maps[is_index];
    return 0;
}

static void maps_are_found_by_fd_and_index(void **state)
{
    static const char text[] = "lddw %r1, map 5\nlddw %r2, map_idx 1\nldxdw %r3, [%r10-8]\n"
                               "lddw %r4, value 5+8\nldxdw %r0, [%r4]\n"
                               "lddw %r5, value_idx 1+0\nldxdw %r5, [%r5]\nadd %r0, %r5\n"
                               "sub %r2, %r1\nlsh %r2, 32\nadd %r0, %r2\nexit";
    uint64_t values[2][2] = {{1, 20}, {300, 4000}}, ret = 0;
    struct sta_map maps[2] = {
        {.value_size = 16, .max_entries = 1, .values = values[0]},
        {.value_size = 16, .max_entries = 1, .values = values[1]},
    };
    struct said said = {.lines = 0};
    struct sta_program_options options = {
        .size = sizeof(options),
        .flags = STA_PROGRAM_TRUSTED,
        .find_map = give_map,
        .find_data = maps,
        .log = note,
        .log_data = &said,
    };
    struct sta_program *program;

    (void)state;
    for (size_t i = 0; i < COUNT(modes); i++) {
        options.flags = STA_PROGRAM_TRUSTED | modes[i];
        assert_int_equal(load_with(&program, text, &options), 0);
        assert_int_equal(sta_program_run(program, NULL, 0, &ret), 0);
        assert_true(ret == 320 + ((uint64_t)sizeof(maps[0]) << 32));
        sta_program_free(program);
    }
    assert_int_equal(load_with(&program, "lddw %r1, map 6\nexit", &options), -EBADF);
    assert_non_null(strstr(said.text, "insn 0: fd 6 is not pointing to valid bpf_map"));
    assert_int_equal(load_with(&program, "lddw %r1, value 5+16\nexit", &options), -EINVAL);
    assert_non_null(strstr(said.text, "value_size=16 off=16"));
    maps[0].values = NULL;
    assert_int_equal(load_with(&program, "lddw %r1, value 5+0\nexit", &options), -EINVAL);
    assert_non_null(strstr(said.text, "no direct value access"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_gets_context_and_size),
        cmocka_unit_test(instructions_are_copied),
        cmocka_unit_test(info_tells_how_it_runs),
        cmocka_unit_test(without_executable_memory_programs_are_interpreted),
        cmocka_unit_test(wrong_options_are_refused),
        cmocka_unit_test(too_few_and_too_many_instructions_are_refused),
        cmocka_unit_test(a_refusal_is_in_the_log_and_in_the_text),
        WITH_REGISTRY(an_attached_program_sees_the_call),
        WITH_REGISTRY(an_attached_program_overrides_at_exit),
        WITH_REGISTRY(the_result_of_a_program_changes_nothing),
        WITH_REGISTRY(what_cannot_be_attached_is_refused),
        cmocka_unit_test(a_program_may_read_what_the_event_lists),
        cmocka_unit_test(threads_run_one_program),
        cmocka_unit_test(maps_are_found_by_fd_and_index),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
