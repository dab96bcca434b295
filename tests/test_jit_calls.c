/* SPDX-License-Identifier: MIT */
/* From program to program and back: tail calls, callbacks, subprograms that call themselves. */
#ifndef _GNU_SOURCE
#    define _GNU_SOURCE
#endif

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ebpf/helper.h"
#include "ebpf/interpret.h"
#include "ebpf/tail.h"
#include "vm/build.h"

#define ELEMENTS 4

/* A program of either kind, as an element of the map leads to it. */
struct target {
    struct sta__tail_target tail; /* first */
    struct sta__jit jit;
    struct sta__interpreted *interpreted;
};

static const struct sta__tail_target *elements[ELEMENTS];

static const struct sta__tail_target *element(struct sta_map *map, uint32_t index)
{
    (void)map;
    return elements[index];
}

static const struct sta__map_ops ops = {.tail_target = element};
static struct sta_map programs = {.ops = &ops,
                                  .type = BPF_MAP_TYPE_PROG_ARRAY,
                                  .key_size = 4,
                                  .value_size = 4,
                                  .max_entries = ELEMENTS};
static struct sta_map other = {.ops = &ops, .type = BPF_MAP_TYPE_HASH, .max_entries = ELEMENTS};

static int find_map(void *data, int fd_or_index, int is_index, struct sta_map **out)
{
    (void)data, (void)is_index;
    *out = fd_or_index == 1 ? &programs : &other;
    return 0;
}

static uint64_t enter_interpreted(void *ctx, struct sta__tail_run *run,
                                  const struct sta__tail_target *self)
{
    return sta__interpret(((const struct target *)self)->interpreted, ctx, run);
}

static void make(struct target *out, const struct bpf_insn *insns, size_t count, bool is_native)
{
    struct sta__code code = decoded(insns, count, find_map);
    static const struct sta__jit_options plain;

    memset(out, 0, sizeof(*out));
    if (is_native) {
        out->jit = compiled_code(&code, &plain);
        out->tail.enter = out->jit.enter;
    } else {
        assert_int_equal(sta__interpreted_new(&out->interpreted, &code, &build_log), 0);
        out->tail.enter = enter_interpreted;
    }
    sta__code_free(&code);
}

static void destroy(struct target *target)
{
    sta__jit_free(&target->jit);
    sta__interpreted_free(target->interpreted);
}

static uint64_t run_target(struct target *target, void *ctx, size_t ctx_size)
{
    struct sta__tail_run run = {.ctx_size = ctx_size};

    if (!target->interpreted)
        return run_jit(&target->jit, ctx, ctx_size);
    return sta__interpret(target->interpreted, ctx, &run);
}

static int forget(void **state)
{
    (void)state;
    memset(elements, 0, sizeof(elements));
    return 0;
}

/* r6 = ctx; bpf_tail_call(r6, map, index); what is behind runs if that leads nowhere. */
#define TAIL_CALL(map, index)                                                         \
    WIDE_MAP(2, BPF_PSEUDO_MAP_FD, map, 0), I(MOV64X, 1, 6, 0, 0), WIDE(3, 0, index), \
        I(CALL, 0, 0, 0, BPF_FUNC_tail_call)

/* All registers and some stack are in use; then element `index`, else 1111. */
#define CALLER(map, index)                                                            \
    {                                                                                 \
        I(MOV64X, 6, 1, 0, 0), I(MOV64K, 7, 0, 0, 7), I(MOV64K, 8, 0, 0, 8),          \
            I(MOV64K, 9, 0, 0, 9), I(STDW, 10, 0, -64, 1), TAIL_CALL(map, index),     \
            I(LDXDW, 0, 10, -64, 0), I(MUL64K, 0, 0, 0, 1087), I(ADD64X, 0, 7, 0, 0), \
            I(ADD64X, 0, 8, 0, 0), I(ADD64X, 0, 9, 0, 0), I(EXIT, 0, 0, 0, 0)         \
    }

/* The context's first word and its size. */
static const struct bpf_insn callee[] = {I(LDXDW, 0, 1, 0, 0), I(MUL64K, 0, 0, 0, 1000),
                                         I(ADD64X, 0, 2, 0, 0), I(EXIT, 0, 0, 0, 0)};

static void programs_of_both_kinds_go_on_in_each_other(void **state)
{
    const struct bpf_insn caller[] = CALLER(1, 2);
    uint64_t ctx[3] = {5};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct target from, to;

        make(&from, caller, COUNT(caller), i & 1);
        make(&to, callee, COUNT(callee), i & 2);
        elements[2] = &to.tail;
        assert_int_equal(run_target(&from, ctx, sizeof(ctx)), 5024);
        elements[2] = NULL;
        assert_int_equal(run_target(&from, ctx, sizeof(ctx)), 1111);
        destroy(&from);
        destroy(&to);
    }
}

