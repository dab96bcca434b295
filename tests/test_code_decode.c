/* SPDX-License-Identifier: MIT */
/*
 * What the decoder makes of programs. What it refuses, and with which words, is in
 * data/ebpf/malformed_*.data.
 */
#include "core.h"

#include "ebpf/code.h"
#include "ebpf/isa.h"
#include "ebpf_asm.h"
#include "said.h"

static struct sta_map maps[STA__PROG_MAPS_MAX + 1];
static char values[64];

/* The fd is the index into the table above. */
static int find(void *data, int fd_or_index, int is_index, struct sta_map **out)
{
    (void)data;
    if (fd_or_index < 0 || fd_or_index >= (int)COUNT(maps))
        return is_index ? -ENOENT : -EBADF;
    *out = &maps[fd_or_index];
    return 0;
}

static const struct sta__map_finder finder = {find, NULL};

static int decode_insns(struct sta__code *code, const struct bpf_insn *insns, size_t count,
                        struct said *said)
{
    const struct sta__log log = {note, said};

    *said = (struct said){.lines = 0};
    return sta__code_decode(code, insns, count, &finder, &log);
}

static int decode(struct sta__code *code, const char *text, struct said *said)
{
    struct bpf_insn insns[64];
    char error[128];
    size_t count = ebpf_assemble(text, insns, COUNT(insns), error, sizeof(error));

    if (count == 0)
        fail_msg("%s", error);
    return decode_insns(code, insns, count, said);
}

static void begin(struct sta__code *code, const char *text)
{
    struct said said;

    if (decode(code, text, &said) != 0)
        fail_msg("%s", said.text);
    assert_int_equal(said.lines, 0);
}

static void a_program_is_one_subprogram(void **state)
{
    struct sta__code code;

    (void)state;
    begin(&code, "mov %r0, 0\nexit");
    assert_int_equal(code.count, 2);
    assert_int_equal(code.subprog_count, 1);
    assert_int_equal(code.subprogs[0].start, 0);
    assert_int_equal(code.subprogs[0].end, 2);
    assert_int_equal(code.subprogs[0].stack_depth, 512);
    assert_false(code.subprogs[0].is_callback);
    assert_int_equal(sta__code_subprog_at(&code, 0), 0);
    assert_int_equal(sta__code_subprog_at(&code, 1), UINT32_MAX);
    assert_null(sta__code_wide(&code, 0));
    sta__code_free(&code);
    assert_null(code.insns);
}

static void subprograms_are_found_where_calls_lead(void **state)
{
    struct sta__code code;

    (void)state;
    begin(&code, "call local b\ncall local a\ncall local b\nexit\n"
                 "a:\nmov %r0, 1\nexit\n"
                 "b:\nlddw %r2, func c\nexit\n"
                 "c:\nmov %r0, 3\nexit");
    assert_int_equal(code.subprog_count, 4);
    assert_int_equal(code.subprogs[1].start, 4);
    assert_int_equal(code.subprogs[1].end, 6);
    assert_int_equal(code.subprogs[2].start, 6);
    assert_int_equal(code.subprogs[3].start, 9);
    assert_int_equal(code.subprogs[3].end, 11);
    assert_true(code.subprogs[3].is_callback);
    assert_false(code.subprogs[2].is_callback);
    assert_int_equal(sta__code_subprog_at(&code, 6), 2);
    assert_int_equal(sta__code_subprog_at(&code, 7), UINT32_MAX);
    assert_int_equal(sta__code_subprog_at(&code, 9), 3);
    assert_int_equal(sta__code_wide(&code, 6)->subprog, 3);
    assert_null(sta__code_wide(&code, 6)->map);
    assert_int_equal(sta__insn_target(&code.insns[0], 0), 6);
    sta__code_free(&code);
}

