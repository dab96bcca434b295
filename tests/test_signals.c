/* SPDX-License-Identifier: MIT */
/*
 * The host's own use of signals that may carry interception: as without it.
 *
 * Each test runs for SIGSYS, SIGILL, SIGTRAP, SIGSEGV and SIGBUS, in turn the value of `carried`.
 * The last two matter with STA_TEST_READS.
 */
#include "intercept.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/signalfd.h>
#include <ucontext.h>

#define UNUSED_NR 400 /* trapped by a filter here */

static int carried = SIGSYS;

static volatile int handled;
static volatile siginfo_t handled_info;
static sigset_t mask_in_handler;

static void on_signal(int signal)
{
    (void)signal;
    getppid();
    pthread_sigmask(SIG_BLOCK, NULL, &mask_in_handler);
    handled++;
}

static void on_siginfo(int signal, siginfo_t *info, void *context)
{
    if (info->si_signo == SIGILL && info->si_code > 0) /* behind the instruction */
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
    if ((info->si_signo == SIGSEGV || info->si_signo == SIGBUS) && info->si_code > 0)
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 3; /* at it */
    handled_info = *info; /* volatile: raise() and kill() are declared as leaf functions */
    on_signal(signal);
}

static void set_action(int signal, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    if (flags & SA_SIGINFO)
        action.sa_sigaction = on_siginfo;
    CHECK_EQ(sigaction(signal, &action, NULL), 0);
}

static void set_blocked(int how, int signal)
{
    sigset_t set;

    sigemptyset(&set);
    if (signal)
        sigaddset(&set, signal);
    else
        sigfillset(&set);
    CHECK_EQ(pthread_sigmask(how, &set, NULL), 0);
}

static bool is_blocked(int signal)
{
    sigset_t set;

    CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &set), 0);
    return sigismember(&set, signal);
}

static struct sta *installed(void)
{
    struct sta *sta = new_registry();

    install(sta);
    return sta;
}

/* Ways to get one */

static void send_by_sigqueue(void)
{
    union sigval value = {.sival_int = 4711};

    CHECK_EQ(sigqueue(getpid(), carried, value), 0);
}

static void set_filter(void)
{
    static struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, UNUSED_NR, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP | 77),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = COUNT_OF(filter), .filter = filter};

    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static const char *bad_address(void)
{
    static char *behind_end;
    int fd;

    if (carried == SIGSEGV)
        return (const char *)8;
    if (behind_end)
        return behind_end;
    fd = memfd_create("empty", 0);
    behind_end = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    CHECK(behind_end != MAP_FAILED);
    return behind_end;
}

/* By an instruction, so that the kernel cannot put it off. */
static void cause_one(void)
{
    if (carried == SIGSEGV || carried == SIGBUS) {
        __asm__ volatile("mov (%%rax), %%rax" : : "a"(bad_address()) : "memory");
        return;
    }
    if (carried == SIGILL) {
        __asm__ volatile("ud2");
    } else if (carried == SIGTRAP) {
        __asm__ volatile("int3");
    } else {
        set_filter();
        syscall(UNUSED_NR, 0, 0, 0, 0, 0, 0);
    }
}

/* Sends the signal in every way and looks whether the handler is told the truth. */
static void check_handler(void)
{
    int before = handled;

    CHECK_EQ(raise(carried), 0);
    CHECK_EQ(handled, before + 1);
    CHECK_EQ(handled_info.si_code, SI_TKILL);
    CHECK_EQ(handled_info.si_pid, getpid());
    CHECK_EQ(kill(getpid(), carried), 0);
    CHECK_EQ(handled, before + 2);
    CHECK_EQ(handled_info.si_code, SI_USER);
    send_by_sigqueue();
    CHECK_EQ(handled, before + 3);
    CHECK_EQ(handled_info.si_code, SI_QUEUE);
    CHECK_EQ(handled_info.si_value.sival_int, 4711);
}

