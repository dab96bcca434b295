/* SPDX-License-Identifier: MIT */
/*
 * Saving vector state around a callback: whatever the caller has in its registers, and whatever the
 * callback does to them, the caller finds what it had. What was not in use is not in use again.
 *
 * vectors_run() loads the state `before` by xrstor, calls, and stores the state `after` by xsave,
 * with what the processor says is in use. A run that calls nothing is what others are compared
 * with, so that nothing is assumed about the processor.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <cpuid.h>
#include <stdbool.h>
#include <string.h>

#include "base/vectors.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define AREA_SIZE       4096
#define DEPTH_MAX       3200 /* of the stack, in one call */

/* The legacy region and the header; the rest is at offsets that cpuid tells. */
struct area {
    uint16_t control_word, status_word;
    uint8_t tags, reserved;
    uint16_t opcode;
    uint64_t instruction, operand;
    uint32_t mxcsr, mxcsr_mask;
    uint8_t st[8][16];
    uint8_t xmm[16][16];
    uint8_t unused[96];
    uint64_t in_use, compact, zero[6];
    uint8_t rest[AREA_SIZE - 576];
} __attribute__((aligned(64)));

_Static_assert(offsetof(struct area, in_use) == 512, "SDM volume 1, 13.4.2");

struct state {
    struct area area;
    uint32_t in_use; /* by xgetbv; 0 where it cannot tell */
};

typedef int (*callback)(void *, size_t, uint64_t *, void *);

struct area vectors_before;
struct state vectors_after;
uint32_t vectors_loaded;  /* what was in use just before the call */
uint32_t vectors_mask;    /* what is loaded and compared */
uint32_t vectors_tracked; /* xgetbv can be asked */
uint64_t vectors_saved[2];
uintptr_t vectors_sp;
int vectors_run(callback fn); /* NULL: calls nothing */

__asm__(".text\n"
        ".type vectors_run, @function\n"
        "vectors_run:\n"
        "  push %rbx\n"
        "  mov %rdi, %rbx\n"
        "  stmxcsr vectors_saved(%rip)\n"
        "  fnstcw vectors_saved+8(%rip)\n"
        "  mov vectors_mask(%rip), %eax\n"
        "  xor %edx, %edx\n"
        "  xrstor64 vectors_before(%rip)\n"
        "  xor %eax, %eax\n"
        "  cmpl $0, vectors_tracked(%rip)\n"
        "  je 1f\n"
        "  mov $1, %ecx\n"
        "  xgetbv\n"
        "1:mov %eax, vectors_loaded(%rip)\n"
        "  xor %eax, %eax\n"
        "  test %rbx, %rbx\n"
        "  jz 2f\n"
        "  mov %rsp, vectors_sp(%rip)\n"
        "  mov %rbx, %rdi\n"
        "  mov $0x1111, %esi\n"
        "  mov $0x2222, %edx\n"
        "  mov $0x3333, %ecx\n"
        "  mov $0x4444, %r8d\n"
        "  call sta__call_with_vectors_saved\n"
        "2:mov %eax, %ebx\n"
        "  xor %eax, %eax\n"
        "  cmpl $0, vectors_tracked(%rip)\n"
        "  je 3f\n"
        "  mov $1, %ecx\n"
        "  xgetbv\n"
        "3:mov %eax, vectors_after+4096(%rip)\n"
        "  mov vectors_mask(%rip), %eax\n"
        "  xor %edx, %edx\n"
        "  xsave64 vectors_after(%rip)\n"
        "  fninit\n"
        "  fldcw vectors_saved+8(%rip)\n"
        "  ldmxcsr vectors_saved(%rip)\n"
        "  testl $4, vectors_mask(%rip)\n"
        "  jz 4f\n"
        "  vzeroupper\n"
        "4:mov %ebx, %eax\n"
        "  pop %rbx\n"
        "  ret\n"
        ".size vectors_run, . - vectors_run\n");

