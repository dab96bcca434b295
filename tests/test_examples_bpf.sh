#!/usr/bin/env bash
# The eBPF examples do what they say, as root and as an ordinary user, and open_trace says in this
# library what it says in the kernel.
# shellcheck source=tests/check.sh
source "$(dirname "${BASH_SOURCE[0]}")/check.sh"

examples=$STA_BUILD_DIR/examples
[ -x "$examples/syscount" ] || skip "no eBPF examples were built: that takes clang"
[ "$STA_SANITIZE" != thread ] || skip "calls are not intercepted under ThreadSanitizer"
chmod 755 "$work"
# An emulation lasts as long as its process, with memory where the leak detector does not look.
export ASAN_OPTIONS=detect_leaks=0

# as_user USER COMMAND...: in a copy of the environment that it can use; USER "" is whoever runs this.
as_user()
{
    local user=$1
    shift
    if [ -z "$user" ]; then
        "$@"
    else
        setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@"
    fi
}

# shows USER NAME EXPECTED: exactly that on stdout, nothing on stderr, and status 0.
shows()
{
    local user=$1 name=$2 expected=$3
    (cd / && as_user "$user" "$examples/$name") >"$work/out" 2>"$work/err" ||
        fail "$name${user:+ as $user}: status $?" "$(cat "$work/out" "$work/err")"
    [ ! -s "$work/err" ] || fail "$name${user:+ as $user} complains:" "$(cat "$work/err")"
    diff -u <(printf '%s' "$expected") "$work/out" ||
        fail "$name${user:+ as $user} shows something else than expected"
}

opens='open_trace  /dev/null: opened
open_trace  /dev/zero: opened
open_trace  /no/such/file: No such file or directory
open_trace  /etc: opened
open_trace  : No such file or directory
5 events; the program counted 5
'
counts='    1000  getppid
      10  sched_yield
       1  close
'
writes='line 1: saved
line 2: saved
line 3: No space left on device
line 4: No space left on device
4 writes were seen
8 bytes are in the file
'

all_as()
{
    shows "$1" syscount "$counts"
    shows "$1" inject "$writes"
    [ ! -x "$examples/open_trace" ] || shows "$1" open_trace "$opens"
}

# The same source without the one call.
open_trace_is_the_same_in_the_kernel()
{
    local kernel=$examples/in_kernel/open_trace
    [ -x "$kernel" ] || { echo "not compared with the kernel: bpftool, which makes skeletons, is not there" && return; }
    if ! (cd / && "$kernel") >"$work/kernel.out" 2>"$work/kernel.err"; then
        grep -q 'Operation not permitted' "$work/kernel.err" ||
            fail "open_trace in the kernel:" "$(cat "$work/kernel.out" "$work/kernel.err")"
        echo "not compared with the kernel: it loads no programs for this user"
        return
    fi
    (cd / && "$examples/open_trace") >"$work/here.out"
    diff -u "$work/kernel.out" "$work/here.out" || fail "open_trace shows something else in the kernel"
}

# As on a kernel without BTF and without tracefs.
they_need_nothing_of_the_kernels()
{
    # shellcheck disable=SC2016 # for the shell inside
    local hide='mount -t tmpfs none /sys/kernel/btf && mount -t tmpfs none /sys/kernel/tracing || exit 77
        [ ! -d /sys/kernel/debug/tracing ] || mount -t tmpfs none /sys/kernel/debug/tracing || exit 77
        exec "$@"' example status=0
    for example in "$examples/syscount" "$examples/inject" "$examples/open_trace"; do
        [ -x "$example" ] || continue
        unshare -m sh -c "$hide" sh "$example" >"$work/out" 2>"$work/err" || status=$?
        if [ "$status" -eq 77 ] || grep -q unshare "$work/err"; then
            echo "not run without the kernel's BTF and tracefs: that takes a mount namespace"
            return
        fi
        [ "$status" -eq 0 ] || fail "$example without BTF and tracefs: status $status" "$(cat "$work/err")"
        case $example in
        */syscount) diff -u <(printf '%s' "$counts") "$work/out" ;;
        */inject) diff -u <(printf '%s' "$writes") "$work/out" ;;
        */open_trace) diff -u <(printf '%s' "$opens") "$work/out" ;;
        esac || fail "$example shows something else without BTF and tracefs"
    done
}

# A fenced block of README.md that follows a line with this text.
readme_block()
{
    awk -v text="$1" '
        !found { found = index($0, text) > 0; next }
        /^```/ { if (inside) exit; inside = 1; next }
        inside' "$STA_SOURCE_DIR/README.md"
}

readme_shows_what_they_show()
{
    diff -u <(readme_block 'examples/open_trace.c') <(printf '%s' "$opens") || fail "README.md: open_trace"
    diff -u <(readme_block 'examples/syscount.c') <(printf '%s' "$counts") || fail "README.md: syscount"
    diff -u <(readme_block 'examples/inject.c') <(printf '%s' "$writes") || fail "README.md: inject"
}

all_as ''
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
    if setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups test -x "$examples/syscount"; then
        all_as nobody
    else
        echo "not run as nobody, who cannot read $examples"
    fi
fi
they_need_nothing_of_the_kernels
open_trace_is_the_same_in_the_kernel
readme_shows_what_they_show