static void check_caused(void)
{
    int before = handled;

    cause_one();
    CHECK_EQ(handled, before + 1);
    CHECK_EQ(handled_info.si_signo, carried);
    if (carried == SIGILL)
        CHECK_EQ(handled_info.si_code, ILL_ILLOPN);
    if (carried == SIGTRAP)
        CHECK_EQ(handled_info.si_code, SI_KERNEL);
    if (carried == SIGSEGV || carried == SIGBUS) {
        CHECK_EQ(handled_info.si_code, carried == SIGSEGV ? SEGV_MAPERR : BUS_ADRERR);
        CHECK(handled_info.si_addr == bad_address());
    }
    if (carried != SIGSYS)
        return;
    CHECK_EQ(handled_info.si_code, 1 /* SYS_SECCOMP */);
    CHECK_EQ(handled_info.si_syscall, UNUSED_NR);
    CHECK_EQ(handled_info.si_errno, 77);
}

VICTIM(a_handler_from_before_install_gets_its_signals)
{
    struct sta *sta;

    set_action(carried, NULL, SA_SIGINFO);
    sta = installed();
    check_handler();
    check_caused();
    remove_transformer(sta);
    check_handler();
}

VICTIM(a_handler_from_after_install_gets_its_signals)
{
    struct sta *sta = installed();

    set_action(carried, NULL, SA_SIGINFO);
    check_handler();
    check_caused();
    remove_transformer(sta);
    check_handler();
}

VICTIM(a_handler_without_siginfo_gets_its_signals)
{
    struct sta *sta = installed();

    set_action(carried, on_signal, 0);
    CHECK_EQ(raise(carried), 0);
    CHECK_EQ(kill(getpid(), carried), 0);
    CHECK_EQ(handled, 2);
    remove_transformer(sta);
}

VICTIM(a_one_shot_handler_runs_once)
{
    struct sta *sta = installed();
    struct sigaction action;

    set_action(carried, on_signal, SA_RESETHAND);
    CHECK_EQ(raise(carried), 0);
    CHECK_EQ(handled, 1);
    CHECK_EQ(sigaction(carried, NULL, &action), 0);
    CHECK(action.sa_handler == SIG_DFL);
    remove_transformer(sta);
}

VICTIM(an_ignored_one_is_ignored)
{
    struct sta *sta;

    signal(carried, SIG_IGN);
    sta = installed();
    CHECK_EQ(raise(carried), 0);
    CHECK_EQ(kill(getpid(), carried), 0);
    remove_transformer(sta);
    CHECK_EQ(raise(carried), 0);
}

static void check_death_(const char *what, void (*action)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        action();
        _exit(0);
    }
    status = status_of(pid);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != carried)
        victim_failed("%s: status %x", what, (unsigned)status);
}

#define check_death(action) check_death_(#action, action)

static void raise_it(void)
{
    raise(carried);
}

static void raise_after_one_shot(void)
{
    set_action(carried, on_signal, SA_RESETHAND);
    raise(carried);
    raise(carried);
}

static void cause_while_ignored(void)
{
    signal(carried, SIG_IGN);
    cause_one();
}

static void cause_while_blocked(void)
{
    set_action(carried, on_signal, 0);
    set_blocked(SIG_BLOCK, carried);
    cause_one();
}

VICTIM(where_it_kills_it_still_kills)
{
    struct sta *sta = installed();

    check_death(raise_it);
    check_death(raise_after_one_shot);
    check_death(cause_while_ignored);
    check_death(cause_while_blocked);
    remove_transformer(sta);
    check_death(raise_it);
}

/* What is read back */

static void check_action(int signal, const struct sigaction *expected)
{
    struct sigaction action;

    CHECK_EQ(sigaction(signal, NULL, &action), 0);
    CHECK(action.sa_handler == expected->sa_handler);
    CHECK_EQ(action.sa_flags & ~0x04000000, expected->sa_flags & ~0x04000000);
    for (int i = 1; i < SIGRTMIN - 2; i++)
        CHECK_EQ(sigismember(&action.sa_mask, i),
                 i == SIGKILL || i == SIGSTOP ? 0 : sigismember(&expected->sa_mask, i));
}

