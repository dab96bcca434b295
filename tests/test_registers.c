/* SPDX-License-Identifier: MIT */
/*
 * A system call changes rax, rcx and r11, and nothing else: the same when it is intercepted.
 *
 * machine_call() loads every register from `machine_in`, executes `syscall`, and stores every
 * register to `machine_out`. Callbacks overwrite what they can.
 */
#include "intercept.h"

#include <cpuid.h>

#include "base/vectors.h"
#include "transform/entry.h"

struct machine {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15, flags;
    uint64_t red_zone[16];
    uint64_t k[8];
    unsigned char zmm[32][64];
    unsigned char x87[16]; /* st(0) */
    uint64_t sp;
    uint32_t mxcsr, control_word;
};

struct machine machine_in, machine_out;
uint64_t machine_vectors;   /* 0: xmm, 1: ymm, 2: zmm and k */
uint64_t machine_sp_offset; /* subtracted from an aligned stack pointer */
uint64_t machine_saved[2];  /* sp; control words */
void machine_call(void);
extern const char machine_called[]; /* behind the instruction */

_Static_assert(offsetof(struct machine, red_zone) == 128, "asm");
_Static_assert(offsetof(struct machine, k) == 256, "asm");
_Static_assert(offsetof(struct machine, zmm) == 320, "asm");
_Static_assert(offsetof(struct machine, x87) == 2368, "asm");
_Static_assert(offsetof(struct machine, sp) == 2384, "asm");
_Static_assert(offsetof(struct machine, mxcsr) == 2392, "asm");
_Static_assert(offsetof(struct machine, control_word) == 2396, "asm");

__asm__(".text\n"
        ".globl machine_call, machine_called\n"
        ".type machine_call, @function\n"
        "machine_call:\n"
        "  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "  stmxcsr machine_saved+8(%rip)\n"
        "  fnstcw machine_saved+12(%rip)\n"
        "  mov %rsp, machine_saved(%rip)\n"
        "  sub $4096, %rsp\n"
        "  and $-64, %rsp\n"
        "  sub machine_sp_offset(%rip), %rsp\n"
        "  lea machine_in(%rip), %rax\n"
        /* vectors */
        "  cmpq $1, machine_vectors(%rip)\n"
        "  ja 2f\n"
        "  je 1f\n"
        "  .irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        "  movups 320+64*\\n(%rax), %xmm\\n\n"
        "  .endr\n"
        "  jmp 3f\n"
        "1:.irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        "  vmovups 320+64*\\n(%rax), %ymm\\n\n"
        "  .endr\n"
        "  jmp 3f\n"
        "2:.irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,"
        "30,31\n"
        "  vmovups 320+64*\\n(%rax), %zmm\\n\n"
        "  .endr\n"
        "  .irp n,0,1,2,3,4,5,6,7\n"
        "  kmovq 256+8*\\n(%rax), %k\\n\n"
        "  .endr\n"
        "3:fninit\n"
        "  fldcw 2396(%rax)\n"
        "  fldt 2368(%rax)\n"
        "  ldmxcsr 2392(%rax)\n"
        /* flags, then the red zone: from here on nothing may push or touch the flags */
        "  pushq 120(%rax)\n"
        "  popfq\n"
        "  .irp n,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16\n"
        "  mov 128+8*(\\n-1)(%rax), %rbx\n"
        "  mov %rbx, -8*\\n(%rsp)\n"
        "  .endr\n"
        "  mov 8(%rax), %rbx\n"
        "  mov 16(%rax), %rcx\n"
        "  mov 24(%rax), %rdx\n"
        "  mov 32(%rax), %rsi\n"
        "  mov 40(%rax), %rdi\n"
        "  mov 48(%rax), %rbp\n"
        "  mov 56(%rax), %r8\n"
        "  mov 64(%rax), %r9\n"
        "  mov 72(%rax), %r10\n"
        "  mov 80(%rax), %r11\n"
        "  mov 88(%rax), %r12\n"
        "  mov 96(%rax), %r13\n"
        "  mov 104(%rax), %r14\n"
        "  mov 112(%rax), %r15\n"
        "  mov 0(%rax), %rax\n"
        "  syscall\n"
        "machine_called:\n"
        "  mov %rax, machine_out+0(%rip)\n"
        "  lea machine_out(%rip), %rax\n"
        "  mov %rbx, 8(%rax)\n"
        "  mov %rcx, 16(%rax)\n"
        "  mov %rdx, 24(%rax)\n"
        "  mov %rsi, 32(%rax)\n"
        "  mov %rdi, 40(%rax)\n"
        "  mov %rbp, 48(%rax)\n"
        "  mov %r8, 56(%rax)\n"
        "  mov %r9, 64(%rax)\n"
        "  mov %r10, 72(%rax)\n"
        "  mov %r11, 80(%rax)\n"
        "  mov %r12, 88(%rax)\n"
        "  mov %r13, 96(%rax)\n"
        "  mov %r14, 104(%rax)\n"
        "  mov %r15, 112(%rax)\n"
        "  mov %rsp, 2384(%rax)\n"
        "  .irp n,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16\n"
        "  mov -8*\\n(%rsp), %rbx\n"
        "  mov %rbx, 128+8*(\\n-1)(%rax)\n"
        "  .endr\n"
        "  pushfq\n"
        "  popq 120(%rax)\n"
        "  cld\n"
        "  stmxcsr 2392(%rax)\n"
        "  fstpt 2368(%rax)\n"
        "  fnstcw 2396(%rax)\n"
        "  cmpq $1, machine_vectors(%rip)\n"
        "  ja 2f\n"
        "  je 1f\n"
        "  .irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        "  movups %xmm\\n, 320+64*\\n(%rax)\n"
        "  .endr\n"
        "  jmp 3f\n"
        "1:.irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        "  vmovups %ymm\\n, 320+64*\\n(%rax)\n"
        "  .endr\n"
        "  vzeroupper\n"
        "  jmp 3f\n"
        "2:.irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,"
        "30,31\n"
        "  vmovups %zmm\\n, 320+64*\\n(%rax)\n"
        "  .endr\n"
        "  .irp n,0,1,2,3,4,5,6,7\n"
        "  kmovq %k\\n, 256+8*\\n(%rax)\n"
        "  .endr\n"
        "  vzeroupper\n"
        "3:mov machine_saved(%rip), %rsp\n"
        "  ldmxcsr machine_saved+8(%rip)\n"
        "  fninit\n"
        "  fldcw machine_saved+12(%rip)\n"
        "  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "  ret\n"
        ".size machine_call, . - machine_call\n");

