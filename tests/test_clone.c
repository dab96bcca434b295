/* SPDX-License-Identifier: MIT */
/*
 * clone and clone3 made by hand, with stacks and flags as glibc never passes them; ends of threads.
 */
#include "intercept.h"

#include <dlfcn.h>
#include <linux/futex.h>
#include <linux/sched.h>

#define STACK_SIZE (256 * 1024)

static struct seen *getppids, *clones;

static struct sta *installed(int clone_nr)
{
    struct sta *sta = installed_counting(SYS_getppid, &getppids);

    clones = count_calls(sta, clone_nr);
    return sta;
}

/* What a child of clone does: calls that do not touch errno, and its end by `exit_nr`. */
struct child {
    long exit_nr;
    _Atomic int runs;
};

static long raw(long nr, long a)
{
    long result;

    __asm__ volatile("syscall" : "=a"(result) : "a"(nr), "D"(a) : "rcx", "r11", "memory");
    return result;
}

__attribute__((used, noreturn, no_sanitize("address", "undefined"))) static void
run_child(struct child *child)
{
    raw(SYS_getppid, 0);
    raw(SYS_getppid, 0);
    child->runs++;
    for (;;)
        raw(child->exit_nr, 0);
}

/* long clone_raw(nr, a1, a2, a3, a4, a5, child): the child calls run_child(child). */
long clone_raw(long nr, long a1, long a2, long a3, long a4, long a5, struct child *child);
__asm__(".text\n"
        ".type clone_raw, @function\n"
        "clone_raw:\n"
        "  push %rbx\n"
        "  mov %rdi, %rax\n"
        "  mov %rsi, %rdi\n"
        "  mov %rdx, %rsi\n"
        "  mov %rcx, %rdx\n"
        "  mov %r8, %r10\n"
        "  mov %r9, %r8\n"
        "  mov 16(%rsp), %rbx\n"
        "  syscall\n"
        "  test %rax, %rax\n"
        "  jz 1f\n"
        "  pop %rbx\n"
        "  ret\n"
        "1:xor %ebp, %ebp\n"
        "  mov %rbx, %rdi\n"
        "  and $-16, %rsp\n"
        "  call run_child\n"
        ".size clone_raw, . - clone_raw\n");

static char *new_stack(void)
{
    char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

    CHECK(stack != MAP_FAILED);
    return stack;
}

/* Thread-local storage for a thread made by hand, as glibc makes it for its own. */
static void *new_tls(void)
{
    void *(*allocate)(void *) = (void *(*)(void *))dlsym(RTLD_DEFAULT, "_dl_allocate_tls");
    void **tls = allocate ? allocate(NULL) : NULL;

    if (!tls)
        victim_skip("this libc does not offer _dl_allocate_tls");
    tls[0] = tls[2] = tls; /* tcbhead_t: tcb, self */
    return tls;
}

#define THREAD_FLAGS                                                                    \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | \
     CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID)

static void wait_for_thread(_Atomic int *tid)
{
    int seen;

    while ((seen = atomic_load(tid)) != 0)
        STA__RAW4(SYS_futex, tid, FUTEX_WAIT, seen, 0);
}

VICTIM(a_raw_thread_without_tls_runs_native)
{
    struct sta *sta = installed(SYS_clone);
    struct child child = {.exit_nr = SYS_exit};
    _Atomic int tid = 1;
    long result = clone_raw(SYS_clone, THREAD_FLAGS, (long)new_stack() + STACK_SIZE, (long)&tid,
                            (long)&tid, 0, &child);

    CHECK(result > 0);
    wait_for_thread(&tid);
    CHECK_EQ(child.runs, 1);
    CHECK_EQ(clones->enters, 1);
    CHECK_EQ(clones->exits, 1);
    CHECK_EQ(getppids->enters, 0);
    check_threads(sta, 1, 1);
    remove_transformer(sta);
}