VICTIM(actions_read_back_are_the_hosts_own)
{
    struct sigaction first = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, second, old;
    struct sta *sta;

    sigfillset(&first.sa_mask);
    second = first;
    second.sa_flags = SA_NODEFER | SA_SIGINFO;
    sigemptyset(&second.sa_mask);
    sigaddset(&second.sa_mask, carried);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(sigaction(carried, &first, NULL), 0);
        CHECK_EQ(sigaction(SIGUSR1, &first, NULL), 0);
        sta = installed();
        check_action(carried, &first);
        check_action(SIGUSR1, &first);
        CHECK_EQ(sigaction(carried, &second, &old), 0);
        CHECK(sigismember(&old.sa_mask, carried));
        CHECK_EQ(sigaction(SIGUSR1, &second, &old), 0);
        CHECK(sigismember(&old.sa_mask, carried));
        CHECK_EQ(sigaction(SIGUSR2, &second, NULL), 0);
        check_action(carried, &second);
        check_action(SIGUSR1, &second);
        remove_transformer(sta);
        check_action(carried, &second);
        check_action(SIGUSR1, &second);
        check_action(SIGUSR2, &second);
    }
}

VICTIM(masks_read_back_are_the_hosts_own)
{
    struct sta *sta;

    set_blocked(SIG_BLOCK, 0);
    sta = installed();
    CHECK(is_blocked(carried));
    CHECK(is_blocked(SIGUSR1));
    set_blocked(SIG_UNBLOCK, carried);
    CHECK(!is_blocked(carried));
    CHECK(is_blocked(SIGUSR1));
    set_blocked(SIG_UNBLOCK, 0);
    CHECK(!is_blocked(SIGUSR1));
    set_blocked(SIG_SETMASK, carried);
    CHECK(is_blocked(carried));
    for (int i = 0; i < 100; i++)
        getppid();
    remove_transformer(sta);
    CHECK(is_blocked(carried));
    CHECK(!is_blocked(SIGUSR1));
}

/* A blocked one waits */

VICTIM(a_blocked_one_comes_when_it_is_unblocked)
{
    struct sta *sta;
    sigset_t pending;

    set_action(carried, NULL, SA_SIGINFO);
    set_blocked(SIG_BLOCK, carried);
    sta = installed();
    for (int i = 1; i <= 3; i++) {
        send_by_sigqueue();
        send_by_sigqueue(); /* one of them is lost, as ever */
        CHECK_EQ(handled, i - 1);
        CHECK_EQ(sigpending(&pending), 0);
        CHECK(sigismember(&pending, carried));
        set_blocked(SIG_UNBLOCK, carried);
        CHECK_EQ(handled, i);
        CHECK_EQ(handled_info.si_value.sival_int, 4711);
        CHECK_EQ(sigpending(&pending), 0);
        CHECK(!sigismember(&pending, carried));
        set_blocked(SIG_BLOCK, carried);
    }
    raise(carried);
    remove_transformer(sta);
    CHECK_EQ(handled, 3);
    set_blocked(SIG_UNBLOCK, carried);
    CHECK_EQ(handled, 4);
}

VICTIM(one_that_is_pending_at_install_stays_so)
{
    struct sta *sta;

    set_action(carried, NULL, SA_SIGINFO);
    set_blocked(SIG_BLOCK, carried);
    raise(carried);
    sta = installed();
    CHECK_EQ(handled, 0);
    getppid();
    set_blocked(SIG_UNBLOCK, carried);
    CHECK_EQ(handled, 1);
    remove_transformer(sta);
}

