#!/usr/bin/env bash
# The examples do what they say, and README.md shows one of them as it is.
# shellcheck source=tests/check.sh
source "$(dirname "${BASH_SOURCE[0]}")/check.sh"

examples=$STA_BUILD_DIR/examples
[ -x "$examples/hook_slot" ] || skip "the examples were not built"

# run NAME, then patterns: it exits with 0, says nothing on stderr, and has a line for each pattern.
run()
{
    local name=$1 pattern
    shift
    (cd "$work" && "$examples/$name") >"$work/$name.out" 2>"$work/$name.err" ||
        fail "$name: status $?" "$(cat "$work/$name.out" "$work/$name.err")"
    [ ! -s "$work/$name.err" ] || fail "$name complains:" "$(cat "$work/$name.err")"
    for pattern; do
        grep -qE "^ *$pattern\$" "$work/$name.out" ||
            fail "$name has no line like '$pattern':" "$(cat "$work/$name.out")"
    done
}

hook_slot_traces_its_guest()
{
    run hook_slot \
        "seen: write = 5, getuid = $(id -u), unlink = -2" \
        'seen: write = 5, getuid = 4711, unlink = -1' \
        'seen: nothing'
}

quickstart_shows_real_calls()
{
    run quickstart \
        'sys_enter_read +id [0-9]+, from (tracefs|the built-in table)' \
        'sys_enter_unlink +id [0-9]+, from (tracefs|the built-in table)' \
        'fd ([0-9]+), buffer (0x[0-9a-f]+), count 16 +16   read\(\1, \2, 16\) = 16' \
        'fd [0-9]+, buffer 0x[0-9a-f]+, count 16 +-9   read\(.*\) = -1 Bad file descriptor' \
        'unlink\(".*"\): Operation not permitted; the file still exists' \
        'unlink\(".*"\): done; the file is gone' \
        '1  sched_yield' \
        '1  getppid' \
        'detached +calls counted: ([1-9][0-9]*) before, \1 after; reads seen: 5 before, 5 after' \
        'removed +calls counted: ([1-9][0-9]*) before, \1 after; reads seen: 5 before, 5 after' \
        'All of this was checked, and holds\.'
    [ ! -e "$(sed -n 's/.*unlink("\(.*\)"): done.*/\1/p' "$work/quickstart.out")" ] ||
        fail "quickstart left its file"
}

override_tests_an_error_path()
{
    run override \
        '1  fails +No space left on device +version 1' \
        '3  fails +No space left on device +version 1' \
        '4  not made +saved +version 2' \
        'The error paths work\.'
}

hook_threads_sees_old_and_new_threads()
{
    run hook_threads \
        'thread 1, created before: +seen before 0, after 10' \
        'thread 3, created before: +seen before 0, after 30' \
        'thread 4, created after: +seen before 0, after 40' \
        'thread 6, created after: +seen before 0, after 60'
}

install_remove_leaves_nothing_behind()
{
    run install_remove \
        '1  [0-9]{4,} calls seen, code as before' \
        '10  [0-9]{4,} calls seen, code as before' \
        'Installed and removed 10 times under load\.'
}

program_takes_the_internet_away()
{
    run program \
        "program 'nosy': insn 0: invalid bpf_context access off=1024 size=8" \
        'AF_INET: Operation not permitted' \
        'AF_INET6: Operation not permitted' \
        'AF_UNIX: a socket' \
        'detached' \
        'AF_INET: a socket'
}

# The first fenced block of README.md that follows a line with this text.
readme_block()
{
    awk -v text="$1" '
        !found { found = index($0, text) > 0; next }
        /^```/ { if (inside) exit; inside = 1; next }
        inside' "$STA_SOURCE_DIR/README.md"
}

readme_shows_the_program_and_its_output()
{
    run readme
    diff -u <(readme_block 'examples/readme.c') "$STA_SOURCE_DIR/examples/readme.c" ||
        fail "README.md shows another program than examples/readme.c"
    diff -u <(readme_block 'It prints') "$work/readme.out" ||
        fail "README.md shows another output than that of examples/readme.c"
}

hook_slot_traces_its_guest
[ "$STA_SANITIZE" != thread ] ||
    skip "hook_slot works; the others intercept real calls, and callbacks then run on threads that ThreadSanitizer has not set up yet"
quickstart_shows_real_calls
override_tests_an_error_path
hook_threads_sees_old_and_new_threads
install_remove_leaves_nothing_behind
program_takes_the_internet_away
readme_shows_the_program_and_its_output
