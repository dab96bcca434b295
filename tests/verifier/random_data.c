/* SPDX-License-Identifier: MIT */
/* Statements on numbers, the stack, maps, and helpers. */
#include "verifier/random_parts.h"

/* ---- numbers ---- */

void random_new_number(struct generator *g)
{
    int reg = any_free(g), ctx = find(g, CONTEXT), size = random_size(g);

    switch (pick(g, 8)) {
    case 0:
        EMIT(MOV(reg, interesting(g)));
        break;
    case 1:
        EMIT(LD64(reg, (uint64_t)(uint32_t)interesting(g) << pick(g, 33) | pick(g, 256)));
        break;
    case 2:
        EMIT(CALL(get_prandom_u32));
        after_call(g);
        return;
    case 3:
        EMIT(MOV32(reg, interesting(g)));
        break;
    case 4:
    case 5:
        if (ctx < 0 || reg == ctx)
            return;
        EMIT(LDX(size, reg, ctx, (int16_t)(pick(g, 8) * 8 + (chance(g, 3) ? pick(g, 9) : 0))));
        break;
    case 6:
        EMIT(LDX(size, reg, R10, stack_off(g, bytes_of(size))));
        break;
    default:
        EMIT(LD_VALUE(reg, MAP_RODATA, (int32_t)pick(g, 7) * 8));
        EMIT(LDX(size, reg, reg, 0));
        break;
    }
    set(g, reg, NUMBER, 0);
}

void random_arithmetic(struct generator *g)
{
    int dst = find(g, NUMBER), src = find(g, NUMBER);
    uint8_t op = alu_ops[pick(g, sizeof(alu_ops))];
    uint8_t class = chance(g, 60) ? BPF_ALU64 : BPF_ALU;
    int32_t imm = interesting(g);

    if (dst < 0)
        return;
    set(g, dst, NUMBER, 0);
    if (op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH)
        imm = (int32_t)pick(g, class == BPF_ALU64 ? 64 : 32);
    if ((op == BPF_DIV || op == BPF_MOD) && imm == 0)
        imm = 3;
    switch (pick(g, 9)) {
    case 0:
        EMIT(INSN(class | BPF_NEG, dst, 0, 0, 0));
        break;
    case 1:
        EMIT(INSN(BPF_ALU | BPF_END | (chance(g, 50) ? BPF_TO_BE : BPF_TO_LE), dst, 0, 0,
                  16 << pick(g, 3)));
        break;
    case 2:
        if (class == BPF_ALU64)
            EMIT(MOVSX(dst, src, 8 << pick(g, 3)));
        else
            EMIT(MOVSX32(dst, src, 8 << pick(g, 2)));
        break;
    case 3:
    case 4:
        EMIT(INSN(class | op | BPF_X, dst, src, 0, 0));
        break;
    case 5: {
        int to = any_free(g);

        EMIT(INSN(class | BPF_MOV | BPF_X, to, src, 0, 0));
        set(g, to, g->kinds[src], g->sizes[src]);
        break;
    }
    default:
        EMIT(INSN(class | op | BPF_K, dst, 0, 0, imm));
    }
}

void random_make_small(struct generator *g)
{
    int reg = find(g, NUMBER), below = 2 << pick(g, 6);

    if (reg < 0)
        return;
    switch (pick(g, 6)) {
    case 0:
    case 1:
        EMIT(INSN((chance(g, 50) ? BPF_ALU64 : BPF_ALU) | BPF_AND | BPF_K, reg, 0, 0, below - 1));
        break;
    case 2:
        exit_if(
            g, INSN((chance(g, 60) ? BPF_JMP : BPF_JMP32) | BPF_JGT | BPF_K, reg, 0, 0, below - 1));
        break;
    case 3:
        exit_if(g, JMP(BPF_JSLT, reg, 0, 0));
        exit_if(g, JMP(BPF_JSGE, reg, below, 0));
        break;
    case 4:
        EMIT(ALU(BPF_RSH, reg, 64 - __builtin_ctz((unsigned)below)));
        break;
    default:
        EMIT(ALU(BPF_MOD, reg, below));
        exit_if(g, JMP(BPF_JGE, reg, below, 0));
    }
    set(g, reg, SMALL, below);
}

/* ---- stack ---- */

