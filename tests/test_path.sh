#!/usr/bin/env bash
# The dispatch path: what runs inside every intercepted call calls no libc function and touches no
# vector or floating-point register, but to save and restore them. See the promises on async-signal
# safety and vector state.
# shellcheck source=tests/check.sh
source "$(dirname "${BASH_SOURCE[0]}")/check.sh"
need_plain_build
need ar ld nm objdump

# The members of libsta.a that make up the path.
path_members=(
    dispatch.c.o # src/attach/dispatch.c
    hook.c.o     # src/attach/hook.c
    entry.S.o    # src/transform/entry.S
    entry.c.o    # src/transform/entry.c
    gate.S.o     # src/base/gate.S
    int80.c.o    # src/transform/int80.c
    lock.c.o     # src/base/lock.c: for the host's own SIGSYS action
    memory.c.o   # src/base/memory.c
    quiesce.c.o  # src/base/quiesce.c
    signal_calls.c.o # src/transform/signal_calls.c
    signals.c.o  # src/transform/signals.c
    vectors.S.o  # src/base/vectors.S: saves and restores vector state
    vectors.c.o  # src/base/vectors.c: the sizes that vectors.S reads
)

# ld makes these: the bounds of the gate's section, and the table of thread-local offsets.
made_by_linker='__start_sta_gate|__stop_sta_gate|_GLOBAL_OFFSET_TABLE_'

extract_path()
{
    local member count
    for member in "${path_members[@]}"; do
        count=$(ar t "$STA_ARCHIVE" | grep -cxF "$member" || true)
        [ "$count" -eq 1 ] || fail "libsta.a has $count members named $member, not 1"
    done
    (cd "$work" && ar x "$STA_ARCHIVE" "${path_members[@]}")
    (cd "$work" && ld -r -o path.o "${path_members[@]}")
    nm --defined-only "$work/path.o" >"$work/defined"
    grep -q ' T sta_dispatch$' "$work/defined" || fail "the path members do not define sta_dispatch"
}

path_calls_nothing_outside_itself()
{
    nm --undefined-only "$work/path.o" | awk '{ print $NF }' >"$work/undefined"
    none_of "the path refers to symbols that it does not define" < <(
        grep -vxE "$made_by_linker" "$work/undefined"
    )
}

path_touches_general_registers_only()
{
    local member
    for member in "${path_members[@]}"; do
        [ "$member" = vectors.S.o ] || objdump -d --no-show-raw-insn "$work/$member"
    done >"$work/disassembly"
    grep -q '%r' "$work/disassembly" || fail "objdump shows no code in the path members"
    none_of "instructions with vector or floating-point registers" < <(
        grep -E '%([xyz]?mm[0-9]|st\b|k[0-7]\b)|\b(emms|fninit|f(ld|st|add|mul|div|sub)[a-z]*)\b' \
            "$work/disassembly"
    )
}

extract_path
path_calls_nothing_outside_itself
path_touches_general_registers_only
