/* SPDX-License-Identifier: MIT */
/*
 * Reads of addresses good and bad from several threads at once, while memory comes and goes, while
 * signals arrive whose handlers read, too, and while masks change: nothing crashes, and what is
 * read is right.
 */
#include "reads.h"

#include <ucontext.h>

#define THREADS     3
#define STORM_MS    400
#define AREA        (64 * 4096)
#define PATTERN(at) ((uint8_t)((at)*7 + 3))

static uint8_t *area; /* of which pages are taken away and given back */
static int file;
static _Atomic bool over;
static _Atomic long good, bad, by_handlers, own_faults;

static uint64_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static uint64_t random_address(uint64_t *state)
{
    switch (next(state) % 8) {
    case 0:
        return next(state) << 40 ^ next(state) << 20 ^ next(state);
    case 1:
        return next(state) % 65536;
    case 2:
        return 0 - next(state) % 65536;
    case 3:
        return 0x7ffffffff000 - next(state) % 8192;
    default:
        return (uintptr_t)area + next(state) % AREA;
    }
}

static void check_bytes(const struct request *request)
{
    uint64_t at = request->address - (uintptr_t)area;

    if (at >= AREA || at + request->size > AREA)
        return;
    for (uint64_t i = 0; i < request->size; i++)
        CHECK_EQ(request->bytes[i], PATTERN(at + i));
}

static void read_at_random(uint64_t *state)
{
    bool is_string = next(state) % 4 == 0;
    struct request request =
        ask(is_string ? sta__helper_probe_read_user_str : sta__helper_probe_read_user,
            random_address(state), next(state) % (next(state) % 4 ? 40 : READ_MAX));

    if (request.result == NOT_ASKED) /* a handler that interrupted a callback */
        return;
    if (request.result == -EFAULT) {
        CHECK(all_bytes_are(request.bytes, 0, request.size, 0));
        atomic_fetch_add(&bad, 1);
        return;
    }
    atomic_fetch_add(&good, 1);
    if (is_string) {
        CHECK(request.result >= 0 && (uint64_t)request.result <= request.size);
        return;
    }
    CHECK_EQ(request.result, 0);
    check_bytes(&request);
}

static void on_signal(int signal)
{
    static _Thread_local uint64_t state;
    int kept = errno;

    state += (uint64_t)signal + (uintptr_t)&state;
    read_at_random(&state);
    atomic_fetch_add(&by_handlers, 1);
    errno = kept;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    CHECK(info->si_addr == (void *)16);
    on_signal(signal);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 3;
    atomic_fetch_add(&own_faults, 1);
}

static void change_mask(uint64_t *state)
{
    sigset_t set;

    sigemptyset(&set);
    for (int signal = 1; signal < 32; signal++) {
        if (next(state) % 3 == 0)
            sigaddset(&set, signal);
    }
    pthread_sigmask(SIG_SETMASK, &set, NULL);
}

static void fault_if_allowed(void)
{
    sigset_t set;

    pthread_sigmask(SIG_BLOCK, NULL, &set);
    if (!sigismember(&set, SIGSEGV))
        __asm__ volatile("mov (%%rax), %%rax" : : "a"(16) : "memory");
}

static void *storm(void *seed)
{
    uint64_t state = (uintptr_t)seed;
    stack_t stack = {.ss_sp = malloc(1 << 17), .ss_size = 1 << 17};

    sigaltstack(&stack, NULL);
    while (!atomic_load(&over)) {
        read_at_random(&state);
        if (next(&state) % 16 == 0)
            change_mask(&state);
        if (next(&state) % 32 == 0)
            fault_if_allowed();
    }
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, NULL);
    free(stack.ss_sp);
    return NULL;
}