void random_stack_access(struct generator *g)
{
    int size = random_size(g), reg;
    int16_t off = stack_off(g, bytes_of(size));

    switch (pick(g, 4)) {
    case 0:
        EMIT(ST(size, R10, off, chance(g, 50) ? 0 : interesting(g)));
        break;
    case 1:
        reg = any_free(g);
        EMIT(LDX(size, reg, R10, off));
        set(g, reg, NUMBER, 0);
        break;
    default:
        reg = (int)pick(g, 10);
        if (g->kinds[reg] == NOTHING && !chance(g, 3))
            return;
        if (g->kinds[reg] > SMALL && chance(g, 95))
            size = BPF_DW, off &= ~7;
        EMIT(STX(size, R10, reg, off));
        if (chance(g, 60)) {
            int to = any_free(g);

            EMIT(chance(g, 10) ? LDSX(size == BPF_DW ? BPF_W : size, to, R10, off)
                               : LDX(size, to, R10, off));
            set(g, to, g->kinds[reg], g->sizes[reg]);
        }
    }
}

void random_stack_pointer(struct generator *g)
{
    int reg = any_free(g), small = find(g, SMALL), size = random_size(g), bytes = bytes_of(size);

    EMIT(MOVX(reg, R10), ADD(reg, -(int)(pick(g, 10) + 1) * 8));
    set(g, reg, STACK, 0);
    if (small >= 0 && small != reg && chance(g, 60)) {
        if (bytes > 1 && chance(g, 90))
            EMIT(ALU(BPF_AND, small, ~(bytes - 1)));
        EMIT(ADD(reg, -g->sizes[small]), ADDX(reg, small));
    }
    if (chance(g, 50))
        EMIT(small >= 0 ? STX(size, reg, small, 0) : ST(size, reg, 0, 7));
    else
        EMIT(ST(size, reg, 0, 0));
    if (chance(g, 50)) {
        EMIT(LDX(size, reg, reg, 0));
        set(g, reg, NUMBER, 0);
    }
}

/* ---- maps and memory ---- */

void random_lookup(struct generator *g)
{
    static const struct {
        int map, key, value;
    } kinds[] = {{MAP_HASH, 8, 48}, {MAP_ARRAY, 4, 64},  {MAP_PERCPU, 4, 16},
                 {MAP_DATA, 4, 64}, {MAP_RODATA, 4, 64}, {MAP_RDONLY, 4, 64}};
    int i = (int)pick(g, 6), number = find(g, NUMBER), to = 6 + (int)pick(g, 4);
    int16_t off = (int16_t)(-8 - 8 * (int)pick(g, 4));
    bool checked;

    if (number >= 0 && chance(g, 50))
        EMIT(STX(kinds[i].key == 8 ? BPF_DW : BPF_W, R10, number, off));
    else
        EMIT(ST(kinds[i].key == 8 ? BPF_DW : BPF_W, R10, off, (int32_t)pick(g, 6)));
    EMIT(MOVX(R2, R10), ADD(R2, off), LD_MAP(R1, kinds[i].map), CALL(map_lookup_elem));
    after_call(g);
    set(g, R0, MAYBE_VALUE, kinds[i].value);
    checked = chance(g, 95);
    if (chance(g, 30)) {
        EMIT(MOVX(to, R0));
        set(g, to, checked ? VALUE : MAYBE_VALUE, kinds[i].value);
    }
    if (checked) {
        exit_if(g, JMP(BPF_JEQ, R0, 0, 0));
        set(g, R0, VALUE, kinds[i].value);
    }
}

void random_direct_value(struct generator *g)
{
    int reg = any_free(g), off = chance(g, 60) ? 0 : (int)pick(g, 64);

    EMIT(LD_VALUE(reg, chance(g, 70) ? MAP_DATA : MAP_RODATA, off));
    set(g, reg, VALUE, 64 - off);
}

