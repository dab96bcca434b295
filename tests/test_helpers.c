/* SPDX-License-Identifier: MIT */
/*
 * The helpers that need nothing but the machine, each against libc or the kernel.
 */
#include "core.h"

#include <linux/bpf.h>
#include <sys/mman.h>
#include <time.h>

#include "base/clock.h"
#include "ebpf/helper.h"
#include "ebpf/helpers.h"
#include "maps/map.h"

#define CALL0(name) sta__helper_##name(0, 0, 0, 0, 0)

static uint64_t clock_now(clockid_t clock)
{
    struct timespec time;

    must_equal(clock_gettime(clock, &time), 0);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void clocks_are_the_kernels(void **state)
{
    static const struct {
        clockid_t clock;
        uint64_t (*helper)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
    } cases[] = {
        {CLOCK_MONOTONIC, sta__helper_ktime_get_ns},
        {CLOCK_BOOTTIME, sta__helper_ktime_get_boot_ns},
        {CLOCK_MONOTONIC_COARSE, sta__helper_ktime_get_coarse_ns},
        {CLOCK_TAI, sta__helper_ktime_get_tai_ns},
    };

    (void)state;
    /* First without the vDSO, then with it. */
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT(cases); i++) {
            uint64_t before = clock_now(cases[i].clock);
            uint64_t now = cases[i].helper(0, 0, 0, 0, 0);
            uint64_t after = clock_now(cases[i].clock);

            assert_in_range(now, before, after);
        }
        sta__clock_prepare();
    }
    assert_int_equal(sta__clock_ns(12345), 0);
}

/* Calls sta__clock_ns(clock) with a pattern in the vector registers; false if it is gone after. */
static bool clock_keeps_vectors(int clock)
{
    static _Alignas(16) uint8_t pattern[16], found[16][16];

    memset(pattern, 0xa5, sizeof(pattern));
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
                     "movaps %[pattern], %%xmm0\n\t"
                     "movaps %%xmm0, %%xmm1\n\tmovaps %%xmm0, %%xmm2\n\tmovaps %%xmm0, %%xmm3\n\t"
                     "movaps %%xmm0, %%xmm4\n\tmovaps %%xmm0, %%xmm5\n\tmovaps %%xmm0, %%xmm6\n\t"
                     "movaps %%xmm0, %%xmm7\n\tmovaps %%xmm0, %%xmm8\n\tmovaps %%xmm0, %%xmm9\n\t"
                     "movaps %%xmm0, %%xmm10\n\tmovaps %%xmm0, %%xmm11\n\t"
                     "movaps %%xmm0, %%xmm12\n\tmovaps %%xmm0, %%xmm13\n\t"
                     "movaps %%xmm0, %%xmm14\n\tmovaps %%xmm0, %%xmm15\n\t"
                     "mov %%rsp, %%rbx\n\tand $-16, %%rsp\n\t"
                     "call *%[function]\n\t"
                     "mov %%rbx, %%rsp\n\t"
                     "lea %[found], %%rax\n\t"
                     "movaps %%xmm0, (%%rax)\n\tmovaps %%xmm1, 16(%%rax)\n\t"
                     "movaps %%xmm2, 32(%%rax)\n\tmovaps %%xmm3, 48(%%rax)\n\t"
                     "movaps %%xmm4, 64(%%rax)\n\tmovaps %%xmm5, 80(%%rax)\n\t"
                     "movaps %%xmm6, 96(%%rax)\n\tmovaps %%xmm7, 112(%%rax)\n\t"
                     "movaps %%xmm8, 128(%%rax)\n\tmovaps %%xmm9, 144(%%rax)\n\t"
                     "movaps %%xmm10, 160(%%rax)\n\tmovaps %%xmm11, 176(%%rax)\n\t"
                     "movaps %%xmm12, 192(%%rax)\n\tmovaps %%xmm13, 208(%%rax)\n\t"
                     "movaps %%xmm14, 224(%%rax)\n\tmovaps %%xmm15, 240(%%rax)\n\t"
                     "lea 128(%%rsp), %%rsp\n\t"
                     : [found] "=m"(found), "+D"(clock)
                     : [pattern] "m"(pattern), [function] "r"(sta__clock_ns)
                     : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "cc", "memory",
                       "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    for (size_t i = 0; i < COUNT(found); i++) {
        if (memcmp(found[i], pattern, sizeof(pattern)) != 0)
            return false;
    }
    return true;
}

/* The path relies on it: it calls the vDSO without saving anything. (The sanitizers' own code may
 * use vectors.) */
static void the_vdso_leaves_vectors_alone(void **state)
{
    static const int clocks[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_COARSE, CLOCK_TAI,
                                 CLOCK_REALTIME};

    (void)state;
    sta__clock_prepare();
    for (int round = 0; round < 1000; round++) {
        for (size_t i = 0; i < COUNT(clocks); i++)
            assert_true(clock_keeps_vectors(clocks[i]));
    }
}

