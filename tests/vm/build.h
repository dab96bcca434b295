/* SPDX-License-Identifier: MIT */
/* Small programs for tests of the JIT, written as tables of instructions. */
#ifndef TESTS_VM_BUILD_H
#define TESTS_VM_BUILD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ebpf/isa.h"
#include "ebpf/jit.h"
#include "vm/native_call.h"

/* I(ADD64X, dst, src, off, imm) */
#define I(name, d, s, o, i) \
    ((struct bpf_insn){     \
        .code = STA__OP_##name, .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (int32_t)(i)})
/* Wide immediates are two. */
#define WIDE(d, s, i) \
    I(LDDW, d, s, 0, i), ((struct bpf_insn){.imm = (int32_t)((uint64_t)(i) >> 32)})
#define WIDE_MAP(d, s, fd, offset) I(LDDW, d, s, 0, fd), ((struct bpf_insn){.imm = (offset)})

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char build_message[512]; /* the last one that was logged */

static void build_note(void *data, enum sta_log_level level, const char *message)
{
    (void)data, (void)level;
    strncpy(build_message, message, sizeof(build_message) - 1);
}

static const struct sta__log build_log = {build_note, NULL};

/* Decodes or fails; maps are found by `find`, with data NULL. */
static inline struct sta__code decoded(const struct bpf_insn *insns, size_t count,
                                       int (*find)(void *, int, int, struct sta_map **))
{
    const struct sta__map_finder finder = {find, NULL};
    struct sta__code code;

    if (sta__code_decode(&code, insns, count, &finder, &build_log) < 0)
        fail_msg("not decoded: %s", build_message);
    return code;
}

static inline struct sta__jit compiled_code(const struct sta__code *code,
                                            const struct sta__jit_options *options)
{
    struct sta__jit jit;

    if (sta__jit_compile(&jit, code, options, &build_log) < 0)
        fail_msg("not compiled: %s", build_message);
    return jit;
}

static inline struct sta__jit compiled(const struct bpf_insn *insns, size_t count,
                                       int (*find)(void *, int, int, struct sta_map **))
{
    static const struct sta__jit_options plain;
    struct sta__code code = decoded(insns, count, find);
    struct sta__jit jit = compiled_code(&code, &plain);

    sta__code_free(&code);
    return jit;
}

/* r0 of one run; the registers that a function keeps have to be kept. */
static inline uint64_t run_jit(const struct sta__jit *jit, void *ctx, size_t ctx_size)
{
    uint64_t damage = 1, r0 = 0xdeadbeef;

    assert_int_equal(native_call(jit->run, ctx, ctx_size, &r0, &damage), 0);
    assert_int_equal(damage, 0);
    return r0;
}

/* Compiles a table, runs it once, and frees it. */
#define RUN(insns, ctx, ctx_size) run_insns(insns, COUNT(insns), ctx, ctx_size)

static inline uint64_t run_insns(const struct bpf_insn *insns, size_t count, void *ctx,
                                 size_t ctx_size)
{
    struct sta__jit jit = compiled(insns, count, NULL);
    uint64_t r0 = run_jit(&jit, ctx, ctx_size);

    sta__jit_free(&jit);
    return r0;
}

#endif
