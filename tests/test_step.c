/* SPDX-License-Identifier: MIT */
/*
 * A signal at every instruction of an intercepted call.
 *
 * A tracer steps a child through the call once, and so learns its path. Then the child makes the
 * call again and again: in round k it is stopped at instruction k, is sent a signal there, and goes
 * on. The child checks each time that the handler ran, that the call gave what it had to, that no
 * register changed, and that the next call is seen.
 */
#include "intercept.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#include "text.h"
#include "transform/entry.h"

#define STEPS_MAX 20000
#define TRAP_FLAG 0x100ull
/* A longer path (under sanitizers) is sampled. */
#define ROUNDS_MAX 1500
/* Generated code has no unwind data: so many instructions between a site and the entry. */
#define STUB_INSTRUCTIONS_MAX 10

/* Registers before and after the call. r15 holds the number. */
struct registers {
    uint64_t rax, rbx, rdx, rsi, rdi, rbp, r8, r9, r10, r12, r13, r14, r15;
    uint64_t red_zone[16];
    unsigned char xmm[16][16];
};

struct registers step_in, step_out;

_Static_assert(offsetof(struct registers, red_zone) == 104, "asm");
_Static_assert(offsetof(struct registers, xmm) == 232, "asm");

#define LOAD                                                      \
    ".irp reg,rbx,rbp,r12,r13,r14,r15\n"                          \
    "push %\\reg\n"                                               \
    ".cfi_adjust_cfa_offset 8\n"                                  \
    ".cfi_rel_offset %\\reg, 0\n"                                 \
    ".endr\n"                                                     \
    "lea step_in(%rip), %rax\n"                                   \
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"              \
    "movups 232+16*\\n(%rax), %xmm\\n\n"                          \
    "mov 104+8*\\n(%rax), %rbx\n"                                 \
    "mov %rbx, -8*(\\n+1)(%rsp)\n"                                \
    ".endr\n"                                                     \
    "mov 8(%rax), %rbx\nmov 16(%rax), %rdx\nmov 24(%rax), %rsi\n" \
    "mov 32(%rax), %rdi\nmov 40(%rax), %rbp\nmov 48(%rax), %r8\n" \
    "mov 56(%rax), %r9\nmov 64(%rax), %r10\nmov 72(%rax), %r12\n" \
    "mov 80(%rax), %r13\nmov 88(%rax), %r14\nmov 96(%rax), %r15\n"

#define STORE                                                      \
    "mov %rax, step_out(%rip)\n"                                   \
    "lea step_out(%rip), %rax\n"                                   \
    "mov %rbx, 8(%rax)\nmov %rdx, 16(%rax)\nmov %rsi, 24(%rax)\n"  \
    "mov %rdi, 32(%rax)\nmov %rbp, 40(%rax)\nmov %r8, 48(%rax)\n"  \
    "mov %r9, 56(%rax)\nmov %r10, 64(%rax)\nmov %r12, 72(%rax)\n"  \
    "mov %r13, 80(%rax)\nmov %r14, 88(%rax)\nmov %r15, 96(%rax)\n" \
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"               \
    "movups %xmm\\n, 232+16*\\n(%rax)\n"                           \
    "mov -8*(\\n+1)(%rsp), %rbx\n"                                 \
    "mov %rbx, 104+8*\\n(%rax)\n"                                  \
    ".endr\n"                                                      \
    ".irp reg,r15,r14,r13,r12,rbp,rbx\n"                           \
    "pop %\\reg\n"                                                 \
    ".cfi_adjust_cfa_offset -8\n"                                  \
    ".cfi_restore %\\reg\n"                                        \
    ".endr\n"                                                      \
    "ret\n"

/* Code that is never executed: no padding, so that there is no place for a jump. */
#define DENSE ".rept 80\nxor %eax, %eax\n.endr\n"

