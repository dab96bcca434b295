#!/usr/bin/env bash
# What is found in programs and libraries at hand, and the methods chosen, agree with objdump's
# reading of them: see sites_elf.c.
# shellcheck source=tests/check.sh
source "$(dirname "${BASH_SOURCE[0]}")/check.sh"
need objdump ldd
PATH=$PATH:/usr/sbin:/sbin

# Larger ones take objdump too long.
max_bytes=5000000

build_comparer()
{
    local flags=(-O2 -std=gnu11 -Wall -Wextra -Werror -D_GNU_SOURCE)
    case $STA_SANITIZE in
    address) flags+=("-fsanitize=address,undefined" -fno-sanitize-recover=undefined) ;;
    thread) flags+=(-fsanitize=thread) ;;
    esac
    quietly "$CC" "${flags[@]}" -I"$STA_SOURCE_DIR/src" -I"$STA_SOURCE_DIR/include" \
        -o "$work/sites_elf" "$STA_SOURCE_DIR/tests/sites_elf.c" "$STA_ARCHIVE"
}

# The shared objects that a program loads, and itself.
with_libraries()
{
    ldd "$1" 2>/dev/null | grep -o '/[^ ]*' || true
    echo "$1"
}

# A program with libc inside. Not every machine has what it takes.
build_static()
{
    echo 'int main(void) { return 0; }' >"$work/static.c"
    "$CC" -static -o "$work/static" "$work/static.c" 2>/dev/null || rm -f "$work/static"
}

# What there is of these on the machine: one path a line.
list_files()
{
    local program library
    for program in bash python3 openssl; do
        ! command -v $program >/dev/null || with_libraries "$(command -v $program)"
    done
    for library in libstdc++.so.6 libtsan.so libasan.so; do
        ldconfig -p | sed -n "s|.*$library.*x86-64.* => ||p" | head -n 1
    done
    find /usr/lib/x86_64-linux-musl /usr/lib/musl/lib -name libc.so 2>/dev/null || true
    [ ! -e "$work/static" ] || echo "$work/static"
    find "$STA_BUILD_DIR/tests" -maxdepth 1 -name 'test_sud' -type f -perm -u+x
}

# Only files with the bytes of a system call in their code are worth the listing.
compare_file()
{
    local file=$1 status
    [ -n "$("$work/sites_elf" --list "$file")" ] || return 0
    objdump -d -w -z "$file" 2>/dev/null | "$work/sites_elf" "$file" >>"$work/report" || {
        status=${PIPESTATUS[1]}
        # 1: there are complaints; 3: not a file of our kind
        case $status in 1 | 3) ;; *) fail "sites_elf $file exits with $status" ;; esac
    }
}

compare_files()
{
    local file
    list_files | while IFS= read -r file; do realpath "$file"; done | sort -u >"$work/files"
    while IFS= read -r file; do
        [ "$(stat -c %s "$file")" -gt "$max_bytes" ] || compare_file "$file"
    done <"$work/files"
}

build_comparer
build_static
compare_files
cat "$work/report"
none_of "complaints" < <(grep -v ', 0 complaints: ' "$work/report")
grep -q '^[1-9][0-9][0-9] system calls to objdump.* 0 complaints: .*/libc\.so' "$work/report" ||
    fail "libc was not among the files"