#define FLAG_BITS 0xcd5 /* CF PF AF ZF SF DF OF */
#define FLAG_DF   0x400

static void find_vectors(void)
{
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512f"))
        machine_vectors = 2;
    else
        machine_vectors = __builtin_cpu_supports("avx") != 0;
}

static void fill_machine(uint64_t flags)
{
    unsigned char *bytes = (unsigned char *)&machine_in;
    static const unsigned char one_third[10] = {0xab, 0xaa, 0xaa, 0xaa, 0xaa,
                                                0xaa, 0xaa, 0xaa, 0xfd, 0x3f};

    for (size_t i = 0; i < sizeof(machine_in); i++)
        bytes[i] = (unsigned char)(i * 37 + (i >> 8) + 11);
    machine_in.flags = flags | 2;
    machine_in.mxcsr = 0x1fa0 | 0x6000; /* round to zero, a sticky flag */
    machine_in.control_word = 0x0e7f;   /* round to zero, double precision */
    memcpy(machine_in.x87, one_third, sizeof(one_third));
}

/* Callbacks */

static void clobber_vectors(void)
{
    static const uint32_t mxcsr = 0x1f80;

    if (machine_vectors == 2)
        __asm__ volatile(".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,"
                         "25,26,27,28,29,30,31\n"
                         "vpternlogd $0xff, %%zmm\\n, %%zmm\\n, %%zmm\\n\n"
                         ".endr\n"
                         ".irp n,0,1,2,3,4,5,6,7\n"
                         "kxnorq %%k\\n, %%k\\n, %%k\\n\n"
                         ".endr\n" ::
                             : "memory");
    else if (machine_vectors == 1)
        __asm__ volatile("vzeroall" ::: "memory");
    __asm__ volatile("fninit; fldz; fld1; ldmxcsr %0\n"
                     ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
                     "pcmpeqd %%xmm\\n, %%xmm\\n\n"
                     ".endr\n" ::"m"(mxcsr)
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory");
}

static int clobber_runs;

static int clobber(void *ctx, size_t ctx_size, uint64_t *ret, void *misaligned)
{
    unsigned char local[64] __attribute__((aligned(16)));
    uint64_t flags;

    __asm__ volatile("pushfq; popq %0" : "=r"(flags));
    __asm__ volatile("movaps %%xmm0, %0" : "=m"(*(char(*)[16])local));
    if (flags & FLAG_DF || (uintptr_t)__builtin_frame_address(0) % 16)
        ++*(int *)misaligned;
    memset(ctx, 0xee, ctx_size);
    *ret = 0xeeee;
    clobber_vectors();
    clobber_runs++;
    __asm__ volatile("xor %%eax, %%eax; sub $1, %%eax" ::
                         : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "cc");
    return 0;
}

static int nothing(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    return 0;
}

/* Comparison */

static void check_bytes(const char *what, const void *got, const void *expected, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (((const unsigned char *)got)[i] != ((const unsigned char *)expected)[i])
            victim_failed("%s: byte %zu is %02x, was %02x", what, i,
                          ((const unsigned char *)got)[i], ((const unsigned char *)expected)[i]);
    }
}

