/* SPDX-License-Identifier: MIT */
/* The door: one thread's calls are answered, everybody else's go on as before. */
#define TEST_METHOD STA_METHOD_SUD
#include "intercept.h"

#include <sys/syscall.h>

#include "base/log.h"
#include "transform/door.h"

#define ANSWER 4711

static const struct sta__log log_lines = {log_to_stderr, NULL};

struct counting_door {
    struct sta__door door; /* first */
    int calls, answered;
};

/* getppid is ours. */
static bool answer(struct sta__door *door, struct sta__call *call)
{
    struct counting_door *self = (struct counting_door *)door;

    self->calls++;
    if (call->enter.id != SYS_getppid)
        return false;
    self->answered++;
    call->ret = ANSWER;
    return true;
}

static void open_door(struct counting_door *door)
{
    memset(door, 0, sizeof(*door));
    door->door.answer = answer;
    CHECK_EQ(sta__door_open(&door->door, &log_lines), 0);
}

VICTIM(a_threads_calls_are_answered_until_it_closes)
{
    struct counting_door door;
    long parent = getppid();

    open_door(&door);
    CHECK_EQ(getppid(), ANSWER);
    CHECK_EQ(getpid(), STA__RAW0(SYS_getpid));
    CHECK_EQ(close(-1), -1);
    CHECK_EQ(errno, EBADF);
    CHECK_EQ(sta__door_open(&door.door, &log_lines), -EALREADY);
    sta__door_close();
    CHECK_EQ(getppid(), parent);
    CHECK_EQ(door.answered, 1);
    CHECK(door.calls >= 2);
}

static _Atomic bool is_open, is_done;
static _Atomic long others;

static void *call_meanwhile(void *unused)
{
    (void)unused;
    while (!atomic_load(&is_done)) {
        if (atomic_load(&is_open) && getppid() != ANSWER)
            atomic_fetch_add(&others, 1);
        if (getppid() == ANSWER)
            victim_failed("another thread's call was answered");
    }
    return NULL;
}

VICTIM(other_threads_do_not_notice)
{
    struct counting_door door;
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, call_meanwhile, NULL), 0);
    for (int i = 0; i < 100; i++) {
        open_door(&door);
        atomic_store(&is_open, true);
        for (int j = 0; j < 100; j++)
            CHECK_EQ(getppid(), ANSWER);
        atomic_store(&is_open, false);
        sta__door_close();
    }
    atomic_store(&is_done, true);
    pthread_join(thread, NULL);
    CHECK(atomic_load(&others) > 0);
}

/* The answer's own calls come to it, too. */
static bool answer_by_asking(struct sta__door *door, struct sta__call *call)
{
    (void)door;
    if (call->enter.id != SYS_getppid)
        return false;
    call->ret = (int64_t)syscall(SYS_getpid);
    return true;
}

VICTIM(an_answer_may_make_calls)
{
    struct sta__door door = {answer_by_asking};

    CHECK_EQ(sta__door_open(&door, &log_lines), 0);
    CHECK_EQ(getppid(), STA__RAW0(SYS_getpid));
    sta__door_close();
}

/* All signals are blocked, so that a call which is led away would be the end. */
static bool answer_unwatched(struct sta__door *door, struct sta__call *call)
{
    sigset_t all, old;

    (void)door;
    if (call->enter.id != SYS_getppid)
        return false;
    sta__door_watch(false);
    sigfillset(&all);
    STA__RAW4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, 8);
    call->ret = (int64_t)syscall(SYS_getppid);
    STA__RAW4(SYS_rt_sigprocmask, SIG_SETMASK, &old, 0, 8);
    sta__door_watch(true);
    call->ret += ANSWER;
    return true;
}

VICTIM(an_answer_may_ask_the_kernel_whatever_the_mask)
{
    struct sta__door door = {answer_unwatched};
    long parent = getppid();

    CHECK_EQ(sta__door_open(&door, &log_lines), 0);
    CHECK_EQ(getppid(), parent + ANSWER);
    CHECK_EQ(getppid(), parent + ANSWER);
    sta__door_close();
    CHECK_EQ(getppid(), parent);
}