VICTIM(it_is_blocked_in_its_own_handler)
{
    struct sta *sta = installed();

    set_action(carried, on_signal, 0);
    raise(carried);
    CHECK(sigismember(&mask_in_handler, carried));
    CHECK(!is_blocked(carried));
    set_action(carried, on_signal, SA_NODEFER);
    raise(carried);
    CHECK(!sigismember(&mask_in_handler, carried));
    CHECK_EQ(handled, 2);
    remove_transformer(sta);
}

/* Signals in general, with all of them blocked in handlers and waits */

static void set_action_full_mask(int signal, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};

    sigfillset(&action.sa_mask);
    CHECK_EQ(sigaction(signal, &action, NULL), 0);
}

VICTIM(handlers_that_block_everything_can_make_calls)
{
    struct seen *seen;
    struct sta *sta;

    set_action_full_mask(SIGUSR1, on_signal);
    sta = installed_counting(SYS_getppid, &seen);
    set_action_full_mask(SIGUSR2, on_signal);
    raise(SIGUSR1);
    raise(SIGUSR2);
    CHECK_EQ(handled, 2);
    CHECK_EQ(seen->enters, 2);
    CHECK(!is_blocked(carried));
    remove_transformer(sta);
}

static void raise_usr2(int signal)
{
    (void)signal;
    getppid();
    raise(SIGUSR2);
    getppid();
}

VICTIM(nested_handlers_can_make_calls)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);

    set_action(SIGUSR1, raise_usr2, 0);
    set_action(SIGUSR2, on_signal, 0);
    for (int i = 0; i < 100; i++)
        raise(SIGUSR1);
    CHECK_EQ(handled, 100);
    CHECK_EQ(seen->enters, 300);
    remove_transformer(sta);
}

static void *signal_when_asleep(void *thread)
{
    pid_t tid = getpid();

    wait_until_asleep(tid);
    CHECK_EQ(pthread_kill(*(pthread_t *)thread, SIGUSR1), 0);
    return NULL;
}

/* Waits in every call that takes a mask; the signal comes from another thread. */
static int wait_with_mask(int how, const sigset_t *mask)
{
    struct epoll_event_room {
        char room[16];
    } events;
    static int epoll_fd = -1;

    if (epoll_fd < 0)
        epoll_fd = (int)syscall(SYS_epoll_create1, 0);
    switch (how) {
    case 0:
        return sigsuspend(mask);
    case 1:
        return (int)syscall(SYS_ppoll, NULL, 0, NULL, mask, 8L);
    case 2: {
        const void *pair[2] = {mask, (void *)8};
        return (int)syscall(SYS_pselect6, 0, NULL, NULL, NULL, NULL, pair);
    }
    case 3:
        return (int)syscall(SYS_epoll_pwait, epoll_fd, &events, 1, -1, mask, 8L);
    default:
        return (int)syscall(SYS_epoll_pwait2, epoll_fd, &events, 1, NULL, mask, 8L);
    }
}

VICTIM(waits_with_full_masks_end_by_the_signal_left_out)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);
    pthread_t self = pthread_self(), thread;
    sigset_t mask;

    set_action_full_mask(SIGUSR1, on_signal);
    set_blocked(SIG_BLOCK, SIGUSR1);
    sigfillset(&mask);
    sigdelset(&mask, SIGUSR1);
    for (int how = 0; how < 5; how++) {
        CHECK_EQ(pthread_create(&thread, NULL, signal_when_asleep, &self), 0);
        errno = 0;
        CHECK_EQ(wait_with_mask(how, &mask), -1);
        CHECK_EQ(errno, EINTR);
        CHECK_EQ(handled, how + 1);
        CHECK_EQ(seen->enters, how + 1);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK(is_blocked(SIGUSR1));
        CHECK(!is_blocked(carried));
    }
    remove_transformer(sta);
}

VICTIM(sigsuspend_lets_a_blocked_one_in)
{
    struct sta *sta = installed();
    sigset_t none;

    set_action(carried, NULL, SA_SIGINFO);
    set_blocked(SIG_BLOCK, carried);
    sigemptyset(&none);
    raise(carried);
    errno = 0;
    CHECK_EQ(sigsuspend(&none), -1);
    CHECK_EQ(errno, EINTR);
    CHECK_EQ(handled, 1);
    CHECK(is_blocked(carried));
    remove_transformer(sta);
}