static void check_unchanged(int64_t result)
{
    static const size_t vector_bytes[] = {16, 32, 64};
    struct machine expected = machine_in;

    CHECK_EQ(machine_out.rax, result);
    expected.rax = machine_out.rax;
    expected.rcx = machine_out.rcx;
    expected.r11 = machine_out.r11;
    CHECK_EQ(machine_out.flags & FLAG_BITS, machine_in.flags & FLAG_BITS);
    expected.flags = machine_out.flags;
    check_bytes("general registers", &machine_out, &expected, offsetof(struct machine, red_zone));
    check_bytes("red zone", machine_out.red_zone, machine_in.red_zone, sizeof(expected.red_zone));
    for (int i = 0; i < (machine_vectors == 2 ? 32 : 16); i++)
        check_bytes("vector register", machine_out.zmm[i], machine_in.zmm[i],
                    vector_bytes[machine_vectors]);
    if (machine_vectors == 2)
        check_bytes("k registers", machine_out.k, machine_in.k, sizeof(machine_in.k));
    check_bytes("st(0)", machine_out.x87, machine_in.x87, 10);
    CHECK_EQ(machine_out.mxcsr, machine_in.mxcsr);
    CHECK_EQ(machine_out.control_word & 0xffff, machine_in.control_word & 0xffff);
    CHECK_EQ(machine_out.rcx, (uintptr_t)machine_called);
}

static void make_call(long sys_nr, uint64_t flags, int64_t expected)
{
    fill_machine(flags);
    machine_in.rax = (uint64_t)sys_nr;
    machine_call();
    check_unchanged(expected);
}

static void make_calls(void)
{
    static const uint64_t flags[] = {0, FLAG_BITS, FLAG_DF, 0x841, 0x94};
    pid_t parent = (pid_t)STA__RAW0(SYS_getppid);

    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        make_call(SYS_getppid, flags[i], parent);
        make_call(500, flags[i], -ENOSYS);
        make_call(SYS_close, flags[i], -EBADF);
        make_call(SYS_sched_yield, flags[i], 0);
    }
}

VICTIM(the_harness_agrees_with_the_kernel)
{
    find_vectors();
    make_calls();
}

VICTIM(only_rax_rcx_and_r11_change)
{
    struct sta *sta = new_registry();
    int misaligned = 0;

    find_vectors();
    attach(sta, STA_ALL_SYSCALLS, true, clobber, &misaligned);
    attach(sta, STA_ALL_SYSCALLS, false, clobber, &misaligned);
    install(sta);
    clobber_runs = 0;
    make_calls();
    CHECK(clobber_runs >= 40);
    remove_transformer(sta);
    CHECK_EQ(misaligned, 0);
}

VICTIM(nothing_changes_for_general_register_callbacks)
{
    struct sta_attach_options options = {.size = sizeof(options),
                                         .target = {STA_ALL_SYSCALLS, true},
                                         .callback = nothing,
                                         .flags = STA_CALLBACK_GENERAL_REGS};
    struct sta *sta = new_registry();

    find_vectors();
    CHECK(sta_attach_with(sta, &options) > 0);
    options.target.is_enter = false;
    CHECK(sta_attach_with(sta, &options) > 0);
    install(sta);
    make_calls();
    remove_transformer(sta);
}

VICTIM(nothing_changes_when_nothing_is_attached)
{
    struct sta *sta = new_registry();

    find_vectors();
    install(sta);
    make_calls();
    remove_transformer(sta);
}

static int answer(void *ctx, size_t ctx_size, uint64_t *ret, void *value)
{
    (void)ctx, (void)ctx_size, (void)ret;
    clobber_vectors();
    return sta_override_return((long)value);
}

VICTIM(nothing_else_changes_when_a_callback_answers)
{
    struct sta *sta = new_registry();

    find_vectors();
    attach(sta, SYS_close, true, answer, (void *)-EPERM);
    attach(sta, SYS_getppid, false, answer, (void *)0x123456789abcL);
    install(sta);
    make_call(SYS_close, FLAG_BITS, -EPERM);
    make_call(SYS_getppid, FLAG_BITS, 0x123456789abcL);
    remove_transformer(sta);
}

VICTIM(any_alignment_of_the_stack_will_do)
{
    struct sta *sta = new_registry();
    int misaligned = 0;

    find_vectors();
    attach(sta, SYS_getppid, true, clobber, &misaligned);
    attach(sta, SYS_getppid, false, clobber, &misaligned);
    install(sta);
    for (machine_sp_offset = 0; machine_sp_offset < 64; machine_sp_offset++)
        make_call(SYS_getppid, FLAG_BITS, STA__RAW0(SYS_getppid));
    remove_transformer(sta);
    CHECK_EQ(misaligned, 0);
}