/* One way to make a call. It begins at name_begin, and is over at name_end. */
#define STEPPED(name, before, call, after)                                          \
    void name(void);                                                                \
    extern const char name##_begin[], name##_end[];                                 \
    __asm__(".text\n"                                                               \
            ".globl " #name ", " #name "_begin, " #name "_end\n"                    \
            ".p2align 4, 0x31\n"                                                    \
            ".type " #name ", @function\n" #name ":\n"                              \
            ".cfi_startproc\n" LOAD before #name "_begin:\n" call "syscall\n" #name \
            "_end:\n" STORE after ".cfi_endproc\n"                                  \
            ".size " #name ", . - " #name "\n")

STEPPED(step_getppid, "", "mov $110, %eax\n", "");
STEPPED(step_write, "", "mov $1, %eax\n", "");
STEPPED(step_short, "jmp 1f\n.skip 16, 0xcc\n1:\n", "mov %r15d, %eax\n", "");
STEPPED(step_detour, DENSE, "lea 0x12345(%r12), %rcx\nmov %r15d, %eax\n", DENSE);
STEPPED(step_trap, "jmp 1f\n" DENSE "1:\n", "mov %r15d, %eax\n", DENSE);

struct stepped {
    const char *name;
    void (*call)(void);
    const char *begin, *end;
    enum sta_site_method method; /* by which it is expected to be rewritten */
};

#define STEPPED_AT(name, method)                      \
    {                                                 \
#        name, name, name##_begin, name##_end, method \
    }

static const struct stepped by_mov = STEPPED_AT(step_getppid, STA_SITE_MOV);
static const struct stepped write_by_mov = STEPPED_AT(step_write, STA_SITE_MOV);
static const struct stepped by_short = STEPPED_AT(step_short, STA_SITE_SHORT);
static const struct stepped by_detour = STEPPED_AT(step_detour, STA_SITE_DETOUR);
static const struct stepped by_trap = STEPPED_AT(step_trap, STA_SITE_TRAP);

/* The child */

struct round {
    _Atomic bool stop;
    _Atomic int number;      /* rounds begun */
    _Atomic int handled;     /* signals */
    _Atomic int lost_caller; /* backtraces that did not reach the caller */
};

static struct round *shared;
static sigjmp_buf away;
static struct seen *getppids;

static void call_in_handler(int signal)
{
    int saved = errno;

    (void)signal;
    getppid();
    atomic_fetch_add(&shared->handled, 1);
    errno = saved;
}

static void jump_from_handler(int signal)
{
    call_in_handler(signal);
    siglongjmp(away, 1);
}

static void one_round(const struct stepped *stepped);

static void trace_in_handler(int signal)
{
    void *frames[64];
    int count = backtrace(frames, COUNT_OF(frames));
    bool found = false;

    for (int i = 0; i < count; i++)
        found |=
            (char *)frames[i] > (char *)one_round && (char *)frames[i] < (char *)one_round + 400;
    if (!found)
        atomic_fetch_add(&shared->lost_caller, 1);
    call_in_handler(signal);
}

static void fill_registers(long sys_nr, const unsigned long *args)
{
    unsigned char *bytes = (unsigned char *)&step_in;

    for (size_t i = 0; i < sizeof(step_in); i++)
        bytes[i] = (unsigned char)(i * 37 + 11);
    step_in.rdi = args[0];
    step_in.rsi = args[1];
    step_in.rdx = args[2];
    step_in.r15 = (uint64_t)sys_nr;
}

static void check_registers(long result)
{
    struct registers expected = step_in;

    CHECK_EQ(step_out.rax, result);
    expected.rax = step_out.rax;
    for (size_t i = 0; i < sizeof(expected); i++)
        if (((unsigned char *)&expected)[i] != ((unsigned char *)&step_out)[i])
            victim_failed("round %d: byte %zu of the registers is %02x, was %02x", shared->number,
                          i, ((unsigned char *)&step_out)[i], ((unsigned char *)&expected)[i]);
}

/* What a jump left behind is overwritten by whatever comes next. */
__attribute__((noinline)) static void use_stack(void)
{
    volatile char work[16384];

    for (size_t i = 0; i < sizeof(work); i++)
        work[i] = 0x55;
}

/* Around the call; the tracer waits for these. */
extern const char ready_at[], done_at[];

__attribute__((noinline)) static void ready(void)
{
    __asm__ volatile("int3\nready_at: nop" ::: "memory");
}

__attribute__((noinline)) static void done(void)
{
    __asm__ volatile("int3\ndone_at: nop" ::: "memory");
}

__attribute__((noinline)) static void one_round(const struct stepped *stepped)
{
    ready();
    stepped->call();
    done();
}

struct scene {
    const struct stepped *stepped;
    void (*handler)(int);
    int flags; /* of the handler's action */
};

static void check_round(const struct scene *scene, long result)
{
    const bool jumps = scene->handler == jump_from_handler;
    int handled = shared->handled;
    long enters;

    step_out.rax = 0;
    if (sigsetjmp(away, 1) == 0) {
        one_round(scene->stepped);
        check_registers(result);
    } else {
        CHECK(jumps);
        done();
    }
    CHECK_EQ(shared->handled, handled + 1);
    use_stack();
    enters = getppids->enters;
    getppid();
    if (getppids->enters != enters + 1)
        victim_failed("round %d: the next call is not seen", shared->number);
}

static int null_fd;

static void check_method(struct sta *sta, const struct stepped *stepped)
{
    struct sta_transform_site site;

    if (is_by_sud(sta))
        return;
    CHECK(text_find_site(sta, (uintptr_t)stepped->end - 2, &site));
    if (site.method != stepped->method)
        victim_failed("%s is rewritten by %s, not by %s", stepped->name,
                      sta_site_method_name(site.method), sta_site_method_name(stepped->method));
}

static void run_child(const struct scene *scene)
{
    const bool writes = scene->stepped == &write_by_mov;
    const long sys_nr = writes ? SYS_write : SYS_getppid;
    const unsigned long args[3] = {(unsigned long)null_fd, (unsigned long)"hello", 5};
    struct sigaction action = {.sa_handler = scene->handler, .sa_flags = scene->flags};
    struct sta *sta = new_registry();
    stack_t stack = {.ss_size = 256 * 1024, .ss_sp = malloc(256 * 1024)};
    void *frame;

    CHECK_EQ(ptrace(PTRACE_TRACEME, 0, 0, 0), 0);
    raise(SIGSTOP);
    backtrace(&frame, 1); /* loads libgcc */
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    getppids = count_calls(sta, SYS_getppid);
    if (writes)
        count_calls(sta, SYS_write);
    install(sta);
    check_method(sta, scene->stepped);
    fill_registers(sys_nr, args);
    while (!shared->stop) {
        atomic_fetch_add(&shared->number, 1);
        check_round(scene, writes ? 5 : STA__RAW0(SYS_getppid));
    }
    remove_transformer(sta);
    _exit(0);
}

/* The tracer */

struct tracee {
    pid_t pid;
    int signal; /* that it stopped for, and is to get when it goes on */
    uintptr_t rip, rsp;
};

static void go_on(struct tracee *tracee, enum __ptrace_request how)
{
    struct user_regs_struct regs;
    int status;

    CHECK_EQ(ptrace(how, tracee->pid, 0, (long)tracee->signal), 0);
    CHECK_EQ(waitpid(tracee->pid, &status, 0), tracee->pid);
    if (WIFSIGNALED(status))
        victim_failed("round %d: killed by signal %d", shared->number, WTERMSIG(status));
    if (WIFEXITED(status))
        victim_failed("round %d: exit status %d", shared->number, WEXITSTATUS(status));
    CHECK_EQ(ptrace(PTRACE_GETREGS, tracee->pid, 0, &regs), 0);
    tracee->rip = regs.rip;
    tracee->rsp = regs.rsp;
    tracee->signal = WSTOPSIG(status);
    if (tracee->signal == SIGTRAP)
        tracee->signal = 0;
}

static bool is_at(const struct tracee *tracee, const char *address)
{
    return tracee->rip == (uintptr_t)address && !tracee->signal;
}

static void run_to(struct tracee *tracee, const char *marker)
{
    do
        go_on(tracee, PTRACE_CONT);
    while (!is_at(tracee, marker));
}

/* A hardware breakpoint; at NULL: none any more. False: there are none here. */
static bool set_breakpoint(struct tracee *tracee, const char *address)
{
    const long offset = offsetof(struct user, u_debugreg), word = sizeof(long);
    const long on = 1; /* local, execute, one byte */

    if (!address)
        return ptrace(PTRACE_POKEUSER, tracee->pid, offset + 7 * word, 0L) == 0;
    return ptrace(PTRACE_POKEUSER, tracee->pid, offset, (long)address) == 0 &&
           ptrace(PTRACE_POKEUSER, tracee->pid, offset + 7 * word, on) == 0;
}

/* The path: where each instruction is, and how often it came before. */
struct step {
    const char *rip;
    int earlier;
};

struct path {
    int length;
    struct step steps[STEPS_MAX];
};

/* The child stands at the beginning of the call, and is led to its end. */
static void record_path(struct tracee *tracee, struct path *path, const struct stepped *stepped)
{
    struct user_regs_struct regs;

    while (!is_at(tracee, stepped->end)) {
        /* Where the signal of a trap is about to be delivered, no other can be. */
        if (!tracee->signal) {
            struct step *step = &path->steps[path->length];

            CHECK(path->length < STEPS_MAX);
            step->rip = (const char *)tracee->rip;
            for (int i = 0; i < path->length; i++)
                step->earlier += path->steps[i].rip == step->rip;
            path->length++;
        }
        go_on(tracee, PTRACE_SINGLESTEP);
    }
    /* The path saves and restores the flags, and among them the one that makes it stop. */
    CHECK_EQ(ptrace(PTRACE_GETREGS, tracee->pid, 0, &regs), 0);
    regs.eflags &= ~TRAP_FLAG;
    CHECK_EQ(ptrace(PTRACE_SETREGS, tracee->pid, 0, &regs), 0);
}

/* One round with the signal before that instruction. False: the child does not come there. */
static bool signal_at(struct tracee *tracee, const struct stepped *stepped, const struct step *step)
{
    run_to(tracee, ready_at);
    CHECK(set_breakpoint(tracee, stepped->begin));
    run_to(tracee, stepped->begin);
    CHECK(set_breakpoint(tracee, step->rip));
    for (int earlier = step->earlier + (step->rip != stepped->begin); earlier > 0;) {
        go_on(tracee, PTRACE_CONT);
        earlier -= is_at(tracee, step->rip);
        if (is_at(tracee, done_at))
            break;
    }
    CHECK(set_breakpoint(tracee, NULL));
    if (is_at(tracee, done_at)) {
        atomic_fetch_add(&shared->handled, 1); /* as the child expects */
        return false;
    }
    CHECK_EQ(syscall(SYS_tgkill, tracee->pid, tracee->pid, SIGUSR1), 0);
    run_to(tracee, done_at);
    return true;
}

/* Ends the child, which is at the end of a round. */
static void end_child(struct tracee *tracee)
{
    int status;

    atomic_store(&shared->stop, true);
    do {
        CHECK_EQ(ptrace(PTRACE_CONT, tracee->pid, 0, (long)tracee->signal), 0);
        CHECK_EQ(waitpid(tracee->pid, &status, 0), tracee->pid);
        tracee->signal = WIFSTOPPED(status) ? WSTOPSIG(status) : 0;
    } while (WIFSTOPPED(status));
    CHECK_EQ(status, 0);
}

static void require_ptrace(void)
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(ptrace(PTRACE_TRACEME, 0, 0, 0) == 0 ? 0 : 1);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        victim_skip("ptrace is refused here");
}

