/* SPDX-License-Identifier: MIT */
/*
 * What programs on intercepted calls learn of who makes them: children of all kinds have ids of
 * their own, and their parents have theirs again afterwards.
 */
#include "intercept.h"

#include <linux/bpf.h>
#include <sched.h>

#include <sta/program.h>

#include "ebpf/helpers.h"

static _Atomic uint64_t *noted;

static int note_ids(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    atomic_store(noted, sta__helper_get_current_pid_tgid(0, 0, 0, 0, 0));
    return 0;
}

/* By system calls of the library's own, which nobody intercepts. */
static uint64_t own_ids(void)
{
    return (uint64_t)STA__RAW0(SYS_getpid) << 32 | (uint32_t)STA__RAW0(SYS_gettid);
}

/* Compares what an intercepted call's program is told with what is so. */
static void check_ids(void)
{
    atomic_store(noted, 0);
    syscall(SYS_getppid);
    if (atomic_load(noted) != own_ids())
        victim_failed("pid_tgid is %#llx, expected %#llx", (unsigned long long)atomic_load(noted),
                      (unsigned long long)own_ids());
}

static struct sta *begin(void)
{
    struct sta *sta = new_registry();
    const struct sta_target target = {SYS_getppid, true};
    const struct sta_attach_options options = {.size = sizeof(options),
                                               .target = target,
                                               .callback = note_ids,
                                               .flags = STA_CALLBACK_GENERAL_REGS};

    noted = shared_memory(sizeof(*noted));
    CHECK(sta_attach_with(sta, &options) > 0);
    install(sta);
    check_ids();
    return sta;
}

static void *check_on_thread(void *data)
{
    (void)data;
    check_ids();
    return NULL;
}

VICTIM(threads_have_their_own_ids)
{
    struct sta *sta = begin();
    pthread_t thread;

    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pthread_create(&thread, NULL, check_on_thread, NULL), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        check_ids();
    }
    sta_free(sta);
}

VICTIM(a_forked_child_has_its_own_ids)
{
    struct sta *sta = begin();
    pid_t child = fork();

    if (child == 0) {
        check_ids();
        _exit(0);
    }
    check_ids();
    CHECK_EQ(status_of(child), 0);
    sta_free(sta);
}

/* It borrows its parent's memory, and what the thread remembers. */
VICTIM(a_vfork_child_has_its_own_ids)
{
    struct sta *sta = begin();
    pid_t child = vfork();

    if (child == 0) {
        check_ids();
        _exit(0);
    }
    check_ids();
    CHECK_EQ(status_of(child), 0);
    sta_free(sta);
}

static int check_in_clone(void *data)
{
    (void)data;
    check_ids();
    return 0;
}

/* As posix_spawn does it: with a stack of its own. */
VICTIM(a_vfork_child_by_clone_has_its_own_ids)
{
    static char stack[65536] __attribute__((aligned(16)));
    struct sta *sta = begin();
    pid_t child =
        clone(check_in_clone, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);

    CHECK(child > 0);
    check_ids();
    CHECK_EQ(status_of(child), 0);
    sta_free(sta);
}

/* A program of instructions sees the same, by the interpreter and natively. */
VICTIM(programs_are_told_so)
{
    /* call get_current_pid_tgid; override_return(ctx, r0) */
    static const struct bpf_insn insns[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 1},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_current_pid_tgid},
        {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 6},
        {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 0},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_override_return},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K},
        {.code = BPF_JMP | BPF_EXIT},
    };
    static const unsigned modes[] = {STA_PROGRAM_INTERPRET, 0};

    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        const struct sta_program_options options = {.size = sizeof(options),
                                                    .flags = STA_PROGRAM_TRUSTED | modes[i]};
        const struct sta_target target = {SYS_getppid, true};
        struct sta *sta = new_registry();
        struct sta_program *program;
        pid_t child;

        CHECK_EQ(sta_program_load(&program, insns, COUNT_OF(insns), &options), 0);
        CHECK(sta_attach_program(sta, &target, program) > 0);
        install(sta);
        CHECK_EQ(syscall(SYS_getppid), own_ids());
        child = vfork();
        if (child == 0) {
            CHECK_EQ(syscall(SYS_getppid), own_ids());
            _exit(0);
        }
        CHECK_EQ(syscall(SYS_getppid), own_ids());
        CHECK_EQ(status_of(child), 0);
        sta_free(sta);
        sta_program_free(program);
        CHECK_EQ(syscall(SYS_getppid), STA__RAW0(SYS_getppid));
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_have_their_own_ids),
        cmocka_unit_test(a_forked_child_has_its_own_ids),
        cmocka_unit_test(a_vfork_child_has_its_own_ids),
        cmocka_unit_test(a_vfork_child_by_clone_has_its_own_ids),
        cmocka_unit_test(programs_are_told_so),
    };

    return run_interception_tests(argc, argv, tests);
}