static void instructions_are_marked(void **state)
{
    static const uint8_t expected[] = {
        STA__MARK_SUBPROG,
        0,
        STA__MARK_TARGET,
        STA__MARK_TAIL,
        STA__MARK_TARGET,
        0,
        0,
        0,
        STA__MARK_TARGET | STA__MARK_CALLBACK,
        STA__MARK_TAIL,
        0,
        STA__MARK_SUBPROG | STA__MARK_TARGET,
        0,
    };
    struct sta__code code;

    (void)state;
    begin(&code, "mov %r0, 0\n"        /* 0 */
                 "ja +0\n"             /* 1 */
                 "lddw %r1, 5\n"       /* 2 */
                 "back:\nmov %r2, 0\n" /* 4 */
                 "jeq %r2, 1, back\n"  /* 5 */
                 "ja32 over\n"         /* 6 */
                 "mov %r3, 0\n"        /* 7 */
                 "over:\nlddw %r4, func f\n"
                 "exit\n"
                 "f:\nmov %r0, 0\nexit");
    for (size_t i = 0; i < COUNT(expected); i++) {
        if (code.marks[i] != expected[i])
            fail_msg("marks of %zu are %#x, expected %#x", i, code.marks[i], expected[i]);
    }
    assert_int_equal(code.count, COUNT(expected));
    sta__code_free(&code);
}

static void wide_immediates_lead_to_maps(void **state)
{
    struct sta__code code;

    (void)state;
    maps[3] = (struct sta_map){.max_entries = 1, .value_size = 64, .values = values};
    begin(&code, "lddw %r1, map 2\nlddw %r2, value 3+63\nlddw %r3, map_idx 4\n"
                 "lddw %r4, value_idx 3+0\nlddw %r5, 0x100000001\nexit");
    assert_ptr_equal(sta__code_wide(&code, 0)->map, &maps[2]);
    assert_ptr_equal(sta__code_wide(&code, 2)->map, &maps[3]);
    assert_int_equal(sta__code_wide(&code, 2)->offset, 63);
    assert_ptr_equal(sta__code_wide(&code, 4)->map, &maps[4]);
    assert_ptr_equal(sta__code_wide(&code, 6)->map, &maps[3]);
    assert_int_equal(sta__code_wide(&code, 6)->offset, 0);
    assert_null(sta__code_wide(&code, 8));
    assert_true(sta__insn_wide_value(&code.insns[8]) == 0x100000001);
    sta__code_free(&code);
}

static void maps_that_cannot_be_pointed_into_are_refused(void **state)
{
    struct sta__code code;
    struct said said;

    (void)state;
    maps[3] = (struct sta_map){.max_entries = 1, .value_size = 64, .values = values};
    assert_int_equal(decode(&code, "lddw %r1, value 3+64\nexit", &said), -EINVAL);
    assert_int_equal(decode(&code, "lddw %r1, value 3+0xffffffff\nexit", &said), -EINVAL);
    maps[3].max_entries = 2;
    assert_int_equal(decode(&code, "lddw %r1, value 3+0\nexit", &said), -EINVAL);
    assert_non_null(strstr(said.text, "no direct value access"));
    assert_int_equal(decode(&code, "lddw %r1, map 1000\nexit", &said), -EBADF);
    assert_int_equal(decode(&code, "lddw %r1, map_idx 1000\nexit", &said), -ENOENT);
    assert_int_equal(said.lines, 1);
}

