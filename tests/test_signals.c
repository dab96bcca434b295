/* SPDX-License-Identifier: MIT */
/*
 * The host's own use of SIGSYS while SIGSYS carries interception: as without it.
 */
#include "intercept.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/signalfd.h>

#define UNUSED_NR 400 /* trapped by a filter here */

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
    (void)context;
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

/* Ways to get a SIGSYS */

static void send_by_sigqueue(void)
{
    union sigval value = {.sival_int = 4711};

    CHECK_EQ(sigqueue(getpid(), SIGSYS, value), 0);
}

static void trap_unused_number(void)
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

/* Sends SIGSYS in every way and looks whether the handler is told the truth. */
static void check_handler(void)
{
    int before = handled;

    CHECK_EQ(raise(SIGSYS), 0);
    CHECK_EQ(handled, before + 1);
    CHECK_EQ(handled_info.si_code, SI_TKILL);
    CHECK_EQ(handled_info.si_pid, getpid());
    CHECK_EQ(kill(getpid(), SIGSYS), 0);
    CHECK_EQ(handled, before + 2);
    CHECK_EQ(handled_info.si_code, SI_USER);
    send_by_sigqueue();
    CHECK_EQ(handled, before + 3);
    CHECK_EQ(handled_info.si_code, SI_QUEUE);
    CHECK_EQ(handled_info.si_value.sival_int, 4711);
}

static void check_seccomp_trap(void)
{
    int before = handled;

    trap_unused_number();
    syscall(UNUSED_NR, 0, 0, 0, 0, 0, 0);
    CHECK_EQ(handled, before + 1);
    CHECK_EQ(handled_info.si_code, 1 /* SYS_SECCOMP */);
    CHECK_EQ(handled_info.si_syscall, UNUSED_NR);
    CHECK_EQ(handled_info.si_errno, 77);
}

VICTIM(a_handler_from_before_install_gets_its_signals)
{
    struct sta *sta;

    set_action(SIGSYS, NULL, SA_SIGINFO);
    sta = installed();
    check_handler();
    check_seccomp_trap();
    remove_transformer(sta);
    check_handler();
}

VICTIM(a_handler_from_after_install_gets_its_signals)
{
    struct sta *sta = installed();

    set_action(SIGSYS, NULL, SA_SIGINFO);
    check_handler();
    check_seccomp_trap();
    remove_transformer(sta);
    check_handler();
}

VICTIM(a_handler_without_siginfo_gets_its_signals)
{
    struct sta *sta = installed();

    set_action(SIGSYS, on_signal, 0);
    CHECK_EQ(raise(SIGSYS), 0);
    CHECK_EQ(kill(getpid(), SIGSYS), 0);
    CHECK_EQ(handled, 2);
    remove_transformer(sta);
}

VICTIM(a_one_shot_handler_runs_once)
{
    struct sta *sta = installed();
    struct sigaction action;

    set_action(SIGSYS, on_signal, SA_RESETHAND);
    CHECK_EQ(raise(SIGSYS), 0);
    CHECK_EQ(handled, 1);
    CHECK_EQ(sigaction(SIGSYS, NULL, &action), 0);
    CHECK(action.sa_handler == SIG_DFL);
    remove_transformer(sta);
}

VICTIM(an_ignored_sigsys_is_ignored)
{
    struct sta *sta;

    signal(SIGSYS, SIG_IGN);
    sta = installed();
    CHECK_EQ(raise(SIGSYS), 0);
    CHECK_EQ(kill(getpid(), SIGSYS), 0);
    remove_transformer(sta);
    CHECK_EQ(raise(SIGSYS), 0);
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
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
        victim_failed("%s: status %x", what, (unsigned)status);
}

#define check_death(action) check_death_(#action, action)

static void raise_sigsys(void)
{
    raise(SIGSYS);
}

static void raise_after_one_shot(void)
{
    set_action(SIGSYS, on_signal, SA_RESETHAND);
    raise(SIGSYS);
    raise(SIGSYS);
}

static void trap_while_ignored(void)
{
    signal(SIGSYS, SIG_IGN);
    trap_unused_number();
    syscall(UNUSED_NR);
}

static void trap_while_blocked(void)
{
    set_action(SIGSYS, on_signal, 0);
    set_blocked(SIG_BLOCK, SIGSYS);
    trap_unused_number();
    syscall(UNUSED_NR);
}

VICTIM(where_sigsys_kills_it_still_kills)
{
    struct sta *sta = installed();

    check_death(raise_sigsys);
    check_death(raise_after_one_shot);
    check_death(trap_while_ignored);
    check_death(trap_while_blocked);
    remove_transformer(sta);
    check_death(raise_sigsys);
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
    sigaddset(&second.sa_mask, SIGSYS);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(sigaction(SIGSYS, &first, NULL), 0);
        CHECK_EQ(sigaction(SIGUSR1, &first, NULL), 0);
        sta = installed();
        check_action(SIGSYS, &first);
        check_action(SIGUSR1, &first);
        CHECK_EQ(sigaction(SIGSYS, &second, &old), 0);
        CHECK(sigismember(&old.sa_mask, SIGSYS));
        CHECK_EQ(sigaction(SIGUSR1, &second, &old), 0);
        CHECK(sigismember(&old.sa_mask, SIGSYS));
        CHECK_EQ(sigaction(SIGUSR2, &second, NULL), 0);
        check_action(SIGSYS, &second);
        check_action(SIGUSR1, &second);
        remove_transformer(sta);
        check_action(SIGSYS, &second);
        check_action(SIGUSR1, &second);
        check_action(SIGUSR2, &second);
    }
}

