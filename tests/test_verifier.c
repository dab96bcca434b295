/* SPDX-License-Identifier: MIT */
/*
 * The verifier by itself: verdict and reason for each of the cases in verifier/, and what it tells
 * those who run the program.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sta/program.h>

#include "ebpf/code.h"
#include "ebpf/verify.h"
#include "verifier/both.h"
#include "verifier/cases.h"
#include "verifier/concrete.h"
#include "verifier/insns.h"
#include "verifier/random.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char text[1 << 16];

static uint32_t type_of(const struct verifier_case *test)
{
    return test->type ? test->type : BPF_PROG_TYPE_TRACEPOINT;
}

static void cases_get_their_verdict(void **state)
{
    int wrong = 0;

    (void)state;
    for (size_t i = 0; i < verifier_case_count; i++) {
        const struct verifier_case *test = &verifier_cases[i];
        struct both_verdict verdict = {.log = text, .log_size = sizeof(text), .runs = 20};

        both_ours(test->insns, test->count, type_of(test), test->context_limit,
                  STA_VERIFIER_LOG_STATE, &verdict);
        if (verdict.err == test->err && !verdict.wrong &&
            (!test->message || strstr(text, test->message)))
            continue;
        if (verdict.wrong)
            print_error("insn %u: %s\n", verdict.wrong_insn, verdict.wrong);
        wrong++;
        print_error("%s: %d, but it is %d (%s):\n%s\n", test->name, test->err, verdict.err,
                    test->message ? test->message : "accepted", text);
    }
    assert_int_equal(wrong, 0);
    assert_true(verifier_case_count >= 150);
}

/* The same verdict whatever is written. */
static void text_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < verifier_case_count; i++) {
        const struct verifier_case *test = &verifier_cases[i];
        struct both_verdict silent = {0}, small = {.log = text, .log_size = 64};

        both_ours(test->insns, test->count, type_of(test), test->context_limit, 0, &silent);
        memset(text, 'x', 128);
        both_ours(test->insns, test->count, type_of(test), test->context_limit,
                  STA_VERIFIER_LOG_FULL | STA_VERIFIER_LOG_STATS, &small);
        assert_int_equal(silent.err, test->err);
        assert_int_equal(small.err, test->err);
        assert_true(memchr(text, 0, 64) != NULL);
        assert_int_equal(text[64], 'x');
    }
}

static struct sta_map array = {
    .type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1};

static int find_array(void *data, int index, int is_index, struct sta_map **out)
{
    (void)data, (void)index, (void)is_index;
    *out = &array;
    return 0;
}

static void verify(struct sta__code *code, const struct bpf_insn *insns, size_t count,
                   struct sta__verify_result *result)
{
    const struct sta__map_finder finder = {find_array, NULL};
    const struct sta__verify_options options = {.type = BPF_PROG_TYPE_TRACEPOINT,
                                                .allow_missing_helpers = true,
                                                .log_buf = text,
                                                .log_size = sizeof(text),
                                                .log_level = STA_VERIFIER_LOG_FULL};
    const struct sta__log log = {0};

    assert_int_equal(sta__code_decode(code, insns, count, &finder, &log), 0);
    assert_int_equal(sta__verify(code, &options, result, &log), 0);
}

static void dead_code_and_certain_branches_are_marked(void **state)
{
    const struct bpf_insn insns[] = {
        CALL(get_prandom_u32),  /* 0 */
        MOV(R6, 1),             /* 1 */
        JMP(BPF_JEQ, R6, 1, 1), /* 2: always */
        MOV(R6, 2),             /* 3: dead */
        JMP(BPF_JEQ, R6, 3, 1), /* 4: never */
        JMP(BPF_JEQ, R0, 7, 0), /* 5: either */
        MOV(R0, 0),             /* 6 */
        EXIT,
    };
    struct sta__verify_result result;
    struct sta__code code;
    const uint8_t of_verifier = STA__MARK_DEAD | STA__MARK_ALWAYS | STA__MARK_NEVER;

    (void)state;
    verify(&code, insns, COUNT(insns), &result);
    assert_int_equal(code.marks[1] & of_verifier, 0);
    assert_int_equal(code.marks[2] & of_verifier, STA__MARK_ALWAYS);
    assert_int_equal(code.marks[3] & of_verifier, STA__MARK_DEAD);
    assert_int_equal(code.marks[4] & of_verifier, STA__MARK_NEVER);
    assert_int_equal(code.marks[5] & of_verifier, 0);
    assert_int_equal(code.marks[6] & of_verifier, 0);
    sta__code_free(&code);
}

static void stack_and_context_are_measured(void **state)
{
    const struct bpf_insn insns[] = {
        LDX(BPF_W, R0, R1, 20),
        ST(BPF_B, R10, -17, 0),
        CALL_SUB(1),
        EXIT,
        LDX(BPF_B, R0, R10, -120),
        MOV(R0, 0),
        EXIT,
    };
    struct sta__verify_result result;
    struct sta__code code;

    (void)state;
    verify(&code, insns, COUNT(insns), &result);
    assert_int_equal(code.subprog_count, 2);
    assert_int_equal(code.subprogs[0].stack_depth, 24);
    assert_int_equal(code.subprogs[1].stack_depth, 120);
    assert_int_equal(result.context_size, 24);
    assert_int_equal(result.processed, 7);
    sta__code_free(&code);
}

static void no_stack_is_measured_as_none(void **state)
{
    const struct bpf_insn insns[] = {MOV(R0, 0), EXIT};
    struct sta__verify_result result;
    struct sta__code code;

    (void)state;
    verify(&code, insns, COUNT(insns), &result);
    assert_int_equal(code.subprogs[0].stack_depth, 0);
    assert_int_equal(result.context_size, 0);
    sta__code_free(&code);
}