static void check_where(const struct bpf_insn *caller, size_t count, uint64_t expected)
{
    struct target to;
    uint64_t ctx[3] = {5};

    make(&to, callee, COUNT(callee), true);
    elements[2] = &to.tail;
    for (unsigned i = 0; i < 2; i++) {
        struct target from;

        make(&from, caller, count, i);
        assert_int_equal(run_target(&from, ctx, sizeof(ctx)), expected);
        destroy(&from);
    }
    destroy(&to);
}

static void index_is_checked_and_has_32_bits(void **state)
{
    const struct bpf_insn empty[] = CALLER(1, 1), last[] = CALLER(1, ELEMENTS - 1);
    const struct bpf_insn past[] = CALLER(1, ELEMENTS), far[] = CALLER(1, -1ll);
    const struct bpf_insn upper[] = CALLER(1, 0x700000002), no_array[] = CALLER(2, 2);

    (void)state;
    check_where(empty, COUNT(empty), 1111);
    check_where(last, COUNT(last), 1111);
    check_where(past, COUNT(past), 1111);
    check_where(far, COUNT(far), 1111);
    check_where(upper, COUNT(upper), 5024);
    check_where(no_array, COUNT(no_array), 1111);
}

/* A program that counts in its context and calls itself. */
static const struct bpf_insn counting[] = {
    I(MOV64X, 6, 1, 0, 0), I(LDXDW, 0, 6, 0, 0), I(ADD64K, 0, 0, 0, 1),  I(STXDW, 6, 0, 0, 0),
    TAIL_CALL(1, 0),       I(LDXDW, 0, 6, 0, 0), I(MUL64K, 0, 0, 0, 10), I(EXIT, 0, 0, 0, 0),
};

static void tail_calls_of_one_run_are_limited(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct target target;

        make(&target, counting, COUNT(counting), i);
        elements[0] = &target.tail;
        for (unsigned again = 0; again < 2; again++) { /* each run begins anew */
            uint64_t ctx[2] = {0};

            assert_int_equal(run_target(&target, ctx, sizeof(ctx)), 10 * (STA__TAIL_CALL_MAX + 1));
            assert_int_equal(ctx[0], STA__TAIL_CALL_MAX + 1);
        }
        destroy(&target);
    }
}

/* A tail call in a subprogram ends only that: the program goes on with what came back. */
static void subprograms_are_replaced_by_what_they_call(void **state)
{
    const struct bpf_insn insns[] = {
        I(MOV64X, 7, 1, 0, 0),
        I(CALL, 0, BPF_PSEUDO_CALL, 0, 6),
        I(MOV64X, 8, 0, 0, 0),
        I(MOV64X, 1, 7, 0, 0),
        I(CALL, 0, BPF_PSEUDO_CALL, 0, 3),
        I(MUL64K, 0, 0, 0, 3),
        I(ADD64X, 0, 8, 0, 0),
        I(EXIT, 0, 0, 0, 0),
        /* r0 = element 2, else 1 */
        I(MOV64X, 6, 1, 0, 0),
        I(STDW, 10, 0, -8, 1),
        TAIL_CALL(1, 2),
        I(LDXDW, 0, 10, -8, 0),
        I(EXIT, 0, 0, 0, 0),
    };

    (void)state;
    check_where(insns, COUNT(insns), 5024 * 4);
    elements[2] = NULL;
    for (unsigned i = 0; i < 2; i++) {
        struct target target;

        make(&target, insns, COUNT(insns), i);
        assert_int_equal(run_target(&target, NULL, 0), 4);
        destroy(&target);
    }
}

/* r0 = 10000 r1 + 1000 r2 + 100 r3 + 10 r4 + r5 */
#define DIGITS                                                                                    \
    I(MOV64X, 0, 1, 0, 0), I(MUL64K, 0, 0, 0, 10), I(ADD64X, 0, 2, 0, 0), I(MUL64K, 0, 0, 0, 10), \
        I(ADD64X, 0, 3, 0, 0), I(MUL64K, 0, 0, 0, 10), I(ADD64X, 0, 4, 0, 0),                     \
        I(MUL64K, 0, 0, 0, 10), I(ADD64X, 0, 5, 0, 0), I(EXIT, 0, 0, 0, 0)

static void callbacks_get_five_arguments(void **state)
{
    const struct bpf_insn insns[] = {
        I(LDDW, 0, BPF_PSEUDO_FUNC, 0, 2), {0}, I(EXIT, 0, 0, 0, 0), DIGITS};
    struct sta__jit jit = compiled(insns, COUNT(insns), NULL);
    const struct sta__callback *callback =
        (const struct sta__callback *)(uintptr_t)run_jit(&jit, NULL, 0);

    (void)state;
    assert_int_equal((uintptr_t)callback % sizeof(void *), 0);
    assert_int_equal(callback->run(callback, 1, 2, 3, 4, 5), 12345);
    sta__jit_free(&jit);
}

