/* SPDX-License-Identifier: MIT */
/* Statements of random programs: dynptrs, and helpers of text and ids, now and then with arguments
 * that are a little wrong. */
#include "verifier/random_parts.h"

/* r = fp + off. */
static void stack_pointer(struct generator *g, int reg, int off)
{
    EMIT(MOVX(reg, R10), ADD(reg, off));
}

static int some_size(struct generator *g, int most)
{
    return (int)pick(g, (uint32_t)most + 1) + (chance(g, 3) ? 4 : 0);
}

static void make_dynptr(struct generator *g, int off, bool is_record)
{
    int value = find(g, VALUE), small = find(g, SMALL);

    if (is_record)
        EMIT(LD_MAP(R1, MAP_RING), MOV(R2, 8 * (int)pick(g, 8)));
    else if (value > R5 && chance(g, 70))
        EMIT(MOVX(R1, value), MOV(R2, g->sizes[value] + chance(g, 3)));
    else
        EMIT(LD_VALUE(R1, chance(g, 97) ? MAP_DATA : MAP_RODATA, 0), MOV(R2, some_size(g, 64)));
    if (small > R5 && chance(g, 20))
        EMIT(MOVX(R2, small));
    EMIT(MOV(R3, chance(g, 5)));
    stack_pointer(g, R4, off - (chance(g, 1) ? 4 : 0));
    EMIT(is_record ? CALL(ringbuf_reserve_dynptr) : CALL(dynptr_from_mem));
}

static void copy_dynptr(struct generator *g, int off)
{
    bool reads = chance(g, 50);
    int to = chance(g, 80) ? -96 : off - (int)pick(g, 40);

    stack_pointer(g, reads ? R1 : R3, to);
    stack_pointer(g, reads ? R3 : R1, off + (chance(g, 2) ? 8 : 0));
    EMIT(MOV(reads ? R2 : R4, some_size(g, 16)), MOV(reads ? R4 : R2, (int)pick(g, 16)), MOV(R5, 0),
         reads ? CALL(dynptr_read) : CALL(dynptr_write));
}

static int slice_dynptr(struct generator *g, int off)
{
    int to = 6 + (int)pick(g, 4), size = 8 * (1 + (int)pick(g, 3));

    stack_pointer(g, R1, off);
    EMIT(MOV(R2, (int)pick(g, 16)), MOV(R3, size), CALL(dynptr_data), MOVX(to, R0));
    if (chance(g, 97))
        EMIT(JMP(BPF_JEQ, to, 0, 1));
    EMIT(ST(BPF_DW, to, (int16_t)(size - 8 + (chance(g, 2) ? 1 : 0)), 3));
    set(g, to, NOTHING, 0);
    return to;
}

static void spoil_dynptr(struct generator *g, int off)
{
    int16_t at = (int16_t)(off - 16 + (int)pick(g, 48));
    int small = find(g, SMALL);

    if (at > -8)
        at = -8;
    if (chance(g, 30) && small > R5) {
        stack_pointer(g, R1, at & ~7);
        EMIT(ADDX(R1, small), ST(BPF_B, R1, -64, 1));
    } else {
        EMIT(chance(g, 60) ? ST(BPF_B, R10, at, 0) : ST(BPF_DW, R10, at & ~7, 0));
    }
}

void random_dynptr(struct generator *g)
{
    int off = -16 - 8 * (int)pick(g, 8), slice = -1;
    bool is_record = chance(g, 50);

    make_dynptr(g, off, is_record);
    if (chance(g, 40))
        copy_dynptr(g, off);
    if (chance(g, 50))
        slice = slice_dynptr(g, off);
    if (chance(g, 10))
        spoil_dynptr(g, off);
    if (chance(g, 5))
        make_dynptr(g, off - 16 + 8 * (int)pick(g, 5), false);
    if (chance(g, 30))
        copy_dynptr(g, off);
    if (is_record && chance(g, 96)) {
        stack_pointer(g, R1, off);
        EMIT(MOV(R2, 0),
             chance(g, 50) ? CALL(ringbuf_submit_dynptr) : CALL(ringbuf_discard_dynptr));
    }
    if (slice >= 0 && chance(g, is_record ? 4 : 30))
        EMIT(JMP(BPF_JEQ, slice, 0, 1), ST(BPF_B, slice, 0, 1));
    if (is_record && chance(g, 3))
        copy_dynptr(g, off);
    after_call(g);
    set(g, R0, NOTHING, 0);
}

/* Some bytes to be read: of the stack, a value, constants. */
static void some_memory(struct generator *g, int reg, int size_reg)
{
    int value = find(g, VALUE), small = find(g, SMALL);

    if (value > R5 && chance(g, 40))
        EMIT(MOVX(reg, value), MOV(size_reg, g->sizes[value] + chance(g, 3)));
    else if (chance(g, 40))
        EMIT(LD_VALUE(reg, chance(g, 50) ? MAP_DATA : MAP_RODATA, 24),
             MOV(size_reg, some_size(g, 40)));
    else
        EMIT(MOVX(reg, R10), ADD(reg, -48), MOV(size_reg, some_size(g, 48)));
    if (small > R5 && chance(g, 20))
        EMIT(MOVX(size_reg, small));
}

static void prints(struct generator *g)
{
    if (chance(g, 50)) {
        some_memory(g, R1, R2);
        EMIT(MOV(R3, 1), MOV(R4, 2), MOV(R5, 3), CALL(trace_printk));
        return;
    }
    some_memory(g, R1, R2);
    some_memory(g, R3, R4);
    if (chance(g, 10))
        EMIT(MOV(R3, 0));
    EMIT(CALL(trace_vprintk));
}

