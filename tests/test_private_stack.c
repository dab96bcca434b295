/* SPDX-License-Identifier: MIT */
/*
 * STA_TRANSFORM_PRIVATE_STACK: callbacks run on a stack of 64 KiB that the thread has for them, and
 * all that callbacks may do elsewhere they may do there.
 */
#include "intercept.h"

#include <sched.h>
#include <spawn.h>
#include <sys/resource.h>
#include <unwind.h>

#define STACK_SIZE 65536
#define PAGE       4096

#define HERE ((uintptr_t)__builtin_frame_address(0))

static void install_private(struct sta *sta)
{
    CHECK_EQ(try_install(sta, STA_TRANSFORM_PRIVATE_STACK), 0);
}

static int attach_general(struct sta *sta, int sys_nr, bool is_enter, sta_callback callback,
                          void *user_data)
{
    struct sta_attach_options options = {.size = sizeof(options),
                                         .target = {sys_nr, is_enter},
                                         .callback = callback,
                                         .user_data = user_data,
                                         .flags = STA_CALLBACK_GENERAL_REGS};
    int id = sta_attach_with(sta, &options);

    CHECK(id > 0);
    return id;
}

static long parent_pid(void)
{
    return syscall(SYS_getppid);
}

/* The mapping that an address is in, and what is just below it, from /proc/self/maps. */
struct mapping {
    uintptr_t start, end;
    char access[5];
    bool has_guard; /* of one page */
};

static bool next_mapping(FILE *maps, struct mapping *mapping)
{
    struct mapping last = *mapping;
    char line[4200];

    if (!fgets(line, sizeof(line), maps))
        return false;
    CHECK_EQ(sscanf(line, "%lx-%lx %4s", &mapping->start, &mapping->end, mapping->access), 3);
    mapping->has_guard = last.end == mapping->start && last.end - last.start == PAGE &&
                         strcmp(last.access, "---p") == 0;
    return true;
}

static FILE *open_maps(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");

    CHECK(maps != NULL);
    return maps;
}

static struct mapping mapping_of(uintptr_t address)
{
    struct mapping mapping = {0};
    FILE *maps = open_maps();

    while (next_mapping(maps, &mapping))
        if (address >= mapping.start && address < mapping.end) {
            fclose(maps);
            return mapping;
        }
    victim_failed("%#lx is not mapped", address);
}

static bool is_private_stack(const struct mapping *mapping)
{
    return mapping->end - mapping->start == STACK_SIZE && mapping->has_guard &&
           strcmp(mapping->access, "rw-p") == 0;
}

static int count_private_stacks(void)
{
    struct mapping mapping = {0};
    FILE *maps = open_maps();
    int count = 0;

    while (next_mapping(maps, &mapping))
        count += is_private_stack(&mapping);
    fclose(maps);
    return count;
}

static bool is_on_private_stack(uintptr_t address)
{
    struct mapping mapping = mapping_of(address);

    return is_private_stack(&mapping);
}

/* Where callbacks run */

static int note_address(void *ctx, size_t ctx_size, uint64_t *ret, void *address)
{
    (void)ctx, (void)ctx_size, (void)ret;
    *(uintptr_t *)address = HERE;
    return 0;
}

VICTIM(callbacks_run_on_a_stack_of_their_own)
{
    struct sta *sta = new_registry();
    uintptr_t at[4] = {0};

    attach(sta, SYS_getppid, true, note_address, &at[0]);
    attach(sta, SYS_getppid, false, note_address, &at[1]);
    attach_general(sta, SYS_getppid, true, note_address, &at[2]);
    attach_general(sta, SYS_getppid, false, note_address, &at[3]);
    install_private(sta);
    parent_pid();
    for (size_t i = 0; i < COUNT_OF(at); i++)
        CHECK(is_on_private_stack(at[i]));
    CHECK_EQ(count_private_stacks(), 1);
    remove_transformer(sta);
}

static void check_on_own_stack(uintptr_t at)
{
    CHECK(at < HERE && at > HERE - 16 * PAGE);
}

