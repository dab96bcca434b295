/* SPDX-License-Identifier: MIT */
/*
 * Programs of the type raw tracepoint: they get the tracepoint's arguments.
 */
#include "core.h"

#include <asm/ptrace.h>

#include <sta/program.h>

#include "ebpf_asm.h"

#define NR 39

static const struct sta_target enter = {STA_ALL_SYSCALLS, true};
static const struct sta_target leave = {STA_ALL_SYSCALLS, false};
static const unsigned modes[] = {STA_PROGRAM_INTERPRET, 0};

static struct sta_program *load_type(const char *text, uint32_t type, unsigned flags)
{
    const struct sta_program_options options = {
        .size = sizeof(options), .flags = flags, .type = type};
    struct bpf_insn insns[64];
    struct sta_program *program = NULL;
    char error[128];
    size_t count = ebpf_assemble(text, insns, COUNT(insns), error, sizeof(error));

    if (count == 0)
        fail_msg("%s", error);
    assert_int_equal(sta_program_load(&program, insns, count, &options), 0);
    return program;
}

static struct sta_program *load(const char *text, unsigned flags)
{
    return load_type(text, BPF_PROG_TYPE_RAW_TRACEPOINT, flags);
}

/* Proved: the number, and the result. */
static void the_second_argument_is_number_or_result(void **state)
{
    static const char text[] = "ldxdw %r2, [%r1+8]\nadd %r2, 1000\ncall 58\nmov %r0, 0\nexit";

    for (size_t i = 0; i < COUNT(modes); i++) {
        struct sta_program *program = load(text, modes[i]);
        int id = sta_attach_program(*state, &enter, program);

        assert_true(id > 0);
        assert_int_equal(dispatch(*state, NR), 1000 + NR);
        assert_int_equal(dispatch(*state, -1), 999);
        detach(*state, id);
        id = sta_attach_program(*state, &leave, program);
        assert_true(id > 0);
        assert_int_equal(dispatch(*state, NR), 1100);
        made.result = -7;
        assert_int_equal(dispatch(*state, NR), 993);
        made.result = 100;
        detach(*state, id);
        sta_program_free(program);
    }
}

/* Trusted, since it follows the pointer by itself: six digits, one for each argument. */
static void the_first_argument_has_the_registers(void **state)
{
    char text[1024];

    snprintf(text, sizeof(text),
             "mov %%r6, %%r1\nldxdw %%r7, [%%r1]\nmov %%r2, 0\n"
             "ldxdw %%r3, [%%r7+%zu]\nadd %%r2, %%r3\nmul %%r2, 10\n"
             "ldxdw %%r3, [%%r7+%zu]\nadd %%r2, %%r3\nmul %%r2, 10\n"
             "ldxdw %%r3, [%%r7+%zu]\nadd %%r2, %%r3\nmul %%r2, 10\n"
             "ldxdw %%r3, [%%r7+%zu]\nadd %%r2, %%r3\nmul %%r2, 10\n"
             "ldxdw %%r3, [%%r7+%zu]\nadd %%r2, %%r3\nmul %%r2, 10\n"
             "ldxdw %%r3, [%%r7+%zu]\nadd %%r2, %%r3\n"
             "ldxdw %%r3, [%%r7+%zu]\nmul %%r3, 1000000\nadd %%r2, %%r3\n"
             "ldxdw %%r3, [%%r7+%zu]\nmul %%r3, 100000000\nadd %%r2, %%r3\n"
             "mov %%r1, %%r6\ncall 58\nmov %%r0, 0\nexit",
             offsetof(struct pt_regs, rdi), offsetof(struct pt_regs, rsi),
             offsetof(struct pt_regs, rdx), offsetof(struct pt_regs, r10),
             offsetof(struct pt_regs, r8), offsetof(struct pt_regs, r9),
             offsetof(struct pt_regs, orig_rax), offsetof(struct pt_regs, rax));
    for (size_t i = 0; i < COUNT(modes); i++) {
        struct sta_program *program = load(text, modes[i] | STA_PROGRAM_TRUSTED);
        int id = sta_attach_program(*state, &enter, program);

        assert_true(id > 0);
        assert_int_equal(dispatch(*state, NR), 123456 + NR * 1000000LL - ENOSYS * 100000000LL);
        detach(*state, id);
        id = sta_attach_program(*state, &leave, program);
        assert_true(id > 0);
        assert_int_equal(dispatch(*state, NR), 123456 + NR * 1000000LL + 100 * 100000000LL);
        detach(*state, id);
        sta_program_free(program);
    }
}