/* Both on one processor: they take turns. */
static struct tracee start_child(const struct scene *scene)
{
    struct tracee tracee = {.pid = fork()};
    cpu_set_t set;

    CHECK(tracee.pid >= 0);
    CPU_ZERO(&set);
    CPU_SET(sched_getcpu(), &set);
    sched_setaffinity(0, sizeof(set), &set);
    if (tracee.pid == 0)
        run_child(scene);
    return tracee;
}

/* Up to an address and a bit further; all of it, if the path does not lead there. */
static int length_to(const struct path *path, const char *rip)
{
    for (int i = 0; i < path->length - 10; i++)
        if (path->steps[i].rip == rip)
            return i + 10;
    return path->length;
}

/* In no file: code that was made for a site. */
static bool is_generated(const char *rip)
{
    Dl_info info;

    return dladdr(rip, &info) == 0;
}

static void signal_everywhere(const struct scene *scene)
{
    struct path *path = shared_memory(sizeof(*path));
    struct tracee tracee;
    int status, length, stride, missed = 0, sent = 0, in_stub = 0;

    if (wanted_method() == STA_METHOD_SUD && scene->stepped != &by_mov)
        victim_skip("by Syscall User Dispatch all calls go the same way");
    require_ptrace();
    shared = shared_memory(sizeof(*shared));
    null_fd = open("/dev/null", O_WRONLY);
    tracee = start_child(scene);
    CHECK_EQ(waitpid(tracee.pid, &status, 0), tracee.pid);
    if (!WIFSTOPPED(status))
        victim_failed("the child ended with %#x", (unsigned)status);
    CHECK_EQ(WSTOPSIG(status), SIGSTOP);
    /* Two rounds without a signal; by the second, the path is as it stays. */
    for (int i = 0; i < 2; i++) {
        run_to(&tracee, ready_at);
        if (!set_breakpoint(&tracee, scene->stepped->begin))
            victim_skip("ptrace offers no hardware breakpoints here");
        run_to(&tracee, scene->stepped->begin);
        CHECK(set_breakpoint(&tracee, NULL));
        if (i == 1)
            record_path(&tracee, path, scene->stepped);
        run_to(&tracee, done_at);
        atomic_fetch_add(&shared->handled, 1);
    }
    /* Behind the entry all ways are the same. */
    length = scene->stepped->method == STA_SITE_MOV ? path->length
                                                    : length_to(path, (const char *)sta__entry);
    stride = length / ROUNDS_MAX + 1;
    for (int i = 0; i < length; i += stride, sent++) {
        int lost = shared->lost_caller;

        missed += !signal_at(&tracee, scene->stepped, &path->steps[i]);
        if (shared->lost_caller == lost)
            continue;
        if (is_generated(path->steps[i].rip))
            atomic_store(&shared->lost_caller, lost), in_stub++;
        else
            fprintf(stderr, "the caller is lost at instruction %d, %p (sta_version is at %p)\n", i,
                    (const void *)path->steps[i].rip, (const void *)(uintptr_t)sta_version);
    }
    end_child(&tracee);
    if (stride > 1 || missed > 0 || getenv("STA_TEST_LOG"))
        fprintf(stderr, "%s: %d instructions, %d signals, %d not reached\n", scene->stepped->name,
                path->length, sent, missed);
    /* Which vector registers are saved depends on what the rounds before left in them. */
    CHECK(missed * 3 <= sent);
    CHECK(in_stub <= STUB_INSTRUCTIONS_MAX);
    if (shared->lost_caller > 0)
        victim_failed("%d of %d backtraces do not reach the caller", shared->lost_caller, sent);
}