/* Ten callbacks, of which each gives another number, and lie in the order of their subprograms. */
static void each_callback_is_its_own(void **state)
{
    struct bpf_insn insns[64];
    size_t n = 0;
    struct sta__jit jit;
    uint64_t ctx[10];

    (void)state;
    for (int i = 0; i < 10; i++) {
        insns[n] = I(LDDW, 0, BPF_PSEUDO_FUNC, 0, 31 + 2 * (9 - i) - (int)n - 1);
        insns[n + 1] = (struct bpf_insn){0};
        insns[n + 2] = I(STXDW, 1, 0, (int16_t)(8 * i), 0);
        n += 3;
    }
    insns[n++] = I(EXIT, 0, 0, 0, 0);
    for (int i = 0; i < 10; i++) {
        insns[n++] = I(MOV64K, 0, 0, 0, 9 - i);
        insns[n++] = I(EXIT, 0, 0, 0, 0);
    }
    jit = compiled(insns, n, NULL);
    run_jit(&jit, ctx, sizeof(ctx));
    for (unsigned i = 0; i < 10; i++) {
        const struct sta__callback *callback = (const struct sta__callback *)(uintptr_t)ctx[i];

        assert_int_equal(callback->run(callback, 0, 0, 0, 0, 0), i);
    }
    sta__jit_free(&jit);
}

/* What a callback calls leads nowhere, but does not hurt. */
static void callbacks_make_no_tail_calls(void **state)
{
    const struct bpf_insn insns[] = {I(LDDW, 0, BPF_PSEUDO_FUNC, 0, 2),
                                     {0},
                                     I(EXIT, 0, 0, 0, 0),
                                     I(MOV64X, 6, 1, 0, 0),
                                     TAIL_CALL(1, 2),
                                     I(MOV64K, 0, 0, 0, 77),
                                     I(EXIT, 0, 0, 0, 0)};
    struct target to;
    struct sta__jit jit = compiled(insns, COUNT(insns), find_map);
    const struct sta__callback *callback;

    (void)state;
    make(&to, callee, COUNT(callee), true);
    elements[2] = &to.tail;
    callback = (const struct sta__callback *)(uintptr_t)run_jit(&jit, NULL, 0);
    assert_int_equal(callback->run(callback, 0, 0, 0, 0, 0), 77);
    destroy(&to);
    sta__jit_free(&jit);
}

/* n!: the program is its own subprogram. Trusted programs may do that. */
static void programs_can_call_themselves(void **state)
{
    const struct bpf_insn insns[] = {
        I(MOV64K, 0, 0, 0, 1),
        I(JEQ64K, 1, 0, 5, 0),
        I(MOV64X, 6, 1, 0, 0),
        I(ADD64K, 1, 0, 0, -1),
        I(CALL, 0, BPF_PSEUDO_CALL, 0, -5),
        I(MUL64X, 0, 6, 0, 0),
        I(EXIT, 0, 0, 0, 0),
        I(EXIT, 0, 0, 0, 0),
    };

    (void)state;
    assert_int_equal(RUN(insns, (void *)(uintptr_t)10, 0), 3628800);
}

static void loops_call_back(void **state)
{
    /* sum of the indexes: bpf_loop(100, add, &sum, 0) */
    const struct bpf_insn insns[] = {
        I(STDW, 10, 0, -8, 0),
        I(MOV64K, 1, 0, 0, 100),
        I(LDDW, 2, BPF_PSEUDO_FUNC, 0, 9),
        {0},
        I(MOV64X, 3, 10, 0, 0),
        I(ADD64K, 3, 0, 0, -8),
        I(MOV64K, 4, 0, 0, 0),
        I(CALL, 0, 0, 0, BPF_FUNC_loop),
        I(MUL64K, 0, 0, 0, 10000),
        I(LDXDW, 1, 10, -8, 0),
        I(ADD64X, 0, 1, 0, 0),
        I(EXIT, 0, 0, 0, 0),
        I(LDXDW, 0, 2, 0, 0),
        I(ADD64X, 0, 1, 0, 0),
        I(STXDW, 2, 0, 0, 0),
        I(MOV64K, 0, 0, 0, 0),
        I(EXIT, 0, 0, 0, 0),
    };

    (void)state;
    assert_int_equal(RUN(insns, NULL, 0), 100 * 10000 + 4950);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(programs_of_both_kinds_go_on_in_each_other, forget),
        cmocka_unit_test_setup(index_is_checked_and_has_32_bits, forget),
        cmocka_unit_test_setup(tail_calls_of_one_run_are_limited, forget),
        cmocka_unit_test_setup(subprograms_are_replaced_by_what_they_call, forget),
        cmocka_unit_test(callbacks_get_five_arguments),
        cmocka_unit_test(each_callback_is_its_own),
        cmocka_unit_test_setup(callbacks_make_no_tail_calls, forget),
        cmocka_unit_test(programs_can_call_themselves),
        cmocka_unit_test(loops_call_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
