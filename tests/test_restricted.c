/* SPDX-License-Identifier: MIT */
/*
 * Kernels that lack a system call or refuse it. A seccomp filter stands for them, in a child for
 * each test; the parent never makes a registry, so that each child starts from the beginning.
 */
#include "core.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <sys/mman.h>

#include "base/grace.h"
#include "base/quiesce.h"

#define NR 39

/* From now on `sys_nr` fails with `error`: always, or only with `value` as argument `arg`. */
struct refusal {
    int sys_nr, error;
    int arg; /* -1: always */
    unsigned value;
};

static void refuse(const struct refusal *refusal)
{
    unsigned arg = refusal->arg < 0 ? 0 : (unsigned)refusal->arg;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)refusal->sys_nr, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 (unsigned)(offsetof(struct seccomp_data, args) + arg * sizeof(uint64_t))),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refusal->value, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)refusal->error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {COUNT(code), code};

    if (refusal->arg < 0)
        code[3] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, 0, 0, 0);
    must_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    must_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void refuse_nothing(void)
{
    struct refusal none = {-1, 0, -1, 0};

    refuse(&none);
}

/* Skips the test where there are no filters, in some sandboxes. */
static void need_filters(void)
{
    pid_t child = fork();

    if (child == 0) {
        refuse_nothing();
        _exit(0);
    }
    if (wait_for_child(child) != 0) {
        print_message("skipped: no seccomp filters here\n");
        skip();
    }
}

static char log_text[2000];

static void remember_message(void *log_data, enum sta_log_level level, const char *message)
{
    (void)log_data, (void)level;
    strncat(log_text, message, sizeof(log_text) - strlen(log_text) - 1);
}

static struct sta *new_logging_registry(void)
{
    struct sta_options options = {sizeof(options), remember_message, NULL};
    struct sta *sta;

    must_equal(sta_new(&sta, &options), 0);
    sta_set_original_syscall(sta, original_call);
    return sta;
}

static bool uses_fences(void)
{
    return atomic_load(&sta__epoch) & STA__EPOCH_FENCE;
}

/* A short storm: no callback after its detach. */

enum { PAIRS = 2, ROUNDS = 100 };

struct victim {
    int detached; /* not atomic: detaching orders it */
};

static int check_attached(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret;
    must(!((struct victim *)user_data)->detached);
    return 0;
}

static atomic_int attaching;

static void *attach_and_detach(void *data)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct victim *victim = calloc(1, sizeof(*victim));
        int id = attach(data, round % 3 ? NR : STA_ALL_SYSCALLS, round % 2, check_attached, victim);

        sched_yield();
        detach(data, id);
        victim->detached = 1;
        free(victim);
    }
    atomic_fetch_sub(&attaching, 1);
    return NULL;
}

static void *dispatch_until_quiet(void *data)
{
    made.result = 100;
    do {
        for (int i = 0; i < 50; i++)
            must_equal(dispatch(data, NR), 100);
        sched_yield();
    } while (atomic_load(&attaching) > 0);
    return NULL;
}

static void storm(struct sta *sta)
{
    pthread_t threads[2 * PAIRS];

    attaching = PAIRS;
    for (int i = 0; i < 2 * PAIRS; i++)
        threads[i] = start(i % 2 ? attach_and_detach : dispatch_until_quiet, sta);
    for (int i = 0; i < 2 * PAIRS; i++)
        finish(threads[i]);
}

/* membarrier */

static void start_without_membarrier(void *data)
{
    struct sta *sta;

    refuse(data);
    sta = new_logging_registry();
    must(strstr(log_text, "membarrier") != NULL);
    must(uses_fences());
    storm(sta);
    must(uses_fences());
    sta_free(sta);
}

static void lose_membarrier(void *data)
{
    struct sta *sta = new_logging_registry();

    if (uses_fences()) {
        dprintf(1, "this kernel has no membarrier to begin with\n");
        return;
    }
    storm(sta);
    must(!uses_fences());
    refuse(data);
    storm(sta);
    must(uses_fences());
    storm(sta);
    sta_free(sta);
}

/* As after an execve, or in a child of a kernel that forgets: only the registration is missing. */
static void lose_only_private_membarrier(void *data)
{
    struct sta *sta = new_logging_registry();

    refuse(data);
    storm(sta);
    sta_free(sta);
}

static void a_kernel_without_membarrier_will_do(void **state)
{
    (void)state;
    need_filters();
    in_child(start_without_membarrier, &(struct refusal){SYS_membarrier, ENOSYS, -1, 0});
    in_child(start_without_membarrier, &(struct refusal){SYS_membarrier, EPERM, -1, 0});
    in_child(start_without_membarrier, &(struct refusal){SYS_membarrier, EINVAL, -1, 0});
}

static void membarrier_may_be_forbidden_later(void **state)
{
    (void)state;
    need_filters();
    in_child(lose_membarrier, &(struct refusal){SYS_membarrier, ENOSYS, -1, 0});
    in_child(lose_membarrier, &(struct refusal){SYS_membarrier, EPERM, -1, 0});
    in_child(lose_membarrier,
             &(struct refusal){SYS_membarrier, EPERM, 0, MEMBARRIER_CMD_PRIVATE_EXPEDITED});
    in_child(
        lose_only_private_membarrier,
        &(struct refusal){SYS_membarrier, EINVAL, 0, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED});
}

/* MADV_WIPEONFORK */