VICTIM(without_the_flag_they_run_on_the_applications)
{
    struct sta *sta = new_registry();
    uintptr_t at = 0, special = 0;

    attach(sta, SYS_getppid, true, note_address, &at);
    attach(sta, SYS_rt_sigpending, true, note_address, &special);
    for (int i = 0; i < 2; i++) {
        install(sta);
        parent_pid();
        check_on_own_stack(at);
        syscall(SYS_rt_sigpending, NULL, 0); /* the library has to do with it, too */
        check_on_own_stack(special);
        remove_transformer(sta);
        install_private(sta);
        parent_pid();
        CHECK(is_on_private_stack(at));
        syscall(SYS_rt_sigpending, NULL, 0);
        CHECK(is_on_private_stack(special));
        remove_transformer(sta);
    }
}

/* A stack of 2 KiB above a page that faults */

#define SMALL_STACK 2048

long call_on_stack(void *top, long sys_nr);

__asm__(".text\n"
        ".type call_on_stack, @function\n"
        "call_on_stack:\n"
        "  push %rbp\n"
        "  mov %rsp, %rbp\n"
        "  mov %rdi, %rsp\n"
        "  mov %rsi, %rax\n"
        "  syscall\n"
        "  mov %rbp, %rsp\n"
        "  pop %rbp\n"
        "  ret\n"
        ".size call_on_stack, . - call_on_stack\n");

__attribute__((noinline)) static int use_8_kib(void *ctx, size_t ctx_size, uint64_t *ret,
                                               void *used)
{
    volatile char memory[8192];

    (void)ctx, (void)ctx_size, (void)ret;
    for (size_t i = 0; i < sizeof(memory); i += 64)
        memory[i] = (char)i;
    *(int *)used += 1 + memory[64] - 64;
    return 0;
}

VICTIM(a_small_stack_of_the_application_will_do)
{
    struct sta *sta = new_registry();
    int used = 0;
    char *pages;

    if (UNDER_ASAN)
        victim_skip("AddressSanitizer makes frames larger");
    pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    CHECK_EQ(mprotect(pages, PAGE, PROT_NONE), 0);
    attach(sta, SYS_getppid, true, use_8_kib, &used);
    attach(sta, SYS_getppid, false, use_8_kib, &used);
    install_private(sta);
    if (is_by_sud(sta))
        victim_skip("each call is a signal, whose frame takes more");
    CHECK_EQ(call_on_stack(pages + PAGE + SMALL_STACK, SYS_getppid), STA__RAW0(SYS_getppid));
    CHECK_EQ(used, 2);
    remove_transformer(sta);
}

static void exit_with_7(int signal)
{
    (void)signal;
    STA__RAW1(SYS_exit_group, 7);
}

/* Down to the guard page, and no further. */
__attribute__((noinline)) static int overflow(void *ctx, size_t ctx_size, uint64_t *ret,
                                              void *depth)
{
    char memory[1024] = {1};

    __asm__ volatile("" : : "r"(memory) : "memory");
    if (++*(long *)depth == 1000000)
        return 0;
    return overflow(ctx, ctx_size, ret, depth) + memory[0];
}

VICTIM(an_overflow_is_a_fault)
{
    struct sta *sta = new_registry();
    static char memory[16 * PAGE];
    stack_t alt = {.ss_sp = memory, .ss_size = sizeof(memory)};
    struct sigaction action = {.sa_handler = exit_with_7, .sa_flags = SA_ONSTACK};
    long *depth = shared_memory(sizeof(*depth));
    pid_t pid;

    if (UNDER_ASAN)
        victim_skip("AddressSanitizer reports it");
    attach(sta, SYS_getppid, true, overflow, depth);
    install_private(sta);
    pid = fork();
    if (pid == 0) {
        CHECK_EQ(sigaltstack(&alt, NULL), 0);
        CHECK_EQ(sigaction(SIGSEGV, &action, NULL), 0);
        parent_pid();
        _exit(1);
    }
    CHECK_EQ(status_of(pid), 7 << 8);
    CHECK(*depth > 20 && *depth < STACK_SIZE / 1024);
    remove_transformer(sta);
}

/* What callbacks can do */

struct outcome {
    int enters, exits;
    unsigned long argument[2];
    int err[2];
};

static int override_enter(void *ctx, size_t ctx_size, uint64_t *ret, void *data)
{
    struct outcome *outcome = data;
    const unsigned long *args = sta_current_args();

    (void)ctx, (void)ctx_size, (void)ret;
    outcome->enters++;
    outcome->argument[0] = args ? args[1] : 0;
    outcome->err[0] = sta_override_return(-EDOM);
    return 0;
}

