#!/usr/bin/env bash
# The plugin for outside suites: what it reads, prints and exits with.
# shellcheck source=tests/check.sh
source "$(dirname "${BASH_SOURCE[0]}")/check.sh"

plugin=$STA_BUILD_DIR/tests/bpf_conformance_plugin
[ -x "$plugin" ] || fail "$plugin is missing"

mov_42='b7 00 00 00 2a 00 00 00 95 00 00 00 00 00 00 00'
# r0 = the 64-bit word at r1, plus r2
load_add='79 10 00 00 00 00 00 00 0f 20 00 00 00 00 00 00 95 00 00 00 00 00 00 00'
# lddw r0, -1; exit
all_ones='18 00 00 00 ff ff ff ff 00 00 00 00 ff ff ff ff 95 00 00 00 00 00 00 00'
no_opcode='ff 00 00 00 00 00 00 00 95 00 00 00 00 00 00 00'

# prints EXPECTED PROGRAM [ARGUMENT...]
prints()
{
    local expected=$1 program=$2 got
    shift 2
    got=$("$plugin" "$@" <<<"$program" 2>"$work/errors") ||
        fail "plugin $*: status $?" "$(cat "$work/errors")"
    [ "$got" = "$expected" ] || fail "plugin $*: printed '$got', expected '$expected'"
}

# refuses PATTERN PROGRAM [ARGUMENT...]
refuses()
{
    local pattern=$1 program=$2 status=0
    shift 2
    "$plugin" "$@" <<<"$program" >"$work/out" 2>"$work/errors" || status=$?
    [ $status -ne 0 ] || fail "plugin $*: status 0, printed '$(cat "$work/out")'"
    grep -q -- "$pattern" "$work/errors" ||
        fail "plugin $*: says nothing of '$pattern':" "$(cat "$work/errors")"
}

programs_run_both_ways()
{
    local mode
    for mode in --interpret --jit; do
        prints 2a "$mov_42" "$mode"
        prints 2a "$mov_42" '' "$mode"
        prints 1122334455667790 "$load_add" '88 77 66 55 44 33 22 11' "$mode"
        prints ffffffffffffffff "$all_ones" "$mode"
    done
}

forms_of_arguments_are_understood()
{
    prints 2a "$mov_42"
    prints 2a "${mov_42// /}"
    prints 2a '' --program "$mov_42"
    prints 10 "$load_add" '08 00 00 00 00 00 00 00'
    prints 10 "$load_add" 0800000000000000 --interpret
    prints 10 "$load_add" --interpret 0800000000000000
}

errors_have_a_status_and_a_reason()
{
    refuses 'insn 0: unknown opcode ff' "$no_opcode" --interpret
    refuses 'insn 0: unknown opcode ff' "$no_opcode" --jit
    refuses 'words of eight bytes' ''
    refuses 'words of eight bytes' 'b7 00 00'
    refuses 'words of eight bytes' 'not hex at all.'
    refuses 'bytes in hex' "$mov_42" 'xy'
    refuses 'more than one memory' "$mov_42" 00 00
    refuses 'unknown option' "$mov_42" --elf
    refuses 'not compiled' "$mov_42" --interpret --jit
}

programs_run_both_ways
forms_of_arguments_are_understood
errors_have_a_status_and_a_reason