static void there_are_two_arguments_of_all_calls(void **state)
{
    static const struct sta_target one = {NR, true};
    struct sta_program *third = load("ldxdw %r0, [%r1+16]\nexit", 0);
    struct sta_program *second = load("ldxdw %r0, [%r1+8]\nexit", 0);

    assert_int_equal(sta_attach_program(*state, &enter, third), -EINVAL);
    assert_int_equal(sta_attach_program(*state, &leave, third), -EINVAL);
    assert_int_equal(sta_attach_program(*state, &one, second), -EINVAL);
    sta_program_free(third);
    sta_program_free(second);
}

/* Trusted likewise: the first argument's registers, and of them the first argument. */
static void a_probe_has_the_registers_of_the_kernels_function(void **state)
{
    static const struct sta_target at_entry = {NR, true}, at_exit = {NR, false};
    char entry_text[256], exit_text[256];

    snprintf(entry_text, sizeof(entry_text),
             "ldxdw %%r7, [%%r1+%zu]\nldxdw %%r2, [%%r7+%zu]\nldxdw %%r3, [%%r7+%zu]\n"
             "mul %%r3, 100\nadd %%r2, %%r3\ncall 58\nmov %%r0, 0\nexit",
             offsetof(struct pt_regs, rdi), offsetof(struct pt_regs, rdi),
             offsetof(struct pt_regs, orig_rax));
    snprintf(exit_text, sizeof(exit_text),
             "ldxdw %%r2, [%%r1+%zu]\nadd %%r2, 1000\ncall 58\nmov %%r0, 0\nexit",
             offsetof(struct pt_regs, rax));
    for (size_t i = 0; i < COUNT(modes); i++) {
        struct sta_program *entry =
            load_type(entry_text, BPF_PROG_TYPE_KPROBE, modes[i] | STA_PROGRAM_TRUSTED);
        struct sta_program *leaving = load_type(exit_text, BPF_PROG_TYPE_KPROBE, modes[i]);
        int id = sta_attach_program(*state, &at_entry, entry);

        assert_int_equal(sta_attach_program(*state, &enter, entry), -EINVAL);
        assert_true(id > 0);
        assert_int_equal(dispatch(*state, NR), 1 + 100 * NR);
        assert_int_equal(dispatch(*state, NR + 1), 100);
        detach(*state, id);
        id = sta_attach_program(*state, &at_exit, leaving);
        assert_true(id > 0);
        assert_int_equal(dispatch(*state, NR), 1100);
        detach(*state, id);
        sta_program_free(entry);
        sta_program_free(leaving);
    }
}

static void a_probe_reads_registers_and_no_more(void **state)
{
    const struct sta_program_options options = {.size = sizeof(options),
                                                .type = BPF_PROG_TYPE_KPROBE};
    static const char *const refused[] = {"ldxdw %r0, [%r1+168]\nexit", "ldxdw %r0, [%r1-8]\nexit",
                                          "ldxw %r0, [%r1+2]\nexit",
                                          "mov %r0, 0\nstxdw [%r1+0], %r0\nexit"};
    struct sta_program *program = load_type("ldxdw %r0, [%r1+160]\nexit", BPF_PROG_TYPE_KPROBE, 0);
    struct bpf_insn insns[8];
    char error[128];

    (void)state;
    sta_program_free(program);
    for (size_t i = 0; i < COUNT(refused); i++) {
        size_t count = ebpf_assemble(refused[i], insns, COUNT(insns), error, sizeof(error));

        assert_true(count > 0);
        assert_int_equal(sta_program_load(&program, insns, count, &options), -EACCES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REGISTRY(the_second_argument_is_number_or_result),
        WITH_REGISTRY(the_first_argument_has_the_registers),
        WITH_REGISTRY(there_are_two_arguments_of_all_calls),
        WITH_REGISTRY(a_probe_has_the_registers_of_the_kernels_function),
        WITH_REGISTRY(a_probe_reads_registers_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
