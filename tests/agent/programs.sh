# Sourced by tests/test_programs_*.sh, after check.sh and agent.sh: a real program does the same under
# the agent, with callbacks at the entry and the exit of all calls, as it does natively.
#
# A program is a function of the script. It runs in an empty directory, twice, in a shell of its own:
# natively, and under the agent, which everything that the shell starts inherits.
#
# STA_TEST_USER=nobody in the environment: as that user.
#
# shellcheck shell=bash
need timeout

programs_run=0
programs_failed=()
as_user=()
if [ "${STA_TEST_USER:-}" = nobody ]; then
    [ "$(id -u)" -eq 0 ] || skip "becoming nobody takes root"
    need setpriv
    as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi

# Ends what is still at work in a directory of ours: a server of a test that failed.
end_processes_in()
{
    local process
    for process in /proc/[0-9]*; do
        case $(readlink "$process/cwd" 2>/dev/null) in
        "$1" | "$1"/*) kill -KILL "${process#/proc/}" 2>/dev/null || true ;;
        esac
    done
}

# run DIRECTORY FUNCTION VARIABLE=VALUE...: leaves out, err and status beside the directory.
run()
{
    local directory=$1 function=$2 status=0
    shift 2
    rm -rf "$directory" && mkdir -p "$directory"
    [ ${#as_user[@]} -eq 0 ] || chown 65534:65534 "$directory"
    # A limit that nothing but a hang reaches.
    (cd "$directory" && timeout -k 5 120 "${as_user[@]}" env -i PATH="$PATH:/usr/sbin:/sbin" HOME="$directory" \
        TMPDIR="$directory" LC_ALL=C "$@" bash -c "$(declare -f); set -u; $function") \
        </dev/null >"$work/out" 2>"$work/err" || status=$?
    echo "$status" >"$work/status"
    end_processes_in "$directory"
}

# What differs from run to run is made equal: a function normal_<program>, where there is one.
keep_result()
{
    local name=$1 to=$2 file
    mkdir -p "$to"
    for file in out err status; do
        if declare -F "normal_$name" >/dev/null; then
            "normal_$name" <"$work/$file" >"$to/$file"
        else
            cp "$work/$file" "$to/$file"
        fi
    done
}

# same_as_native PROGRAM TOOL...: skipped, saying so, if a tool that it takes is not there.
same_as_native()
{
    local name=$1 tool calls processes
    shift
    for tool; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || {
            echo "skipped: $name: $tool is not installed"
            return 0
        }
    done
    run "$work/run" "$name"
    keep_result "$name" "$work/native"
    [ "$(cat "$work/native/status")" = 0 ] || {
        echo "FAILED: $name does not work natively:"
        cat "$work/native/"*
        programs_failed+=("$name")
        return 0
    }
    rm -f "$output"
    : >"$output" && chmod 666 "$output"
    run "$work/run" "$name" LD_PRELOAD="$agent" STA_AGENT_OUTPUT="$output" STA_AGENT_COUNT=1 \
        STA_AGENT_METHOD="${STA_TEST_METHOD:-}"
    keep_result "$name" "$work/traced"
    calls=$(counts_in "$output" | awk '{ sum += $2 } END { print sum + 0 }')
    processes=$(grep -c '): exit' "$output" || true)
    programs_run=$((programs_run + 1))
    if ! diff -r -u "$work/native" "$work/traced" >"$work/diff"; then
        echo "FAILED: $name: native (-) and under the agent (+)"
        head -60 "$work/diff"
        programs_failed+=("$name")
    elif [ "$calls" -eq 0 ]; then
        echo "FAILED: $name: no call was seen"
        programs_failed+=("$name")
    else
        echo "same: $name: $calls calls of $processes processes were seen"
    fi
}

# Ends the test.
end_programs()
{
    [ ${#programs_failed[@]} -eq 0 ] || fail "not the same under the agent: ${programs_failed[*]}"
    [ "$programs_run" -gt 0 ] || skip "none of the programs is installed"
}
