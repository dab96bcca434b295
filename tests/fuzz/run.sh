#!/usr/bin/env bash
# run.sh FUZZER CORPUS_WRITER DATA_DIRECTORY: a few seconds of fuzzing, from seeds.
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/seeds"
"$2" "$3" "$work/seeds" || exit 1
cd "$work" || exit 1
"$1" -max_total_time="${STA_FUZZ_SECONDS:-5}" -print_final_stats=1 -max_len=4096 "$work/seeds" \
    >"$work/out" 2>&1
status=$?
if [ $status -ne 0 ]; then
    tail -40 "$work/out"
    for file in "$work"/crash-* "$work"/leak-* "$work"/timeout-*; do
        [ -e "$file" ] && echo "$(basename "$file"): $(base64 -w0 "$file")"
    done
    exit 1
fi
grep -E 'number_of_executed_units|new_units_added' "$work/out"
