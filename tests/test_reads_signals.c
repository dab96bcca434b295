/* SPDX-License-Identifier: MIT */
/*
 * SIGSEGV and SIGBUS while they are shared: what the application has of them is what it would have
 * alone. (More of that in test_signals.c, with STA_TEST_READS.)
 */
#include "reads.h"

#include <spawn.h>
#include <ucontext.h>

#define STACK_SIZE (256 * 1024)

static char alternate_stack[STACK_SIZE];
static sigjmp_buf way_out;
static volatile uintptr_t stack_in_handler, address_in_handler;

static void use_alternate_stack(void)
{
    stack_t stack = {.ss_sp = alternate_stack, .ss_size = sizeof(alternate_stack)};

    CHECK_EQ(sigaltstack(&stack, NULL), 0);
}

static void note_and_jump(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    stack_in_handler = (uintptr_t)__builtin_frame_address(0);
    address_in_handler = (uintptr_t)info->si_addr;
    siglongjmp(way_out, 1);
}

static void handle(void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO};

    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGUSR1);
    CHECK_EQ(sigaction(SIGSEGV, &action, NULL), 0);
}

static bool is_on_alternate_stack(uintptr_t address)
{
    return address - (uintptr_t)alternate_stack < sizeof(alternate_stack);
}

static volatile bool goes_on = true;

__attribute__((noinline)) static int overflow(volatile char *from_above)
{
    volatile char room[4096];

    room[0] = *from_above;
    return goes_on ? overflow(room) + room[0] : 0;
}

static void *overflow_in_thread(void *unused)
{
    stack_t before; /* a sanitizer's */
    char first = 0;

    CHECK_EQ(sigaltstack(NULL, &before), 0);
    use_alternate_stack();
    if (sigsetjmp(way_out, 1) == 0)
        overflow(&first);
    CHECK(is_on_alternate_stack(stack_in_handler));
    check_reads();
    CHECK_EQ(sigaltstack(&before, NULL), 0);
    return unused;
}

VICTIM(a_stack_overflow_is_handled_on_the_alternate_stack)
{
    pthread_t thread;

    installed_answering();
    handle(note_and_jump, SA_ONSTACK);
    CHECK_EQ(pthread_create(&thread, NULL, overflow_in_thread, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void fault_at(uintptr_t address)
{
    if (sigsetjmp(way_out, 1) == 0)
        __asm__ volatile("mov (%%rax), %%rax" : : "a"(address) : "memory");
}

VICTIM(the_handler_runs_on_the_stack_that_it_asked_for)
{
    installed_answering();
    use_alternate_stack();
    for (int on_it = 0; on_it < 2; on_it++) {
        handle(note_and_jump, on_it ? SA_ONSTACK : 0);
        fault_at(0x1230 + on_it);
        CHECK_EQ(is_on_alternate_stack(stack_in_handler), on_it);
        CHECK_EQ(address_in_handler, 0x1230 + on_it);
        check_reads();
    }
}

/* What the kernel makes of registers, and what the handler makes of them. */
static void change_registers(int signal, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    sigset_t now;

    CHECK_EQ(signal, SIGSEGV);
    CHECK_EQ(info->si_signo, SIGSEGV);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &now), 0);
    CHECK(sigismember(&now, SIGSEGV));
    CHECK(sigismember(&now, SIGUSR1));
    CHECK(!sigismember(&now, SIGUSR2));
    CHECK(!sigismember(&((ucontext_t *)context)->uc_sigmask, SIGSEGV));
    CHECK_EQ(regs[REG_RBX], 0x77);
    CHECK_EQ(regs[REG_TRAPNO], 14);
    regs[REG_RBX] = 0x88;
    regs[REG_RIP] += 3;
}

VICTIM(a_changed_context_is_returned_to)
{
    uintptr_t rbx = 0x77;

    installed_answering();
    handle(change_registers, 0);
    __asm__ volatile("mov (%%rax), %%rax" : "+b"(rbx) : "a"(8) : "memory");
    CHECK_EQ(rbx, 0x88);
    check_reads();
}

static uintptr_t kernels_handler(int signal)
{
    uintptr_t action[4]; /* the kernel's struct sigaction: handler, flags, restorer, mask */

    CHECK_EQ(STA__RAW4(SYS_rt_sigaction, signal, 0, action, 8), 0);
    return action[0];
}

VICTIM(what_was_set_meanwhile_stays_when_it_is_removed)
{
    struct sta *sta = installed_answering();

    handle(note_and_jump, 0);
    signal(SIGBUS, SIG_IGN);
    check_reads();
    CHECK(kernels_handler(SIGSEGV) != (uintptr_t)note_and_jump);
    remove_transformer(sta);
    CHECK(kernels_handler(SIGSEGV) == (uintptr_t)note_and_jump);
    CHECK(kernels_handler(SIGBUS) == (uintptr_t)SIG_IGN);
    fault_at(0x40);
    CHECK_EQ(address_in_handler, 0x40);
}

/* ---- other programs ---- */

static int status_of_shell(const char *script, bool by_spawn)
{
    char *argv[] = {"sh", "-c", (char *)script, NULL};
    pid_t child = 0;

    if (by_spawn) {
        CHECK_EQ(posix_spawn(&child, "/bin/sh", NULL, NULL, argv, environ), 0);
    } else {
        child = fork();
        if (child == 0) {
            execv("/bin/sh", argv);
            _exit(1);
        }
    }
    return status_of(child);
}

VICTIM(programs_that_are_executed_inherit_no_handler)
{
    static const char script[] = "kill -SEGV $$; exit 7";

    installed_answering();
    for (int by_spawn = 0; by_spawn < 2; by_spawn++) {
        int status;

        signal(SIGSEGV, SIG_DFL);
        status = status_of_shell(script, by_spawn);
        CHECK(WIFSIGNALED(status));
        CHECK_EQ(WTERMSIG(status), SIGSEGV);
        handle(note_and_jump, 0);
        status = status_of_shell(script, by_spawn);
        CHECK(WIFSIGNALED(status));
        signal(SIGSEGV, SIG_IGN);
        CHECK_EQ(status_of_shell(script, by_spawn), 7 << 8);
        check_reads();
    }
}

/* The child changes the action of a process of its own, with its parent's memory. */
VICTIM(a_vfork_child_has_its_own_action)
{
    struct sigaction action;
    pid_t child;

    installed_answering();
    handle(note_and_jump, 0);
    child = vfork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        check_reads();
        raise(SIGSEGV);
        _exit(1);
    }
    CHECK_EQ(WTERMSIG(status_of(child)), SIGSEGV);
    CHECK_EQ(sigaction(SIGSEGV, NULL, &action), 0);
    CHECK(action.sa_sigaction == note_and_jump);
    fault_at(0x50);
    CHECK_EQ(address_in_handler, 0x50);
    check_reads();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stack_overflow_is_handled_on_the_alternate_stack),
        cmocka_unit_test(the_handler_runs_on_the_stack_that_it_asked_for),
        cmocka_unit_test(a_changed_context_is_returned_to),
        cmocka_unit_test(what_was_set_meanwhile_stays_when_it_is_removed),
        cmocka_unit_test(programs_that_are_executed_inherit_no_handler),
        cmocka_unit_test(a_vfork_child_has_its_own_action),
    };

    return run_interception_tests(argc, argv, tests);
}
