#!/usr/bin/env bash
# Builds the library and runs its tests, in all variants or in those named:
#
#     tests/run.sh [clang] [address] [thread] [plain]
#
#     clang     clang
#     address   gcc, AddressSanitizer and UndefinedBehaviorSanitizer
#     thread    gcc, ThreadSanitizer
#     plain     gcc; the last by default, as it is the one that skips nothing
#
# Each is built in build/<variant>. Installs what is missing (Debian), as root or by sudo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/setup.sh
source tests/setup.sh

configure_options()
{
    case $1 in
    plain) options=(-DCMAKE_C_COMPILER=gcc) ;;
    clang) options=(-DCMAKE_C_COMPILER=clang) ;;
    address | thread) options=(-DCMAKE_C_COMPILER=gcc "-DSTA_SANITIZE=$1") ;;
    *) die "no variant '$1'; there are clang, address, thread, plain" ;;
    esac
}

# The sanitizers of gcc 12 put their shadow memory where 32 bits of randomness may put a mapping.
launcher_for()
{
    launcher=()
    case $1 in
    address | thread)
        if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 32)" -gt 28 ] &&
            setarch -R true 2>/dev/null; then
            launcher=(setarch -R)
        fi
        ;;
    esac
}

run_variant()
{
    local variant=$1 options launcher
    configure_options "$variant"
    launcher_for "$variant"
    build_variant "build/$variant" "${options[@]}" -DSTA_WERROR=ON || return 1
    "${launcher[@]}" ctest --test-dir "build/$variant" --output-on-failure --no-tests=error -j "$(nproc)"
}

variants=("$@")
[ ${#variants[@]} -gt 0 ] || variants=(clang address thread plain)
for variant in "${variants[@]}"; do
    configure_options "$variant"
done

require_packages "${test_packages[@]}"
want_packages "${program_packages[@]}"
mount_tracefs

# The summary of earlier variants comes before the last one, so that ctest has the last word.
results=()
failed=()
for variant in "${variants[@]}"; do
    [ ${#results[@]} -eq 0 ] || printf '%s\n' "${results[@]}"
    echo "=== $variant"
    if run_variant "$variant"; then
        results+=("$variant: passed")
    else
        results+=("$variant: FAILED")
        failed+=("$variant")
    fi
done
[ ${#failed[@]} -eq 0 ] || die "failed: ${failed[*]}"
