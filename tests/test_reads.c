/* SPDX-License-Identifier: MIT */
/*
 * Reads of user memory in every state that a thread's signals can be in. What the application has
 * of SIGSEGV and SIGBUS itself is in test_reads_signals.c.
 */
#include "reads.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <ucontext.h>

#define STACK_SIZE (256 * 1024)

static void check_edge(const struct edge *edge)
{
    for (size_t size = 1; size <= 300; size += size < 40 ? 1 : 13) {
        struct request last = ask(sta__helper_probe_read_user, (uintptr_t)edge->end - size, size);

        CHECK_EQ(last.result, 0);
        CHECK(memcmp(last.bytes, edge->end - size, size) == 0);
        CHECK(all_bytes_are(last.bytes, size, READ_MAX, 0xaa));
        for (size_t there = 0; there < size; there += 1 + there / 8) {
            struct request over =
                ask(sta__helper_probe_read_user, (uintptr_t)edge->end - there, size);

            CHECK_EQ(over.result, -EFAULT);
            CHECK(all_bytes_are(over.bytes, 0, size, 0));
            CHECK(all_bytes_are(over.bytes, size, READ_MAX, 0xaa));
        }
    }
}

VICTIM(reads_into_bad_pages_fail)
{
    struct edge gone = make_edge(-1), none = make_edge(PROT_NONE);

    installed_answering();
    check_edge(&gone);
    check_edge(&none);
}

VICTIM(addresses_that_are_none_fail)
{
    static const uint64_t addresses[] = {
        0,
        1,
        4095,
        0x7fffffffe001,
        0x7ffffffff000,
        0x7fffffffffff,
        1ull << 47,
        1ull << 48,
        1ull << 55,
        1ull << 56,
        1ull << 63,
        0x8000000000000000 - 8,
        0xdead00000000beef,
        0xffff800000000000,
        0xffffffff81000000,
        0xffffffffff600000,
        -4096ull,
        -8ull,
        -1ull,
    };

    installed_answering();
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        for (size_t size = 1; size <= 64; size++) {
            struct request read = ask(sta__helper_probe_read_user, addresses[i], size);
            struct request string = ask(sta__helper_probe_read_user_str, addresses[i], size);

            CHECK_EQ(read.result, -EFAULT);
            CHECK(all_bytes_are(read.bytes, 0, size, 0));
            CHECK_EQ(string.result, -EFAULT);
            CHECK(all_bytes_are(string.bytes, 0, size, 0));
        }
    }
}

/* Strings that end before the bad page, and those that do not. */
VICTIM(strings_end_where_they_end)
{
    struct edge edge = make_edge(-1);

    installed_answering();
    for (size_t length = 0; length < 40; length++) {
        char *start = edge.end - length - 1;

        edge.end[-1] = 0;
        for (size_t size = 1; size < 50; size++) {
            size_t wanted = length + 1 < size ? length + 1 : size;
            struct request whole = ask(sta__helper_probe_read_user_str, (uintptr_t)start, size);

            CHECK_EQ(whole.result, wanted);
            CHECK(memcmp(whole.bytes, start, wanted - 1) == 0);
            CHECK_EQ(whole.bytes[wanted - 1], 0);
            CHECK(all_bytes_are(whole.bytes, size, READ_MAX, 0xaa));
        }
        edge.end[-1] = 'x';
        CHECK_EQ(ask(sta__helper_probe_read_user_str, (uintptr_t)start, length + 1).result,
                 length + 1);
        CHECK_EQ(ask(sta__helper_probe_read_user_str, (uintptr_t)start, length + 2).result,
                 -EFAULT);
    }
    CHECK_EQ(ask(sta__helper_probe_read_user_str, 0, 0).result, 0);
}

/* SIGBUS. */
VICTIM(a_file_that_was_cut_off_is_not_there)
{
    int fd = memfd_create("cut", 0);
    char *memory;

    CHECK_EQ(ftruncate(fd, 2 * EDGE_PAGE), 0);
    memory = mmap(NULL, 2 * EDGE_PAGE, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(memory != MAP_FAILED);
    installed_answering();
    CHECK_EQ(ask(sta__helper_probe_read_user, (uintptr_t)memory + EDGE_PAGE - 8, 16).result, 0);
    CHECK_EQ(ftruncate(fd, EDGE_PAGE), 0);
    CHECK_EQ(ask(sta__helper_probe_read_user, (uintptr_t)memory + EDGE_PAGE - 8, 16).result,
             -EFAULT);
    CHECK_EQ(ask(sta__helper_probe_read_user, (uintptr_t)memory + EDGE_PAGE - 16, 16).result, 0);
}

VICTIM(good_reads_cost_no_call)
{
    installed_answering();
    CHECK(is_quick());
    check_reads();
    CHECK(is_quick());
}

static int load_reader(struct sta_program **out)
{
    static const struct bpf_insn insns[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 10},
        {.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 1, .imm = -16},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .imm = 16},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = 64},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_probe_read_user},
        {.code = BPF_JMP | BPF_EXIT},
    };

    return sta_program_load(out, insns, COUNT_OF(insns), NULL);
}

