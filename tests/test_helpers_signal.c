/* SPDX-License-Identifier: MIT */
/*
 * Helpers that send signals, cookies of attachments, and which helpers there are at all: against
 * the kernel's, where it lets us ask.
 */
#include "core.h"

#include "ebpf/helper.h"
#include "ebpf/helpers.h"
#include "twice.h"
#include "vm/kernel_bpf.h"

/* ---- signals ---- */

static __thread int taken; /* by this thread */
static siginfo_t last;
static pid_t last_tid;

static void take_signal(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    taken++;
    last = *info;
    last_tid = (pid_t)syscall(SYS_gettid);
}

static void on_signal(int signal)
{
    struct sigaction action = {.sa_sigaction = take_signal, .sa_flags = SA_SIGINFO};

    must_equal(sigaction(signal, &action, NULL), 0);
}

static int64_t send(uint64_t signal)
{
    return (int64_t)sta__helper_send_signal(signal, 0, 0, 0, 0);
}

static int64_t send_thread(uint64_t signal)
{
    return (int64_t)sta__helper_send_signal_thread(signal, 0, 0, 0, 0);
}

static void *thread_signals_itself(void *unused)
{
    (void)unused;
    for (int i = 1; i <= 100; i++) {
        must_equal(send_thread(SIGUSR1), 0);
        must_equal(taken, i);
        must_equal(last_tid, syscall(SYS_gettid));
        must_equal(last.si_code, SI_KERNEL);
    }
    return NULL;
}

static void *thread_signals_the_process(void *unused)
{
    sigset_t all;

    (void)unused;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    must_equal(send(SIGUSR2), 0);
    return NULL;
}