VICTIM(masks_read_back_are_the_hosts_own)
{
    struct sta *sta;

    set_blocked(SIG_BLOCK, 0);
    sta = installed();
    CHECK(is_blocked(SIGSYS));
    CHECK(is_blocked(SIGUSR1));
    set_blocked(SIG_UNBLOCK, SIGSYS);
    CHECK(!is_blocked(SIGSYS));
    CHECK(is_blocked(SIGUSR1));
    set_blocked(SIG_UNBLOCK, 0);
    CHECK(!is_blocked(SIGUSR1));
    set_blocked(SIG_SETMASK, SIGSYS);
    CHECK(is_blocked(SIGSYS));
    for (int i = 0; i < 100; i++)
        getppid();
    remove_transformer(sta);
    CHECK(is_blocked(SIGSYS));
    CHECK(!is_blocked(SIGUSR1));
}

/* A blocked SIGSYS waits */

VICTIM(a_blocked_sigsys_comes_when_it_is_unblocked)
{
    struct sta *sta;
    sigset_t pending;

    set_action(SIGSYS, NULL, SA_SIGINFO);
    set_blocked(SIG_BLOCK, SIGSYS);
    sta = installed();
    for (int i = 1; i <= 3; i++) {
        send_by_sigqueue();
        send_by_sigqueue(); /* one of them is lost, as ever */
        CHECK_EQ(handled, i - 1);
        CHECK_EQ(sigpending(&pending), 0);
        CHECK(sigismember(&pending, SIGSYS));
        set_blocked(SIG_UNBLOCK, SIGSYS);
        CHECK_EQ(handled, i);
        CHECK_EQ(handled_info.si_value.sival_int, 4711);
        CHECK_EQ(sigpending(&pending), 0);
        CHECK(!sigismember(&pending, SIGSYS));
        set_blocked(SIG_BLOCK, SIGSYS);
    }
    raise(SIGSYS);
    remove_transformer(sta);
    CHECK_EQ(handled, 3);
    set_blocked(SIG_UNBLOCK, SIGSYS);
    CHECK_EQ(handled, 4);
}

VICTIM(a_sigsys_that_is_pending_at_install_stays_so)
{
    struct sta *sta;

    set_action(SIGSYS, NULL, SA_SIGINFO);
    set_blocked(SIG_BLOCK, SIGSYS);
    raise(SIGSYS);
    sta = installed();
    CHECK_EQ(handled, 0);
    getppid();
    set_blocked(SIG_UNBLOCK, SIGSYS);
    CHECK_EQ(handled, 1);
    remove_transformer(sta);
}

VICTIM(sigsys_is_blocked_in_its_own_handler)
{
    struct sta *sta = installed();

    set_action(SIGSYS, on_signal, 0);
    raise(SIGSYS);
    CHECK(sigismember(&mask_in_handler, SIGSYS));
    CHECK(!is_blocked(SIGSYS));
    set_action(SIGSYS, on_signal, SA_NODEFER);
    raise(SIGSYS);
    CHECK(!sigismember(&mask_in_handler, SIGSYS));
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
    CHECK(!is_blocked(SIGSYS));
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
        CHECK(!is_blocked(SIGSYS));
    }
    remove_transformer(sta);
}

VICTIM(sigsuspend_lets_a_blocked_sigsys_in)
{
    struct sta *sta = installed();
    sigset_t none;

    set_action(SIGSYS, NULL, SA_SIGINFO);
    set_blocked(SIG_BLOCK, SIGSYS);
    sigemptyset(&none);
    raise(SIGSYS);
    errno = 0;
    CHECK_EQ(sigsuspend(&none), -1);
    CHECK_EQ(errno, EINTR);
    CHECK_EQ(handled, 1);
    CHECK(is_blocked(SIGSYS));
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
    raise(SIGSYS);
    CHECK_EQ(sigwait(&set, &signal), 0);
    CHECK_EQ(signal, SIGSYS);
    fd = signalfd(-1, &set, SFD_NONBLOCK);
    CHECK(fd >= 0);
    raise(SIGUSR2);
    CHECK_EQ(read(fd, &info, sizeof(info)), sizeof(info));
    CHECK_EQ(info.ssi_signo, SIGUSR2);
    remove_transformer(sta);
    CHECK(is_blocked(SIGSYS));
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
        cmocka_unit_test(an_ignored_sigsys_is_ignored),
        cmocka_unit_test(where_sigsys_kills_it_still_kills),
        cmocka_unit_test(actions_read_back_are_the_hosts_own),
        cmocka_unit_test(masks_read_back_are_the_hosts_own),
        cmocka_unit_test(a_blocked_sigsys_comes_when_it_is_unblocked),
        cmocka_unit_test(a_sigsys_that_is_pending_at_install_stays_so),
        cmocka_unit_test(sigsys_is_blocked_in_its_own_handler),
        cmocka_unit_test(handlers_that_block_everything_can_make_calls),
        cmocka_unit_test(nested_handlers_can_make_calls),
        cmocka_unit_test(waits_with_full_masks_end_by_the_signal_left_out),
        cmocka_unit_test(sigsuspend_lets_a_blocked_sigsys_in),
        cmocka_unit_test(sigwait_and_signalfd_get_their_signals),
        cmocka_unit_test(a_thread_in_sigwait_notices_neither_install_nor_remove),
    };

    return run_interception_tests(argc, argv, tests);
}
