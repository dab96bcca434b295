/* SPDX-License-Identifier: MIT */
/* Spin locks. The kernel is asked about them as of programs for traffic control. */
/* clang-format off */
/* reg: an element with a lock at 4, or the end: eight instructions. `rest`: how many follow before the last two. */
#define LOCKED(reg, rest) ST(BPF_W, R10, -4, 0), MOVX(R2, R10), ADD(R2, -4), LD_MAP(R1, MAP_LOCKED), CALL(map_lookup_elem), JMP(BPF_JEQ, R0, 0, (rest) + 1), MOVX(reg, R0)
#define TAKE(reg, off) MOVX(R1, reg), ADD(R1, off), CALL(spin_lock)
#define GIVE(reg, off) MOVX(R1, reg), ADD(R1, off), CALL(spin_unlock)
OK("lock", LOCKED(R6, 7), TAKE(R6, 4), ST(BPF_DW, R6, 8, 1), GIVE(R6, 4), RET0),
OK("lock of data", LD_VALUE(R6, MAP_LOCK, 0), TAKE(R6, 8), ST(BPF_DW, R6, 0, 1), GIVE(R6, 8), RET0),
OK("lock by its own address", LD_VALUE(R1, MAP_LOCK, 8), CALL(spin_lock), LD_VALUE(R1, MAP_LOCK, 8), CALL(spin_unlock), RET0),
BAD("lock not given back", -EINVAL, "cannot be used inside bpf_spin_lock-ed region", LOCKED(R6, 3), TAKE(R6, 4), RET0),
BAD("lock given back on one path", -EINVAL, "cannot be used inside bpf_spin_lock-ed region", LOCKED(R6, 8), TAKE(R6, 4), LDX(BPF_W, R2, R6, 0), JMP(BPF_JEQ, R2, 7, 3), GIVE(R6, 4), RET0),
OK("lock given back on both paths", LOCKED(R6, 13), TAKE(R6, 4), LDX(BPF_W, R2, R6, 0), JMP(BPF_JEQ, R2, 7, 5), GIVE(R6, 4), RET0, GIVE(R6, 4), RET0),
BAD("lock given back, never taken", -EINVAL, "bpf_spin_unlock without taking a lock", LOCKED(R6, 3), GIVE(R6, 4), RET0),
BAD("lock taken twice", -EINVAL, "function calls are not allowed while holding a lock", LOCKED(R6, 9), TAKE(R6, 4), TAKE(R6, 4), GIVE(R6, 4), RET0),
BAD("two locks", -EINVAL, "function calls are not allowed while holding a lock", LOCKED(R6, 14), LD_VALUE(R7, MAP_LOCK, 0), TAKE(R6, 4), TAKE(R7, 8), GIVE(R7, 8), GIVE(R6, 4), RET0),
BAD("another lock given back", -EINVAL, "bpf_spin_unlock of different lock", LOCKED(R6, 8), LD_VALUE(R7, MAP_LOCK, 0), TAKE(R6, 4), GIVE(R7, 8), RET0),
BAD("another element's lock given back", -EINVAL, "bpf_spin_unlock of different lock", LOCKED(R6, 14), LOCKED(R7, 6), TAKE(R6, 4), GIVE(R7, 4), RET0),
OK("one element's lock after another's", LOCKED(R6, 20), LOCKED(R7, 12), TAKE(R6, 4), GIVE(R6, 4), TAKE(R7, 4), GIVE(R7, 4), RET0),
OK("lock by a copy of the pointer", LOCKED(R6, 7), MOVX(R7, R6), TAKE(R6, 4), GIVE(R7, 4), RET0),
BAD("no lock there", -EINVAL, "off 0 doesn't point to 'struct bpf_spin_lock' that is at 4", LOCKED(R6, 6), TAKE(R6, 0), GIVE(R6, 0), RET0),
BAD("a lock's second byte", -EINVAL, "doesn't point to 'struct bpf_spin_lock'", LOCKED(R6, 6), TAKE(R6, 5), GIVE(R6, 5), RET0),
BAD("a lock somewhere", -EINVAL, "doesn't have constant offset", LOCKED(R6, 9), LDX(BPF_W, R7, R6, 0), AND(R7, 4), ADDX(R6, R7), TAKE(R6, 4), GIVE(R6, 4), RET0),
BAD("no lock in this map", -EINVAL, "", LD_VALUE(R7, MAP_LOCK, 0), LD_VALUE(R6, MAP_DATA, 0), TAKE(R6, 4), GIVE(R6, 4), RET0),
BAD("lock in the stack", -EACCES, "R1 type=fp expected=", LD_VALUE(R7, MAP_LOCK, 0), ST(BPF_DW, R10, -8, 0), MOVX(R6, R10), TAKE(R6, -8), GIVE(R6, -8), RET0),
BAD("lock of what may be NULL", -EACCES, "R1 type=map_value_or_null expected=map_value", ST(BPF_W, R10, -4, 0), MOVX(R2, R10), ADD(R2, -4), LD_MAP(R1, MAP_LOCKED), CALL(map_lookup_elem), MOVX(R1, R0), CALL(spin_lock), RET0),
BAD("helper under a lock", -EINVAL, "function calls are not allowed while holding a lock", LOCKED(R6, 7), TAKE(R6, 4), CALL(ktime_get_ns), GIVE(R6, 4), RET0),
BAD("look-up under a lock", -EINVAL, "function calls are not allowed while holding a lock", LD_VALUE(R6, MAP_LOCK, 0), TAKE(R6, 8), LOOKUP_HASH, GIVE(R6, 8), RET0),
OK("subprogram under a lock", LD_VALUE(R6, MAP_LOCK, 0), TAKE(R6, 8), CALL_SUB(5), GIVE(R6, 8), RET0, MOV(R0, 1), EXIT),
BAD("helper in a subprogram under a lock", -EINVAL, "function calls are not allowed while holding a lock", LD_VALUE(R6, MAP_LOCK, 0), TAKE(R6, 8), CALL_SUB(5), GIVE(R6, 8), RET0, CALL(ktime_get_ns), EXIT),
OK("lock taken by a subprogram", LD_VALUE(R6, MAP_LOCK, 0), CALL_SUB(5), GIVE(R6, 8), RET0, LD_VALUE(R1, MAP_LOCK, 8), CALL(spin_lock), RET0),
BAD("lock kept by a callback", -EINVAL, "function calls are not allowed while holding a lock", MOV(R1, 2), LD_FUNC(R2, 6), MOV(R3, 0), MOV(R4, 0), CALL(loop), RET0, LD_VALUE(R1, MAP_LOCK, 8), CALL(spin_lock), RET0),
OK("lock in a callback", MOV(R1, 2), LD_FUNC(R2, 6), MOV(R3, 0), MOV(R4, 0), CALL(loop), RET0, LD_VALUE(R1, MAP_LOCK, 8), CALL(spin_lock), LD_VALUE(R1, MAP_LOCK, 8), CALL(spin_unlock), RET0),
BAD("lock in a loop", -EINVAL, "function calls are not allowed while holding a lock", MOV(R7, 0), LD_VALUE(R6, MAP_LOCK, 0), TAKE(R6, 8), ADD(R7, 1), JMP(BPF_JLT, R7, 3, -5), GIVE(R6, 8), RET0),
OK("loop under a lock", MOV(R7, 0), LD_VALUE(R6, MAP_LOCK, 0), TAKE(R6, 8), ADD(R7, 1), JMP(BPF_JLT, R7, 3, -2), GIVE(R6, 8), RET0),
BAD("lock read", -EACCES, "bpf_spin_lock cannot be accessed", LOCKED(R6, 1), LDX(BPF_W, R1, R6, 4), RET0),
BAD("lock's last byte read", -EACCES, "bpf_spin_lock cannot be accessed", LOCKED(R6, 1), LDX(BPF_B, R1, R6, 7), RET0),
OK("up to a lock", LOCKED(R6, 2), LDX(BPF_W, R1, R6, 0), LDX(BPF_DW, R1, R6, 8), RET0),
BAD("lock written", -EACCES, "bpf_spin_lock cannot be accessed", LOCKED(R6, 1), ST(BPF_DW, R6, 0, 0), RET0),
BAD("lock written somewhere", -EACCES, "bpf_spin_lock cannot be accessed", LOCKED(R6, 4), LDX(BPF_W, R7, R6, 0), AND(R7, 4), ADDX(R6, R7), ST(BPF_B, R6, 0, 0), RET0),
BAD("lock changed by an atomic", -EACCES, "bpf_spin_lock cannot be accessed", LOCKED(R6, 2), MOV(R1, 1), ATOMIC(BPF_W, BPF_ADD, R6, R1, 4), RET0),
BAD("lock read by a helper", -EACCES, "bpf_spin_lock cannot be accessed", LOCKED(R6, 5), MOVX(R1, R6), MOV(R2, 8), LD_VALUE(R3, MAP_RODATA, 24), CALL(strncmp), RET0),
OK("beside a lock by a helper", LOCKED(R6, 5), MOVX(R1, R6), MOV(R2, 4), LD_VALUE(R3, MAP_RODATA, 24), CALL(strncmp), RET0),
BAD("value with a lock as another's", -EACCES, "bpf_spin_lock cannot be accessed", LOCKED(R6, 8), MOVX(R3, R6), MOVX(R2, R10), ADD(R2, -4), MOV(R4, 0), LD_MAP(R1, MAP_LOCKED), CALL(map_update_elem), MOV(R0, 0), RET0),
BAD("dynptr of a lock", -EACCES, "bpf_spin_lock cannot be accessed", LD_VALUE(R1, MAP_LOCK, 0), MOV(R2, 16), MOV(R3, 0), MOVX(R4, R10), ADD(R4, -16), CALL(dynptr_from_mem), RET0),
#undef LOCKED
#undef TAKE
#undef GIVE
