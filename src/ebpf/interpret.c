/* SPDX-License-Identifier: MIT */
/*
 * Running operations. On the dispatch path.
 *
 * Each operation ends with the jump to the next one (labels as values), so that the processor
 * predicts each of these jumps by itself. A call of a subprogram is a call of C: a frame of its
 * own has the subprogram's registers and its stack, so r6 to r9 and r10 need not be saved.
 */
#include "ebpf/interpret.h"

#include "base/compiler.h"
#include "ebpf/interpret_ops.h"

/* Memory of programs: of any alignment, of no type. */
#define MEMORY(type) type __attribute__((may_alias, aligned(1)))
typedef MEMORY(uint8_t) mem_uint8_t;
typedef MEMORY(uint16_t) mem_uint16_t;
typedef MEMORY(uint32_t) mem_uint32_t;
typedef MEMORY(uint64_t) mem_uint64_t;
typedef MEMORY(int8_t) mem_int8_t;
typedef MEMORY(int16_t) mem_int16_t;
typedef MEMORY(int32_t) mem_int32_t;

/* Where a frame was left by a tail call. */
struct departure {
    const struct sta__tail_target *target; /* NULL: it was not */
    void *ctx;
};

static uint64_t call(const struct sta__function *function, const uint64_t *args,
                     struct sta__tail_run *run);

#define NEXT goto *labels[(++op)->code]
#define JUMP           \
    do {               \
        op += op->off; \
        NEXT;          \
    } while (0)

/* One form of a binary operation or condition: a and b are of type W, and I is the signed one. */
#define FORM(label, unsigned_type, signed_type, operand, then) \
    label : {                                                  \
        typedef unsigned_type W __attribute__((unused));       \
        typedef signed_type I __attribute__((unused));         \
        W a = (W)r[op->dst], b = (W)(operand);                 \
        then;                                                  \
        NEXT;                                                  \
    }
