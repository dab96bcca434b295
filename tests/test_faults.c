/* SPDX-License-Identifier: MIT */
/*
 * A program's faults stay its own: the same signal, the same address, the same death.
 */
#include "intercept.h"

#include <ucontext.h>

/* Faults, each at a place that the handler can compare. */

extern const char illegal_at[], break_at[], divide_at[];
void fault_read(const void *address);
void fault_write(void *address);
void fault_call(const void *address);
void fault_illegal(void);
void fault_break(void);
void fault_divide(void);
__asm__(".text\n"
        "fault_read:\n.cfi_startproc\nmov (%rdi), %al\nret\n.cfi_endproc\n"
        "fault_write:\n.cfi_startproc\nmov %al, (%rdi)\nret\n.cfi_endproc\n"
        "fault_call:\n.cfi_startproc\ncall *%rdi\nret\n.cfi_endproc\n"
        "fault_illegal:\n.cfi_startproc\nillegal_at: ud2\nret\n.cfi_endproc\n"
        "fault_break:\n.cfi_startproc\nint3\nbreak_at: ret\n.cfi_endproc\n"
        "fault_divide:\n.cfi_startproc\nxor %ecx, %ecx\nmov $1, %eax\ncltd\n"
        "divide_at: idiv %ecx\nret\n.cfi_endproc\n");

static sigjmp_buf away;
static volatile siginfo_t caught;
static volatile uintptr_t caught_rip;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    caught = *info;
    caught_rip = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    getppid();
    siglongjmp(away, 1);
}

static const int fault_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE};

static void catch_faults(int flags)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | flags};

    for (size_t i = 0; i < COUNT_OF(fault_signals); i++)
        CHECK_EQ(sigaction(fault_signals[i], &action, NULL), 0);
}

enum fault { READ, WRITE, CALL, ILLEGAL, BREAK, DIVIDE };

static void cause(enum fault fault, void *address)
{
    switch (fault) {
    case READ:
        fault_read(address);
        break;
    case WRITE:
        fault_write(address);
        break;
    case CALL:
        fault_call(address);
        break;
    case ILLEGAL:
        fault_illegal();
        break;
    case BREAK:
        fault_break();
        break;
    case DIVIDE:
        fault_divide();
        break;
    }
}

static const struct expected {
    enum fault fault;
    uintptr_t given; /* what is read, written or called */
    int signal;
    const char *rip; /* where; NULL: at `given` or in the function that does it */
} faults[] = {
    {READ, 0, SIGSEGV, NULL},       {READ, 0x40, SIGSEGV, NULL},      {READ, 0xfff, SIGSEGV, NULL},
    {WRITE, 0, SIGSEGV, NULL},      {WRITE, 0x12345, SIGSEGV, NULL},  {CALL, 0, SIGSEGV, NULL},
    {CALL, 0x40, SIGSEGV, NULL},    {CALL, 110, SIGSEGV, NULL}, /* what a trampoline at zero would
                                                                   take for a number */
    {CALL, 500, SIGSEGV, NULL},     {ILLEGAL, 0, SIGILL, illegal_at}, {BREAK, 0, SIGTRAP, break_at},
    {DIVIDE, 0, SIGFPE, divide_at},
};

static void check_fault(const struct expected *expected)
{
    memset((void *)(uintptr_t)&caught, 0, sizeof(caught));
    caught_rip = 1;
    if (sigsetjmp(away, 1) == 0) {
        cause(expected->fault, (void *)expected->given);
        victim_failed("fault %d at %#lx does not happen", expected->fault,
                      (unsigned long)expected->given);
    }
    CHECK_EQ(caught.si_signo, expected->signal);
    switch (expected->signal) {
    case SIGSEGV:
        CHECK_EQ((uintptr_t)caught.si_addr, expected->given);
        CHECK_EQ(caught.si_code, SEGV_MAPERR);
        if (expected->fault == CALL)
            CHECK_EQ(caught_rip, expected->given);
        break;
    case SIGTRAP:
        CHECK_EQ(caught.si_code, SI_KERNEL);
        CHECK_EQ(caught_rip, (uintptr_t)expected->rip);
        break;
    default:
        CHECK_EQ((uintptr_t)caught.si_addr, (uintptr_t)expected->rip);
        CHECK_EQ(caught_rip, (uintptr_t)expected->rip);
    }
}

static void check_all_faults(void)
{
    for (size_t i = 0; i < COUNT_OF(faults); i++)
        check_fault(&faults[i]);
}

