/* SPDX-License-Identifier: MIT */
/*
 * Signals that arrive in the middle of intercepted calls: at any instruction, on any stack.
 */
#include "intercept.h"

#include <setjmp.h>

#define CALLS (UNDER_ASAN ? 20000 : 300000)

static struct seen *getppids;
static volatile long in_handler;
static sigjmp_buf away;
static volatile bool may_jump;

static void call_in_handler(int signal)
{
    int saved = errno;

    (void)signal;
    in_handler++;
    getppid();
    errno = saved;
}

static void jump_out_of_handler(int signal)
{
    call_in_handler(signal);
    if (may_jump && in_handler % 4 == 0)
        siglongjmp(away, 1);
}

static int count_nothing(void *ctx, size_t ctx_size, uint64_t *ret, void *unused)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)unused;
    return 0;
}

static timer_t start_timer(long interval_ns)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec interval = {{0, interval_ns}, {0, interval_ns}};
    timer_t timer;

    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    CHECK_EQ(timer_settime(timer, 0, &interval, NULL), 0);
    return timer;
}

static void storm(void (*handler)(int), int flags, long calls)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    struct sta_attach_info info = {.size = sizeof(info)};
    struct sta *sta = new_registry();
    const int id = attach(sta, SYS_getppid, true, count_nothing, NULL);
    const long parent = STA__RAW0(SYS_getppid);
    volatile long made = 0;
    long interrupts, runs, events;
    timer_t timer;

    sigfillset(&action.sa_mask);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    attach(sta, SYS_getppid, false, count_nothing, NULL);
    install(sta);
    timer = start_timer(150 * 1000);
    if (sigsetjmp(away, 1) == 0)
        may_jump = true;
    while (made < calls) {
        made++; /* before: a jump may leave the call */
        CHECK_EQ(getppid(), parent);
    }
    may_jump = false;
    CHECK_EQ(timer_delete(timer), 0);
    interrupts = in_handler;
    CHECK(interrupts > 0);
    CHECK_EQ(sta_attach_info(sta, id, &info), 0);
    /* A handler that interrupted a callback was missed. A jump may leave a call before its event.
     */
    events = (long)(info.runs + info.missed);
    if (handler == call_in_handler)
        CHECK_EQ(events, made + interrupts);
    else
        CHECK(events >= made - interrupts && events <= made + interrupts);
    CHECK((long)info.missed < interrupts);
    runs = (long)info.runs;
    getppid();
    CHECK_EQ(sta_attach_info(sta, id, &info), 0);
    CHECK_EQ(info.runs, ++runs);
    remove_transformer(sta);
    getppid();
    CHECK_EQ(sta_attach_info(sta, id, &info), 0);
    CHECK_EQ(info.runs, runs);
}

VICTIM(calls_under_a_storm_of_signals)
{
    storm(call_in_handler, SA_RESTART, CALLS);
}

static void use_alternate_stack(void)
{
    stack_t stack = {.ss_size = 256 * 1024};

    stack.ss_sp = malloc(stack.ss_size);
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
}

VICTIM(calls_under_a_storm_of_signals_on_an_alternate_stack)
{
    use_alternate_stack();
    storm(call_in_handler, SA_RESTART | SA_ONSTACK, CALLS / 3);
}

VICTIM(calls_under_a_storm_of_signals_that_jump_away)
{
    storm(jump_out_of_handler, SA_RESTART, CALLS / 3);
}

VICTIM(calls_under_a_storm_of_signals_that_jump_off_an_alternate_stack)
{
    use_alternate_stack();
    storm(jump_out_of_handler, SA_RESTART | SA_ONSTACK, CALLS / 3);
}

/* Blocked calls */

static int ends[2];
static pid_t victim;

static void *signal_then_write(void *unused)
{
    wait_until_asleep(victim);
    CHECK_EQ(kill(victim, SIGUSR1), 0);
    while (!in_handler)
        sleep_ms(1);
    sleep_ms(5);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    return unused;
}

