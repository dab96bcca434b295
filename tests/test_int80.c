/* SPDX-License-Identifier: MIT */
/*
 * System calls through int 0x80: 32-bit numbers and arguments, raw events only. They work with
 * every method, and are seen by Syscall User Dispatch: alone, or on top with
 * STA_TRANSFORM_EXHAUSTIVE.
 */
#include "intercept.h"

#define NR32_EXIT   1
#define NR32_FORK   2
#define NR32_GETPID 20
#define NR32_PIPE   42

static long int80(long nr, long a, long b, long c)
{
    long result;

    __asm__ volatile("int $0x80" : "=a"(result) : "a"(nr), "b"(a), "c"(b), "d"(c) : "memory", "cc");
    return result;
}

static void on_no_int80(int signal)
{
    (void)signal;
    victim_skip("no int 0x80 here (CONFIG_IA32_EMULATION)");
}

static void require_int80(void)
{
    signal(SIGSEGV, on_no_int80);
    if (int80(NR32_GETPID, 0, 0, 0) != getpid())
        victim_skip("no int 0x80 here (CONFIG_IA32_EMULATION)");
    signal(SIGSEGV, SIG_DFL);
}

VICTIM(int80_works)
{
    struct sta *sta = new_registry();
    struct seen *all;

    require_int80();
    all = count_calls(sta, STA_ALL_SYSCALLS);
    install(sta);
    CHECK_EQ(int80(NR32_GETPID, 0, 0, 0), STA__RAW0(SYS_getpid));
    CHECK_EQ(int80(9999, 0, 0, 0), -ENOSYS);
    CHECK_EQ(int80(NR32_PIPE, 0, 0, 0), -EFAULT);
    CHECK(!is_by_sud(sta) || all->enters >= 3);
    remove_transformer(sta);
    CHECK_EQ(int80(NR32_GETPID, 0, 0, 0), STA__RAW0(SYS_getpid));
}

VICTIM(int80_calls_give_raw_events_with_32_bit_numbers)
{
    struct seen *all, *named;
    struct sta *sta = new_registry();
    long enters, exits;

    require_int80();
    all = count_calls(sta, STA_ALL_SYSCALLS);
    named = count_calls(sta, NR32_GETPID); /* writev */
    install_exhaustive(sta);
    enters = all->enters, exits = all->exits;
    CHECK_EQ(int80(NR32_GETPID, 0, 0, 0), STA__RAW0(SYS_getpid));
    CHECK_EQ(all->enters - enters, 1);
    CHECK_EQ(all->exits - exits, 1);
    CHECK_EQ(all->last_id, NR32_GETPID);
    CHECK_EQ(all->last_ret, STA__RAW0(SYS_getpid));
    CHECK_EQ(named->enters, 0);
    CHECK_EQ(named->exits, 0);
    CHECK_EQ(int80(9999, 0, 0, 0), -ENOSYS);
    CHECK_EQ(int80(NR32_PIPE, 0, 0, 0), -EFAULT);
    remove_transformer(sta);
    CHECK_EQ(int80(NR32_GETPID, 0, 0, 0), STA__RAW0(SYS_getpid));
}

static int deny(void *ctx, size_t ctx_size, uint64_t *ret, void *id)
{
    (void)ctx_size, (void)ret;
    return ((struct sta_sys_enter *)ctx)->id == (long)id ? sta_override_return(-EPERM) : 0;
}

VICTIM(int80_calls_can_be_overridden)
{
    struct sta *sta = new_registry();

    require_int80();
    attach(sta, STA_ALL_SYSCALLS, true, deny, (void *)NR32_GETPID);
    install_exhaustive(sta);
    CHECK_EQ(int80(NR32_GETPID, 0, 0, 0), -EPERM);
    remove_transformer(sta);
}

VICTIM(a_fork_through_int80_is_followed)
{
    struct seen *seen;
    struct sta *sta;
    pid_t pid;

    require_int80();
    sta = installed_counting(SYS_getppid, &seen);
    pid = (pid_t)int80(NR32_FORK, 0, 0, 0);
    if (pid == 0) {
        getppid();
        _exit(0);
    }
    CHECK(pid > 0);
    CHECK_EQ(status_of(pid), 0);
    CHECK_EQ(seen->enters, 1);
    remove_transformer(sta);
}

static void *exit_through_int80(void *unused)
{
    (void)unused;
    int80(NR32_EXIT, 0, 0, 0);
    return NULL;
}

VICTIM(a_thread_that_exits_through_int80_is_not_counted_any_more)
{
    struct sta *sta = new_registry();
    pthread_t thread;

    require_int80();
    install(sta);
    CHECK_EQ(pthread_create(&thread, NULL, exit_through_int80, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    check_threads(sta, 1, 0);
    remove_transformer(sta);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(int80_works),
        cmocka_unit_test(int80_calls_give_raw_events_with_32_bit_numbers),
        cmocka_unit_test(int80_calls_can_be_overridden),
        cmocka_unit_test(a_fork_through_int80_is_followed),
        cmocka_unit_test(a_thread_that_exits_through_int80_is_not_counted_any_more),
    };

    return run_interception_tests(argc, argv, tests);
}