VICTIM(a_raw_thread_with_tls_is_intercepted)
{
    struct sta *sta = installed(SYS_clone);
    struct child child = {.exit_nr = SYS_exit};

    for (int i = 1; i <= 10; i++) {
        _Atomic int tid = 1;
        long result =
            clone_raw(SYS_clone, THREAD_FLAGS | CLONE_SETTLS, (long)new_stack() + STACK_SIZE,
                      (long)&tid, (long)&tid, (long)new_tls(), &child);

        CHECK(result > 0);
        wait_for_thread(&tid);
        CHECK_EQ(child.runs, i);
        CHECK_EQ(clones->enters, i);
        CHECK_EQ(clones->exits, 2 * i);
        CHECK_EQ(getppids->enters, 2 * i);
        check_threads(sta, 1, 0);
    }
    remove_transformer(sta);
}

/* Processes */

static void clone_process(long flags, long stack, int times)
{
    struct child *child = shared_memory(sizeof(*child));

    child->exit_nr = SYS_exit_group;
    for (int i = 1; i <= times; i++) {
        long pid = clone_raw(SYS_clone, flags | SIGCHLD, stack, 0, 0, 0, child);

        CHECK(pid > 0);
        CHECK_EQ(status_of((pid_t)pid), 0);
        CHECK_EQ(child->runs, i);
    }
}

static void finish(struct sta *sta, long children, bool seen)
{
    CHECK_EQ(clones->enters, children);
    CHECK_EQ(clones->exits, children + (seen ? children : 0));
    CHECK_EQ(getppids->enters, seen ? 2 * children : 0);
    getppid();
    CHECK_EQ(getppids->enters, 1 + (seen ? 2 * children : 0));
    remove_transformer(sta);
}

VICTIM(a_clone_with_a_new_stack)
{
    struct sta *sta = installed(SYS_clone);

    clone_process(0, (long)new_stack() + STACK_SIZE, 3);
    finish(sta, 3, true);
}

VICTIM(a_clone_like_fork)
{
    struct sta *sta = installed(SYS_clone);

    clone_process(0, 0, 3);
    finish(sta, 3, true);
}

VICTIM(a_vfork_with_a_new_stack)
{
    struct sta *sta = installed(SYS_clone);

    clone_process(CLONE_VM | CLONE_VFORK, (long)new_stack() + STACK_SIZE, 3);
    finish(sta, 3, true);
}

VICTIM(a_vfork_by_clone)
{
    struct sta *sta = installed(SYS_clone);

    clone_process(CLONE_VFORK | CLONE_VM, 0, 3);
    finish(sta, 3, true);
}

VICTIM(a_process_that_shares_memory_and_tls_runs_native)
{
    struct sta *sta = installed(SYS_clone);

    clone_process(CLONE_VM, (long)new_stack() + STACK_SIZE, 3);
    finish(sta, 3, false);
}

VICTIM(a_process_that_shares_memory_with_its_own_tls_is_intercepted)
{
    struct sta *sta = installed(SYS_clone);
    struct child child = {.exit_nr = SYS_exit_group};
    long pid = clone_raw(SYS_clone, CLONE_VM | CLONE_SETTLS | SIGCHLD,
                         (long)new_stack() + STACK_SIZE, 0, 0, (long)new_tls(), &child);

    CHECK(pid > 0);
    CHECK_EQ(status_of((pid_t)pid), 0);
    finish(sta, 1, true);
}

static void clone3_process(struct clone_args *args, int times)
{
    struct child *child = shared_memory(sizeof(*child));

    child->exit_nr = SYS_exit_group;
    args->exit_signal = SIGCHLD;
    for (int i = 1; i <= times; i++) {
        long pid = clone_raw(SYS_clone3, (long)args, sizeof(*args), 0, 0, 0, child);

        CHECK(pid > 0);
        CHECK_EQ(status_of((pid_t)pid), 0);
        CHECK_EQ(child->runs, i);
    }
}

VICTIM(clone3_with_a_new_stack)
{
    struct sta *sta = installed(SYS_clone3);
    struct clone_args args = {.stack = (uint64_t)new_stack(), .stack_size = STACK_SIZE};

    clone3_process(&args, 3);
    finish(sta, 3, true);
}

