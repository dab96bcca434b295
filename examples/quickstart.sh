#!/usr/bin/env bash
# Builds the library and shows it at work: see quickstart.c; then compiles eBPF programs and runs them on
# real calls: see syscount.c, inject.c and open_trace.c. Installs what is missing (Debian), as root or by
# sudo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/setup.sh
source tests/setup.sh

require_packages "${build_packages[@]}" "${bpf_packages[@]}"
mount_tracefs
build_variant build/quickstart -DBUILD_TESTING=OFF || die "the build failed"
cd build/quickstart/examples
./quickstart "$@"
for example in syscount inject open_trace; do
    printf '\neBPF: %s.bpf.c, compiled by clang and attached to calls of this process\n\n' "$example"
    ./$example
done
