# Sourced by tests/run.sh and examples/quickstart.sh: what a fresh machine lacks.
#
# shellcheck shell=bash

# Debian packages, and what shows that each is there. Machines without apt-get are served too, as
# long as nothing is missing.
# shellcheck disable=SC2034 # used by those who source this
build_packages=(gcc libc6-dev binutils make cmake pkg-config libbpf-dev)
# What compiles programs in eBPF, and skeletons for them.
# shellcheck disable=SC2034
bpf_packages=(clang bpftool)
# shellcheck disable=SC2034
test_packages=("${build_packages[@]}" "${bpf_packages[@]}" git g++ clang-format-14 libcmocka-dev libclang-rt-14-dev
    strace musl-tools python3 perl sqlite3 xz-utils)
# Programs to run under the agent; tests skip those that are not there.
# shellcheck disable=SC2034
program_packages=(redis-server nginx-light memcached wrk postgresql nodejs)

die()
{
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

have()
{
    command -v "$1" >/dev/null 2>&1
}

is_present()
{
    case $1 in
    bpftool) have bpftool || [ -x /usr/sbin/bpftool ] ;;
    binutils) have ld && have ar && have nm && have objdump && have readelf ;;
    clang-format-14) have clang-format-14 || { have clang-format && clang-format --version | grep -q 'version 14\.'; } ;;
    libc6-dev) have gcc && echo '#include <stdio.h>' | gcc -E -x c - >/dev/null 2>&1 ;;
    libbpf-dev) [ -e /usr/include/bpf/bpf_helpers.h ] ;;
    libclang-rt-14-dev) have clang && echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
        clang -fsanitize=fuzzer -x c -o /dev/null - >/dev/null 2>&1 ;;
    libcmocka-dev) have pkg-config && pkg-config --exists cmocka ;;
    musl-tools) have musl-gcc ;;
    nginx-light) have nginx || [ -x /usr/sbin/nginx ] ;;
    nodejs) have node ;;
    postgresql) have initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ;;
    xz-utils) have xz ;;
    *) have "$1" ;;
    esac
}

# Leaves the packages among "$@" that are not there in the array `missing`.
find_missing()
{
    local package
    missing=()
    for package; do
        is_present "$package" || missing+=("$package")
    done
}

as_root()
{
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# Installs the packages in `missing`; what apt-get says is shown only if it fails.
install_missing()
{
    local log apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300) status=0

    echo "installing ${missing[*]}"
    log=$(mktemp)
    # An update that fails in part is no reason to give up: what is needed may be there.
    as_root "${apt[@]}" update >"$log" 2>&1 || true
    as_root "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1 ||
        { status=$?; cat "$log" >&2; }
    rm -f "$log"
    return $status
}

# Installs the packages among "$@" that are missing.
require_packages()
{
    [ "$(uname -sm)" = "Linux x86_64" ] || die "libsta runs on Linux on x86-64, this is $(uname -sm)"
    find_missing "$@"
    [ ${#missing[@]} -gt 0 ] || return 0

    have apt-get || die "missing: ${missing[*]} (Debian package names), and there is no apt-get to install them"
    [ "$(id -u)" -eq 0 ] || have sudo ||
        die "missing: ${missing[*]}; installing them takes root or sudo: apt-get install ${missing[*]}"
    install_missing || die "apt-get could not install ${missing[*]}"
    find_missing "$@"
    [ ${#missing[@]} -eq 0 ] || die "still missing after apt-get install: ${missing[*]}"
}

# Whether a service that is installed would not be started, now or later: as in a container.
services_stay_off()
{
    [ ! -d /run/systemd/system ] && [ -x /usr/sbin/policy-rc.d ] &&
        ! /usr/sbin/policy-rc.d redis-server start >/dev/null 2>&1
}

# Installs those among "$@" that are missing, where that is possible and starts nothing.
want_packages()
{
    find_missing "$@"
    [ ${#missing[@]} -gt 0 ] || return 0
    if ! have apt-get || [ "$(id -u)" -ne 0 ] || ! services_stay_off; then
        echo "not installed, and not tested: ${missing[*]}"
    elif ! install_missing; then
        echo "could not be installed, and is not tested: ${missing[*]}"
    fi
}

# Tracepoint ids come from tracefs; without it the library uses its own, so failing is no error.
mount_tracefs()
{
    if [ "$(id -u)" -eq 0 ] && [ ! -d /sys/kernel/tracing/events ]; then
        mount -t tracefs tracefs /sys/kernel/tracing >/dev/null 2>&1 || true
    fi
}

# quietly LOG COMMAND...: its output goes to LOG, and to stderr only if it fails.
quietly()
{
    local log=$1
    shift
    "$@" >"$log" 2>&1 || {
        cat "$log" >&2
        return 1
    }
}

# build_variant DIR CMAKE_OPTION...: configures and builds DIR; both are quick when nothing changed.
build_variant()
{
    local dir=$1
    shift
    mkdir -p "$dir" &&
        quietly "$dir/configure.log" cmake -S . -B "$dir" "$@" &&
        quietly "$dir/build.log" cmake --build "$dir" -j "$(nproc)"
}