/* How much of the application's stack is used before a callback runs: what is below its stack
 * pointer is painted, and the callback looks how far down that is gone. stack_probe() goes into the
 * entry as a rewritten instruction does, with no more than xmm0-15 in use. */

#define PAINTED 4096
#define PAINT   UINT64_C(0x5a5a5a5a5a5a5a5a)

uint8_t probe_area[4096] __attribute__((aligned(64)));
uint32_t probe_mask;
uintptr_t probe_sp;
void stack_probe(void);

__asm__(".text\n"
        ".type stack_probe, @function\n"
        "stack_probe:\n"
        "  mov probe_mask(%rip), %eax\n"
        "  xor %edx, %edx\n"
        "  xrstor64 probe_area(%rip)\n"
        "  mov %rsp, probe_sp(%rip)\n"
        "  lea -4096(%rsp), %rdi\n"
        "  mov $512, %ecx\n"
        "  mov $0x5a5a5a5a5a5a5a5a, %rax\n"
        "  rep stosq\n"
        "  mov $110, %eax\n"
        "  lea 1f(%rip), %rcx\n"
        "  jmp sta__entry_by_jump\n"
        "1:ret\n"
        ".size stack_probe, . - stack_probe\n");

_Static_assert(SYS_getppid == 110 && PAINTED == 4096, "asm");

__attribute__((noinline)) static int measure_depth(void *ctx, size_t ctx_size, uint64_t *ret,
                                                   void *depth)
{
    const volatile uint64_t *bottom = (const volatile uint64_t *)(probe_sp - PAINTED);
    unsigned i = 0;

    (void)ctx, (void)ctx_size, (void)ret;
    while (i < PAINTED / 8 && bottom[i] == PAINT)
        i++;
    *(unsigned *)depth = PAINTED - i * 8;
    return 0;
}

VICTIM(less_than_a_kib_of_stack_is_used_before_a_callback)
{
    struct sta *sta = new_registry();
    unsigned depth = 0;

    if (UNDER_ASAN)
        victim_skip("AddressSanitizer makes frames larger");
    sta__vectors_need();
    probe_mask = sta__vectors_tracked;
    if (!probe_mask)
        victim_skip("this processor does not tell which registers are in use");
    *(uint32_t *)&probe_area[24] = 0x1f80; /* mxcsr */
    *(uint64_t *)&probe_area[512] = STA__VECTORS_SSE;
    attach(sta, SYS_getppid, true, measure_depth, &depth);
    install(sta);
    stack_probe(); /* the thread's first call takes more */
    stack_probe();
    remove_transformer(sta);
    CHECK(depth > sizeof(struct sta__entry_frame));
    if (depth >= 1024)
        victim_failed("%u bytes of stack", depth);
    if (getenv("STA_TEST_LOG"))
        fprintf(stderr, "%u bytes of stack\n", depth);
}

/* The arguments as they are in the registers, also those beyond the call's arity. */
static int check_arguments(void *ctx, size_t ctx_size, uint64_t *ret, void *wrong)
{
    const unsigned long *args = ctx_size == sizeof(struct sta_sys_enter)
                                    ? ((struct sta_sys_enter *)ctx)->args
                                    : sta_current_args();

    (void)ret;
    if (args[0] != machine_in.rdi || args[1] != machine_in.rsi || args[2] != machine_in.rdx ||
        args[3] != machine_in.r10 || args[4] != machine_in.r8 || args[5] != machine_in.r9)
        ++*(int *)wrong;
    return 0;
}

VICTIM(callbacks_see_all_six_arguments)
{
    struct sta *sta = new_registry();
    int wrong = 0;

    find_vectors();
    attach(sta, SYS_getppid, true, check_arguments, &wrong);
    attach(sta, SYS_getppid, false, check_arguments, &wrong);
    install(sta);
    make_call(SYS_getppid, 0, STA__RAW0(SYS_getppid));
    remove_transformer(sta);
    CHECK_EQ(wrong, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_harness_agrees_with_the_kernel),
        cmocka_unit_test(only_rax_rcx_and_r11_change),
        cmocka_unit_test(nothing_changes_for_general_register_callbacks),
        cmocka_unit_test(nothing_changes_when_nothing_is_attached),
        cmocka_unit_test(nothing_else_changes_when_a_callback_answers),
        cmocka_unit_test(any_alignment_of_the_stack_will_do),
        cmocka_unit_test(less_than_a_kib_of_stack_is_used_before_a_callback),
        cmocka_unit_test(callbacks_see_all_six_arguments),
    };

    return run_interception_tests(argc, argv, tests);
}
