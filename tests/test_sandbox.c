/* SPDX-License-Identifier: MIT */
/*
 * Seccomp filters that the application installs. They see the calls that it makes, and on the way
 * of an intercepted call none of the library's own; and where they refuse what the library wants,
 * installing fails, or is done in another way, but kills nobody.
 */
#include "intercept.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "text.h"

#define FILTER_MAX 64

/* A filter that is put together call by call: `verdict` for those in the list, or for all others.
 */
struct filter {
    struct sock_filter code[FILTER_MAX];
    unsigned short length;
};

static void add(struct filter *filter, struct sock_filter instruction)
{
    CHECK(filter->length < FILTER_MAX);
    filter->code[filter->length++] = instruction;
}

static void begin_filter(struct filter *filter)
{
    filter->length = 0;
    add(filter,
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
}

static void add_verdict(struct filter *filter, int sys_nr, unsigned verdict)
{
    add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)sys_nr, 0, 1));
    add(filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, verdict));
}

static void apply(struct filter *filter, unsigned otherwise)
{
    struct sock_fprog program = {.filter = filter->code};

    add(filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, otherwise));
    program.len = filter->length;
    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        victim_skip("no seccomp filters here");
}

/* Lets `sys_nr` fail with `error` from now on. */
static void refuse(int sys_nr, unsigned error)
{
    struct filter filter;

    begin_filter(&filter);
    add_verdict(&filter, sys_nr, SECCOMP_RET_ERRNO | error);
    apply(&filter, SECCOMP_RET_ALLOW);
}

VICTIM(a_call_that_a_filter_refuses_is_refused_and_seen)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getuid, &seen);

    refuse(SYS_getuid, EACCES);
    for (int i = 1; i <= 10; i++) {
        errno = 0;
        CHECK_EQ(syscall(SYS_getuid), -1);
        CHECK_EQ(errno, EACCES);
        CHECK_EQ(seen->enters, i);
        CHECK_EQ(seen->last_ret, -EACCES);
    }
    CHECK_EQ(getppid(), STA__RAW0(SYS_getppid));
    remove_transformer(sta);
}

static int answer(void *ctx, size_t ctx_size, uint64_t *ret, void *value)
{
    (void)ctx, (void)ctx_size, (void)ret;
    return sta_override_return((long)value);
}

VICTIM(a_call_that_is_overridden_does_not_reach_the_filter)
{
    struct sta *sta = new_registry();
    struct filter filter;

    attach(sta, 500, true, answer, (void *)4711);
    install(sta);
    begin_filter(&filter);
    add_verdict(&filter, 500, SECCOMP_RET_KILL_PROCESS);
    apply(&filter, SECCOMP_RET_ALLOW);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(syscall(500), 4711);
    remove_transformer(sta);
}

/* Whoever makes any other call dies. With Syscall User Dispatch each call is a signal, from which a
 * thread returns by rt_sigreturn; so it is where a site is rewritten by a trap. */
static void allow_only(const int *numbers, size_t count)
{
    struct filter filter;

    begin_filter(&filter);
    for (size_t i = 0; i < count; i++)
        add_verdict(&filter, numbers[i], SECCOMP_RET_ALLOW);
    apply(&filter, SECCOMP_RET_KILL_PROCESS);
}

VICTIM(an_intercepted_call_makes_no_other_calls)
{
    static const int allowed[] = {SYS_getppid,    SYS_read, SYS_write,
                                  SYS_exit_group, 500,      SYS_rt_sigreturn};
    const long parent = STA__RAW0(SYS_getppid);
    struct sta *sta = new_registry();
    struct seen *all = count_calls(sta, STA_ALL_SYSCALLS);
    int zero_fd = open("/dev/zero", O_RDONLY);
    char byte;
    long before;

    install(sta);
    allow_only(allowed, is_by_sud(sta) ? COUNT_OF(allowed) : COUNT_OF(allowed) - 1);
    before = all->enters;
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(getppid(), parent);
        CHECK_EQ(read(zero_fd, &byte, 1), 1);
        CHECK_EQ(syscall(500), -1);
    }
    CHECK_EQ(all->enters - before, 300);
    CHECK_EQ(all->exits, all->enters);
    STA__RAW1(SYS_exit_group, 0); /* AddressSanitizer's runtime makes calls in _exit */
}

VICTIM(mapping_code_under_a_filter_makes_no_other_calls)
{
    static const int allowed[] = {SYS_mmap, SYS_mprotect, SYS_munmap, SYS_exit_group,
                                  SYS_rt_sigreturn};
    struct sta *sta = new_registry();
    int fd = open("/proc/self/exe", O_RDONLY);
    void *code;

    install(sta);
    allow_only(allowed, is_by_sud(sta) ? COUNT_OF(allowed) : COUNT_OF(allowed) - 1);
    code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    CHECK(code != MAP_FAILED);
    CHECK_EQ(mprotect(code, 4096, PROT_READ), 0);
    CHECK_EQ(mprotect(code, 4096, PROT_READ | PROT_EXEC), 0);
    CHECK_EQ(munmap(code, 4096), 0);
    STA__RAW1(SYS_exit_group, 0); /* as above */
}

static _Atomic bool stop;