static uint64_t pid_tgid_by_kernel(void)
{
    return (uint64_t)getpid() << 32 | (uint32_t)syscall(SYS_gettid);
}

static int note_pid_tgid(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret;
    *(uint64_t *)user_data = CALL0(get_current_pid_tgid);
    return 0;
}

/* What the helper says inside a callback, where the thread has a record and remembers. */
static uint64_t pid_tgid_in_callback(struct sta *sta)
{
    uint64_t ids[2] = {0};
    int id = attach_enter(sta, 39, note_pid_tgid, &ids[0]);

    dispatch(sta, 39);
    detach(sta, id);
    id = attach_exit(sta, 40, note_pid_tgid, &ids[1]);
    dispatch(sta, 40);
    detach(sta, id);
    must(ids[0] == ids[1]);
    return ids[0];
}

static void *check_ids_on_thread(void *sta)
{
    must(pid_tgid_in_callback(sta) == pid_tgid_by_kernel());
    must(CALL0(get_current_pid_tgid) == pid_tgid_by_kernel());
    return NULL;
}

static void ids_are_those_of_the_thread(void **state)
{
    pthread_t thread;

    check_ids_on_thread(*state);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&thread, NULL, check_ids_on_thread, *state), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    check_ids_on_thread(*state);
}