/* Reads from a pipe with a signal before the byte comes. */
static ssize_t read_interrupted(int flags)
{
    struct sigaction action = {.sa_handler = call_in_handler, .sa_flags = flags};
    struct sta *sta = installed_counting(SYS_getppid, &getppids);
    sigset_t set;
    pthread_t thread;
    ssize_t result;
    char byte;

    victim = getpid();
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, signal_then_write, NULL), 0);
    CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
    errno = 0;
    result = read(ends[0], &byte, 1);
    if (result < 0)
        result = -errno;
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(in_handler, 1);
    CHECK_EQ(getppids->enters, 1);
    remove_transformer(sta);
    return result;
}

VICTIM(sa_restart_restarts_a_blocked_read)
{
    CHECK_EQ(read_interrupted(SA_RESTART), 1);
}

VICTIM(without_sa_restart_a_blocked_read_gives_eintr)
{
    CHECK_EQ(read_interrupted(0), -EINTR);
}

VICTIM(a_restarted_read_has_one_event)
{
    struct sta *sta = new_registry();
    struct seen *reads = count_calls(sta, SYS_read);
    struct sigaction action = {.sa_handler = call_in_handler, .sa_flags = SA_RESTART};
    pthread_t thread;
    long enters;
    char byte;

    victim = getpid();
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, signal_then_write, NULL), 0);
    install(sta);
    enters = reads->enters;
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK(reads->enters > enters);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(reads->exits, reads->enters);
    remove_transformer(sta);
}

VICTIM(a_stopped_and_continued_sleep_goes_on)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_clock_nanosleep, &seen);
    pid_t pid = fork();

    if (pid == 0) {
        struct timespec time = {.tv_nsec = 60 * 1000000};

        CHECK_EQ(nanosleep(&time, NULL), 0);
        CHECK_EQ(seen->enters, 1);
        CHECK_EQ(seen->exits, 1);
        _exit(0);
    }
    sleep_ms(20);
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    sleep_ms(5);
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EQ(status_of(pid), 0);
    remove_transformer(sta);
}

VICTIM(rt_sigreturn_is_seen_at_entry_only)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_rt_sigreturn, &seen);

    signal(SIGUSR1, call_in_handler);
    for (int i = 0; i < 10; i++)
        raise(SIGUSR1);
    CHECK_EQ(seen->enters, 10);
    CHECK_EQ(seen->exits, 0);
    remove_transformer(sta);
}

static int deny(void *ctx, size_t ctx_size, uint64_t *ret, void *unused)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)unused;
    return sta_override_return(-EPERM);
}

VICTIM(rt_sigreturn_cannot_be_overridden)
{
    struct sta *sta = new_registry();

    attach(sta, SYS_rt_sigreturn, true, deny, NULL);
    install(sta);
    signal(SIGUSR1, call_in_handler);
    raise(SIGUSR1);
    CHECK_EQ(in_handler, 1);
    remove_transformer(sta);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_under_a_storm_of_signals),
        cmocka_unit_test(calls_under_a_storm_of_signals_on_an_alternate_stack),
        cmocka_unit_test(calls_under_a_storm_of_signals_that_jump_away),
        cmocka_unit_test(calls_under_a_storm_of_signals_that_jump_off_an_alternate_stack),
        cmocka_unit_test(sa_restart_restarts_a_blocked_read),
        cmocka_unit_test(without_sa_restart_a_blocked_read_gives_eintr),
        cmocka_unit_test(a_restarted_read_has_one_event),
        cmocka_unit_test(a_stopped_and_continued_sleep_goes_on),
        cmocka_unit_test(rt_sigreturn_is_seen_at_entry_only),
        cmocka_unit_test(rt_sigreturn_cannot_be_overridden),
    };

    return run_interception_tests(argc, argv, tests);
}
