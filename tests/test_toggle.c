/* SPDX-License-Identifier: MIT */
/*
 * Attaching and detaching, installing and removing, while threads call: who calls between the two
 * is seen, and in the end every byte is as it was.
 */
#include "intercept.h"

#include "text.h"

#define CALLERS   4
#define ATTACHERS 2
#define ROUNDS    (UNDER_ASAN ? 40 : 100)
/* Removing waits for threads that run. */
#define INSTALLS 15

static _Atomic bool stop;
static _Atomic long calls_made;
static int zero_fd, null_fd;

/* Some calls of each kind: by number, by syscall(), with arguments, through libc and directly. */
static void make_calls(long parent)
{
    char byte = 1;
    long result;

    CHECK_EQ(getppid(), parent);
    CHECK_EQ(read(zero_fd, &byte, 1), 1);
    CHECK_EQ(byte, 0);
    CHECK_EQ(write(null_fd, "hello", 5), 5);
    CHECK_EQ(syscall(SYS_getppid), parent);
    CHECK_EQ(syscall(1000), -1);
    CHECK_EQ(errno, ENOSYS);
    __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_getppid) : "rcx", "r11", "memory");
    CHECK_EQ(result, parent);
    atomic_fetch_add_explicit(&calls_made, 6, memory_order_relaxed);
}

static void *call_until_stopped(void *unused)
{
    const long parent = STA__RAW0(SYS_getppid);

    (void)unused;
    while (!atomic_load(&stop))
        make_calls(parent);
    return NULL;
}

struct load {
    pthread_t threads[CALLERS];
};

static void begin_load(struct load *load)
{
    zero_fd = open("/dev/zero", O_RDONLY);
    null_fd = open("/dev/null", O_WRONLY);
    for (int i = 0; i < CALLERS; i++)
        CHECK_EQ(pthread_create(&load->threads[i], NULL, call_until_stopped, NULL), 0);
    while (atomic_load(&calls_made) < 100)
        sleep_ms(1);
}

static void end_load(struct load *load)
{
    atomic_store(&stop, true);
    for (int i = 0; i < CALLERS; i++)
        CHECK_EQ(pthread_join(load->threads[i], NULL), 0);
}

/* Callbacks run on the thread that calls: this counts its own calls. */
static __thread volatile long own_calls;

static int count_own(void *ctx, size_t ctx_size, uint64_t *ret, void *detached)
{
    (void)ctx, (void)ctx_size, (void)ret;
    CHECK(!atomic_load((_Atomic bool *)detached));
    own_calls++;
    return 0;
}

static void check_own(long sys_nr, int times)
{
    for (int i = 0; i < times; i++) {
        if (sys_nr == SYS_getppid)
            getppid();
        else
            getuid();
    }
}

/* Attaches to one call, makes it, and detaches: seen, not seen, seen, ... */
static void toggle(struct sta *sta, int round)
{
    static const int numbers[] = {SYS_getppid, SYS_getuid, STA_ALL_SYSCALLS};
    const int nr = numbers[round % 3], called = nr == SYS_getuid ? SYS_getuid : SYS_getppid;
    _Atomic bool *detached = malloc(sizeof(*detached));
    long before;
    int id;

    atomic_init(detached, false);
    id = attach(sta, nr, round % 2, count_own, (void *)detached);
    before = own_calls;
    check_own(called, 3);
    CHECK_EQ(own_calls - before, 3);
    CHECK_EQ(sta_detach(sta, id), 0);
    atomic_store(detached, true); /* by now nobody looks */
    before = own_calls;
    check_own(called, 3);
    CHECK_EQ(own_calls - before, 0);
    free((void *)detached);
}

static void *toggle_many_times(void *sta)
{
    for (int round = 0; round < ROUNDS; round++)
        toggle(sta, round);
    return NULL;
}

VICTIM(attach_and_detach_while_threads_call)
{
    struct text *text = text_snapshot();
    struct sta *sta = new_registry();
    struct load load;

    install(sta);
    begin_load(&load);
    toggle_many_times(sta);
    end_load(&load);
    remove_transformer(sta);
    text_check(text);
}

/* Own calls of one thread are those of another thread's attachment, too: only their absence after
 * detaching cannot be checked. */