_Static_assert(offsetof(struct state, in_use) == 4096, "asm");

/* What the processor has */

static uint32_t component_size(unsigned component, uint32_t *offset)
{
    uint32_t size, unused;

    __cpuid_count(0x0d, component, size, *offset, unused, unused);
    (void)unused;
    return size;
}

static void find_components(void)
{
    uint32_t eax, ebx, ecx, edx;

    vectors_mask = vectors_tracked = 0;
    __cpuid(1, eax, ebx, ecx, edx);
    if (!(ecx & bit_OSXSAVE))
        return;
    __asm__("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    vectors_mask = eax & STA__VECTORS_ALL;
    __cpuid_count(0x0d, 1, eax, ebx, ecx, edx);
    vectors_tracked = eax >> 2 & 1;
}

/* What the caller has in its registers */

static void fill(void *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)(i * 37 + (i >> 8) + seed);
}

/* Three values on the x87 stack, exact to the last bit, and every field a value of its own. */
static void fill_x87(struct area *area)
{
    static const uint8_t one_third[10] = {0xab, 0xaa, 0xaa, 0xaa, 0xaa,
                                          0xaa, 0xaa, 0xaa, 0xfd, 0x3f};

    area->control_word = 0x0e7f; /* round to zero, double precision */
    area->status_word = 5 << 11 | 0x20;
    area->tags = 0xe0;
    area->opcode = 0x123;
    area->instruction = UINT64_C(0x123456789abc);
    area->operand = UINT64_C(0x7654321fedc0);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(area->st[i], one_third, sizeof(one_third));
        area->st[i][0] = (uint8_t)i;
    }
}

static void load_before(uint32_t in_use)
{
    struct area *area = &vectors_before;

    memset(area, 0, sizeof(*area));
    area->mxcsr = 0x1f80; /* the initial value: any other counts as SSE in use */
    area->in_use = in_use & vectors_mask;
    if (in_use & STA__VECTORS_X87)
        fill_x87(area);
    if (in_use & STA__VECTORS_SSE) {
        area->mxcsr |= 0x6020; /* round to zero, a sticky flag */
        fill(area->xmm, sizeof(area->xmm), 11);
    }
    for (unsigned i = 2; i < 32; i++) {
        uint32_t offset, size;

        if (!(vectors_mask & in_use & 1u << i))
            continue;
        size = component_size(i, &offset);
        fill((uint8_t *)area + offset, size, 11 + i);
    }
}

/* What callbacks do to the registers */

static int mistakes, runs;
static uintptr_t depth_max;

static void look_around(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    uint8_t local[16] __attribute__((aligned(16)));
    uintptr_t depth = vectors_sp - (uintptr_t)__builtin_frame_address(0);
    uint32_t mxcsr;
    uint16_t environment[14], control_word;

    __asm__ volatile("fwait"); /* would raise what is pending */
    __asm__ volatile("fnstcw %0" : "=m"(control_word));
    __asm__ volatile("fnstenv %0" : "=m"(environment));
    __asm__ volatile("fldcw %0" : : "m"(control_word)); /* fnstenv masks exceptions */
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    __asm__ volatile("movaps %%xmm0, %0" : "=m"(local));
    if (ctx != (void *)0x1111 || ctx_size != 0x2222 || ret != (void *)0x3333 ||
        user_data != (void *)0x4444)
        mistakes |= 1;
    if (environment[4] != 0xffff)
        mistakes |= 2; /* the x87 stack is not empty */
    if (mxcsr != vectors_before.mxcsr)
        mistakes |= 4;
    if (control_word != ((vectors_before.in_use & 1) ? vectors_before.control_word : 0x37f))
        mistakes |= 8;
    if (depth > depth_max)
        depth_max = depth;
    runs++;
}

static int looks_around(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    look_around(ctx, ctx_size, ret, user_data);
    return -7;
}