static int override_exit(void *ctx, size_t ctx_size, uint64_t *ret, void *data)
{
    struct outcome *outcome = data;
    const unsigned long *args = sta_current_args();

    (void)ctx_size, (void)ret;
    outcome->exits++;
    outcome->argument[1] = args ? args[1] : 0;
    outcome->err[1] = sta_override_return(((struct sta_sys_exit *)ctx)->ret - 1);
    return 0;
}

VICTIM(override_and_arguments_work)
{
    struct sta *sta = new_registry();
    struct outcome outcome = {0};

    attach(sta, SYS_tee, true, override_enter, &outcome);
    attach(sta, SYS_tee, false, override_exit, &outcome);
    install_private(sta);
    errno = 0;
    CHECK_EQ(syscall(SYS_tee, 1, 4711, 3, 4), -1);
    CHECK_EQ(errno, EDOM + 1);
    CHECK_EQ(outcome.enters, 1);
    CHECK_EQ(outcome.exits, 1);
    CHECK_EQ(outcome.argument[0], 4711);
    CHECK_EQ(outcome.argument[1], 4711);
    CHECK_EQ(outcome.err[0], 0);
    CHECK_EQ(outcome.err[1], 0);
    CHECK_EQ(sta_override_return(0), -EINVAL);
    CHECK(sta_current_args() == NULL);
    remove_transformer(sta);
}

static int make_a_call(void *ctx, size_t ctx_size, uint64_t *ret, void *runs)
{
    (void)ctx, (void)ctx_size, (void)ret;
    ++*(int *)runs;
    parent_pid();
    return 0;
}