VICTIM(sigwait_and_signalfd_get_their_signals)
{
    struct sta *sta = installed();
    struct signalfd_siginfo info;
    int signal = 0, fd;
    sigset_t set;

    set_blocked(SIG_BLOCK, 0);
    sigfillset(&set);
    raise(SIGUSR1);
    CHECK_EQ(sigwait(&set, &signal), 0);
    CHECK_EQ(signal, SIGUSR1);
    raise(carried);
    CHECK_EQ(sigwait(&set, &signal), 0);
    CHECK_EQ(signal, carried);
    fd = signalfd(-1, &set, SFD_NONBLOCK);
    CHECK(fd >= 0);
    raise(SIGUSR2);
    CHECK_EQ(read(fd, &info, sizeof(info)), sizeof(info));
    CHECK_EQ(info.ssi_signo, SIGUSR2);
    remove_transformer(sta);
    CHECK(is_blocked(carried));
}

static _Atomic pid_t waiter_tid;

static void *wait_for_signals(void *unused)
{
    int signal = 0;
    sigset_t set;

    sigfillset(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    waiter_tid = gettid();
    CHECK_EQ(sigwait(&set, &signal), 0);
    CHECK_EQ(signal, SIGUSR1);
    return unused;
}

VICTIM(a_thread_in_sigwait_notices_neither_install_nor_remove)
{
    struct sta *sta;
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, wait_for_signals, NULL), 0);
    while (!waiter_tid)
        sleep_ms(1);
    wait_until_asleep(waiter_tid);
    for (int i = 0; i < 5; i++) {
        sta = installed();
        check_threads(sta, 1, 1);
        remove_transformer(sta);
        sta_free(sta);
    }
    CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);

    sta = installed();
    waiter_tid = 0;
    CHECK_EQ(pthread_create(&thread, NULL, wait_for_signals, NULL), 0);
    while (!waiter_tid)
        sleep_ms(1);
    wait_until_asleep(waiter_tid);
    remove_transformer(sta);
    CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handler_from_before_install_gets_its_signals),
        cmocka_unit_test(a_handler_from_after_install_gets_its_signals),
        cmocka_unit_test(a_handler_without_siginfo_gets_its_signals),
        cmocka_unit_test(a_one_shot_handler_runs_once),
        cmocka_unit_test(an_ignored_one_is_ignored),
        cmocka_unit_test(where_it_kills_it_still_kills),
        cmocka_unit_test(actions_read_back_are_the_hosts_own),
        cmocka_unit_test(masks_read_back_are_the_hosts_own),
        cmocka_unit_test(a_blocked_one_comes_when_it_is_unblocked),
        cmocka_unit_test(one_that_is_pending_at_install_stays_so),
        cmocka_unit_test(it_is_blocked_in_its_own_handler),
        cmocka_unit_test(handlers_that_block_everything_can_make_calls),
        cmocka_unit_test(nested_handlers_can_make_calls),
        cmocka_unit_test(waits_with_full_masks_end_by_the_signal_left_out),
        cmocka_unit_test(sigsuspend_lets_a_blocked_one_in),
        cmocka_unit_test(sigwait_and_signalfd_get_their_signals),
        cmocka_unit_test(a_thread_in_sigwait_notices_neither_install_nor_remove),
    };

    static const int signals[] = {SIGSYS, SIGILL, SIGTRAP, SIGSEGV, SIGBUS};
    int failed = 0;

    if (become_whom_asked(argc, argv))
        return VICTIM_SKIPPED;
    for (size_t i = 0; i < COUNT_OF(signals); i++) {
        carried = signals[i];
        failed += cmocka_run_group_tests_name(strsignal(carried), tests, NULL, NULL);
    }
    return failed;
}
