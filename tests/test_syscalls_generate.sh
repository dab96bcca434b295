#!/usr/bin/env bash
# The table of system call names is generated from the headers and a list. Where the two disagree the
# build fails and says why.
# shellcheck source=tests/check.sh
source "$(dirname "${BASH_SOURCE[0]}")/check.sh"

# generate LIST: its exit status; messages in $work/log, tables in $work/out.
generate()
{
    rm -rf "$work/out"
    printf '%b' "$1" >"$work/list"
    "$CMAKE" -D compiler="$compiler" -D flags= -D extra="$work/list" -D output_dir="$work/out" \
        -P "$STA_SOURCE_DIR/src/syscalls/generate_names.cmake" >"$work/log" 2>&1
}

refused()
{
    generate "$1" && fail "this list was accepted: $1"
    # CMake wraps its messages.
    tr -s '\n ' ' ' <"$work/log" | grep -qE "$2" || fail "no message like '$2':" "$(cat "$work/log")"
}

compiler=$CC
generate '# a comment\n\n0 read\n500 brandnew\n' || fail "$(cat "$work/log")"
grep -qx '\[500\] = "brandnew",' "$work/out/syscall_names.inc" || fail "500 is not in the table"
[ "$(grep -c '"read"' "$work/out/syscall_names.inc")" = 1 ] || fail "read is not there once"
sed -n 's/^[0-9]*, .* \(.*\) .*/\1/p' "$work/out/syscall_sorted.inc" | LC_ALL=C sort -c ||
    fail "the index is not sorted as strcmp sorts"

refused '0 reed\n' "System call 0 is 'reed' by .*, but 'read' by <asm/unistd_64.h>"
refused '500 read\n' "System call 'read' has number 500 by .*, but 0 by <asm/unistd_64.h>"
refused '500 a\n500 b\n' "System call 500 is 'b'"
refused '512 toofar\n' "System call 512 .* is past the table's end"
refused 'five hundred\n' "'five hundred' is not of the form 'number name'"
compiler=/nonexistent/cc refused '0 read\n' "cannot preprocess <asm/unistd_64.h>"
