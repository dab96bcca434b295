# Sourced by tests/test_*.sh, which ctest runs with these in the environment:
#
#   CC, CMAKE         the compiler and the cmake of this build
#   STA_SOURCE_DIR    the repository
#   STA_BUILD_DIR     this build
#   STA_ARCHIVE       its libsta.a
#   STA_AGENT         its libsta-agent.so
#   STA_SANITIZE      address, thread or empty
#
# shellcheck shell=bash
set -euo pipefail
unset DESTDIR PKG_CONFIG_PATH CFLAGS LDFLAGS MAKEFLAGS MAKELEVEL

work=$(mktemp -d "${TMPDIR:-/tmp}/sta-test.XXXXXX")
trap 'rm -rf "$work"' EXIT

fail()
{
    printf 'FAILED: %s\n' "$@" >&2
    exit 1
}

# Ends the test as skipped (SKIP_RETURN_CODE in CMakeLists.txt).
skip()
{
    printf 'skipped: %s\n' "$*"
    exit 77
}

need()
{
    local tool
    for tool; do
        command -v "$tool" >/dev/null || skip "$tool is not installed"
    done
}

need_plain_build()
{
    [ -z "$STA_SANITIZE" ] || skip "the compiler's $STA_SANITIZE sanitizer adds symbols and code of its own"
}

# Runs a command; its output is shown only if it fails.
quietly()
{
    "$@" >"$work/quietly.log" 2>&1 || {
        cat "$work/quietly.log" >&2
        fail "$*"
    }
}

# none_of WHAT, lines on stdin: each line is an offence.
none_of()
{
    local lines
    lines=$(cat)
    [ -z "$lines" ] || fail "$1:"$'\n'"$lines"
}

# Defined symbols that other objects of a link can see: symbols_of FILE VISIBILITY [READELF_OPTION].
symbols_of()
{
    readelf -W "${3:---syms}" "$1" | awk -v visibility="$2" \
        '($5 == "GLOBAL" || $5 == "WEAK") && $6 == visibility && $7 != "UND" { print $8 }'
}

# Symbols that a shared object offers to others. (nm -D also lists hidden ones, such as the bounds of
# a section, which ld puts there and the dynamic loader passes over.)
exports_of()
{
    symbols_of "$1" DEFAULT --dyn-syms
    symbols_of "$1" PROTECTED --dyn-syms
}
