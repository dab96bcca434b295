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

/* The constants at 24 are "foo%d", at 27 "%d", at 28 "d", at 29 "". */
static void formats(struct generator *g)
{
    int value = find(g, VALUE);

    if (value > R5 && chance(g, 50))
        EMIT(MOVX(R1, value), MOV(R2, g->sizes[value] + chance(g, 3)));
    else
        EMIT(MOVX(R1, R10), ADD(R1, -48), MOV(R2, some_size(g, 48)));
    if (chance(g, 10))
        EMIT(MOV(R1, 0), MOV(R2, chance(g, 10)));
    EMIT(LD_VALUE(R3, chance(g, 95) ? MAP_RODATA : MAP_RDONLY, 24 + (int)pick(g, 7)), MOVX(R4, R10),
         ADD(R4, -16), MOV(R5, 8 * (int)pick(g, 3) + (chance(g, 2) ? 4 : 0)), CALL(snprintf));
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
        EMIT(LD_VALUE(R3, MAP_RODATA, 24 + (int)pick(g, 40)), CALL(strncmp));
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