/* A stack that is below the private one, too, and not above as threads' stacks are. */
VICTIM(so_they_do_for_calls_from_anywhere)
{
    size_t size = 64 * PAGE; /* with room for a signal frame */
    struct sta *sta = new_registry();
    struct outcome outcome = {0};
    uintptr_t at = 0;
    char *stack;

    attach(sta, SYS_getppid, true, note_address, &at);
    attach(sta, SYS_getuid, true, override_enter, &outcome);
    attach(sta, SYS_getuid, false, override_exit, &outcome);
    install_private(sta);
    parent_pid();
    stack =
        mmap((void *)0x20000000, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(stack != MAP_FAILED && (uintptr_t)stack < at);
    CHECK_EQ(call_on_stack(stack + size, SYS_getuid), -EDOM - 1);
    CHECK_EQ(outcome.err[0], 0);
    CHECK_EQ(outcome.err[1], 0);
    remove_transformer(sta);
}

static int change_xmm(void *ctx, size_t ctx_size, uint64_t *ret, void *runs)
{
    (void)ctx, (void)ctx_size, (void)ret;
    __asm__ volatile("pxor %%xmm7, %%xmm7" : : : "xmm7");
    ++*(int *)runs;
    return 0;
}

VICTIM(vector_registers_are_saved)
{
    struct sta *sta = new_registry();
    uint64_t value = UINT64_C(0x123456789abcdef);
    long nr = SYS_getppid;
    int runs = 0;

    attach(sta, SYS_getppid, true, change_xmm, &runs);
    attach(sta, SYS_getppid, false, change_xmm, &runs);
    install_private(sta);
    __asm__ volatile("movq %0, %%xmm7\n"
                     "mov $110, %%eax\n"
                     "syscall\n"
                     "movq %%xmm7, %0\n"
                     : "+r"(value), "+a"(nr)
                     :
                     : "rcx", "r11", "xmm7", "memory");
    CHECK_EQ(runs, 2);
    CHECK_EQ(nr, STA__RAW0(SYS_getppid));
    CHECK_EQ(value, UINT64_C(0x123456789abcdef));
    remove_transformer(sta);
}

VICTIM(calls_of_callbacks_are_not_traced)
{
    struct sta_attach_info info = {.size = sizeof(info)};
    struct sta *sta = new_registry();
    int runs = 0, id = attach(sta, SYS_getppid, true, make_a_call, &runs);

    install_private(sta);
    for (int i = 0; i < 10; i++)
        parent_pid();
    CHECK_EQ(sta_attach_info(sta, id, &info), 0);
    CHECK_EQ(runs, 10);
    CHECK_EQ(info.runs, 10);
    CHECK_EQ(info.missed, 10);
    remove_transformer(sta);
}

/* Who unwinds from a callback */

struct walk {
    bool is_at_caller, is_at_main;
};

int main(int argc, char **argv);

__attribute__((noinline)) static long call_from_here(void)
{
    long pid = parent_pid();

    __asm__ volatile("");
    return pid;
}

static _Unwind_Reason_Code look_at_frame(struct _Unwind_Context *context, void *data)
{
    void *function = _Unwind_FindEnclosingFunction((void *)(_Unwind_GetIP(context) - 1));
    struct walk *walk = data;

    if (function == (void *)call_from_here)
        walk->is_at_caller = true;
    if (function == (void *)main)
        walk->is_at_main = walk->is_at_caller;
    return _URC_NO_REASON;
}

static int walk_the_stack(void *ctx, size_t ctx_size, uint64_t *ret, void *walk)
{
    (void)ctx, (void)ctx_size, (void)ret;
    _Unwind_Backtrace(look_at_frame, walk);
    return 0;
}

VICTIM(backtraces_from_callbacks_reach_main)
{
    struct sta *sta = new_registry();
    struct walk walk[3] = {{0}};
    uintptr_t at = 0;

    walk_the_stack(NULL, 0, NULL, &walk[0]); /* what is loaded for it is loaded here */
    CHECK(!walk[0].is_at_caller);
    attach(sta, SYS_getppid, true, walk_the_stack, &walk[1]);
    attach_general(sta, SYS_getppid, false, walk_the_stack, &walk[2]);
    attach(sta, SYS_getppid, true, note_address, &at);
    install_private(sta);
    call_from_here();
    CHECK(is_on_private_stack(at));
    CHECK(walk[1].is_at_main);
    CHECK(walk[2].is_at_main);
    remove_transformer(sta);
}

/* Who leaves a callback */

static sigjmp_buf back;

static int jump_back(void *ctx, size_t ctx_size, uint64_t *ret, void *address)
{
    note_address(ctx, ctx_size, ret, address);
    siglongjmp(back, 1);
}

VICTIM(a_longjmp_out_of_a_callback_leaves_nothing_behind)
{
    struct seen *seen = shared_memory(sizeof(*seen));
    struct sta *sta = new_registry();
    static volatile uintptr_t at, first;
    static volatile int i;

    if (UNDER_ASAN)
        victim_skip("AddressSanitizer cannot follow a jump between stacks");
    attach(sta, SYS_getuid, true, jump_back, (void *)&at);
    attach(sta, SYS_getppid, true, count_enter, seen);
    install_private(sta);
    for (i = 0; i < 10000; i++) {
        if (sigsetjmp(back, 0) == 0) {
            syscall(SYS_getuid);
            victim_failed("the callback did not jump");
        }
        if (i == 0)
            first = at;
        CHECK_EQ(at, first);
        parent_pid();
    }
    CHECK_EQ(atomic_load(&seen->enters), 10000);
    CHECK_EQ(count_private_stacks(), 1);
    remove_transformer(sta);
}

/* Signals */

static volatile uintptr_t handler_at;
static volatile int handlers;

static void call_in_handler(int signal)
{
    (void)signal;
    handler_at = HERE;
    handlers++;
    parent_pid();
}

static void jump_from_handler(int signal)
{
    call_in_handler(signal);
    siglongjmp(back, 1);
}

static int raise_signal(void *ctx, size_t ctx_size, uint64_t *ret, void *signal)
{
    (void)ctx, (void)ctx_size, (void)ret;
    STA__RAW3(SYS_tgkill, STA__RAW0(SYS_getpid), STA__RAW0(SYS_gettid), (long)signal);
    return sta_current_args() ? 0 : -EINVAL;
}

static void handle(int signal, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    CHECK_EQ(sigaction(signal, &action, NULL), 0);
}

VICTIM(signal_handlers_that_interrupt_callbacks_run_there)
{
    struct sta_attach_info info = {.size = sizeof(info)};
    struct seen *seen = shared_memory(sizeof(*seen));
    struct sta *sta = new_registry();
    static volatile int i;
    int id, raiser;

    handle(SIGUSR1, call_in_handler, 0);
    handle(SIGUSR2, jump_from_handler, SA_NODEFER);
    raiser = attach(sta, SYS_getuid, true, raise_signal, (void *)SIGUSR1);
    attach(sta, SYS_getgid, true, raise_signal, (void *)SIGUSR2);
    id = attach(sta, SYS_getppid, true, count_enter, seen);
    install_private(sta);
    syscall(SYS_getuid);
    CHECK_EQ(handlers, 1);
    CHECK(is_on_private_stack(handler_at));
    CHECK_EQ(sta_attach_info(sta, id, &info), 0);
    CHECK_EQ(info.runs, 0); /* the callback had not ended */
    CHECK_EQ(info.missed, 1);
    CHECK_EQ(sta_attach_info(sta, raiser, &info), 0);
    CHECK_EQ(info.failed, 0); /* it is in its section afterwards */
    if (UNDER_ASAN)
        victim_skip("AddressSanitizer cannot follow a jump between stacks");
    for (i = 0; i < 100; i++) {
        if (sigsetjmp(back, 1) == 0) {
            syscall(SYS_getgid);
            victim_failed("the handler did not jump");
        }
        CHECK(is_on_private_stack(handler_at));
    }
    CHECK_EQ(handlers, 101);
    parent_pid();
    CHECK_EQ(atomic_load(&seen->enters), 1);
    CHECK_EQ(count_private_stacks(), 1);
    remove_transformer(sta);
}

/* Alternate signal stacks: the kernel starts a second handler at their top unless it sees the stack
 * pointer in them, so callbacks for calls that are made on one must not leave it. */

static char alt_memory[2][16 * PAGE];
static volatile int frames_overwritten;

static bool is_on(const char *memory, uintptr_t address)
{
    return address >= (uintptr_t)memory && address < (uintptr_t)memory + sizeof(alt_memory[0]);
}

/* Makes a call whose callback raises a signal that is handled on the same stack. */
static void call_with_frame(int signal)
{
    volatile uint64_t frame[64];

    (void)signal;
    for (size_t i = 0; i < COUNT_OF(frame); i++)
        frame[i] = i * 0x0101010101010101u;
    handler_at = HERE;
    syscall(SYS_getuid);
    for (size_t i = 0; i < COUNT_OF(frame); i++)
        frames_overwritten += frame[i] != i * 0x0101010101010101u;
}

static void just_count(int signal)
{
    volatile char memory[4096];

    (void)signal;
    for (size_t i = 0; i < sizeof(memory); i++)
        memory[i] = 0x55;
    handlers++;
}

/* With the old settings in place of the new ones, or without. */
static void set_alt_stack(char *memory, bool in_place)
{
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof(alt_memory[0])};

    CHECK_EQ(sigaltstack(&stack, in_place ? &stack : NULL), 0);
}

