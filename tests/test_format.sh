#!/usr/bin/env bash
# Sources are as .clang-format has them. Other versions of clang-format decide otherwise in places,
# so only version 14 counts.
# shellcheck source=tests/check.sh
source "$(dirname "${BASH_SOURCE[0]}")/check.sh"

clang_format=
for candidate in clang-format-14 clang-format; do
    if command -v $candidate >/dev/null && $candidate --version | grep -q 'version 14\.'; then
        clang_format=$candidate
        break
    fi
done
[ -n "$clang_format" ] || skip "clang-format 14 is not installed"

cd "$STA_SOURCE_DIR"
need git
# A clone that belongs to another user (sudo) is readable all the same.
git=(git -c safe.directory="$STA_SOURCE_DIR")
"${git[@]}" rev-parse --is-inside-work-tree >/dev/null 2>&1 || skip "not a git work tree"
mapfile -t files < <("${git[@]}" ls-files '*.c' '*.h')
[ ${#files[@]} -gt 0 ] || fail "git lists no sources"
$clang_format --dry-run -Werror "${files[@]}" ||
    fail "sources are not as .clang-format has them; $clang_format -i puts them right"
