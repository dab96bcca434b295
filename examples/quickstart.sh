#!/usr/bin/env bash
# Builds the library and shows it at work: see quickstart.c. Installs what is missing (Debian), as root
# or by sudo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/setup.sh
source tests/setup.sh

require_packages "${build_packages[@]}"
mount_tracefs
build_variant build/quickstart -DBUILD_TESTING=OFF || die "the build failed"
exec build/quickstart/examples/quickstart "$@"