#define SCENE(test, stepped_, handler_, flags_)                                                 \
    VICTIM(test)                                                                                \
    {                                                                                           \
        const struct scene scene = {.stepped = stepped_, .handler = handler_, .flags = flags_}; \
        signal_everywhere(&scene);                                                              \
    }

SCENE(a_signal_anywhere_in_a_call_by_mov, &by_mov, call_in_handler, 0)
SCENE(a_signal_anywhere_in_a_write_by_mov, &write_by_mov, call_in_handler, SA_RESTART)
SCENE(a_signal_anywhere_in_a_call_by_short_jump, &by_short, call_in_handler, 0)
SCENE(a_signal_anywhere_in_a_call_by_detour, &by_detour, call_in_handler, 0)
SCENE(a_signal_anywhere_in_a_call_by_trap, &by_trap, call_in_handler, 0)
SCENE(a_signal_on_another_stack_anywhere_in_a_call, &by_mov, call_in_handler, SA_ONSTACK)
SCENE(a_jump_out_of_a_handler_anywhere_in_a_call_by_mov, &by_mov, jump_from_handler, 0)
SCENE(a_jump_out_of_a_handler_anywhere_in_a_call_by_short_jump, &by_short, jump_from_handler, 0)
SCENE(a_jump_out_of_a_handler_anywhere_in_a_call_by_detour, &by_detour, jump_from_handler, 0)
SCENE(a_jump_out_of_a_handler_anywhere_in_a_call_by_trap, &by_trap, jump_from_handler, 0)
SCENE(a_jump_off_another_stack_anywhere_in_a_call, &by_mov, jump_from_handler, SA_ONSTACK)
SCENE(a_backtrace_anywhere_in_a_call_by_mov, &by_mov, trace_in_handler, 0)
SCENE(a_backtrace_anywhere_in_a_call_by_short_jump, &by_short, trace_in_handler, 0)
SCENE(a_backtrace_anywhere_in_a_call_by_detour, &by_detour, trace_in_handler, 0)
SCENE(a_backtrace_anywhere_in_a_call_by_trap, &by_trap, trace_in_handler, 0)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_anywhere_in_a_call_by_mov),
        cmocka_unit_test(a_signal_anywhere_in_a_write_by_mov),
        cmocka_unit_test(a_signal_anywhere_in_a_call_by_short_jump),
        cmocka_unit_test(a_signal_anywhere_in_a_call_by_detour),
        cmocka_unit_test(a_signal_anywhere_in_a_call_by_trap),
        cmocka_unit_test(a_signal_on_another_stack_anywhere_in_a_call),
        cmocka_unit_test(a_jump_out_of_a_handler_anywhere_in_a_call_by_mov),
        cmocka_unit_test(a_jump_out_of_a_handler_anywhere_in_a_call_by_short_jump),
        cmocka_unit_test(a_jump_out_of_a_handler_anywhere_in_a_call_by_detour),
        cmocka_unit_test(a_jump_out_of_a_handler_anywhere_in_a_call_by_trap),
        cmocka_unit_test(a_jump_off_another_stack_anywhere_in_a_call),
        cmocka_unit_test(a_backtrace_anywhere_in_a_call_by_mov),
        cmocka_unit_test(a_backtrace_anywhere_in_a_call_by_short_jump),
        cmocka_unit_test(a_backtrace_anywhere_in_a_call_by_detour),
        cmocka_unit_test(a_backtrace_anywhere_in_a_call_by_trap),
    };

    return run_interception_tests(argc, argv, tests);
}
