/* SPDX-License-Identifier: MIT */
/*
 * Jumps out of callbacks, and out of signal handlers that interrupted one: the guard is not left
 * stuck, wherever the thread dispatches next.
 */
#include "core.h"

#include <sys/mman.h>

#define NR 39

static struct sta *registry;
static sigjmp_buf back;

static int expected;
static atomic_int traced;

static void check_traced(void)
{
    dispatch(registry, NR);
    must_equal(atomic_load(&traced), ++expected);
}

/* Further down than the callback was, in stack that was used for other things meanwhile. */
__attribute__((noinline)) static void check_traced_deeper(int depth)
{
    volatile char frame[200];

    memset((char *)frame, depth, sizeof(frame));
    if (depth > 0)
        check_traced_deeper(depth - 1);
    else
        check_traced();
    must(frame[0] == depth);
}

static int setup(void **state)
{
    registry_setup(state);
    registry = *state;
    expected = 0;
    traced = 0;
    attach_enter(registry, NR, count_run, &traced);
    return 0;
}

/* Out of a callback */

static int jump(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    siglongjmp(back, 1);
}

__attribute__((noinline)) static void dispatch_deeper(int depth)
{
    volatile char frame[200];

    memset((char *)frame, depth, sizeof(frame));
    if (depth > 0)
        dispatch_deeper(depth - 1);
    else
        dispatch(registry, NR + 1);
    must(frame[0] == depth); /* no tail call */
}

static void jump_from_depth(int depth)
{
    if (sigsetjmp(back, 0) == 0)
        dispatch_deeper(depth);
}

static void after_a_jump_calls_are_traced(bool is_enter)
{
    static const int depths[] = {0, 1, 5, 20};

    attach(registry, NR + 1, is_enter, jump, NULL);
    for (size_t i = 0; i < COUNT(depths); i++) {
        jump_from_depth(depths[i]);
        check_traced(); /* further up */
        jump_from_depth(depths[i]);
        use_stack();
        check_traced_deeper(depths[i]); /* about there */
        jump_from_depth(depths[i]);
        use_stack();
        check_traced_deeper(depths[i] + 30); /* further down */
        check_traced();
    }
}

static void after_a_jump_out_of_an_enter_callback_calls_are_traced(void **state)
{
    (void)state;
    after_a_jump_calls_are_traced(true);
}

static void after_a_jump_out_of_an_exit_callback_calls_are_traced(void **state)
{
    (void)state;
    after_a_jump_calls_are_traced(false);
}

static void jump_and_dispatch_at_the_same_place(void **state)
{
    (void)state;
    attach_enter(registry, NR + 1, jump, NULL);
    for (int i = 0; i < 1000; i++) {
        if (sigsetjmp(back, 0) == 0)
            dispatch(registry, i % 3 ? NR + 1 : NR);
        else
            dispatch(registry, NR);
    }
    assert_int_equal(traced, 1000);
}

/* The callback's own calls are guarded again after an earlier jump. */
static int call_from_callback(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    dispatch(registry, NR);
    return 0;
}

static void after_a_jump_the_guard_guards(void **state)
{
    int id = attach_enter(registry, NR + 2, call_from_callback, NULL);

    (void)state;
    attach_enter(registry, NR + 1, jump, NULL);
    for (int i = 0; i < 10; i++) {
        jump_from_depth(i);
        dispatch(registry, NR + 2);
        assert_int_equal(traced, 0);
        assert_int_equal(info_of(registry, id).runs, i + 1);
    }
}

/* A hole: stack that the thread did not write to since, so that the section seems to be there. Then
 * calls may be missed, but not for longer than that. */
static void a_hole_in_the_stack_deceives_for_a_while_only(void **state)
{
    struct sta_attach_info info;

    (void)state;
    attach_enter(registry, NR + 1, jump, NULL);
    jump_from_depth(0);
    {
        volatile char hole[8192];

        hole[0] = 0;
        dispatch(registry, NR);
        for (size_t i = 0; i < sizeof(hole); i++)
            hole[i] = 0;
        dispatch(registry, NR);
    }
    info = info_of(registry, 1);
    assert_int_equal(info.runs + info.missed, 2);
    assert_true(info.runs >= 1);
    expected = atomic_load(&traced);
    check_traced();
}

/* Out of a signal handler that interrupted a callback */

static int raise_signal(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    raise(SIGUSR1);
    return 0;
}

static void jump_from_handler(int signal)
{
    (void)signal;
    dispatch(registry, NR); /* missed: the callback runs */
    must_equal(atomic_load(&traced), expected);
    siglongjmp(back, 1);
}

static void raise_and_jump(int depth)
{
    if (sigsetjmp(back, 1) == 0) {
        dispatch_deeper(depth);
        must(!"came back");
    }
}

static void on_signal(void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    must_equal(sigaction(SIGUSR1, &action, NULL), 0);
}

