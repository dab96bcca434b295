#!/usr/bin/env bash
# The dispatch path: what runs inside every intercepted call calls no libc function and touches no
# vector or floating-point register, but to save and restore them. See the promises on async-signal
# safety and vector state.
# shellcheck source=tests/check.sh
source "$(dirname "${BASH_SOURCE[0]}")/check.sh"
need_plain_build
need ar ld nm objdump

# The members of libsta.a that make up the path: what the build compiles for it, and the assembly.
mapfile -t path_members < <(
    sed -n '/^set(sta_path_sources/,/)/s#^ *[a-z]*/\([a-z0-9_]*\.c\)).*#\1.o#p; /^set(sta_path_sources/,/)/s#^ *[a-z]*/\([a-z0-9_]*\.c\)$#\1.o#p' \
        "$STA_SOURCE_DIR/src/CMakeLists.txt"
)
[ ${#path_members[@]} -gt 10 ] || fail "src/CMakeLists.txt does not list the path's sources"
path_members+=(
    call_apart.S.o copy_user.S.o gate.S.o entry.S.o faults.S.o
    vectors.S.o vectors.c.o # save and restore vector state
    scan_blocks.S.o         # does so around itself
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

# has_general_registers_only OBJECT...
has_general_registers_only()
{
    objdump -d --no-show-raw-insn "$@" >"$work/disassembly"
    grep -q '%r' "$work/disassembly" || fail "objdump shows no code in $*"
    none_of "instructions with vector or floating-point registers" < <(
        grep -E '%([xyz]?mm[0-9]|st\b|k[0-7]\b)|\b(emms|fninit|f(ld|st|add|mul|div|sub)[a-z]*)\b' \
            "$work/disassembly"
    )
}

path_touches_general_registers_only()
{
    local others=() member
    for member in "${path_members[@]}"; do
        case $member in
        vectors.S.o | scan_blocks.S.o) ;;
        *) others+=("$work/$member") ;;
        esac
    done
    has_general_registers_only "${others[@]}"
}

# The preloaded agent's callbacks, and what they call: src/agent/. They may use the path, look up
# names in a table, and end in a report, which saves vectors by itself; attaching is no callback.
agent_callbacks_are_as_the_path()
{
    local objects=$STA_BUILD_DIR/src/CMakeFiles/sta-agent.dir/agent
    (cd "$objects" && ld -r -o "$work/agent.o" counts.c.o fail.c.o output.c.o)
    has_general_registers_only "$work/agent.o"
    nm --undefined-only "$work/agent.o" | awk '{ print $NF }' >"$work/undefined"
    none_of "the agent's callbacks refer to symbols that the path does not define" < <(
        grep -vxE "$made_by_linker|sta_attach_with|sta_syscall_name|sta__agent_write_report" \
            "$work/undefined" | grep -vxF -f <(awk '{ print $NF }' "$work/defined")
    )
}

extract_path
path_calls_nothing_outside_itself
path_touches_general_registers_only
agent_callbacks_are_as_the_path