/* Until the area is there as a whole again. */
static void *change_memory(void *unused)
{
    uint64_t state = 5;

    while (!atomic_load(&over)) {
        uint64_t page = next(&state) % (AREA / 4096), pages = 1 + next(&state) % 4;
        uint8_t *at = area + page * 4096;
        size_t size = pages * 4096;

        if (page + pages > AREA / 4096)
            continue;
        switch (next(&state) % 3) {
        case 0:
            STA__RAW3(SYS_mprotect, at, size, PROT_NONE);
            STA__RAW3(SYS_mprotect, at, size, PROT_READ);
            break;
        case 1:
            STA__RAW6(SYS_mmap, at, size, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1,
                      0);
            STA__RAW6(SYS_mmap, at, size, PROT_READ, MAP_FIXED | MAP_SHARED, file, page * 4096);
            break;
        default: /* behind the end of the file */
            STA__RAW6(SYS_mmap, at, size, PROT_READ, MAP_FIXED | MAP_SHARED, file, AREA);
            sched_yield();
            STA__RAW6(SYS_mmap, at, size, PROT_READ, MAP_FIXED | MAP_SHARED, file, page * 4096);
            break;
        }
    }
    return unused;
}

static void make_area(void)
{
    uint8_t *all;

    file = memfd_create("area", 0);
    CHECK_EQ(ftruncate(file, AREA), 0);
    all = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    for (size_t i = 0; i < AREA; i++)
        all[i] = PATTERN(i);
    area = mmap(NULL, AREA, PROT_READ, MAP_SHARED, file, 0);
    CHECK(all != MAP_FAILED && area != MAP_FAILED);
}

static void handle_signals(void)
{
    static const int signals[] = {SIGUSR1, SIGUSR2, SIGALRM, SIGCHLD, SIGSEGV};

    for (size_t i = 0; i < COUNT_OF(signals); i++) {
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

        if (i % 2)
            sigfillset(&action.sa_mask);
        if (i & 2)
            action.sa_flags |= SA_ONSTACK;
        if (signals[i] == SIGSEGV) {
            action.sa_sigaction = on_fault;
            action.sa_flags |= SA_SIGINFO;
        }
        CHECK_EQ(sigaction(signals[i], &action, NULL), 0);
    }
}

VICTIM(nothing_crashes_and_what_is_read_is_right)
{
    static const int signals[] = {SIGUSR1, SIGUSR2, SIGALRM, SIGCHLD};
    pthread_t threads[THREADS], changer;
    struct timespec start, now;

    make_area();
    handle_signals();
    installed_answering();
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, storm, (void *)(i + 1)), 0);
    CHECK_EQ(pthread_create(&changer, NULL, change_memory, NULL), 0);
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        for (size_t i = 0; i < THREADS; i++)
            CHECK_EQ(pthread_kill(threads[i], signals[(size_t)rand() % COUNT_OF(signals)]), 0);
        sched_yield();
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 <
             STORM_MS);
    atomic_store(&over, true);
    for (size_t i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(pthread_join(changer, NULL), 0);
    CHECK(atomic_load(&good) > 100);
    CHECK(atomic_load(&bad) > 100);
    CHECK(atomic_load(&by_handlers) > 10);
    CHECK(atomic_load(&own_faults) > 10);
    if (getenv("STA_TEST_LOG"))
        fprintf(stderr, "good %ld bad %ld in handlers %ld faults of its own %ld\n", good, bad,
                by_handlers, own_faults);
}

static void *read_on(void *seed)
{
    uint64_t state = (uintptr_t)seed;

    while (!atomic_load(&over))
        read_at_random(&state);
    return NULL;
}

/* Whoever reads when the handler goes has the kernel copy from then on. */
VICTIM(reads_go_on_while_the_transformer_comes_and_goes)
{
    struct sta *sta = new_registry();
    pthread_t threads[THREADS], changer;

    make_area();
    handle_signals();
    attach(sta, SYS_getppid, true, answer, NULL);
    sta__copy_want();
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, read_on, (void *)(i + 1)), 0);
    CHECK_EQ(pthread_create(&changer, NULL, change_memory, NULL), 0);
    for (int i = 0; i < 12; i++) {
        install(sta);
        sleep_ms(10);
        remove_transformer(sta);
    }
    atomic_store(&over, true);
    for (size_t i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(pthread_join(changer, NULL), 0);
    CHECK(atomic_load(&good) > 100);
    CHECK(atomic_load(&bad) > 100);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_crashes_and_what_is_read_is_right),
        cmocka_unit_test(reads_go_on_while_the_transformer_comes_and_goes),
    };

    return run_interception_tests(argc, argv, tests);
}