VICTIM(children_go_their_own_way)
{
    struct counting_door door;
    long self = getpid();
    pid_t pid;

    open_door(&door);
    pid = fork();
    if (pid == 0)
        _exit(getppid() == self ? 3 : 4);
    CHECK_EQ(status_of(pid), 3 << 8);
    CHECK_EQ(getppid(), ANSWER);
    sta__door_close();
}

static _Atomic int handled;

static void on_signal(int signal)
{
    (void)signal;
    atomic_fetch_add(&handled, 1);
}

VICTIM(signals_of_the_application_arrive)
{
    struct sigaction mine = {.sa_handler = on_signal}, old;
    struct counting_door door;

    sigaction(SIGSYS, &mine, NULL);
    sigaction(SIGUSR1, &mine, NULL);
    open_door(&door);
    raise(SIGUSR1);
    raise(SIGSYS);
    CHECK_EQ(getppid(), ANSWER);
    sta__door_close();
    raise(SIGSYS);
    CHECK_EQ(atomic_load(&handled), 3);
    sigaction(SIGSYS, NULL, &old);
    CHECK(old.sa_handler == on_signal);
}

VICTIM(a_thread_that_blocks_the_signal_is_led_too)
{
    struct counting_door door;
    sigset_t all, now;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    open_door(&door);
    CHECK_EQ(getppid(), ANSWER);
    sta__door_close();
    sigprocmask(SIG_BLOCK, NULL, &now);
    CHECK(sigismember(&now, SIGSYS));
}

static void *install_meanwhile(void *sta)
{
    sta_transform_install(sta, NULL);
    atomic_store(&is_done, true);
    return NULL;
}

VICTIM(a_transformer_waits_for_the_door_and_the_door_for_none)
{
    struct sta *sta = new_registry();
    struct counting_door door;
    pthread_t thread;

    open_door(&door);
    CHECK_EQ(pthread_create(&thread, NULL, install_meanwhile, sta), 0);
    sleep_ms(20);
    CHECK(!atomic_load(&is_done));
    CHECK_EQ(getppid(), ANSWER);
    sta__door_close();
    pthread_join(thread, NULL);
    CHECK(atomic_load(&is_done));
    CHECK_EQ(sta__door_open(&door.door, &log_lines), -EBUSY);
    CHECK(sta__transform_hold() == sta);
    sta__transform_release();
    remove_transformer(sta);
    CHECK(sta__transform_hold() == NULL);
    open_door(&door);
    CHECK_EQ(getppid(), ANSWER);
    sta__door_close();
    sta_free(sta);
}

static int open_inside(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct counting_door door = {0};

    (void)ctx, (void)ctx_size, (void)ret;
    *(int *)user_data = sta__door_open(&door.door, &(struct sta__log){0});
    return 0;
}

VICTIM(no_door_is_opened_inside_a_callback)
{
    struct sta *sta = new_registry();
    int result = 0;

    attach(sta, SYS_getuid, true, open_inside, &result);
    sta_dispatch(sta, SYS_getuid, 0, 0, 0, 0, 0, 0);
    CHECK_EQ(result, -EDEADLK);
    sta_free(sta);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_threads_calls_are_answered_until_it_closes),
        cmocka_unit_test(other_threads_do_not_notice),
        cmocka_unit_test(an_answer_may_make_calls),
        cmocka_unit_test(an_answer_may_ask_the_kernel_whatever_the_mask),
        cmocka_unit_test(children_go_their_own_way),
        cmocka_unit_test(signals_of_the_application_arrive),
        cmocka_unit_test(a_thread_that_blocks_the_signal_is_led_too),
        cmocka_unit_test(a_transformer_waits_for_the_door_and_the_door_for_none),
        cmocka_unit_test(no_door_is_opened_inside_a_callback),
    };

    return run_interception_tests(argc, argv, tests);
}