static void *toggle_elsewhere(void *sta)
{
    struct seen *seen = shared_memory(sizeof(*seen));

    for (int round = 0; round < ROUNDS; round++) {
        const int nr = round % 3 ? SYS_getppid : STA_ALL_SYSCALLS;
        int enter = attach(sta, nr, true, count_enter, seen);
        int leave = attach(sta, nr, false, count_exit, seen);
        struct sta_attach_info info = {.size = sizeof(info)};

        getppid();
        CHECK_EQ(sta_attach_info(sta, enter, &info), 0);
        CHECK(info.runs >= 1);
        CHECK_EQ(sta_attach_info(sta, leave, &info), 0);
        CHECK(info.runs >= 1);
        CHECK_EQ(sta_detach(sta, round % 2 ? leave : enter), 0);
        CHECK_EQ(sta_detach(sta, round % 2 ? enter : leave), 0);
    }
    return NULL;
}

VICTIM(attach_and_detach_from_many_threads_while_threads_call)
{
    struct text *text = text_snapshot();
    struct sta *sta = new_registry();
    pthread_t attachers[ATTACHERS];
    struct load load;

    install(sta);
    begin_load(&load);
    for (int i = 0; i < ATTACHERS; i++)
        CHECK_EQ(pthread_create(&attachers[i], NULL, toggle_elsewhere, sta), 0);
    for (int i = 0; i < ATTACHERS; i++)
        CHECK_EQ(pthread_join(attachers[i], NULL), 0);
    end_load(&load);
    remove_transformer(sta);
    text_check(text);
}

VICTIM(install_and_remove_while_threads_call)
{
    struct text *text = text_snapshot();
    struct sta *sta = new_registry();
    struct seen *seen = count_calls(sta, SYS_getppid);
    struct load load;
    long before;

    begin_load(&load);
    for (int i = 0; i < INSTALLS; i++) {
        install(sta);
        before = seen->enters;
        getppid();
        CHECK(seen->enters > before);
        remove_transformer(sta);
        text_check(text);
    }
    end_load(&load);
    before = seen->enters;
    getppid();
    CHECK_EQ(seen->enters, before);
    text_check(text);
}

static _Atomic bool stop_toggling;

/* Whether anything is seen depends on the moment. */
static void *toggle_blindly(void *sta)
{
    struct seen *seen = shared_memory(sizeof(*seen));

    for (int round = 0; !atomic_load(&stop_toggling); round++) {
        const int nr = round % 3 ? SYS_getppid : STA_ALL_SYSCALLS;
        int id = attach(sta, nr, round % 2, round % 2 ? count_enter : count_exit, seen);

        getppid();
        CHECK_EQ(sta_detach(sta, id), 0);
    }
    return NULL;
}

VICTIM(attach_and_detach_while_another_thread_installs_and_removes)
{
    struct text *text = text_snapshot();
    struct sta *sta = new_registry();
    pthread_t togglers[ATTACHERS];
    struct load load;

    begin_load(&load);
    for (int i = 0; i < ATTACHERS; i++)
        CHECK_EQ(pthread_create(&togglers[i], NULL, toggle_blindly, sta), 0);
    for (int i = 0; i < INSTALLS; i++) {
        install(sta);
        toggle(sta, i);
        remove_transformer(sta);
        text_check(text);
    }
    atomic_store(&stop_toggling, true);
    for (int i = 0; i < ATTACHERS; i++)
        CHECK_EQ(pthread_join(togglers[i], NULL), 0);
    end_load(&load);
    text_check(text);
}

/* From inside a callback */

static int attached_inside;

static int attach_inside(void *ctx, size_t ctx_size, uint64_t *ret, void *sta)
{
    const struct sta_target target = {SYS_getuid, true};

    (void)ctx, (void)ctx_size, (void)ret;
    if (attached_inside) {
        CHECK_EQ(sta_detach(sta, attached_inside), 0);
        attached_inside = 0;
    } else {
        attached_inside = sta_attach(sta, &target, count_own, shared_memory(4096));
        CHECK(attached_inside > 0);
    }
    return 0;
}

VICTIM(attach_and_detach_in_a_callback)
{
    struct text *text = text_snapshot();
    struct sta *sta = new_registry();
    struct load load;

    install(sta);
    begin_load(&load);
    attach(sta, SYS_getpid, true, attach_inside, sta);
    for (int i = 0; i < INSTALLS; i++) {
        long before;

        syscall(SYS_getpid);
        before = own_calls;
        getuid();
        CHECK_EQ(own_calls, before + 1);
        syscall(SYS_getpid);
        getuid();
        CHECK_EQ(own_calls, before + 1);
    }
    end_load(&load);
    remove_transformer(sta);
    text_check(text);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attach_and_detach_while_threads_call),
        cmocka_unit_test(attach_and_detach_from_many_threads_while_threads_call),
        cmocka_unit_test(install_and_remove_while_threads_call),
        cmocka_unit_test(attach_and_detach_while_another_thread_installs_and_removes),
        cmocka_unit_test(attach_and_detach_in_a_callback),
    };

    return run_interception_tests(argc, argv, tests);
}