static void *keep_claiming(void *data)
{
    atomic_bool *end = data;
    struct sta__section section = {0};

    while (!atomic_load(end)) {
        sta__section_enter(&section);
        sched_yield(); /* so that forks find it in the section */
        sta__section_leave(&section, sta__self.reader);
    }
    return NULL;
}

static void fork_without_wiping(void *data)
{
    atomic_bool end = false;
    atomic_int runs = 0;
    pthread_t thread;
    struct sta *sta;
    int id;

    refuse(data);
    sta = new_logging_registry();
    must(strstr(log_text, "WIPEONFORK") != NULL);
    id = attach_enter(sta, NR, count_run, &runs);
    dispatch(sta, NR);
    thread = start(keep_claiming, &end);
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();

        if (child == 0) {
            runs = 0;
            dispatch(sta, NR);
            must_equal(atomic_load(&runs), 1);
            must_equal(atomic_load(&atomic_load(&sta__readers)->count), 1); /* its only thread */
            detach(sta, id); /* waits for nobody who is not there */
            dispatch(sta, NR);
            must_equal(atomic_load(&runs), 1);
            _exit(0);
        }
        must_equal(wait_for_child(child), 0);
    }
    atomic_store(&end, true);
    finish(thread);
    sta_free(sta);
}

static void forks_are_noticed_without_wiping(void **state)
{
    (void)state;
    need_filters();
    in_child(fork_without_wiping, &(struct refusal){SYS_madvise, EINVAL, 2, MADV_WIPEONFORK});
}

/* process_vm_readv: without it nobody can tell whether a section was left by a longjmp. */

static void storm_without_reading(void *data)
{
    struct sta *sta = new_logging_registry();
    atomic_int runs = 0;

    refuse(data);
    storm(sta);
    attach_enter(sta, NR, count_run, &runs);
    for (int i = 0; i < 10; i++)
        dispatch(sta, NR);
    must_equal(atomic_load(&runs), 10);
    sta_free(sta);
}

struct running {
    struct sta *sta;
    atomic_bool is_running, detaching;
    int ended; /* not atomic */
};

static int run_for_long(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct running *running = user_data;

    (void)ctx, (void)ctx_size, (void)ret;
    set_flag(&running->is_running);
    wait_for_flag(&running->detaching);
    usleep(50000); /* the writer looks more than once */
    running->ended = 1;
    return 0;
}

static void *dispatch_once(void *data)
{
    dispatch(((struct running *)data)->sta, NR);
    return NULL;
}

static void detach_without_reading(void *data)
{
    struct running running = {.sta = new_logging_registry()};
    int id = attach_enter(running.sta, NR, run_for_long, &running);
    pthread_t thread;

    refuse(data);
    thread = start(dispatch_once, &running);
    wait_for_flag(&running.is_running);
    set_flag(&running.detaching);
    must_equal(sta_detach(running.sta, id), 0);
    must_equal(running.ended, 1);
    finish(thread);
    sta_free(running.sta);
}

static void detach_waits_where_other_memory_cannot_be_read(void **state)
{
    static const int errors[] = {ENOSYS, EPERM, EACCES};

    (void)state;
    need_filters();
    for (size_t i = 0; i < COUNT(errors); i++) {
        struct refusal refusal = {SYS_process_vm_readv, errors[i], -1, 0};

        in_child(storm_without_reading, &refusal);
        in_child(detach_without_reading, &refusal);
    }
}

/* Memory */

static void start_without_memory(void *data)
{
    struct sta_options options = {sizeof(options), remember_message, NULL};
    struct sta *sta = data;

    refuse(data);
    must_equal(sta_new(&sta, &options), -ENOMEM);
    must(sta == NULL);
    must(log_text[0] != 0);
}

static int attach_until_full(struct sta *sta, atomic_int *runs)
{
    struct sta_target target = {NR, true};

    for (int count = 0;; count++) {
        int id = sta_attach(sta, &target, count_run, runs);

        if (id < 0) {
            must_equal(id, -ENOMEM);
            return count;
        }
        must_equal(id, count + 1);
    }
}

static void run_out_of_memory(void *data)
{
    struct sta *sta = new_logging_registry();
    atomic_int runs = 0;
    int count;

    attach_enter(sta, NR, count_run, &runs);
    detach(sta, 1);
    sta_free(sta);
    sta = new_logging_registry();
    refuse(data); /* what there is stays */
    count = attach_until_full(sta, &runs);
    dispatch(sta, NR);
    must_equal(atomic_load(&runs), count);
    for (int id = 1; id <= count; id++) {
        int err = sta_detach(sta, id);

        must(err == 0 || err == -ENOMEM); /* a shorter list has to be made, too */
    }
    runs = 0;
    dispatch(sta, NR);
    must(atomic_load(&runs) <= count);
    sta_free(sta);
}

static void without_memory_nothing_is_half_attached(void **state)
{
    struct refusal refusal = {SYS_mmap, ENOMEM, -1, 0};

    (void)state;
    need_filters();
    in_child(run_out_of_memory, &refusal);
    in_child(start_without_memory, &refusal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kernel_without_membarrier_will_do),
        cmocka_unit_test(membarrier_may_be_forbidden_later),
        cmocka_unit_test(forks_are_noticed_without_wiping),
        cmocka_unit_test(detach_waits_where_other_memory_cannot_be_read),
        cmocka_unit_test(without_memory_nothing_is_half_attached),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
