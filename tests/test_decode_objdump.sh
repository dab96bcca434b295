#!/usr/bin/env bash
# The decoder's lengths are objdump's: of the instructions of programs and libraries at hand, 700,000
# from the beginning of each, and of random bytes.
#
# STA_DECODE_DIRECTORIES='/usr/bin /usr/lib' reads all of every ELF file under these instead. As that
# takes a minute for each 15 million instructions, it is to be run by hand, not by ctest.
# shellcheck source=tests/check.sh
source "$(dirname "${BASH_SOURCE[0]}")/check.sh"
need objdump ldd
PATH=$PATH:/usr/sbin:/sbin

max_instructions=700000
random_items=200000

build_comparer()
{
    local flags=(-O2 -std=gnu11 -Wall -Wextra -Werror -D_GNU_SOURCE)
    [ "$STA_SANITIZE" != address ] ||
        flags+=("-fsanitize=address,undefined" -fno-sanitize-recover=undefined)
    quietly "$CC" "${flags[@]}" -I"$STA_SOURCE_DIR/src" -o "$work/decode_elf" \
        "$STA_SOURCE_DIR"/tests/decode_elf.c "$STA_SOURCE_DIR"/src/transform/decode{,_kind}.c
}

# The shared objects that a program loads, and itself.
with_libraries()
{
    ldd "$1" 2>/dev/null | grep -o '/[^ ]*' || true
    echo "$1"
}

# What there is of these on the machine: one path a line, each once.
list_files()
{
    local program library
    for program in bash openssl node; do
        ! command -v $program >/dev/null || with_libraries "$(command -v $program)"
    done
    ! command -v python3 >/dev/null || with_libraries "$(python3 -c 'import sys; print(sys.executable)')"
    with_libraries "$("$CC" -print-prog-name=cc1)"
    for library in libcrypto.so libm.so.6 libstdc++.so.6; do
        ldconfig -p | sed -n "s|.*$library.*x86-64.* => ||p" | head -n 1
    done
    # Tests are much alike, being made of the library: three of them.
    find "$STA_BUILD_DIR/tests" -maxdepth 1 -type f -perm -u+x \
        \( -name test_sud -o -name test_program -o -name test_verifier \)
}

is_elf()
{
    local magic
    IFS= LC_ALL=C read -r -N 4 magic <"$1" && [ "$magic" = $'\x7fELF' ]
} 2>/dev/null

list_directories()
{
    local file
    # shellcheck disable=SC2086 # several
    find $STA_DECODE_DIRECTORIES -xdev -type f -readable -print0 | while IFS= read -r -d '' file; do
        ! is_elf "$file" || printf '%s\n' "$file"
    done
}

# compare FILE LIMIT OBJDUMP_OPTION...: objdump may die of the pipe that is closed at the limit.
compare()
{
    local file=$1 limit=$2 status
    shift 2
    objdump "$@" -w -z "$file" 2>/dev/null |
        "$work/decode_elf" "$file" ${limit:+"$limit"} >>"$work/report" || {
        status=${PIPESTATUS[1]}
        # 1: there are differences; 3: not a file of our kind
        case $status in 0 | 1 | 3) ;; *) fail "decode_elf $file exits with $status" ;; esac
    }
}

compare_programs()
{
    local file limit=$max_instructions
    if [ -n "${STA_DECODE_DIRECTORIES:-}" ]; then
        list_directories >"$work/files"
        limit=
    else
        list_files | while IFS= read -r file; do
            realpath -e "$file" 2>/dev/null || true
        done | sort -u >"$work/files"
    fi
    while IFS= read -r file; do
        compare "$file" "$limit" -d
    done <"$work/files"
}

compare_random_bytes()
{
    "$work/decode_elf" --random 1 $random_items >"$work/random"
    compare "$work/random" "" -D -b binary -m i386:x86-64
}

# Shows the differences, or else the totals of each file.
nothing_differs()
{
    none_of "differences" < <(grep '^differs: ' "$work/report")
    sort -n "$work/report"
    awk '{ instructions += $1 } END {
        print NR " files, " instructions " instructions"
        exit instructions < 1e6
    }' "$work/report" || fail "there is too little to compare"
}

build_comparer
compare_programs
compare_random_bytes
nothing_differs