static void check_alt_stack(const char *memory, uintptr_t *at)
{
    handlers = 0;
    handler_at = 0;
    raise(SIGUSR1);
    CHECK_EQ(handlers, 1);
    CHECK_EQ(frames_overwritten, 0);
    CHECK(is_on(memory, handler_at));
    CHECK(is_on(memory, *at));
}

/* From a handler on the ordinary stack: the kernel undoes it when the handler returns. */
static void change_alt_stack(int signal)
{
    (void)signal;
    set_alt_stack(alt_memory[0], false);
    handlers++;
}

VICTIM(calls_on_an_alternate_stack_stay_there)
{
    struct sta *sta = new_registry();
    uintptr_t at = 0, usual = 0;

    handle(SIGUSR1, call_with_frame, SA_ONSTACK);
    handle(SIGUSR2, just_count, SA_ONSTACK);
    handle(SIGHUP, change_alt_stack, 0);
    set_alt_stack(alt_memory[0], false);
    attach(sta, SYS_getuid, true, note_address, &at);
    attach(sta, SYS_getuid, true, raise_signal, (void *)SIGUSR2);
    attach(sta, SYS_getppid, true, note_address, &usual);
    install_private(sta);
    check_alt_stack(alt_memory[0], &at); /* it was there before */
    set_alt_stack(alt_memory[1], false);
    check_alt_stack(alt_memory[1], &at);
    set_alt_stack(alt_memory[0], true);
    check_alt_stack(alt_memory[0], &at);
    set_alt_stack(alt_memory[1], false);
    parent_pid();
    CHECK(is_on_private_stack(usual));
    raise(SIGHUP);
    check_alt_stack(alt_memory[1], &at);
    remove_transformer(sta);
}

