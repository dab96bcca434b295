/* SPDX-License-Identifier: MIT */
/* Statements of random programs: locks in values, maps in maps, queues, stacks, tail calls; now and
 * then a little wrong. */
#include "verifier/random_parts.h"

/* One of r6 to r9, which calls leave alone. */
static int kept(struct generator *g)
{
    return 6 + (int)pick(g, 4);
}

/* ---- locks ---- */

struct lock {
    int value; /* register: the value that has it */
    int at;    /* where it is there; what may be written */
    int other;
};

static struct lock find_lock(struct generator *g)
{
    struct lock lock = {kept(g), 8, 0};

    if (chance(g, 40)) {
        EMIT(LD_VALUE(lock.value, MAP_LOCK, 0));
        return lock;
    }
    lock.at = 4;
    lock.other = 8;
    EMIT(ST(BPF_W, R10, -8, (int32_t)pick(g, 4)), MOVX(R2, R10), ADD(R2, -8),
         LD_MAP(R1, MAP_LOCKED), CALL(map_lookup_elem));
    after_call(g);
    if (chance(g, 97))
        exit_if(g, JMP(BPF_JEQ, R0, 0, 0));
    EMIT(MOVX(lock.value, R0));
    return lock;
}

static void call_lock(struct generator *g, const struct lock *lock, bool take)
{
    EMIT(MOVX(R1, lock->value), ADD(R1, lock->at + (chance(g, 2) ? 4 : 0)));
    EMIT(take ? CALL(spin_lock) : CALL(spin_unlock));
    after_call(g);
    set(g, R0, NOTHING, 0);
}

/* What is done with the lock held. */
static void use_locked(struct generator *g, const struct lock *lock)
{
    int number = find(g, NUMBER), to = kept(g);

    EMIT(ST(BPF_W, lock->value, (int16_t)(chance(g, 96) ? lock->other : lock->at), 7));
    if (number >= 6 && number != lock->value && chance(g, 40))
        EMIT(JMP(BPF_JGT, number, 3, 1), ST(BPF_W, lock->value, (int16_t)lock->other, 9));
    if (chance(g, 30) && to != lock->value) {
        EMIT(LDX(BPF_W, to, lock->value, (int16_t)(chance(g, 97) ? lock->other : lock->at)));
        set(g, to, NUMBER, 0);
    }
    if (chance(g, 3))
        EMIT(CALL(ktime_get_ns));
    if (chance(g, 3))
        call_lock(g, lock, true);
    if (chance(g, 3) && number >= 6)
        exit_if(g, JMP(BPF_JEQ, number, 0, 0));
}

void random_locked(struct generator *g)
{
    struct lock lock = find_lock(g), other;
    bool found_twice = chance(g, 15);

    set(g, lock.value, NOTHING, 0);
    if (found_twice)
        other = find_lock(g);
    call_lock(g, &lock, true);
    use_locked(g, &lock);
    /* Perhaps only on one of two paths. */
    if (chance(g, 3) && find(g, NUMBER) >= 6)
        EMIT(JMP(BPF_JSGT, find(g, NUMBER), 1, 3));
    if (chance(g, 96))
        call_lock(g, found_twice && chance(g, 40) ? &other : &lock, false);
    if (chance(g, 3))
        call_lock(g, &lock, false);
    set(g, lock.value, chance(g, 50) ? VALUE : NOTHING, lock.at == 8 ? 8 : 16);
}

/* ---- maps in maps ---- */

static void find_inner(struct generator *g, int to)
{
    EMIT(ST(BPF_W, R10, -8, (int32_t)pick(g, 5)), MOVX(R2, R10), ADD(R2, -8), LD_MAP(R1, MAP_MAPS),
         CALL(map_lookup_elem));
    after_call(g);
    if (chance(g, 3))
        EMIT(LDX(BPF_W, R1, R0, 0));
    EMIT(MOVX(to, R0));
    if (chance(g, 96))
        exit_if(g, JMP(BPF_JEQ, chance(g, 50) ? R0 : to, 0, 0));
    set(g, to, NOTHING, 0);
    set(g, R0, NOTHING, 0);
}

static void use_inner(struct generator *g, int inner)
{
    EMIT(ST(BPF_DW, R10, -16, (int32_t)pick(g, 5)), MOVX(R1, inner), MOVX(R2, R10), ADD(R2, -16));
    switch (pick(g, 5)) {
    case 0:
        EMIT(MOVX(R3, R10), ADD(R3, -64), MOV(R4, 0), CALL(map_update_elem));
        break;
    case 1:
        EMIT(CALL(map_delete_elem));
        break;
    default:
        EMIT(CALL(map_lookup_elem));
        after_call(g);
        if (chance(g, 96))
            exit_if(g, JMP(BPF_JEQ, R0, 0, 0));
        set(g, R0, VALUE, 48);
        return;
    }
    after_call(g);
}