VICTIM(the_harness_agrees_with_the_kernel)
{
    catch_faults(0);
    check_all_faults();
}

VICTIM(handlers_from_before_install_are_told_the_truth)
{
    struct seen *seen;
    struct sta *sta;

    catch_faults(0);
    sta = installed_counting(SYS_getppid, &seen);
    check_all_faults();
    CHECK_EQ(seen->enters, COUNT_OF(faults));
    getppid();
    CHECK_EQ(seen->enters, COUNT_OF(faults) + 1);
    remove_transformer(sta);
    check_all_faults();
}

VICTIM(handlers_from_after_install_are_told_the_truth)
{
    struct seen *seen;
    struct sta *sta = installed_counting(STA_ALL_SYSCALLS, &seen);

    catch_faults(0);
    check_all_faults();
    remove_transformer(sta);
    check_all_faults();
}

VICTIM(handlers_on_an_alternate_stack_are_told_the_truth)
{
    stack_t stack = {.ss_size = 256 * 1024, .ss_sp = malloc(256 * 1024)};
    struct seen *seen;
    struct sta *sta = installed_counting(STA_ALL_SYSCALLS, &seen);

    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    catch_faults(SA_ONSTACK | SA_NODEFER);
    check_all_faults();
    remove_transformer(sta);
    check_all_faults();
}

/* Pages that are there, but not for this. */
VICTIM(forbidden_pages_are_told_with_their_address)
{
    char *page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct seen *seen;
    struct sta *sta = installed_counting(STA_ALL_SYSCALLS, &seen);

    CHECK(page != MAP_FAILED);
    catch_faults(0);
    for (int i = 0; i < 2; i++) {
        if (sigsetjmp(away, 1) == 0) {
            cause(i ? CALL : WRITE, page + 4711);
            victim_failed("there is no fault");
        }
        CHECK_EQ(caught.si_signo, SIGSEGV);
        CHECK_EQ(caught.si_code, SEGV_ACCERR);
        CHECK((char *)caught.si_addr == page + 4711);
    }
    remove_transformer(sta);
}

/* Without a handler, and where the signal is blocked or ignored: the kernel's own cannot be. */

static void check_death(const struct expected *expected, int way)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, expected->signal);
        if (way == 1)
            sigprocmask(SIG_BLOCK, &set, NULL);
        if (way == 2)
            signal(expected->signal, SIG_IGN);
        cause(expected->fault, (void *)expected->given);
        _exit(0);
    }
    status = status_of(pid);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != expected->signal)
        victim_failed("fault %d at %#lx, way %d: status %#x", expected->fault,
                      (unsigned long)expected->given, way, (unsigned)status);
}

VICTIM(where_a_fault_kills_it_still_kills)
{
    struct seen *seen;
    struct sta *sta = installed_counting(STA_ALL_SYSCALLS, &seen);

    prctl(PR_SET_DUMPABLE, 0); /* no core files */
    for (size_t i = 0; i < COUNT_OF(faults); i++)
        for (int way = 0; way < 3; way++)
            check_death(&faults[i], way);
    remove_transformer(sta);
}

/* In a callback it is the program's as well. */

static int fault_in_callback(void *ctx, size_t ctx_size, uint64_t *ret, void *data)
{
    (void)ctx, (void)ctx_size, (void)ret;
    fault_read(data);
    return 0;
}

VICTIM(a_fault_in_a_callback_can_be_left_by_a_jump)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);

    attach(sta, SYS_getuid, true, fault_in_callback, (void *)0x40);
    catch_faults(0);
    for (volatile int i = 1; i <= 20; i++) {
        if (sigsetjmp(away, 1) == 0) {
            getuid();
            victim_failed("there is no fault");
        }
        CHECK_EQ((uintptr_t)caught.si_addr, 0x40);
        getppid();
        CHECK_EQ(seen->enters, i); /* the handler's was missed */
    }
    remove_transformer(sta);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_harness_agrees_with_the_kernel),
        cmocka_unit_test(handlers_from_before_install_are_told_the_truth),
        cmocka_unit_test(handlers_from_after_install_are_told_the_truth),
        cmocka_unit_test(handlers_on_an_alternate_stack_are_told_the_truth),
        cmocka_unit_test(forbidden_pages_are_told_with_their_address),
        cmocka_unit_test(where_a_fault_kills_it_still_kills),
        cmocka_unit_test(a_fault_in_a_callback_can_be_left_by_a_jump),
    };

    return run_interception_tests(argc, argv, tests);
}