/* Children */

static int fork_in_callback(void *ctx, size_t ctx_size, uint64_t *ret, void *data)
{
    pid_t *pid = data;

    (void)ctx, (void)ctx_size, (void)ret;
    if (*pid == 0)
        *pid = (pid_t)syscall(SYS_fork);
    return sta_current_args() ? sta_override_return(4711) : -EINVAL;
}

VICTIM(children_have_their_copy)
{
    struct seen *seen = shared_memory(sizeof(*seen));
    struct sta *sta = new_registry();
    uintptr_t at = 0;
    pid_t pid = 0;

    attach(sta, SYS_getppid, true, note_address, &at);
    attach(sta, SYS_getppid, true, count_enter, seen);
    attach(sta, SYS_getuid, true, fork_in_callback, &pid);
    install_private(sta);
    parent_pid();
    CHECK_EQ(syscall(SYS_getuid), 4711); /* returns twice */
    at = 0;
    parent_pid();
    CHECK(is_on_private_stack(at));
    if (pid == 0)
        _exit(5);
    CHECK_EQ(status_of(pid), 5 << 8);
    pid = fork();
    if (pid == 0) {
        at = 0;
        parent_pid();
        CHECK(is_on_private_stack(at));
        CHECK_EQ(count_private_stacks(), 1);
        _exit(6);
    }
    CHECK_EQ(status_of(pid), 6 << 8);
    CHECK_EQ(atomic_load(&seen->enters), 4);
    remove_transformer(sta);
}

VICTIM(vfork_children_use_their_parents)
{
    struct seen *seen = shared_memory(sizeof(*seen));
    char *arguments[] = {"true", NULL};
    struct sta *sta = new_registry();
    uintptr_t at = 0;
    pid_t pid;

    attach(sta, STA_ALL_SYSCALLS, true, count_enter, seen);
    attach(sta, STA_ALL_SYSCALLS, false, count_exit, seen);
    attach(sta, SYS_getppid, true, note_address, &at);
    install_private(sta);
    for (int i = 0; i < 20; i++) {
        pid = vfork();
        if (pid == 0) {
            parent_pid();
            _exit(3);
        }
        CHECK_EQ(status_of(pid), 3 << 8);
        CHECK(is_on_private_stack(at));
        CHECK_EQ(posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, NULL), 0);
        CHECK_EQ(status_of(pid), 0);
    }
    CHECK(atomic_load(&seen->enters) > 100);
    CHECK_EQ(count_private_stacks(), 1);
    remove_transformer(sta);
}

/* Threads */

static int check_own_stack(void *ctx, size_t ctx_size, uint64_t *ret, void *wrong)
{
    static __thread uintptr_t mine;
    uintptr_t here = HERE / STACK_SIZE;

    (void)ctx, (void)ctx_size, (void)ret;
    if (mine && mine - here + 1 > 2)
        atomic_fetch_add((_Atomic int *)wrong, 1);
    mine = here;
    return 0;
}

static void *call_a_few_times(void *data)
{
    for (int i = 0; i < 20; i++)
        if (parent_pid() != (long)data)
            victim_failed("a wrong result");
    return NULL;
}

VICTIM(threads_come_and_go)
{
    long parent = parent_pid();
    struct seen *seen = shared_memory(sizeof(*seen));
    struct sta *sta = new_registry();
    static _Atomic int wrong;
    pthread_t threads[100];

    attach(sta, SYS_getppid, true, count_enter, seen);
    attach(sta, SYS_getppid, false, check_own_stack, &wrong);
    attach(sta, SYS_exit, true, count_enter, seen);
    install_private(sta);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT_OF(threads); i++)
            CHECK_EQ(pthread_create(&threads[i], NULL, call_a_few_times, (void *)parent), 0);
        for (size_t i = 0; i < COUNT_OF(threads); i++)
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
        CHECK_EQ(count_private_stacks(), 0);
    }
    CHECK_EQ(atomic_load(&seen->enters), 3 * 100 * 21);
    CHECK_EQ(wrong, 0);
    parent_pid();
    CHECK_EQ(count_private_stacks(), 1);
    remove_transformer(sta);
}