static void *call_until_stopped(void *seen)
{
    (void)seen;
    while (!atomic_load(&stop))
        CHECK_EQ(getppid(), STA__RAW0(SYS_getppid));
    return NULL;
}

/* The strict mode of old: read, write, exit and rt_sigreturn. */
VICTIM(strict_mode_works)
{
    struct sta *sta = new_registry();
    struct seen *reads = count_calls(sta, SYS_read);
    int zero_fd = open("/dev/zero", O_RDONLY);
    pid_t pid;

    install(sta);
    pid = fork();
    if (pid == 0) {
        char byte;

        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) < 0)
            syscall(SYS_exit, VICTIM_SKIPPED);
        for (int i = 0; i < 10; i++)
            if (read(zero_fd, &byte, 1) != 1)
                syscall(SYS_exit, 1);
        syscall(SYS_exit, reads->exits == 10 ? 0 : 2);
    }
    CHECK_EQ(status_of(pid), 0);
    remove_transformer(sta);
}

/* Attaching under a filter that refuses it what it takes to rewrite. */
VICTIM(attaching_where_rewriting_is_refused_harms_nobody)
{
    static const int refused[] = {SYS_openat,  SYS_open,   SYS_mprotect,          SYS_pwrite64,
                                  SYS_mremap,  SYS_mmap,   SYS_process_vm_writev, SYS_membarrier,
                                  SYS_pwritev, SYS_madvise};
    const struct sta_target target = {SYS_getppid, true};
    struct sta *sta = new_registry();
    struct seen *seen = shared_memory(sizeof(*seen));
    struct filter filter;
    pthread_t thread;
    long before;
    int id;

    install(sta);
    CHECK_EQ(pthread_create(&thread, NULL, call_until_stopped, seen), 0);
    begin_filter(&filter);
    for (size_t i = 0; i < COUNT_OF(refused); i++)
        add_verdict(&filter, refused[i], SECCOMP_RET_ERRNO | EPERM);
    apply(&filter, SECCOMP_RET_ALLOW);
    id = sta_attach(sta, &target, count_enter, seen);
    CHECK(id != 0);
    before = seen->enters;
    CHECK_EQ(getppid(), STA__RAW0(SYS_getppid));
    if (id > 0 && is_by_sud(sta))
        CHECK(seen->enters > before);
    if (id > 0)
        CHECK_EQ(sta_detach(sta, id), 0);
    atomic_store(&stop, true);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    remove_transformer(sta);
    CHECK_EQ(getppid(), STA__RAW0(SYS_getppid));
}

/* Installing where one call is refused: it works without it, or says so and nothing has changed. */

static void try_without(int sys_nr, unsigned error)
{
    struct text *text = text_snapshot();
    struct sta *sta = new_registry();
    struct seen *seen = count_calls(sta, SYS_getppid);
    int err;

    refuse(sys_nr, error);
    err = try_install(sta, 0);
    CHECK(err <= 0);
    CHECK_EQ(getppid(), STA__RAW0(SYS_getppid));
    if (err < 0) {
        CHECK_EQ(seen->enters, 0);
        CHECK_EQ(sta_transform_remove(sta), -ENOENT);
    } else {
        CHECK_EQ(sta_transform_remove(sta), 0);
    }
    text_check(text);
    CHECK_EQ(getppid(), STA__RAW0(SYS_getppid));
}

VICTIM(installing_where_a_call_is_refused_harms_nobody)
{
    static const int numbers[] = {SYS_openat,
                                  SYS_open,
                                  SYS_read,
                                  SYS_pread64,
                                  SYS_pwrite64,
                                  SYS_write,
                                  SYS_mmap,
                                  SYS_mprotect,
                                  SYS_mremap,
                                  SYS_madvise,
                                  SYS_membarrier,
                                  SYS_prctl,
                                  SYS_getdents64,
                                  SYS_rt_sigaction,
                                  SYS_rt_sigprocmask,
                                  SYS_process_vm_readv,
                                  SYS_process_vm_writev,
                                  SYS_nanosleep,
                                  SYS_gettid,
                                  SYS_rt_tgsigqueueinfo};
    static const unsigned errors[] = {EPERM, ENOSYS, ENOMEM};

    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        for (size_t j = 0; j < COUNT_OF(errors); j++) {
            pid_t pid = fork();
            int status;

            if (pid == 0) {
                try_without(numbers[i], errors[j]);
                _exit(0);
            }
            status = status_of(pid);
            if (WIFEXITED(status) && WEXITSTATUS(status) == VICTIM_SKIPPED)
                victim_skip("no seccomp filters here");
            if (status != 0)
                victim_failed("without %s (errno %u): status %#x", sta_syscall_name(numbers[i]),
                              errors[j], (unsigned)status);
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_that_a_filter_refuses_is_refused_and_seen),
        cmocka_unit_test(a_call_that_is_overridden_does_not_reach_the_filter),
        cmocka_unit_test(an_intercepted_call_makes_no_other_calls),
        cmocka_unit_test(mapping_code_under_a_filter_makes_no_other_calls),
        cmocka_unit_test(strict_mode_works),
        cmocka_unit_test(attaching_where_rewriting_is_refused_harms_nobody),
        cmocka_unit_test(installing_where_a_call_is_refused_harms_nobody),
    };

    return run_interception_tests(argc, argv, tests);
}
