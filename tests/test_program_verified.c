/* SPDX-License-Identifier: MIT */
/*
 * Programs that nobody trusts: what the proof of them means for loading, running and attaching. The
 * verifier's own tests are in test_verify*.c.
 */
#include "core.h"

#include <sta/program.h>

#include "ebpf_asm.h"
#include "said.h"

static int load_with(struct sta_program **out, const char *text,
                     const struct sta_program_options *options)
{
    struct bpf_insn insns[64];
    char error[128];
    size_t count = ebpf_assemble(text, insns, COUNT(insns), error, sizeof(error));

    if (count == 0)
        fail_msg("%s", error);
    return sta_program_load(out, insns, count, options);
}

static struct sta_program *load(const char *text, unsigned flags)
{
    struct said said = {.lines = 0};
    const struct sta_program_options options = {
        .size = sizeof(options), .flags = flags, .log = note, .log_data = &said};
    struct sta_program *program = NULL;

    if (load_with(&program, text, &options) != 0)
        fail_msg("%s", said.text);
    return program;
}

static const unsigned modes[] = {STA_PROGRAM_INTERPRET, 0};

static void proof_is_the_default(void **state)
{
    struct said said = {.lines = 0};
    struct sta_program_options options = {.size = sizeof(options), .log = note, .log_data = &said};
    struct sta_program *program = NULL;

    (void)state;
    /* A store to nowhere. */
    assert_true(load_with(&program, "mov %r1, 0\nstdw [%r1], 5\nmov %r0, 0\nexit", &options) < 0);
    assert_int_equal(said.lines, 1);
    assert_null(program);
    options.flags = STA_PROGRAM_TRUSTED;
    assert_int_equal(load_with(&program, "mov %r1, 0\nstdw [%r1], 5\nmov %r0, 0\nexit", &options),
                     0);
    sta_program_free(program);
}

static void a_refusal_has_its_reason_in_the_text(void **state)
{
    char text[4096] = "before";
    struct said said = {.lines = 0};
    struct sta_program_options options = {
        .size = sizeof(options),
        .name = "greedy",
        .log = note,
        .log_data = &said,
        .log_buf = text,
        .log_size = sizeof(text),
        .log_level = STA_VERIFIER_LOG_STATE,
    };
    struct sta_program *program = NULL;

    (void)state;
    assert_int_equal(load_with(&program, "ldxdw %r0, [%r1+10000]\nexit", &options), -EACCES);
    assert_non_null(strstr(text, "invalid bpf_context access off=10000 size=8"));
    assert_non_null(strstr(said.text, "program 'greedy'"));
    assert_non_null(strstr(said.text, "invalid bpf_context access off=10000 size=8"));
    assert_int_equal(load_with(&program, "lsh %r0, 64\nexit", &options), -EINVAL);
    assert_string_equal(text, "insn 0: invalid shift 64\n");
}

static void info_tells_what_the_proof_found(void **state)
{
    struct sta_program_info info = {.size = sizeof(info)};
    struct sta_program *program =
        load("ldxdw %r0, [%r1+8]\nldxw %r2, [%r1+28]\nadd %r0, %r2\nexit", 0);

    (void)state;
    assert_int_equal(sta_program_info(program, &info), 0);
    assert_int_equal(info.insns, 4);
    assert_int_equal(info.processed_insns, 4);
    assert_int_equal(info.context_size, 32);
    sta_program_free(program);
}

static void a_context_has_to_be_as_large_as_was_proved(void **state)
{
    uint64_t ctx[8] = {0, 40, 2}, ret = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(modes); i++) {
        struct sta_program *program =
            load("ldxdw %r0, [%r1+8]\nldxdw %r2, [%r1+16]\nadd %r0, %r2\nexit", modes[i]);

        assert_int_equal(sta_program_run(program, ctx, 23, &ret), -EINVAL);
        assert_int_equal(sta_program_run(program, ctx, 0, &ret), -EINVAL);
        assert_int_equal(sta_program_run(program, ctx, 24, &ret), 0);
        assert_int_equal(ret, 42);
        assert_int_equal(sta_program_run(program, ctx, 64, &ret), 0);
        sta_program_free(program);
    }
}

static int attach_program(struct sta *sta, const char *event, struct sta_program *program)
{
    struct sta_target target;

    assert_int_equal(sta_target_parse(&target, event), 0);
    return sta_attach_program(sta, &target, program);
}

static void attaching_looks_at_what_is_read(void **state)
{
    struct sta_program *third = load("ldxdw %r0, [%r1+32]\nexit", 0);
    struct sta_program *last = load("ldxb %r0, [%r1+63]\nexit", 0);
    struct sta_program *result = load("ldxdw %r0, [%r1+16]\nexit", 0);
    int id;

    id = attach_program(*state, "raw_syscalls:sys_enter", last);
    assert_true(id > 0);
    detach(*state, id);
    assert_int_equal(attach_program(*state, "raw_syscalls:sys_exit", last), -EACCES);
    assert_int_equal(attach_program(*state, "sys_exit_read", last), -EACCES);
    assert_int_equal(attach_program(*state, "sys_exit_read", third), -EACCES);
    id = attach_program(*state, "sys_exit_read", result);
    assert_true(id > 0);
    detach(*state, id);
    id = attach_program(*state, "sys_enter_read", third);
    assert_true(id > 0);
    detach(*state, id);
    if (access("/sys/kernel/tracing/events/syscalls/sys_enter_read/format", R_OK) == 0) {
        assert_int_equal(attach_program(*state, "sys_enter_read", last), -EACCES);
        assert_int_equal(attach_program(*state, "sys_enter_close", third), -EACCES);
        assert_int_equal(attach_program(*state, "sys_enter_getpid", result), -EACCES);
    }
    sta_program_free(third);
    sta_program_free(last);
    sta_program_free(result);
}