static int touches_nothing(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    runs++;
    return -7;
}

static void dirty_sse(void)
{
    static const uint32_t mxcsr = 0x9fc0;

    __asm__ volatile("ldmxcsr %0\n"
                     ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
                     "pcmpeqd %%xmm\\n, %%xmm\\n\n"
                     ".endr\n" ::"m"(mxcsr)
                     : "memory");
}

static void dirty_vectors(void)
{
    if (vectors_mask & STA__VECTORS_HI16)
        __asm__ volatile(".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,"
                         "25,26,27,28,29,30,31\n"
                         "vpternlogd $0xff, %%zmm\\n, %%zmm\\n, %%zmm\\n\n"
                         ".endr\n"
                         ".irp n,0,1,2,3,4,5,6,7\n"
                         "kxnorw %%k\\n, %%k\\n, %%k\\n\n"
                         ".endr\n" ::
                             : "memory");
    else if (vectors_mask & STA__VECTORS_AVX)
        __asm__ volatile(".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
                         "vcmptrueps %%ymm\\n, %%ymm\\n, %%ymm\\n\n"
                         ".endr\n" ::
                             : "memory");
}

static int uses_sse(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    runs++;
    dirty_sse();
    return -7;
}

static int uses_vectors(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    runs++;
    dirty_sse();
    dirty_vectors();
    return -7;
}

static int uses_everything(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    static const uint16_t control_word = 0x0c7f;
    uint8_t litter[2048]; /* left on the stack */

    look_around(ctx, ctx_size, ret, user_data);
    memset(litter, 0xff, sizeof(litter));
    __asm__ volatile("" : : "r"(litter) : "memory");
    dirty_sse();
    dirty_vectors();
    __asm__ volatile("fninit; fldcw %0; fldpi; fldz; fdivrp" ::"m"(control_word));
    return -7;
}

static int changes_the_control_word(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    static const uint16_t control_word = 0x077f;

    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    runs++;
    __asm__ volatile("fldcw %0" ::"m"(control_word));
    return -7;
}

/* As the ABI has it: the result is inexact, which is remembered. */
static int computes_with_x87(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    runs++;
    __asm__ volatile("fld1; fldpi; fdivrp; fstp %st(0)");
    return -7;
}

static int moves_through_x87(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    runs++;
    __asm__ volatile("fld1; fstp %st(0)");
    return -7;
}

static const struct {
    callback fn;
    const char *name;
} callbacks[] = {
    {touches_nothing, "touches_nothing"},
    {uses_sse, "uses_sse"},
    {uses_vectors, "uses_vectors"},
    {uses_everything, "uses_everything"},
    {changes_the_control_word, "changes_the_control_word"},
    {computes_with_x87, "computes_with_x87"},
};

/* Comparison */

static struct state reference;

static void take_reference(void)
{
    memset(&vectors_after, 0, sizeof(vectors_after));
    vectors_run(NULL);
    reference = vectors_after;
}

static void run_reference(uint32_t in_use)
{
    load_before(in_use);
    take_reference();
}

static uint32_t given_back; /* what is in use before, and is not to be in use afterwards */

/* What is in use and was not before, or was given back. */
static uint32_t in_use_for_no_reason(void)
{
    return vectors_after.in_use & vectors_mask & ~(vectors_loaded & ~given_back);
}

/* One run with this callback. Another one where something came into use: whenever the kernel or a
 * hypervisor runs something else meanwhile, that may be. */
static void run(callback fn)
{
    for (int i = 0; i < 5; i++) {
        int before = runs;

        memset(&vectors_after, 0, sizeof(vectors_after));
        assert_int_equal(vectors_run(fn), -7);
        assert_int_equal(runs, before + 1);
        if (!in_use_for_no_reason())
            break;
    }
}