static void signals_reach_the_thread_or_the_process(void **state)
{
    pthread_t thread;

    (void)state;
    if (UNDER_TSAN)
        skip(); /* it takes signals for the program, and hands them on later */
    on_signal(SIGUSR1);
    on_signal(SIGUSR2);
    taken = 0;
    assert_int_equal(send(SIGUSR1), 0);
    assert_int_equal(taken, 1);
    assert_int_equal(last.si_code, SI_KERNEL);
    assert_int_equal(last.si_pid, 0);
    assert_int_equal(send(0), 0);
    assert_int_equal(send(65), -EINVAL);
    assert_int_equal(send_thread(65), -EINVAL);
    assert_int_equal(send_thread(1u << 31), -EINVAL);
    assert_int_equal(taken, 1);
    assert_int_equal(pthread_create(&thread, NULL, thread_signals_itself, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(taken, 1);
    assert_int_equal(pthread_create(&thread, NULL, thread_signals_the_process, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(taken, 2);
    assert_int_equal(last.si_signo, SIGUSR2);
}

#define SENDS(helper, signal)                               \
    {                                                       \
        MOV(R1, signal), CALL(helper), STORE_R0_AND_EXIT(0) \
    }

static const struct bpf_insn sends[][7] = {
    SENDS(send_signal, SIGUSR1), SENDS(send_signal_thread, SIGUSR1),
    SENDS(send_signal, 0),       SENDS(send_signal, 64),
    SENDS(send_signal, 65),      SENDS(send_signal_thread, -1),
};

static void signals_are_the_kernels(void **state)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    (void)state;
    if (UNDER_TSAN)
        skip();
    on_signal(SIGUSR1);
    sigaction(64, &ignore, NULL);
    for (size_t i = 0; i < COUNT(sends); i++) {
        uint64_t ctx[12] = {0}, ret;
        siginfo_t ours;
        struct twice t;

        twice_load(&t, sends[i], COUNT(sends[i]), NULL, 0);
        assert_string_equal(t.log, "");
        taken = 0;
        memset(&last, 0, sizeof(last));
        assert_int_equal(sta_program_run(t.program, ctx, sizeof(ctx), &ret), 0);
        ours = last;
        memset(&last, 0, sizeof(last));
        if (twice_has_kernel(&t)) {
            assert_int_equal(kernel_run(t.program_fd), 0);
            assert_int_equal(*(int64_t *)t.ours, *(int64_t *)t.kernels);
            assert_int_equal(ours.si_signo, last.si_signo);
            assert_int_equal(ours.si_code, last.si_code);
            assert_int_equal(ours.si_pid, last.si_pid);
            assert_int_equal(taken, i < 2 ? 2 : 0);
        }
        twice_free(&t);
    }
}

/* ---- cookies ---- */

static int note_cookie(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret;
    *(uint64_t *)user_data = sta_current_cookie();
    return 0;
}

static void callbacks_have_cookies(void **state)
{
    uint64_t cookies[3] = {1, 2, 3};
    struct sta_attach_options options = {
        .size = sizeof(options), .target = {39, true}, .callback = note_cookie};
    int ids[3];

    assert_int_equal(sta_current_cookie(), 0);
    for (int i = 0; i < 3; i++) {
        options.cookie = 1000 + (uint64_t)i;
        options.user_data = &cookies[i];
        options.target.is_enter = i != 2;
        /* As a program says it that was compiled before there were cookies. */
        options.size = i == 1 ? offsetof(struct sta_attach_options, cookie) : sizeof(options);
        ids[i] = sta_attach_with(*state, &options);
        assert_true(ids[i] > 0);
    }
    dispatch(*state, 39);
    assert_int_equal(cookies[0], 1000);
    assert_int_equal(cookies[1], 0);
    assert_int_equal(cookies[2], 1002);
    for (int i = 0; i < 3; i++)
        detach(*state, ids[i]);
    assert_int_equal(sta_current_cookie(), 0);
}

/* area[cookie] = 1: what was attached ran. */
static const struct bpf_insn tells_cookie[] = {
    MOVX(R6, R1),           CALL(get_attach_cookie), AND(R0, 63),  LD_VALUE(R1, AREA, 0),
    ADDX(R1, R0),           ST(BPF_B, R1, 0, 1),     MOVX(R1, R6), CALL(get_attach_cookie),
    LD_VALUE(R1, AREA, 64), STX(BPF_DW, R1, R0, 0),  MOV(R0, 0),   EXIT};

static void a_program_is_told_its_attachments_apart(void **state)
{
    struct sta_attach_options options = {.size = sizeof(options),
                                         .target = {STA_ALL_SYSCALLS, true}};
    uint64_t ctx[12] = {0}, ret;
    struct twice t;
    int ids[2];

    twice_load(&t, tells_cookie, COUNT(tells_cookie), NULL, 0);
    assert_string_equal(t.log, "");
    options.cookie = 7;
    ids[0] = sta_attach_program_with(*state, t.program, &options);
    options.cookie = UINT64_C(0x8000000000000009);
    ids[1] = sta_attach_program_with(*state, t.program, &options);
    assert_true(ids[0] > 0 && ids[1] > ids[0]);
    dispatch(*state, 39);
    assert_int_equal(t.ours[7], 1);
    assert_int_equal(t.ours[9], 1);
    assert_true(*(uint64_t *)(t.ours + 64) == UINT64_C(0x8000000000000009));
    assert_int_equal(t.ours[0], 0);
    assert_int_equal(sta_program_run(t.program, ctx, sizeof(ctx), &ret), 0);
    assert_int_equal(t.ours[0], 1); /* run by hand: no attachment, no cookie */
    options.user_data = &options;
    assert_int_equal(sta_attach_program_with(*state, t.program, &options), -EINVAL);
    options.user_data = NULL;
    options.flags = STA_CALLBACK_GENERAL_REGS;
    assert_int_equal(sta_attach_program_with(*state, t.program, &options), -EINVAL);
    assert_int_equal(sta_attach_program_with(*state, t.program, NULL), -EINVAL);
    detach(*state, ids[0]);
    detach(*state, ids[1]);
    twice_free(&t);
}

/* ---- which helpers there are ---- */

#define LAST_HELPER 230

/* The kernel keeps them from programs of these types, or from all on some machines. */
static bool is_offered_here_only(int32_t id)
{
    return id == BPF_FUNC_override_return || id == BPF_FUNC_ktime_get_coarse_ns ||
           id == BPF_FUNC_probe_write_user;
}

/* The line of the log that tells the reason: the last but what the kernel says of statistics. */
static void reason_of(char *out, size_t size, const char *log)
{
    const char *at = strstr(log, "program of this type");

    at = at ? at : strstr(log, "invalid func");
    at = at ? at : strstr(log, "not supported for program type");
    snprintf(out, size, "%.*s", at ? (int)strcspn(at, "\n") : 0, at ? at : "");
}

static void a_refused_helper_is_named(void **state)
{
    static const uint32_t types[] = {BPF_PROG_TYPE_TRACEPOINT, BPF_PROG_TYPE_RAW_TRACEPOINT,
                                     BPF_PROG_TYPE_KPROBE};
    long compared = 0;

    (void)state;
    for (int id = 0; id < LAST_HELPER * (int)COUNT(types); id++) {
        const struct bpf_insn insns[] = {CALL_NUMBER(id / (int)COUNT(types)), EXIT};
        uint32_t type = types[id % (int)COUNT(types)];
        const struct sta__helper *helper = sta__helper_find(insns[0].imm);
        char ours[4096], kernels[4096], our_reason[128], kernel_reason[128], wanted[96];
        struct sta_program_options options = {.size = sizeof(options),
                                              .type = type,
                                              .log_buf = ours,
                                              .log_size = sizeof(ours),
                                              .log_level = 1};
        struct sta_program *program = NULL;
        int err = sta_program_load(&program, insns, COUNT(insns), &options), fd;

        sta_program_free(program);
        /* Whatever is not offered is named, with the reason. */
        if (helper && !helper->fn && insns[0].imm != BPF_FUNC_copy_from_user &&
            insns[0].imm != BPF_FUNC_copy_from_user_task && insns[0].imm != BPF_FUNC_get_func_ip) {
            snprintf(wanted, sizeof(wanted), "cannot use helper bpf_%s#%d: %s", helper->name,
                     insns[0].imm, helper->why_not);
            assert_int_equal(err, -EINVAL);
            if (!strstr(ours, wanted))
                fail_msg("'%s' is not in '%s'", wanted, ours);
        }
        kernels[0] = 0;
        fd = geteuid() ? -EPERM : kernel_load(type, insns, COUNT(insns), kernels, sizeof(kernels));
        if (fd >= 0)
            close(fd);
        if (fd >= 0 || !kernels[0])
            continue;
        reason_of(kernel_reason, sizeof(kernel_reason), kernels);
        reason_of(our_reason, sizeof(our_reason), ours);
        /* What it refuses by number, we refuse in its words. */
        if (kernel_reason[0] && !is_offered_here_only(insns[0].imm)) {
            assert_string_equal(our_reason, kernel_reason);
            assert_int_equal(err, fd);
            compared++;
        }
    }
    print_message("%ld refusals are the kernel's\n", compared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_reach_the_thread_or_the_process),
        cmocka_unit_test(signals_are_the_kernels),
        WITH_REGISTRY(callbacks_have_cookies),
        WITH_REGISTRY(a_program_is_told_its_attachments_apart),
        cmocka_unit_test(a_refused_helper_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