static void a_known_target_limits_the_proof(void **state)
{
    static const struct sta_target enter = {STA_ALL_SYSCALLS, true};
    static const struct sta_target leave = {STA_ALL_SYSCALLS, false};
    struct sta_program_options options = {.size = sizeof(options), .target = &enter};
    struct sta_program *program = NULL;

    (void)state;
    assert_int_equal(load_with(&program, "ldxdw %r0, [%r1+56]\nexit", &options), 0);
    sta_program_free(program);
    program = NULL;
    assert_int_equal(load_with(&program, "ldxdw %r0, [%r1+57]\nexit", &options), -EACCES);
    options.target = &leave;
    assert_int_equal(load_with(&program, "ldxdw %r0, [%r1+24]\nexit", &options), -EACCES);
    assert_null(program);
    assert_int_equal(load_with(&program, "ldxdw %r0, [%r1+16]\nexit", &options), 0);
    sta_program_free(program);
}

/* What cannot be reached is not run, not even looked at. */
static void dead_branches_are_cut_off(void **state)
{
    uint64_t ctx[8] = {0, 7}, ret = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(modes); i++) {
        struct sta_program *program =
            load("mov %r6, 1\nldxdw %r7, [%r1+8]\n"
                 "jeq %r6, 1, good\ncall 195896080\nmov %r0, 1\nexit\n"
                 "good:\njne %r6, 1, bad\njgt %r7, 100, bad2\nmov %r0, %r7\nexit\n"
                 "bad:\nstdw [%r6], 1\nmov %r0, 2\nexit\n"
                 "bad2:\nmov %r0, 3\nexit",
                 modes[i]);

        assert_int_equal(sta_program_run(program, ctx, sizeof(ctx), &ret), 0);
        assert_int_equal(ret, 7);
        ctx[1] = 101;
        assert_int_equal(sta_program_run(program, ctx, sizeof(ctx), &ret), 0);
        assert_int_equal(ret, 3);
        ctx[1] = 7;
        sta_program_free(program);
    }
}

/* Every frame has the stack that the proof found it to need, and no less. */
static void frames_are_as_large_as_they_need_to_be(void **state)
{
    static const char text[] = "stdw [%r10-200], 1\nmov %r1, 5\ncall local a\n"
                               "ldxdw %r1, [%r10-200]\nlsh %r1, 32\nor %r0, %r1\nexit\n"
                               "a:\nstxdw [%r10-128], %r1\nmov %r6, %r1\ncall local b\n"
                               "ldxdw %r1, [%r10-128]\nadd %r0, %r1\nadd %r0, %r6\nexit\n"
                               "b:\nstdw [%r10-8], 100\nstdw [%r10-96], 200\n"
                               "ldxdw %r0, [%r10-8]\nldxdw %r1, [%r10-96]\nadd %r0, %r1\nexit";
    uint64_t ctx[8] = {0}, ret = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(modes); i++) {
        struct sta_program *program = load(text, modes[i]);

        assert_int_equal(sta_program_run(program, ctx, sizeof(ctx), &ret), 0);
        assert_true(ret == (UINT64_C(1) << 32 | 310));
        sta_program_free(program);
    }
}

/* The whole way: a call fails because a verified program says so, for one argument only. */
static void a_verified_program_overrides(void **state)
{
    static const char text[] = "ldxdw %r2, [%r1+16]\njne %r2, 1, out\nmov %r2, -13\ncall 58\n"
                               "out:\nmov %r0, 0\nexit";
    struct sta *sta = *state;

    for (size_t i = 0; i < COUNT(modes); i++) {
        struct sta_program *program = load(text, modes[i]);
        int id = attach_program(sta, "raw_syscalls:sys_enter", program);

        assert_true(id > 0);
        assert_int_equal(sta_dispatch(sta, 39, 1, 0, 0, 0, 0, 0), -13);
        assert_int_equal(sta_dispatch(sta, 39, 2, 0, 0, 0, 0, 0), 100);
        assert_int_equal(sta_dispatch(sta, 1000, 1, 0, 0, 0, 0, 0), -13);
        assert_int_equal(info_of(sta, id).overrides, 2);
        detach(sta, id);
        sta_program_free(program);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proof_is_the_default),
        cmocka_unit_test(a_refusal_has_its_reason_in_the_text),
        cmocka_unit_test(info_tells_what_the_proof_found),
        cmocka_unit_test(a_context_has_to_be_as_large_as_was_proved),
        WITH_REGISTRY(attaching_looks_at_what_is_read),
        cmocka_unit_test(a_known_target_limits_the_proof),
        cmocka_unit_test(dead_branches_are_cut_off),
        cmocka_unit_test(frames_are_as_large_as_they_need_to_be),
        WITH_REGISTRY(a_verified_program_overrides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