static int end_thread(void *ctx, size_t ctx_size, uint64_t *ret, void *data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)data;
    syscall(SYS_exit, 0);
    return 0;
}

static void *never_return(void *data)
{
    syscall(SYS_getuid);
    return data;
}

VICTIM(a_thread_may_end_in_a_callback)
{
    struct sta *sta = new_registry();
    uintptr_t at = 0;
    pthread_t thread;

    attach(sta, SYS_getuid, true, end_thread, NULL);
    attach(sta, SYS_getppid, true, note_address, &at);
    install_private(sta);
    CHECK_EQ(pthread_create(&thread, NULL, never_return, &at), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    parent_pid();
    CHECK(is_on_private_stack(at));
    remove_transformer(sta);
}

static int exit_at_once(void *data)
{
    (void)data;
    syscall(SYS_exit, 9);
    return 1;
}

/* A child with a stack of its own, but with the thread-local storage of this thread. */
static int clone_in_callback(void *ctx, size_t ctx_size, uint64_t *ret, void *pid)
{
    static char stack[16 * PAGE] __attribute__((aligned(16)));

    (void)ctx, (void)ctx_size, (void)ret;
    *(pid_t *)pid = clone(exit_at_once, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, 0);
    return 0;
}

VICTIM(a_child_that_ends_does_not_take_the_stack_away)
{
    struct sta *sta = new_registry();
    uintptr_t at = 0;
    pid_t pid = 0;

    attach(sta, SYS_getuid, true, clone_in_callback, &pid);
    attach(sta, SYS_getppid, true, note_address, &at);
    install_private(sta);
    syscall(SYS_getuid);
    CHECK(pid > 0);
    CHECK_EQ(status_of(pid), 9 << 8);
    parent_pid();
    CHECK(is_on_private_stack(at));
    remove_transformer(sta);
}

/* Without memory */

static size_t mapped_bytes(void)
{
    FILE *statm = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;

    CHECK(statm != NULL);
    CHECK_EQ(fscanf(statm, "%lu", &pages), 1);
    fclose(statm);
    return pages * PAGE;
}

VICTIM(where_there_is_no_memory_the_applications_stack_serves)
{
    struct sta *sta = new_registry();
    struct rlimit limit, old;
    uintptr_t at = 0;

    if (UNDER_ASAN)
        victim_skip("AddressSanitizer needs address space");
    CHECK_EQ(getrlimit(RLIMIT_AS, &old), 0);
    attach(sta, SYS_getppid, true, note_address, &at);
    install_private(sta);
    limit = old;
    limit.rlim_cur = mapped_bytes();
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    parent_pid();
    CHECK_EQ(setrlimit(RLIMIT_AS, &old), 0);
    check_on_own_stack(at);
    parent_pid();
    CHECK_EQ(count_private_stacks(), 0);
    remove_transformer(sta);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callbacks_run_on_a_stack_of_their_own),
        cmocka_unit_test(without_the_flag_they_run_on_the_applications),
        cmocka_unit_test(a_small_stack_of_the_application_will_do),
        cmocka_unit_test(an_overflow_is_a_fault),
        cmocka_unit_test(override_and_arguments_work),
        cmocka_unit_test(so_they_do_for_calls_from_anywhere),
        cmocka_unit_test(vector_registers_are_saved),
        cmocka_unit_test(calls_of_callbacks_are_not_traced),
        cmocka_unit_test(backtraces_from_callbacks_reach_main),
        cmocka_unit_test(a_longjmp_out_of_a_callback_leaves_nothing_behind),
        cmocka_unit_test(signal_handlers_that_interrupt_callbacks_run_there),
        cmocka_unit_test(calls_on_an_alternate_stack_stay_there),
        cmocka_unit_test(children_have_their_copy),
        cmocka_unit_test(vfork_children_use_their_parents),
        cmocka_unit_test(threads_come_and_go),
        cmocka_unit_test(a_thread_may_end_in_a_callback),
        cmocka_unit_test(a_child_that_ends_does_not_take_the_stack_away),
        cmocka_unit_test(where_there_is_no_memory_the_applications_stack_serves),
    };

    return run_interception_tests(argc, argv, tests);
}