/* The constants at 32 are "foo%d", at 35 "%d", at 36 "d", at 37 "". */
static void formats(struct generator *g)
{
    int value = find(g, VALUE);

    if (value > R5 && chance(g, 50))
        EMIT(MOVX(R1, value), MOV(R2, g->sizes[value] + chance(g, 3)));
    else
        EMIT(MOVX(R1, R10), ADD(R1, -48), MOV(R2, some_size(g, 48)));
    if (chance(g, 10))
        EMIT(MOV(R1, 0), MOV(R2, chance(g, 10)));
    EMIT(LD_VALUE(R3, chance(g, 95) ? MAP_RODATA : MAP_RDONLY, 30 + (int)pick(g, 10)),
         MOVX(R4, R10), ADD(R4, -16), MOV(R5, 8 * (int)pick(g, 3) + (chance(g, 2) ? 4 : 0)),
         CALL(snprintf));
}

static void reads_number(struct generator *g)
{
    some_memory(g, R1, R2);
    EMIT(MOV(R3, 0), MOVX(R4, R10), ADD(R4, -8 * (1 + (int)pick(g, 8)) + (chance(g, 3) ? 4 : 0)));
    if (chance(g, 20))
        EMIT(LD_VALUE(R4, chance(g, 90) ? MAP_DATA : MAP_RODATA, 8 * (int)pick(g, 8)));
    EMIT(chance(g, 50) ? CALL(strtol) : CALL(strtoul));
}

void random_text(struct generator *g)
{
    static const int32_t plain[] = {BPF_FUNC_get_current_cgroup_id,
                                    BPF_FUNC_get_numa_node_id,
                                    BPF_FUNC_jiffies64,
                                    BPF_FUNC_send_signal,
                                    BPF_FUNC_send_signal_thread,
                                    BPF_FUNC_get_attach_cookie,
                                    BPF_FUNC_get_current_ancestor_cgroup_id};

    switch (pick(g, 6)) {
    case 0:
        prints(g);
        break;
    case 1:
        formats(g);
        break;
    case 2:
        reads_number(g);
        break;
    case 3:
        some_memory(g, R1, R2);
        EMIT(LD_VALUE(R3, MAP_RODATA, 24 + (int)pick(g, 41)), CALL(strncmp));
        break;
    case 4:
        EMIT(MOV(R1, 0), MOV(R2, 0), MOVX(R3, R10), ADD(R3, -8 * (int)(1 + pick(g, 3))),
             MOV(R4, some_size(g, 8)), CALL(get_ns_current_pid_tgid));
        break;
    default:
        if (chance(g, 90) && find(g, CONTEXT) > R5)
            EMIT(MOVX(R1, find(g, CONTEXT)));
        EMIT(CALL_NUMBER(plain[pick(g, 7)]));
    }
    after_call(g);
}

/* reg: a value with a lock at the offset that is returned. */
static int locked_value(struct generator *g, int reg)
{
    if (chance(g, 50)) {
        EMIT(LD_VALUE(reg, MAP_LOCK, 0));
        return 8;
    }
    EMIT(ST(BPF_W, R10, -4, (int32_t)pick(g, 4)), MOVX(R2, R10), ADD(R2, -4),
         LD_MAP(R1, MAP_LOCKED), CALL(map_lookup_elem));
    if (chance(g, 97))
        exit_if(g, JMP(BPF_JEQ, R0, 0, 0));
    EMIT(MOVX(reg, R0));
    return 4;
}

static void call_with_lock(struct generator *g, int reg, int lock_at, struct bpf_insn call)
{
    EMIT(MOVX(R1, reg), ADD(R1, lock_at + (chance(g, 1) ? 4 : 0)));
    emit(g, call);
}

static void use_locked(struct generator *g, int reg)
{
    int off = (int)pick(g, 16), small = find(g, SMALL);

    if (small > R5 && small != reg && chance(g, 20))
        EMIT(MOVX(R1, reg), ADDX(R1, small), ST(BPF_B, R1, -8 + (int16_t)pick(g, 16), 1));
    else if (chance(g, 30))
        EMIT(LDX(BPF_W, R1, reg, (int16_t)(off & ~3)));
    else
        EMIT(ST(BPF_B, reg, (int16_t)off, 1));
}

void random_lock(struct generator *g)
{
    int one = 6 + (int)pick(g, 4), other = 6 + (one - 5) % 4;
    int lock_at, other_at;

    set(g, one, NOTHING, 0);
    set(g, other, NOTHING, 0);
    lock_at = locked_value(g, one);
    other_at = chance(g, 20) ? locked_value(g, other) : -1;
    if (chance(g, 98))
        call_with_lock(g, one, lock_at, CALL(spin_lock));
    if (chance(g, 20))
        use_locked(g, one);
    if (chance(g, 30) && find(g, NUMBER) > R5)
        EMIT(JMP(BPF_JEQ, find(g, NUMBER), 3, 1), MOV(R1, 5));
    if (chance(g, 2))
        EMIT(CALL(ktime_get_ns));
    if (other_at >= 0 && chance(g, 20))
        call_with_lock(g, other, other_at, CALL(spin_unlock));
    else if (chance(g, 97))
        call_with_lock(g, one, lock_at, CALL(spin_unlock));
    after_call(g);
    set(g, R0, NOTHING, 0);
    set(g, one, VALUE, lock_at);
}