/* Before the transformer is installed, or after: loading the program is what makes reads quick. */
VICTIM(a_program_that_reads_makes_reads_quick)
{
    struct sta *sta = new_registry();
    struct sta_program *program;
    uint64_t ret = 0;

    attach(sta, SYS_getppid, true, answer, NULL);
    install(sta);
    CHECK(!is_quick());
    CHECK_EQ(load_reader(&program), 0);
    CHECK(is_quick());
    remove_transformer(sta);
    CHECK_EQ(atomic_load(&sta__faults_generation), STA__FAULTS_NOBODY);
    CHECK_EQ(sta_program_run(program, NULL, 0, &ret), 0);
    CHECK_EQ((int64_t)ret, -EFAULT);
    install(sta);
    CHECK(is_quick());
    check_reads();
    sta_program_free(program);
    sta_free(sta);
}

/* ---- states ---- */

VICTIM(with_all_signals_blocked)
{
    sigset_t set;

    installed_answering();
    CHECK(is_quick());
    set_mask(SIG_BLOCK, 0);
    check_reads();
    CHECK(!is_quick());
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &set), 0);
    CHECK(sigismember(&set, SIGSEGV));
    set_mask(SIG_UNBLOCK, SIGSEGV);
    check_reads();
    CHECK(!is_quick());
    set_mask(SIG_UNBLOCK, 0);
    check_reads();
    CHECK(is_quick());
}

static volatile sig_atomic_t handled;
static sigjmp_buf way_out;
static bool jumps;

static void read_in_handler(int signal)
{
    check_reads();
    handled = handled + 1;
    if (signal == SIGSEGV && jumps)
        siglongjmp(way_out, 1);
}

/* Steps over the load of 3 bytes: mov (%rax),%rax. */
static void read_and_step_over(int signal, siginfo_t *info, void *context)
{
    (void)info;
    read_in_handler(signal);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 3;
}

static void handle(int signal, int flags)
{
    struct sigaction action = {.sa_handler = read_in_handler, .sa_flags = flags};

    sigfillset(&action.sa_mask);
    if (flags & SA_SIGINFO)
        action.sa_sigaction = read_and_step_over;
    CHECK_EQ(sigaction(signal, &action, NULL), 0);
}

static void *use_alternate_stack(void)
{
    stack_t stack = {.ss_sp = malloc(STACK_SIZE), .ss_size = STACK_SIZE};

    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    return stack.ss_sp;
}

static int want_and_answer(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    sta__copy_want();
    return answer(ctx, ctx_size, ret, user_data);
}

/* Where bpf(2) is answered, programs are loaded in a callback. */
VICTIM(reads_become_quick_inside_a_callback)
{
    struct sta *sta = new_registry();

    attach(sta, SYS_getppid, true, want_and_answer, NULL);
    handle(SIGUSR1, 0);
    install(sta);
    check_reads();
    CHECK(is_quick());
    CHECK_EQ(raise(SIGUSR1), 0);
    check_reads();
    sta_free(sta);
}

VICTIM(in_handlers_that_block_everything)
{
    static const int flags[] = {0, SA_NODEFER, SA_ONSTACK, SA_RESETHAND};

    use_alternate_stack();
    handle(SIGUSR2, 0); /* before */
    installed_answering();
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        handle(SIGUSR1, flags[i]);
        CHECK_EQ(raise(SIGUSR1), 0);
        CHECK_EQ(raise(SIGUSR2), 0);
        CHECK_EQ(handled, 2 * (i + 1));
        check_reads();
        CHECK(is_quick());
    }
}

static void fault(void)
{
    __asm__ volatile("mov (%%rax), %%rax" : : "a"(8) : "memory");
}

VICTIM(in_the_applications_own_handler)
{
    static const int flags[] = {0, SA_NODEFER, SA_ONSTACK, SA_ONSTACK | SA_NODEFER};

    use_alternate_stack();
    installed_answering();
    for (int step_over = 0; step_over < 2; step_over++) {
        jumps = !step_over;
        for (size_t i = 0; i < COUNT_OF(flags); i++) {
            handled = 0;
            handle(SIGSEGV, flags[i] | (step_over ? SA_SIGINFO : 0));
            if (sigsetjmp(way_out, 1) == 0)
                fault();
            CHECK_EQ(handled, 1);
            check_reads();
            CHECK(is_quick());
        }
    }
}

static void jump_without_mask(int signal)
{
    (void)signal;
    siglongjmp(way_out, 1);
}

/* The mask stays as the handler had it. */
VICTIM(after_a_longjmp_that_leaves_the_mask)
{
    signal(SIGSEGV, jump_without_mask);
    installed_answering();
    if (sigsetjmp(way_out, 0) == 0)
        fault();
    check_reads();
    CHECK(!is_quick());
    set_mask(SIG_UNBLOCK, 0);
    CHECK(is_quick());
}