void random_memory_access(struct generator *g)
{
    int base = find(g, chance(g, 70) ? VALUE : RECORD), small = find(g, SMALL), size, bytes, limit;
    int other;

    if (base < 0)
        return;
    size = random_size(g);
    bytes = bytes_of(size);
    limit = g->sizes[base] - bytes;
    if (limit < 0)
        limit = 0;
    if (small >= 0 && chance(g, 50)) {
        int pointer = any_free(g);

        if (pointer == small || pointer == base)
            return;
        EMIT(MOVX(pointer, base));
        EMIT(chance(g, 8) ? SUBX(pointer, small) : ADDX(pointer, small));
        set(g, pointer, VALUE, g->sizes[base] - g->sizes[small] + 1);
        base = pointer;
        limit = g->sizes[pointer] - bytes;
        if (limit < 0)
            limit = chance(g, 90) ? 0 : -4;
    }
    other = find(g, NUMBER);
    switch (pick(g, 5)) {
    case 0:
        EMIT(ST(size, base, (int16_t)pick(g, (uint32_t)limit + 1), interesting(g)));
        break;
    case 1:
        EMIT(STX(other >= 0 ? size : BPF_DW, base, other >= 0 ? other : R10,
                 (int16_t)(pick(g, (uint32_t)limit + 1) + chance(g, 2))));
        break;
    case 2: {
        static const int32_t ops[] = {
            BPF_ADD,  BPF_OR,     BPF_AND, BPF_XOR, BPF_ADD | BPF_FETCH, BPF_XOR | BPF_FETCH,
            BPF_XCHG, BPF_CMPXCHG};

        if (other >= 0)
            EMIT(ATOMIC(chance(g, 50) ? BPF_W : BPF_DW, ops[pick(g, 8)], base, other,
                        (int16_t)(pick(g, (uint32_t)limit + 1) & ~7u)));
        break;
    }
    default:
        other = any_free(g);
        EMIT(chance(g, 10) && size != BPF_DW
                 ? LDSX(size, other, base, (int16_t)pick(g, (uint32_t)limit + 1))
                 : LDX(size, other, base, (int16_t)(pick(g, (uint32_t)limit + 1) + chance(g, 2))));
        set(g, other, NUMBER, 0);
    }
}

void random_ring_record(struct generator *g)
{
    int size = 8 << pick(g, 4), to = 6 + (int)pick(g, 4),
        off = (int)pick(g, (uint32_t)size / 8) * 8;
    int number = find(g, NUMBER);

    EMIT(LD_MAP(R1, MAP_RING), MOV(R2, size), MOV(R3, 0), CALL(ringbuf_reserve));
    after_call(g);
    if (chance(g, 97))
        exit_if(g, JMP(BPF_JEQ, R0, 0, 0));
    EMIT(MOVX(to, R0));
    set(g, to, NOTHING, 0);
    if (number >= 6 && number != to)
        EMIT(STX(BPF_DW, R0, number, (int16_t)(off + 8 * chance(g, 3))));
    EMIT(ST(BPF_DW, to, (int16_t)off, 1), MOVX(R1, to), MOV(R2, 0));
    if (chance(g, 96))
        EMIT(chance(g, 50) ? CALL(ringbuf_submit) : CALL(ringbuf_discard));
    after_call(g);
    set(g, R0, NOTHING, 0);
    set(g, to, chance(g, 96) ? NOTHING : RECORD, size);
}

void random_helper(struct generator *g)
{
    static const int32_t readers[] = {BPF_FUNC_probe_read_user, BPF_FUNC_probe_read_kernel,
                                      BPF_FUNC_probe_read_user_str};
    int ctx = find(g, CONTEXT), small = find(g, SMALL), value = find(g, VALUE);

    switch (pick(g, 7)) {
    case 0:
        EMIT(CALL(ktime_get_ns));
        break;
    case 1:
        EMIT(CALL(get_current_pid_tgid));
        break;
    case 2: /* to the stack */
        if (small >= 0 && chance(g, 50))
            EMIT(MOVX(R2, small));
        else
            EMIT(MOV(R2, (int32_t)pick(g, 65)));
        EMIT(MOVX(R1, R10), ADD(R1, -64 - 8 * (int)pick(g, 3)), MOV(R3, 0),
             CALL_NUMBER(readers[pick(g, 3)]));
        break;
    case 3: /* to a map's value */
        if (value < 0)
            return;
        EMIT(MOVX(R1, value), MOV(R2, g->sizes[value] + chance(g, 5)), MOV(R3, 0),
             CALL_NUMBER(readers[pick(g, 3)]));
        break;
    case 4:
        if (ctx < 0)
            return;
        EMIT(MOVX(R1, ctx), LD_MAP(R2, MAP_PERF), MOV(R3, -1), MOVX(R4, R10), ADD(R4, -40),
             MOV(R5, 40), CALL(perf_event_output));
        break;
    case 5:
        EMIT(ST(BPF_DW, R10, -8, 5), MOVX(R2, R10), ADD(R2, -8), MOVX(R3, R10), ADD(R3, -56),
             MOV(R4, 0), LD_MAP(R1, MAP_HASH), CALL(map_update_elem));
        break;
    default:
        EMIT(MOVX(R1, R10), ADD(R1, -16), MOV(R2, 16), CALL(get_current_comm));
    }
    after_call(g);
}
