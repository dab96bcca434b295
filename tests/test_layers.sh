#!/usr/bin/env bash
# Includes point one way: each directory of src/ knows those below it only.
# shellcheck source=tests/check.sh
source "$(dirname "${BASH_SOURCE[0]}")/check.sh"

declare -A below=(
    [base]=""
    [syscalls]="base"
    [attach]="base syscalls"
    [transform]="base syscalls attach"
    [maps]="base syscalls attach"
    [ebpf]="base syscalls attach maps"
    [bpfcall]="base syscalls attach transform maps ebpf"
    [session]="base syscalls attach transform maps ebpf bpfcall"
    [agent]="base syscalls attach transform maps ebpf session"
    [tool]="base syscalls attach transform maps ebpf bpfcall session"
)

# What is included from other directories: "file:directory" a line.
included_from()
{
    grep -rHo --include='*.[chS]' '^ *# *include "[a-z0-9_]*/' "$1" | sed 's| *# *include "||; s|/$||'
}

cd "$STA_SOURCE_DIR/src"
count=0
for directory in */; do
    directory=${directory%/}
    [ -v "below[$directory]" ] || fail "src/$directory is no layer that this test knows"
    while IFS=: read -r file included; do
        case " $directory ${below[$directory]} " in
        *" $included "*) ;;
        *) echo "src/$file includes $included/" ;;
        esac
        count=$((count + 1))
    done < <(included_from "$directory") >>"$work/offences"
done
[ "$count" -gt 100 ] || fail "only $count includes were found"
none_of "includes that point upwards" <"$work/offences"
