/* SPDX-License-Identifier: MIT */
/*
 * C++ exceptions in an intercepted program: thrown above the call, and out of a callback through
 * it. The C++ is in exceptions.cpp.
 */
#include "intercept.h"

#if HAS_CXX

int cxx_throw_deep(int depth);
int cxx_catch(int (*call)(int), int argument);
void cxx_throw(int value);
int cxx_read(int fd);
extern int cxx_destroyed;

VICTIM(exceptions_across_frames_that_make_calls)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_read, &seen);

    for (int depth = 0; depth < 20; depth++)
        CHECK_EQ(cxx_throw_deep(depth), depth + 1);
    CHECK_EQ(seen->enters, 20 * 21 / 2);
    remove_transformer(sta);
    CHECK_EQ(cxx_throw_deep(5), 6);
}

static int throw_from_callback(void *ctx, size_t ctx_size, uint64_t *ret, void *value)
{
    (void)ctx, (void)ctx_size, (void)ret;
    cxx_throw((int)(long)value);
    return 0;
}

static void check_thrown(bool is_enter)
{
    struct sta *sta = new_registry();
    struct seen *seen = count_calls(sta, SYS_getppid);

    attach(sta, SYS_read, is_enter, throw_from_callback, (void *)4711);
    install(sta);
    for (int i = 1; i <= 20; i++) {
        cxx_destroyed = 0;
        CHECK_EQ(cxx_catch(cxx_read, -1), 4711);
        CHECK_EQ(cxx_destroyed, 2);
        getppid();
        CHECK_EQ(seen->enters, i); /* the guard is not stuck */
    }
    remove_transformer(sta);
}

VICTIM(an_exception_out_of_an_enter_callback_reaches_the_caller)
{
    check_thrown(true);
}

VICTIM(an_exception_out_of_an_exit_callback_reaches_the_caller)
{
    check_thrown(false);
}

static void *throw_in_thread(void *unused)
{
    for (int i = 0; i < 50; i++)
        CHECK_EQ(cxx_throw_deep(10), 11);
    return unused;
}

VICTIM(threads_throw_while_callbacks_come_and_go)
{
    struct sta *sta = new_registry();
    struct seen *seen = shared_memory(sizeof(*seen));
    pthread_t thread;

    install(sta);
    CHECK_EQ(pthread_create(&thread, NULL, throw_in_thread, NULL), 0);
    for (int i = 0; i < 100; i++) {
        int id = attach(sta, i % 2 ? SYS_read : STA_ALL_SYSCALLS, true, count_enter, seen);

        CHECK_EQ(sta_detach(sta, id), 0);
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
    remove_transformer(sta);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exceptions_across_frames_that_make_calls),
        cmocka_unit_test(an_exception_out_of_an_enter_callback_reaches_the_caller),
        cmocka_unit_test(an_exception_out_of_an_exit_callback_reaches_the_caller),
        cmocka_unit_test(threads_throw_while_callbacks_come_and_go),
    };

    return run_interception_tests(argc, argv, tests);
}

#else

static void exceptions_are_thrown(void **state)
{
    (void)state;
    print_message("skipped: no C++ compiler was found\n");
    skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(exceptions_are_thrown)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