static void a_forked_child_has_its_own_ids(void **state)
{
    int status = -1;
    pid_t child;

    check_ids_on_thread(*state);
    child = fork();
    if (child == 0) {
        check_ids_on_thread(*state);
        child = fork();
        if (child == 0) {
            check_ids_on_thread(*state);
            _exit(0);
        }
        waitpid(child, &status, 0);
        _exit(status != 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    check_ids_on_thread(*state);
}

static void users_ids_are_asked_for_each_time(void **state)
{
    int status = -1;
    pid_t child;

    (void)state;
    assert_true(CALL0(get_current_uid_gid) == ((uint64_t)getgid() << 32 | getuid()));
    if (getuid() != 0)
        return;
    child = fork();
    if (child == 0) {
        must_equal(syscall(SYS_setgid, 1234), 0);
        must_equal(syscall(SYS_setuid, 4321), 0);
        must(CALL0(get_current_uid_gid) == ((uint64_t)1234 << 32 | 4321));
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void the_processor_is_the_one_that_runs(void **state)
{
    cpu_set_t before, one;

    (void)state;
    sta__clock_prepare();
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &before))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
        assert_int_equal(CALL0(get_smp_processor_id), cpu);
        assert_int_equal(sta__cpu(), cpu);
    }
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

/* Of n numbers, each bit is set in about half. */
static void random_numbers_are_spread(void **state)
{
    enum { ROUNDS = 10000 };
    int ones[32] = {0};

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t number = CALL0(get_prandom_u32);

        assert_true(number <= UINT32_MAX);
        for (int bit = 0; bit < 32; bit++)
            ones[bit] += number >> bit & 1;
    }
    for (int bit = 0; bit < 32; bit++)
        assert_in_range(ones[bit], ROUNDS / 2 - 500, ROUNDS / 2 + 500);
}

static int draw(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret;
    *(uint64_t *)user_data = CALL0(get_prandom_u32) << 32 | CALL0(get_prandom_u32);
    return 0;
}

static void a_forked_child_draws_other_numbers(void **state)
{
    uint64_t *drawn = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int id = attach_enter(*state, 39, draw, &drawn[0]);
    int status = -1;
    pid_t child;

    dispatch(*state, 39);
    detach(*state, id);
    child = fork();
    id = attach_enter(*state, 39, draw, &drawn[child == 0]);
    dispatch(*state, 39);
    detach(*state, id);
    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(drawn[0] != drawn[1]);
    munmap(drawn, 4096);
}

struct seen {
    struct sta__callback callback;
    uint64_t runs, sum, context;
    uint64_t stop_at;
};

static uint64_t see(const struct sta__callback *self, uint64_t r1, uint64_t r2, uint64_t r3,
                    uint64_t r4, uint64_t r5)
{
    struct seen *seen = (struct seen *)(uintptr_t)self;

    must_equal(r3 | r4 | r5, 0);
    seen->runs++;
    seen->sum += r1;
    seen->context = r2;
    return r1 == seen->stop_at;
}

static uint64_t loop(struct seen *seen, uint64_t count, uint64_t flags)
{
    seen->runs = seen->sum = seen->context = 0;
    return sta__helper_loop(count, (uintptr_t)&seen->callback, 77, flags, 0);
}

static void loop_calls_back(void **state)
{
    struct seen seen = {.callback = {see}, .stop_at = UINT64_MAX};

    (void)state;
    assert_int_equal(loop(&seen, 10, 0), 10);
    assert_int_equal(seen.runs, 10);
    assert_int_equal(seen.sum, 45);
    assert_int_equal(seen.context, 77);
    assert_int_equal(loop(&seen, 0, 0), 0);
    assert_int_equal(seen.runs, 0);
    assert_int_equal(loop(&seen, 1 << 23, 0), 1 << 23);
    assert_int_equal(loop(&seen, (1 << 23) + 1, 0), (uint32_t)-E2BIG);
    assert_int_equal(loop(&seen, UINT64_C(1) << 32, 0), (uint32_t)-E2BIG);
    assert_int_equal(loop(&seen, 5, 1), -EINVAL);
    assert_int_equal(seen.runs, 0);
    seen.stop_at = 6;
    assert_int_equal(loop(&seen, 10, 0), 7);
    assert_int_equal(seen.runs, 7);
}

/* A map that notes what it is asked for. */
struct noted {
    struct sta_map map;
    const void *key, *value;
    uint64_t flags;
    int asked;
};

static void *note_lookup(struct sta_map *map, const void *key)
{
    struct noted *noted = (struct noted *)map;

    noted->asked = 1;
    noted->key = key;
    return &noted->flags;
}

static long note_update(struct sta_map *map, const void *key, const void *value, uint64_t flags)
{
    struct noted *noted = (struct noted *)map;

    noted->asked = 2;
    noted->key = key;
    noted->value = value;
    noted->flags = flags;
    return -E2BIG;
}

static long note_remove(struct sta_map *map, const void *key)
{
    struct noted *noted = (struct noted *)map;

    noted->asked = 3;
    noted->key = key;
    return -ENOENT;
}

static void map_helpers_ask_the_map(void **state)
{
    static const struct sta__map_ops ops = {
        .lookup = note_lookup, .update = note_update, .remove = note_remove};
    struct noted noted = {.map = {.ops = &ops}};
    uint64_t map = (uintptr_t)&noted;
    char key, value;

    (void)state;
    assert_true(sta__helper_map_lookup_elem(map, (uintptr_t)&key, 0, 0, 0) ==
                (uintptr_t)&noted.flags);
    assert_true(noted.asked == 1 && noted.key == &key);
    noted.key = NULL;
    assert_true((int64_t)sta__helper_map_update_elem(map, (uintptr_t)&key, (uintptr_t)&value, 3,
                                                     0) == -E2BIG);
    assert_true(noted.asked == 2 && noted.key == &key && noted.value == &value && noted.flags == 3);
    noted.key = NULL;
    assert_true((int64_t)sta__helper_map_delete_elem(map, (uintptr_t)&key, 0, 0, 0) == -ENOENT);
    assert_true(noted.asked == 3 && noted.key == &key);
}

static void the_table_knows_what_there_is(void **state)
{
    static const struct {
        int id;
        const char *name;
    } cases[] = {
        {BPF_FUNC_map_lookup_elem, "map_lookup_elem"},
        {BPF_FUNC_ktime_get_ns, "ktime_get_ns"},
        {BPF_FUNC_tail_call, "tail_call"},
        {BPF_FUNC_override_return, "override_return"},
        {BPF_FUNC_loop, "loop"},
        {BPF_FUNC_ktime_get_tai_ns, "ktime_get_tai_ns"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_non_null(sta__helper_find(cases[i].id));
        assert_string_equal(sta__helper_find(cases[i].id)->name, cases[i].name);
        assert_non_null(sta__helper_find(cases[i].id)->fn);
    }
    for (int id = -2; id < 1000; id++) {
        const struct sta__helper *helper = sta__helper_find(id);

        assert_true(!helper || (helper->name && (helper->fn || helper->why_not)));
    }
    assert_null(sta__helper_find(0));
    assert_null(sta__helper_find(-1));
    assert_null(sta__helper_find(100000));
    assert_null(sta__helper_find(INT32_MAX));
    assert_null(sta__helper_find(INT32_MIN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_are_the_kernels),
        cmocka_unit_test(the_vdso_leaves_vectors_alone),
        WITH_REGISTRY(ids_are_those_of_the_thread),
        WITH_REGISTRY(a_forked_child_has_its_own_ids),
        cmocka_unit_test(users_ids_are_asked_for_each_time),
        cmocka_unit_test(the_processor_is_the_one_that_runs),
        cmocka_unit_test(random_numbers_are_spread),
        WITH_REGISTRY(a_forked_child_draws_other_numbers),
        cmocka_unit_test(loop_calls_back),
        cmocka_unit_test(map_helpers_ask_the_map),
        cmocka_unit_test(the_table_knows_what_there_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
