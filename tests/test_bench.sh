#!/usr/bin/env bash
# The benches run and what they measure was done: each row of bench_dispatch checks that itself. No
# figure is judged.
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

bench_dispatch_refuses_what_it_does_not_know()
{
    local status=0
    "$STA_BUILD_DIR/tests/bench/bench_dispatch" --rounds 0 >"$work/out" 2>&1 || status=$?
    [ $status -eq 2 ] || fail "--rounds 0: status $status, not 2"
}

bench_dispatch_fills_its_table
bench_dispatch_refuses_what_it_does_not_know