/* Calls that wait under another mask; each is interrupted by a handler that reads. */
static int wait_by(int how, const sigset_t *mask)
{
    struct timespec time = {.tv_sec = 5};
    struct epoll_event event;
    int epoll = epoll_create1(0), result = -1;

    switch (how) {
    case 0:
        result = sigsuspend(mask);
        break;
    case 1:
        result = ppoll(NULL, 0, &time, mask);
        break;
    case 2:
        result = pselect(0, NULL, NULL, NULL, &time, mask);
        break;
    case 3:
        result = epoll_pwait(epoll, &event, 1, 5000, mask);
        break;
    }
    close(epoll);
    return result;
}

VICTIM(in_handlers_during_a_wait_under_another_mask)
{
    sigset_t all_but_one, none, only;

    sigfillset(&all_but_one);
    sigdelset(&all_but_one, SIGUSR1);
    sigemptyset(&none);
    sigemptyset(&only);
    sigaddset(&only, SIGUSR1);
    handle(SIGUSR1, 0);
    installed_answering();
    for (int how = 0; how < 4; how++) {
        for (int blocked = 0; blocked < 2; blocked++) {
            for (int masked = 0; masked < 2; masked++) {
                handled = 0;
                set_mask(SIG_UNBLOCK, 0);
                if (blocked)
                    set_mask(SIG_BLOCK, 0);
                else
                    pthread_sigmask(SIG_BLOCK, &only, NULL);
                CHECK_EQ(raise(SIGUSR1), 0);
                CHECK_EQ(wait_by(how, masked ? &all_but_one : &none), -1);
                CHECK_EQ(handled, 1);
                check_reads();
                CHECK_EQ(is_quick(), !blocked);
            }
        }
    }
}

/* ---- without process_vm_readv ---- */

static void forbid(int first_nr, int second_nr)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)first_nr, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)second_nr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = COUNT_OF(filter), .filter = filter};

    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static uint64_t write_user(uint64_t to, uint64_t size, uint64_t address, uint64_t a, uint64_t b)
{
    (void)a, (void)b;
    return sta__helper_probe_write_user(address, to, size, 0, 0);
}

VICTIM(where_the_kernel_lets_nobody_read_by_address)
{
    struct edge none = make_edge(PROT_NONE);
    static char large[10000], copy[10000], room[16];
    int fds = dup(0), fds_after;

    close(fds);
    installed_answering();
    set_mask(SIG_BLOCK, 0);
    forbid(SYS_process_vm_readv, SYS_process_vm_writev);
    check_reads();
    CHECK(!is_quick());
    check_edge(&none);
    memset(large, 'l', sizeof(large));
    CHECK_EQ(sta__copy_from_user(copy, (uintptr_t)large, sizeof(large)), 0);
    CHECK(memcmp(copy, large, sizeof(large)) == 0);
    CHECK_EQ(ask(write_user, (uintptr_t)room, 16).result, 0);
    CHECK(all_bytes_are((uint8_t *)room, 0, 16, 0xaa));
    CHECK_EQ(ask(write_user, (uintptr_t)none.end - 8, 16).result, -EFAULT);
    fds_after = dup(0);
    CHECK_EQ(fds_after, fds); /* none is left open */
    forbid(SYS_pipe2, SYS_pipe2);
    CHECK_EQ(ask(sta__helper_probe_read_user, (uintptr_t)large, 16).result, -EFAULT);
}

/* ---- writes ---- */

VICTIM(writes_to_bad_addresses_fail)
{
    struct edge edge = make_edge(-1), none = make_edge(PROT_READ);
    char room[32] = {0};

    installed_answering();
    for (int blocks = 0; blocks < 2; blocks++) {
        set_mask(blocks ? SIG_BLOCK : SIG_UNBLOCK, 0);
        CHECK_EQ(ask(write_user, (uintptr_t)room, 16).result, 0);
        CHECK(all_bytes_are((uint8_t *)room, 0, 16, 0xaa));
        CHECK_EQ(room[16], 0);
        CHECK_EQ(ask(write_user, (uintptr_t)edge.end - 8, 16).result, -EFAULT);
        CHECK_EQ(ask(write_user, (uintptr_t)none.end, 4).result, -EFAULT);
        CHECK_EQ(ask(write_user, (uintptr_t)write_user, 4).result, -EFAULT);
        CHECK_EQ(ask(write_user, UINT64_MAX - 3, 4).result, -EFAULT);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_into_bad_pages_fail),
        cmocka_unit_test(addresses_that_are_none_fail),
        cmocka_unit_test(strings_end_where_they_end),
        cmocka_unit_test(a_file_that_was_cut_off_is_not_there),
        cmocka_unit_test(good_reads_cost_no_call),
        cmocka_unit_test(a_program_that_reads_makes_reads_quick),
        cmocka_unit_test(reads_become_quick_inside_a_callback),
        cmocka_unit_test(with_all_signals_blocked),
        cmocka_unit_test(in_handlers_that_block_everything),
        cmocka_unit_test(in_the_applications_own_handler),
        cmocka_unit_test(after_a_longjmp_that_leaves_the_mask),
        cmocka_unit_test(in_handlers_during_a_wait_under_another_mask),
        cmocka_unit_test(where_the_kernel_lets_nobody_read_by_address),
        cmocka_unit_test(writes_to_bad_addresses_fail),
    };

    return run_interception_tests(argc, argv, tests);
}