static void check_same(uint32_t in_use, const char *name)
{
    const uint8_t *got = (const uint8_t *)&vectors_after;
    const uint8_t *expected = (const uint8_t *)&reference;

    /* Nothing comes into use that was not; what was in use with its initial value may have left. */
    if (in_use_for_no_reason())
        fail_msg("with %#x in use, %s: now %#x is in use", in_use, name, vectors_after.in_use);
    vectors_after.area.in_use = reference.area.in_use;
    for (size_t i = 0; i < AREA_SIZE; i++)
        if (got[i] != expected[i])
            fail_msg("with %#x in use, %s: byte %zu is %02x, was %02x", in_use, name, i, got[i],
                     expected[i]);
}

static void check_all_combinations(void)
{
    /* Upper halves of zmm cannot be in use without those of ymm, unless by xrstor. */
    for (uint32_t in_use = 0; in_use <= STA__VECTORS_ALL; in_use++) {
        if ((in_use & ~vectors_mask) ||
            ((in_use & STA__VECTORS_HI256) && !(in_use & STA__VECTORS_AVX)))
            continue;
        run_reference(in_use);
        for (size_t i = 0; i < COUNT_OF(callbacks); i++) {
            run(callbacks[i].fn);
            check_same(in_use, callbacks[i].name);
        }
    }
    assert_int_equal(mistakes, 0);
}

static int find_all(void **state)
{
    (void)state;
    sta__vectors_init();
    mistakes = runs = 0;
    given_back = 0;
    depth_max = 0;
    find_components();
    return 0;
}

static int put_back(void **state)
{
    (void)state;
    sta__vectors_init();
    return 0;
}

static void need(bool there, const char *what)
{
    if (there)
        return;
    print_message("skipped: no %s here\n", what);
    skip();
}

/* Tests */

static void the_caller_finds_what_it_had(void **state)
{
    (void)state;
    need(sta__vectors_tracked, "xgetbv that tells what is in use");
    print_message("components: %#x\n", vectors_mask);
    check_all_combinations();
}

static void so_it_does_without_xgetbv(void **state)
{
    (void)state;
    need(sta__vectors_compact, "xsavec");
    sta__vectors_tracked = 0;
    check_all_combinations();
}

static void so_it_does_without_xsavec(void **state)
{
    uint32_t size = 576, offset;

    (void)state;
    need(vectors_mask, "xsave");
    for (unsigned i = 2; i < 32; i++)
        if (vectors_mask & 1u << i)
            size = component_size(i, &offset) + offset;
    if (size > AREA_SIZE)
        fail_msg("the area has %u bytes", size);
    sta__vectors_tracked = 0;
    sta__vectors_compact = 0;
    sta__vectors_size = size;
    check_all_combinations();
}

static void so_it_does_with_fxsave_where_that_is_all(void **state)
{
    (void)state;
    need(vectors_mask, "xsave to compare with");
    vectors_mask = STA__VECTORS_X87 | STA__VECTORS_SSE;
    vectors_tracked = 0; /* fxrstor takes all into use */
    sta__vectors_tracked = 0;
    sta__vectors_mask = 0;
    sta__vectors_size = 512;
    check_all_combinations();
}

/* Uses of x87 that are not worth a question: nothing that can be computed with has changed. */
static void moves_through_x87_change_exception_pointers_only(void **state)
{
    struct area *after = &vectors_after.area, *expected = &reference.area;

    (void)state;
    need(vectors_mask, "xsave to compare with");
    for (int with_others = 0; with_others < 2; with_others++) {
        uint32_t in_use = with_others ? vectors_mask & ~STA__VECTORS_X87 : STA__VECTORS_SSE;

        run_reference(in_use);
        run(moves_through_x87);
        vectors_after.in_use &= ~(uint32_t)STA__VECTORS_X87;
        after->opcode = expected->opcode;
        after->instruction = expected->instruction;
        after->operand = expected->operand;
        memcpy(after->st, expected->st, sizeof(after->st)); /* empty, as `tags` tells */
        check_same(in_use, "moves_through_x87");
    }
}