void random_map_in_map(struct generator *g)
{
    int inner = kept(g), other = kept(g);

    find_inner(g, inner);
    if (chance(g, 15) && other != inner) {
        find_inner(g, other);
        EMIT(JMPX(chance(g, 50) ? BPF_JEQ : BPF_JNE, inner, other, 1), MOV(R0, 0));
        set(g, R0, NUMBER, 0);
    }
    if (chance(g, 2))
        EMIT(ADD(inner, 8));
    if (chance(g, 2))
        EMIT(LDX(BPF_DW, R0, inner, 0));
    use_inner(g, inner);
    if (chance(g, 30))
        use_inner(g, chance(g, 95) ? inner : other);
}

/* ---- the rest ---- */

static void queue(struct generator *g)
{
    static const int32_t all[] = {BPF_FUNC_map_push_elem, BPF_FUNC_map_pop_elem,
                                  BPF_FUNC_map_peek_elem};
    int value = find(g, VALUE);

    if (value > R5 && chance(g, 40))
        EMIT(MOVX(R2, value));
    else
        EMIT(MOVX(R2, R10), ADD(R2, -16 - 8 * (int)pick(g, 4)));
    EMIT(LD_MAP(R1, chance(g, 97) ? MAP_QUEUE : MAP_HASH), MOV(R3, 0),
         CALL_NUMBER(all[pick(g, 3)]));
    after_call(g);
}

/* bpf_get_stack's result is a size that there is. */
static void stack(struct generator *g)
{
    int ctx = find(g, CONTEXT), small = find(g, SMALL), size = 8 * (1 + (int)pick(g, 8));

    if (ctx <= R5)
        return;
    if (chance(g, 40)) {
        EMIT(MOVX(R1, ctx), LD_MAP(R2, MAP_STACKS), MOV(R3, 256 * chance(g, 50)),
             CALL(get_stackid));
        after_call(g);
        return;
    }
    EMIT(MOVX(R1, ctx), MOVX(R2, R10), ADD(R2, -size), MOV(R3, size + (chance(g, 2) ? 8 : 0)),
         MOV(R4, 256));
    if (small > R5 && chance(g, 20))
        EMIT(MOVX(R3, small));
    EMIT(CALL(get_stack));
    after_call(g);
    if (chance(g, 50)) {
        exit_if(g, JMP(BPF_JSLT, R0, 0, 0));
        EMIT(MOVX(R5, R0), MOVX(R1, ctx), LD_MAP(R2, MAP_PERF), MOV(R3, -1), MOVX(R4, R10),
             ADD(R4, -size), CALL(perf_event_output));
        after_call(g);
    }
}

static void tail(struct generator *g)
{
    int ctx = find(g, CONTEXT);

    if (ctx <= R5 || g->in_subprog || !g->has_tails)
        return;
    EMIT(MOVX(R1, ctx), LD_MAP(R2, MAP_PROGS), MOV(R3, (int32_t)pick(g, 6)), CALL(tail_call));
    after_call(g);
    set(g, R0, NOTHING, 0);
}

static void output(struct generator *g)
{
    int value = find(g, VALUE), small = find(g, SMALL);

    if (chance(g, 20)) {
        EMIT(LD_MAP(R1, MAP_RING), MOV(R2, (int32_t)pick(g, 4)), CALL(ringbuf_query));
        after_call(g);
        return;
    }
    if (value > R5 && chance(g, 50))
        EMIT(MOVX(R2, value), MOV(R3, g->sizes[value] + chance(g, 3)));
    else
        EMIT(MOVX(R2, R10), ADD(R2, -32), MOV(R3, 32 + 8 * chance(g, 3)));
    if (small > R5 && chance(g, 40))
        EMIT(MOVX(R3, small));
    EMIT(LD_MAP(R1, MAP_RING), MOV(R4, 0), CALL(ringbuf_output));
    after_call(g);
}

static void percpu(struct generator *g)
{
    int number = find(g, NUMBER);

    EMIT(ST(BPF_W, R10, -8, (int32_t)pick(g, 6)), MOVX(R2, R10), ADD(R2, -8), MOV(R3, 0));
    if (number > R5)
        EMIT(MOVX(R3, number));
    EMIT(LD_MAP(R1, chance(g, 96) ? MAP_PERCPU : MAP_ARRAY), CALL(map_lookup_percpu_elem));
    after_call(g);
    if (chance(g, 96))
        exit_if(g, JMP(BPF_JEQ, R0, 0, 0));
    set(g, R0, VALUE, 16);
}

void random_other_map(struct generator *g)
{
    static void (*const all[])(struct generator *) = {queue, stack, tail, output, percpu};

    all[pick(g, 5)](g);
}