static void check_handler_jumps(int flags)
{
    on_signal(jump_from_handler, flags);
    for (int depth = 0; depth < 20; depth += 5) {
        raise_and_jump(depth);
        check_traced();
        raise_and_jump(depth);
        use_stack();
        check_traced_deeper(depth);
        raise_and_jump(depth);
        use_stack();
        check_traced_deeper(depth + 30);
    }
    on_signal(SIG_DFL, 0);
}

static void after_a_jump_out_of_a_handler_calls_are_traced(void **state)
{
    (void)state;
    attach_exit(registry, NR + 1, raise_signal, NULL);
    check_handler_jumps(0);
}

/* Alternate signal stacks, further down than the thread's stack and further up. */

enum { ALT_SIZE = 256 * 1024, STACK_SIZE = 2048 * 1024 };

struct stacks {
    char *low, *stack, *high; /* in this order */
    char *alt;                /* low or high: the one to be used */
};

static int64_t kernel_call(int64_t sys_nr, int64_t a1, int64_t a2, int64_t a3, int64_t a4,
                           int64_t a5, int64_t a6)
{
    int64_t result;

    if (sys_nr != SYS_sigaltstack)
        return original_call(sys_nr, a1, a2, a3, a4, a5, a6);
    result = sigaltstack((stack_t *)a1, (stack_t *)a2);
    return result == 0 ? 0 : -errno;
}

/* As the application would, so that the library knows. */
static void use_alt_stack(const stack_t *stack, stack_t *old)
{
    must_equal(sta_dispatch(registry, SYS_sigaltstack, (int64_t)stack, (int64_t)old, 0, 0, 0, 0),
               0);
}

static bool on_alt;

static void jump_while_on_alt_stack(int signal)
{
    (void)signal;
    on_alt = true;
    check_traced();             /* no callback was interrupted */
    dispatch(registry, NR + 2); /* whose callback jumps to the thread's stack */
    must(!"came back");
}

static void check_callbacks_on_alt_stack_jump(void)
{
    on_signal(jump_while_on_alt_stack, SA_ONSTACK);
    for (int depth = 0; depth < 20; depth += 5) {
        on_alt = false;
        if (sigsetjmp(back, 1) == 0)
            raise(SIGUSR1);
        must(on_alt);
        if (depth % 2)
            check_traced();
        else
            check_traced_deeper(depth); /* what was left there is on the other stack */
    }
    on_signal(SIG_DFL, 0);
}

static void *jump_between_stacks(void *data)
{
    struct stacks *stacks = data;
    stack_t alt = {.ss_sp = stacks->alt, .ss_size = ALT_SIZE}, old;

    use_alt_stack(&alt, &old);
    check_handler_jumps(SA_ONSTACK);
    check_callbacks_on_alt_stack_jump();
    check_handler_jumps(SA_ONSTACK);
    use_alt_stack(&old, NULL);
    check_handler_jumps(0);
    return NULL;
}

static void check_alt_stack(bool above)
{
    const size_t size = ALT_SIZE + STACK_SIZE + ALT_SIZE;
    struct stacks stacks;
    pthread_attr_t attributes;
    pthread_t thread;

    stacks.low = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(stacks.low != MAP_FAILED);
    stacks.stack = stacks.low + ALT_SIZE;
    stacks.high = stacks.stack + STACK_SIZE;
    stacks.alt = above ? stacks.high : stacks.low;
    sta_set_original_syscall(registry, kernel_call);
    attach_enter(registry, NR + 1, raise_signal, NULL);
    attach_enter(registry, NR + 2, jump, NULL);
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stacks.stack, STACK_SIZE);
    must_equal(pthread_create(&thread, &attributes, jump_between_stacks, &stacks), 0);
    pthread_attr_destroy(&attributes);
    finish(thread);
    munmap(stacks.low, size);
}

static void jumps_between_stacks_with_the_alternate_one_below(void **state)
{
    (void)state;
    check_alt_stack(false);
}

static void jumps_between_stacks_with_the_alternate_one_above(void **state)
{
    (void)state;
    check_alt_stack(true);
}

int main(void)
{
#define WITH_JUMPS(test) cmocka_unit_test_setup_teardown(test, setup, registry_teardown)
    const struct CMUnitTest tests[] = {
        WITH_JUMPS(after_a_jump_out_of_an_enter_callback_calls_are_traced),
        WITH_JUMPS(after_a_jump_out_of_an_exit_callback_calls_are_traced),
        WITH_JUMPS(jump_and_dispatch_at_the_same_place),
        WITH_JUMPS(after_a_jump_the_guard_guards),
        WITH_JUMPS(a_hole_in_the_stack_deceives_for_a_while_only),
        WITH_JUMPS(after_a_jump_out_of_a_handler_calls_are_traced),
        WITH_JUMPS(jumps_between_stacks_with_the_alternate_one_below),
        WITH_JUMPS(jumps_between_stacks_with_the_alternate_one_above),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