VICTIM(clone3_like_fork_and_vfork)
{
    struct sta *sta = installed(SYS_clone3);
    struct clone_args args = {0};

    clone3_process(&args, 2);
    args.flags = CLONE_VM | CLONE_VFORK;
    clone3_process(&args, 2);
    args.stack = (uint64_t)new_stack();
    args.stack_size = STACK_SIZE;
    clone3_process(&args, 2);
    finish(sta, 6, true);
}

VICTIM(clone3_that_clears_signal_handlers)
{
    struct sta *sta = installed(SYS_clone3);
    struct clone_args args = {.flags = CLONE_CLEAR_SIGHAND};

    clone3_process(&args, 2);
    args.flags |= CLONE_VM | CLONE_VFORK;
    clone3_process(&args, 2);
    finish(sta, 4, true);
}

/* Ends of threads */

static int ends[2];
static _Atomic int cleaned_up;
static _Atomic pid_t blocked_tid;

static void clean_up(void *unused)
{
    (void)unused;
    cleaned_up++;
}

static void *block_in_read(void *async)
{
    char byte;

    if (async)
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    pthread_cleanup_push(clean_up, NULL);
    atomic_store(&blocked_tid, gettid());
    CHECK(read(ends[0], &byte, 1) == 1);
    pthread_cleanup_pop(0);
    return NULL;
}

static void cancel_readers(void *async)
{
    for (int i = 1; i <= 10; i++) {
        pthread_t thread;
        void *result;

        atomic_store(&blocked_tid, 0);
        CHECK_EQ(pthread_create(&thread, NULL, block_in_read, async), 0);
        while (!atomic_load(&blocked_tid))
            sleep_ms(1);
        wait_until_asleep(blocked_tid);
        CHECK_EQ(pthread_cancel(thread), 0);
        CHECK_EQ(pthread_join(thread, &result), 0);
        CHECK(result == PTHREAD_CANCELED);
        CHECK_EQ(cleaned_up, i);
    }
}

VICTIM(cancelling_a_thread_in_read_runs_its_cleanup)
{
    struct sta *sta = installed(SYS_clone);

    CHECK_EQ(pipe(ends), 0);
    cancel_readers(NULL);
    remove_transformer(sta);
}

VICTIM(cancelling_asynchronously_runs_its_cleanup)
{
    struct sta *sta = installed(SYS_clone);

    CHECK_EQ(pipe(ends), 0);
    cancel_readers(&ends);
    remove_transformer(sta);
}

static void *exit_thread(void *result)
{
    pthread_cleanup_push(clean_up, NULL);
    getppid();
    pthread_exit(result);
    pthread_cleanup_pop(0);
}

VICTIM(pthread_exit_runs_cleanup)
{
    struct sta *sta = installed(SYS_clone);
    pthread_t thread;
    void *result;

    CHECK_EQ(pthread_create(&thread, NULL, exit_thread, &ends), 0);
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK(result == &ends);
    CHECK_EQ(cleaned_up, 1);
    CHECK_EQ(getppids->enters, 1);
    remove_transformer(sta);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_raw_thread_without_tls_runs_native),
        cmocka_unit_test(a_raw_thread_with_tls_is_intercepted),
        cmocka_unit_test(a_clone_with_a_new_stack),
        cmocka_unit_test(a_clone_like_fork),
        cmocka_unit_test(a_vfork_with_a_new_stack),
        cmocka_unit_test(a_vfork_by_clone),
        cmocka_unit_test(a_process_that_shares_memory_and_tls_runs_native),
        cmocka_unit_test(a_process_that_shares_memory_with_its_own_tls_is_intercepted),
        cmocka_unit_test(clone3_with_a_new_stack),
        cmocka_unit_test(clone3_like_fork_and_vfork),
        cmocka_unit_test(clone3_that_clears_signal_handlers),
        cmocka_unit_test(cancelling_a_thread_in_read_runs_its_cleanup),
        cmocka_unit_test(cancelling_asynchronously_runs_its_cleanup),
        cmocka_unit_test(pthread_exit_runs_cleanup),
    };

    return run_interception_tests(argc, argv, tests);
}