static void x87_in_use_with_initial_values_is_given_back(void **state)
{
    (void)state;
    need(sta__vectors_tracked, "xgetbv that tells what is in use");
    for (size_t i = 0; i < COUNT_OF(callbacks); i++) {
        run_reference(vectors_mask & ~STA__VECTORS_X87);
        vectors_before.control_word = 0x37f;
        vectors_before.in_use |= STA__VECTORS_X87;
        given_back = STA__VECTORS_X87;
        run(callbacks[i].fn);
        assert_true(vectors_loaded & STA__VECTORS_X87);
        check_same(vectors_mask, callbacks[i].name);
    }
}

static void x87_with_a_single_byte_set_is_kept(void **state)
{
    /* instruction and operand pointers, and both ends of each register */
    size_t offsets[2 + 2 * 8] = {8, 16};

    (void)state;
    need(vectors_mask, "xsave");
    for (size_t i = 0; i < 8; i++) {
        offsets[2 + 2 * i] = offsetof(struct area, st[i][0]);
        offsets[3 + 2 * i] = offsetof(struct area, st[i][9]);
    }
    for (size_t i = 0; i < COUNT_OF(offsets); i++) {
        load_before(STA__VECTORS_X87 | STA__VECTORS_SSE);
        memset(&vectors_before, 0, offsetof(struct area, mxcsr));
        memset(vectors_before.st, 0, sizeof(vectors_before.st));
        vectors_before.control_word = 0x37f;
        ((uint8_t *)&vectors_before)[offsets[i]] = 1;
        take_reference();
        run(moves_through_x87);
        check_same(STA__VECTORS_X87 | STA__VECTORS_SSE, "moves_through_x87");
    }
}

static void callbacks_start_as_the_abi_has_it(void **state)
{
    (void)state;
    need(vectors_mask, "xsave to compare with");
    run_reference(vectors_mask);
    run(looks_around);
    check_same(vectors_mask, "looks_around");
    vectors_before.status_word = 0x81; /* an exception that is pending, and not masked */
    vectors_before.control_word &= 0xfffe;
    vectors_before.tags = 0;
    take_reference();
    run(looks_around);
    check_same(vectors_mask, "looks_around");
    assert_int_equal(mistakes, 0);
}

static void only_what_is_in_use_takes_stack(void **state)
{
    (void)state;
    need(vectors_mask, "xsave to compare with");
    run_reference(vectors_mask);
    run(looks_around);
    print_message("everything in use: %zu bytes of stack\n", (size_t)depth_max);
    assert_true(depth_max < DEPTH_MAX);
    depth_max = 0;
    run_reference(STA__VECTORS_SSE);
    run(looks_around);
    print_message("SSE in use: %zu bytes of stack\n", (size_t)depth_max);
    if (sta__vectors_tracked)
        assert_true(depth_max < 512);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_caller_finds_what_it_had, find_all, put_back),
        cmocka_unit_test_setup_teardown(so_it_does_without_xgetbv, find_all, put_back),
        cmocka_unit_test_setup_teardown(so_it_does_without_xsavec, find_all, put_back),
        cmocka_unit_test_setup_teardown(so_it_does_with_fxsave_where_that_is_all, find_all,
                                        put_back),
        cmocka_unit_test_setup_teardown(moves_through_x87_change_exception_pointers_only, find_all,
                                        put_back),
        cmocka_unit_test_setup_teardown(x87_in_use_with_initial_values_is_given_back, find_all,
                                        put_back),
        cmocka_unit_test_setup_teardown(x87_with_a_single_byte_set_is_kept, find_all, put_back),
        cmocka_unit_test_setup_teardown(callbacks_start_as_the_abi_has_it, find_all, put_back),
        cmocka_unit_test_setup_teardown(only_what_is_in_use_takes_stack, find_all, put_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