static void errors_are_the_kernels_and_nothing_is_left(void **state)
{
    static const struct {
        const char *text;
        int err;
    } cases[] = {
        {"mov %r10, 1\nexit", -EACCES}, {"mov %r11, 1\nexit", -EINVAL},
        {"mov %r0, 1", -EINVAL},        {"ja +5\nexit", -EINVAL},
        {"lsh %r0, 64\nexit", -EINVAL}, {"lsh32 %r0, 32\nexit", -EINVAL},
        {"rsh %r0, -1\nexit", -EINVAL}, {"arsh32 %r0, 63\nexit", -EINVAL},
        {"div %r0, 0\nexit", -EINVAL},  {"call local +9\nexit", -EINVAL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sta__code code;
        struct said said;

        memset(&code, 0x5a, sizeof(code));
        assert_int_equal(decode(&code, cases[i].text, &said), cases[i].err);
        assert_int_equal(said.lines, 1);
        for (size_t byte = 0; byte < sizeof(code); byte++)
            assert_int_equal(((unsigned char *)&code)[byte], 0x5a);
    }
}

/* The verifier's business: dead code may call what there is not. */
static void calls_of_unknown_helpers_are_decoded(void **state)
{
    struct sta__code code;

    (void)state;
    begin(&code, "call 195896080\nexit");
    sta__code_free(&code);
}

static void a_program_has_64_maps_at_most(void **state)
{
    struct bpf_insn insns[2 * (STA__PROG_MAPS_MAX + 1) + 1];
    struct sta__code code;
    struct said said;
    size_t count = 0;

    (void)state;
    memset(insns, 0, sizeof(insns));
    for (int i = 0; i < STA__PROG_MAPS_MAX; i++, count += 2) {
        insns[count].code = STA__OP_LDDW;
        insns[count].src_reg = BPF_PSEUDO_MAP_FD;
        insns[count].imm = i;
    }
    /* One that was there already. */
    insns[count] = insns[0];
    insns[count + 2].code = STA__OP_EXIT;
    assert_int_equal(decode_insns(&code, insns, count + 3, &said), 0);
    sta__code_free(&code);
    insns[count].imm = STA__PROG_MAPS_MAX;
    assert_int_equal(decode_insns(&code, insns, count + 3, &said), -E2BIG);
    assert_non_null(
        strstr(said.text, "insn 128: The total number of maps per program has reached"));
}

static void a_program_has_256_subprograms_at_most(void **state)
{
    enum { CALLS = STA__SUBPROG_MAX };
    struct bpf_insn insns[2 * CALLS + 1];
    struct sta__code code;
    struct said said;

    (void)state;
    for (int calls = CALLS - 1; calls <= CALLS; calls++) {
        memset(insns, 0, sizeof(insns));
        for (int i = 0; i < calls; i++) {
            insns[i] =
                (struct bpf_insn){.code = STA__OP_CALL, .src_reg = BPF_PSEUDO_CALL, .imm = calls};
            insns[calls + 1 + i].code = STA__OP_EXIT;
        }
        insns[calls].code = STA__OP_EXIT;
        assert_int_equal(decode_insns(&code, insns, 2 * (size_t)calls + 1, &said),
                         calls == CALLS ? -E2BIG : 0);
        if (calls < CALLS) {
            assert_int_equal(code.subprog_count, CALLS);
            sta__code_free(&code);
        }
    }
    assert_non_null(strstr(said.text, "too many subprograms"));
}

static void trusted_programs_may_shift_by_more(void **state)
{
    const struct sta__log log = {NULL, NULL};
    const struct bpf_insn insns[] = {
        {.code = STA__OP_LSH64K, .imm = 65},
        {.code = STA__OP_RSH32K, .imm = -1},
        {.code = STA__OP_ARSH32K, .imm = 5},
        {.code = STA__OP_EXIT},
    };
    struct sta__code code;

    (void)state;
    assert_int_equal(sta__code_decode_trusted(&code, insns, COUNT(insns), NULL, &log), 0);
    assert_int_equal(code.insns[0].imm, 1);
    assert_int_equal(code.insns[1].imm, 31);
    assert_int_equal(code.insns[2].imm, 5);
    sta__code_free(&code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_is_one_subprogram),
        cmocka_unit_test(subprograms_are_found_where_calls_lead),
        cmocka_unit_test(instructions_are_marked),
        cmocka_unit_test(wide_immediates_lead_to_maps),
        cmocka_unit_test(maps_that_cannot_be_pointed_into_are_refused),
        cmocka_unit_test(errors_are_the_kernels_and_nothing_is_left),
        cmocka_unit_test(calls_of_unknown_helpers_are_decoded),
        cmocka_unit_test(a_program_has_64_maps_at_most),
        cmocka_unit_test(a_program_has_256_subprograms_at_most),
        cmocka_unit_test(trusted_programs_may_shift_by_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