static void text_is_in_the_kernels_style(void **state)
{
    const struct bpf_insn insns[] = {MOV(R0, 1), MOVX(R2, R10), ST(BPF_DW, R2, -8, 3), EXIT};
    struct sta__verify_result result;
    struct sta__code code;

    (void)state;
    verify(&code, insns, COUNT(insns), &result);
    assert_non_null(strstr(text, "0: R1=ctx() R10=fp0\n"));
    assert_non_null(strstr(text, "0: (b7) r0 = 1 "));
    assert_non_null(strstr(text, "; R0=1\n"));
    assert_non_null(strstr(text, "1: (bf) r2 = r10 "));
    assert_non_null(strstr(text, "; R2=fp0 R10=fp0\n"));
    assert_non_null(strstr(text, "2: (7a) *(u64 *)(r2 -8) = 3 "));
    assert_non_null(strstr(text, " fp-8=3\n"));
    assert_non_null(strstr(text, "processed 4 insns (limit 1000000)"));
    sta__code_free(&code);
}

struct message {
    int count;
    char text[256];
};

static void note(void *data, enum sta_log_level level, const char *line)
{
    struct message *message = data;

    assert_int_equal(level, STA_LOG_ERROR);
    message->count++;
    snprintf(message->text, sizeof(message->text), "%s", line);
}

static void a_refusal_is_one_line_in_the_log(void **state)
{
    const struct bpf_insn insns[] = {MOV(R1, 8), LDX(BPF_DW, R0, R1, 0), EXIT};
    struct sta_program *program = NULL;
    struct message message = {0};
    struct sta_program_options options = {
        .size = sizeof(options), .name = "bad", .log = note, .log_data = &message};

    (void)state;
    assert_int_equal(sta_program_load(&program, insns, COUNT(insns), &options), -EACCES);
    assert_null(program);
    assert_int_equal(message.count, 1);
    assert_string_equal(message.text, "program 'bad': insn 1: R1 invalid mem access 'scalar'");
}

static void helpers_that_are_not_offered_are_refused_with_a_reason(void **state)
{
    const struct bpf_insn insns[] = {MOVX(R2, R10),        MOV(R3, 8), MOV(R4, 0),
                                     CALL(get_task_stack), MOV(R0, 0), EXIT};
    struct sta_program *program = NULL;
    struct message message = {0};
    struct sta_program_options options = {
        .size = sizeof(options), .log = note, .log_data = &message};

    (void)state;
    assert_int_equal(sta_program_load(&program, insns, COUNT(insns), &options), -EINVAL);
    assert_non_null(strstr(message.text, "cannot use helper bpf_get_task_stack#141"));
    assert_non_null(strstr(message.text, "objects of the kernel"));
}

/* A case that is refused, run all the same: what is wrong with it has to be seen. */
static void run_unproved(const struct bpf_insn *insns, size_t count, const char *wrong,
                         uint32_t where)
{
    const struct sta__map_finder finder = {find_array, NULL};
    const struct sta__verify_result result = {.context_size = 64};
    const struct sta__log log = {0};
    struct sta__code code;
    uint32_t insn;

    assert_int_equal(sta__code_decode(&code, insns, count, &finder, &log), 0);
    assert_string_equal(concrete_run(&code, &result, 1, &insn), wrong);
    assert_int_equal(insn, where);
    sta__code_free(&code);
}

static void checked_runs_see_what_is_wrong(void **state)
{
    const struct bpf_insn outside[] = {LDX(BPF_DW, R0, R1, 64), EXIT};
    const struct bpf_insn written[] = {MOV(R0, 0), ST(BPF_B, R1, 8, 1), EXIT};
    const struct bpf_insn above[] = {MOV(R0, 0), ST(BPF_W, R10, -2, 1), EXIT};

    (void)state;
    run_unproved(outside, COUNT(outside), "an access outside of everything", 0);
    run_unproved(written, COUNT(written), "a write to what is read-only", 1);
    run_unproved(above, COUNT(above), "an access outside of everything", 1);
}

/* What is accepted does nothing wrong, what was judged once is judged so again, and nothing is left
 * behind (AddressSanitizer). */
static void random_programs_do_what_was_proved(void **state)
{
    static struct bpf_insn insns[RANDOM_PROGRAM_MAX];

    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        size_t count = random_program(insns, seed);
        struct both_verdict first = {.runs = 8}, second = {.log = text, .log_size = sizeof(text)};

        both_ours(insns, count, BPF_PROG_TYPE_TRACEPOINT, 0, 0, &first);
        both_ours(insns, count, BPF_PROG_TYPE_TRACEPOINT, 0, STA_VERIFIER_LOG_FULL, &second);
        assert_int_equal(first.err, second.err);
        assert_int_equal(first.processed, second.processed);
        if (first.wrong)
            fail_msg("seed %llu, insn %u: %s", (unsigned long long)seed, first.wrong_insn,
                     first.wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_get_their_verdict),
        cmocka_unit_test(text_changes_nothing),
        cmocka_unit_test(dead_code_and_certain_branches_are_marked),
        cmocka_unit_test(stack_and_context_are_measured),
        cmocka_unit_test(no_stack_is_measured_as_none),
        cmocka_unit_test(text_is_in_the_kernels_style),
        cmocka_unit_test(a_refusal_is_one_line_in_the_log),
        cmocka_unit_test(helpers_that_are_not_offered_are_refused_with_a_reason),
        cmocka_unit_test(checked_runs_see_what_is_wrong),
        cmocka_unit_test(random_programs_do_what_was_proved),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