#define FOUR_FORMS(name, then)                                \
    FORM(do_##name##64K, uint64_t, int64_t, op->imm, then)    \
    FORM(do_##name##64X, uint64_t, int64_t, r[op->src], then) \
    FORM(do_##name##32K, uint32_t, int32_t, op->imm, then)    \
    FORM(do_##name##32X, uint32_t, int32_t, r[op->src], then)

/* Memory at a register plus off. */
#define AT(type, reg)   ((type *)(uintptr_t)(r[reg] + (uint64_t)(int64_t)op->off))
#define LOAD(type)      (*AT(const mem_##type, op->src))
#define STORE(type, of) (*AT(mem_##type, op->dst) = (type)(of))

/* One atomic operation of each width; those with a result return what was there before. */
#define ATOMIC_FORMS(name, builtin)                                                                \
    do_ATOMIC_##name##64 : builtin(AT(uint64_t, op->dst), r[op->src], __ATOMIC_RELAXED);           \
    NEXT;                                                                                          \
    do_ATOMIC_##name##32 : builtin(AT(uint32_t, op->dst), (uint32_t)r[op->src], __ATOMIC_RELAXED); \
    NEXT;                                                                                          \
    do_FETCH_##name##64 : r[op->src] =                                                             \
                              builtin(AT(uint64_t, op->dst), r[op->src], __ATOMIC_SEQ_CST);        \
    NEXT;                                                                                          \
    do_FETCH_##name##32                                                                            \
        : r[op->src] = builtin(AT(uint32_t, op->dst), (uint32_t)r[op->src], __ATOMIC_SEQ_CST);     \
    NEXT;
/* If what is there is r0, src takes its place; r0 is what was there. */
#define CMPXCHG(type)                                                                      \
    do {                                                                                   \
        type expected = (type)r[0];                                                        \
                                                                                           \
        __atomic_compare_exchange_n(AT(type, op->dst), &expected, (type)r[op->src], false, \
                                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                   \
        r[0] = expected;                                                                   \
    } while (0)

/*
 * Programs race with each other on maps as they do in the kernel, and a trusted one may use
 * unaligned atomics, as the processor lets it: no findings for sanitizers.
 */
__attribute__((no_sanitize("thread"), no_sanitize("alignment"))) static uint64_t
run_frame(const struct sta__function *function, const uint64_t *args, struct sta__tail_run *run,
          struct departure *departure)
{
    static const void *const labels[STA__OPERATION_COUNT] = {
#define X(name, value)                                                                  \
    [STA__DO_##name##64K] = &&do_##name##64K, [STA__DO_##name##64X] = &&do_##name##64X, \
    [STA__DO_##name##32K] = &&do_##name##32K, [STA__DO_##name##32X] = &&do_##name##32X,
        STA__BINARY(X) STA__CONDITIONS(X)
#undef X
#define X(name, value) [STA__DO_##name] = &&do_##name,
            STA__UNARY(X) STA__LOADS(X) STA__CONTROL(X)
#undef X
#define X(name, type)                                                         \
    [STA__DO_ST##name] = &&do_ST##name, [STA__DO_STX##name] = &&do_STX##name, \
    [STA__DO_ACQ##name] = &&do_ACQ##name, [STA__DO_REL##name] = &&do_REL##name,
                STA__STORES(X)
#undef X
#define X(name, builtin)                                  \
    [STA__DO_ATOMIC_##name##64] = &&do_ATOMIC_##name##64, \
    [STA__DO_ATOMIC_##name##32] = &&do_ATOMIC_##name##32, \
    [STA__DO_FETCH_##name##64] = &&do_FETCH_##name##64,   \
    [STA__DO_FETCH_##name##32] = &&do_FETCH_##name##32,
                    STA__ATOMICS(X)
#undef X
    };
    char *stack = __builtin_alloca(function->stack_size);
    const struct sta__op *op = function->entry;
    uint64_t r[11];

    r[1] = args[0];
    r[2] = args[1];
    r[3] = args[2];
    r[4] = args[3];
    r[5] = args[4];
    r[10] = (uintptr_t)stack + function->stack_size;
    goto *labels[op->code];

#define X(name, value) FOUR_FORMS(name, r[op->dst] = (W)(value))
    STA__BINARY(X)
#undef X
#define X(name, condition) FOUR_FORMS(name, if (condition) JUMP)
    STA__CONDITIONS(X)
#undef X
#define X(name, value)             \
    do_##name:                     \
    {                              \
        uint64_t dst = r[op->dst]; \
        uint64_t src = r[op->src]; \
                                   \
        (void)dst, (void)src;      \
        r[op->dst] = (value);      \
        NEXT;                      \
    }
    STA__UNARY(X)
#undef X
#define X(name, type)                              \
    do_##name : r[op->dst] = (uint64_t)LOAD(type); \
    NEXT;
    STA__LOADS(X)
#undef X
#define X(name, type)                                                                       \
    do_ST##name : STORE(type, op->imm);                                                     \
    NEXT;                                                                                   \
    do_STX##name : STORE(type, r[op->src]);                                                 \
    NEXT;                                                                                   \
    do_ACQ##name : r[op->dst] = __atomic_load_n(AT(const type, op->src), __ATOMIC_ACQUIRE); \
    NEXT;                                                                                   \
    do_REL##name : __atomic_store_n(AT(type, op->dst), (type)r[op->src], __ATOMIC_RELEASE); \
    NEXT;
    STA__STORES(X)
#undef X
    STA__ATOMICS(ATOMIC_FORMS)
do_XCHG64:
    r[op->src] = __atomic_exchange_n(AT(uint64_t, op->dst), r[op->src], __ATOMIC_SEQ_CST);
    NEXT;
do_XCHG32:
    r[op->src] = __atomic_exchange_n(AT(uint32_t, op->dst), (uint32_t)r[op->src], __ATOMIC_SEQ_CST);
    NEXT;
do_CMPXCHG64:
    CMPXCHG(uint64_t);
    NEXT;
do_CMPXCHG32:
    CMPXCHG(uint32_t);
    NEXT;
do_LOAD_IMM:
    r[op->dst] = op->imm;
    NEXT;
do_JUMP:
    JUMP;
do_CALL:
    r[0] = call(op->function, &r[1], run);
    NEXT;
do_HELPER:
    r[0] = op->helper(r[1], r[2], r[3], r[4], r[5]);
    NEXT;
do_TAIL_CALL:
    departure->target = sta__tail_next((struct sta_map *)(uintptr_t)r[2], r[3], run);
    if (!departure->target)
        NEXT;
    departure->ctx = (void *)(uintptr_t)r[1];
    return 0;
do_EXIT:
    return r[0];
}

/* The frame is gone when a tail call is made: each takes the place of the one before. */
static uint64_t call(const struct sta__function *function, const uint64_t *args,
                     struct sta__tail_run *run)
{
    struct departure departure;
    uint64_t r0;

    departure.target = NULL;
    r0 = run_frame(function, args, run, &departure);
    if (sta__unlikely(departure.target))
        r0 = departure.target->enter(departure.ctx, run, departure.target);
    return r0;
}

uint64_t sta__interpret_callback(const struct sta__callback *self, uint64_t r1, uint64_t r2,
                                 uint64_t r3, uint64_t r4, uint64_t r5)
{
    const uint64_t args[5] = {r1, r2, r3, r4, r5};

    /* The first member of a function. */
    return call((const struct sta__function *)self, args, NULL);
}

uint64_t sta__interpret(const struct sta__interpreted *program, void *ctx,
                        struct sta__tail_run *run)
{
    uint64_t args[5];

    args[0] = (uintptr_t)ctx;
    args[1] = run->ctx_size;
    args[2] = args[3] = args[4] = 0;
    return call(program->functions, args, run);
}
