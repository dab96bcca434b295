#!/usr/bin/env bash
# The benches run and what they measure was done: each row checks that itself. No figure is judged.
# shellcheck source=tests/check.sh
source "$(dirname "${BASH_SOURCE[0]}")/check.sh"
need_plain_build

bench_dispatch_fills_its_table()
{
    "$STA_BUILD_DIR/tests/bench/bench_dispatch" --quick >"$work/table" ||
        fail "bench_dispatch: status $?" "$(cat "$work/table")"
    local row
    for row in 'nothing attached' '64 enter' 'detach, 1,000' 'one event by id' 'native'; do
        grep -qE "^ +$row +[0-9.]+ +[0-9.]+" "$work/table" ||
            fail "no figures for '$row' in:" "$(cat "$work/table")"
    done
}

bench_intercept_fills_its_tables()
{
    "$STA_BUILD_DIR/tests/bench/bench_intercept" --quick >"$work/table" ||
        fail "bench_intercept: status $?" "$(cat "$work/table")"
    local row
    for row in 'number 500: native' 'getppid: native' 'write, .*: native' 'read, .*: native' \
        ' +nothing attached +-?' ' +1 enter \+ 1 exit +' ' +1 enter, plain callback +' \
        ' +install and attach to all, ms +-?' ' +memory, KiB +'; do
        grep -qE "^$row *[0-9.]+" "$work/table" ||
            fail "no figures for '$row' in:" "$(cat "$work/table")"
    done
}

bench_object_fills_its_table()
{
    [ -e "$STA_BUILD_DIR/tests/opens.bpf.o" ] || return 0 # no clang that compiles for BPF
    "$STA_BUILD_DIR/tests/bench/bench_object" --quick >"$work/table" ||
        fail "bench_object: status $?" "$(cat "$work/table")"
    local row
    for row in 'open' 'load: relocate, make maps, verify, compile' 'attach' 'all three' 'detach and close'; do
        grep -qE "^ +$row +[0-9.]+ +[0-9.]+" "$work/table" ||
            fail "no figures for '$row' in:" "$(cat "$work/table")"
    done
}

bench_maps_fills_its_table()
{
    "$STA_BUILD_DIR/tests/bench/bench_maps" --quick >"$work/table" ||
        fail "bench_maps: status $?" "$(cat "$work/table")"
    local row
    for row in 'the loop alone' 'array: look up, increment' 'hash, 16-byte keys: look up, update' \
        'ring buffer: reserve, 64 bytes, submit'; do
        grep -qE "^ +$row +[0-9.]+ +[0-9.]+" "$work/table" ||
            fail "no figures for '$row' in:" "$(cat "$work/table")"
    done
}

bench_reads_fills_its_table()
{
    "$STA_BUILD_DIR/tests/bench/bench_reads" --quick >"$work/table" ||
        fail "bench_reads: status $?" "$(cat "$work/table")"
    local row
    for row in 'the loop alone' '16 bytes' '16 bytes of a bad address' '16 bytes, SIGSEGV blocked'; do
        grep -qE "^ +$row +[0-9.]+ +[0-9.]+" "$work/table" ||
            fail "no figures for '$row' in:" "$(cat "$work/table")"
    done
}

bench_vm_fills_its_tables()
{
    "$STA_BUILD_DIR/tests/bench/bench_vm" --quick >"$work/table" ||
        fail "bench_vm: status $?" "$(cat "$work/table")"
    local row
    for row in 'empty' '16 ALU' 'loop, 1,000 times' '1,000 calls' 'decode' 'compile' \
        'load, JIT, trusted'; do
        grep -qE "^ +$row +[0-9.]+ +[0-9.]+" "$work/table" ||
            fail "no figures for '$row' in:" "$(cat "$work/table")"
    done
}

benches_refuse_what_they_do_not_know()
{
    local bench status
    for bench in bench_dispatch bench_intercept bench_maps bench_reads bench_vm; do
        status=0
        "$STA_BUILD_DIR/tests/bench/$bench" --rounds 0 >"$work/out" 2>&1 || status=$?
        [ $status -eq 2 ] || fail "$bench --rounds 0: status $status, not 2"
    done
}

bench_dispatch_fills_its_table
bench_intercept_fills_its_tables
bench_maps_fills_its_table
bench_reads_fills_its_table
bench_vm_fills_its_tables
benches_refuse_what_they_do_not_know
bench_object_fills_its_table
