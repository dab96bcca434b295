#!/usr/bin/env bash
# The preloaded agent: its settings, what it counts, and whom it follows.
# shellcheck source=tests/check.sh
source "$(dirname "${BASH_SOURCE[0]}")/check.sh"
# shellcheck source=tests/agent/agent.sh
source "$(dirname "${BASH_SOURCE[0]}")/agent/agent.sh"
need readelf

calls=$work/calls
quietly "$CC" -O2 -pthread -o "$calls" "$STA_SOURCE_DIR/tests/agent/calls.c"

# expect TEXT ACTUAL WANTED
expect()
{
    [ "$2" = "$3" ] || fail "$1: got" "$2" "and not" "$3"
}

expect_line()
{
    grep -qE -- "$1" "$output" || fail "the agent wrote no line like '$1' but" "$(cat "$output")"
}

count_of()
{
    counts_in "$output" | awk -v name="$1" '$1 == name { print $2 }'
}

needs_libc_only_and_exports_nothing()
{
    readelf -dW "$agent" >"$work/dynamic"
    expect "needed libraries" "$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' "$work/dynamic")" libc.so.6
    grep -q 'FLAGS.*NOW' "$work/dynamic" || fail "its symbols are not bound when it is loaded"
    none_of "it exports" < <(exports_of "$agent")
}

nothing_is_written_where_nothing_is_asked_for()
{
    local seen
    seen=$(env LD_PRELOAD="$agent" STA_AGENT_COUNT=1 STA_AGENT_REPORT=1 sh -c 'echo out; echo err >&2; exec sh -c "echo end"' 2>&1)
    expect "output" "$seen" $'out\nerr\nend'
    : >"$output"
    traced "$calls" files
    expect "written without being told what" "$(cat "$output")" ""
}

wrong_settings_are_reported_and_the_program_runs()
{
    local setting pattern seen
    while IFS='|' read -r setting pattern; do
        rm -f "$output"
        seen=$(traced STA_AGENT_COUNT=1 "$setting" sh -c 'echo runs' 2>&1)
        expect "output with $setting" "$seen" runs
        expect_line "^sta-agent: pid [0-9]+ \(.*\): $pattern: not traced\$"
        expect "lines with $setting" "$(wc -l <"$output")" 1
    done <<'CASES'
STA_AGENT_CALLS=reed|STA_AGENT_CALLS: no system call is called reed
STA_AGENT_CALLS=read,,write|STA_AGENT_CALLS: a name is missing in ,write
STA_AGENT_CALLS=!|STA_AGENT_CALLS: a name is missing in 
STA_AGENT_COUNT=yes|STA_AGENT_COUNT: 0 or 1 is expected, not yes
STA_AGENT_REPORT=2|STA_AGENT_REPORT: 0 or 1 is expected, not 2
STA_AGENT_METHOD=magic|STA_AGENT_METHOD: "rewrite" or "sud" is expected, not magic
STA_AGENT_FAIL=unlink|STA_AGENT_FAIL: "call=errno" is expected, not unlink
STA_AGENT_FAIL=unlink=EWRONG|STA_AGENT_FAIL: no errno is called EWRONG
STA_AGENT_FAIL=unlnk=EPERM|STA_AGENT_FAIL: no system call is called unlnk
STA_AGENT_CALL=read|no such setting: STA_AGENT_CALL=read
CASES
}

an_output_that_cannot_be_written_changes_nothing()
{
    local target seen
    mkfifo "$work/fifo"
    for target in /does/not/exist "$work" "$work/fifo" fd:77 /dev/full; do
        seen=$(traced STA_AGENT_OUTPUT="$target" STA_AGENT_COUNT=1 sh -c 'echo runs; exit 3' 2>&1) &&
            fail "exit status 0 with $target"
        expect "output with $target" "$seen" runs
    done
    # A pipe that nobody reads from any more; a limit of the size of files.
    traced STA_AGENT_OUTPUT=fd:9 STA_AGENT_COUNT=1 "$calls" files 9> >(exec true) ||
        fail "status $? with a broken pipe"
    (ulimit -f 0 && traced STA_AGENT_COUNT=1 STA_AGENT_OUTPUT="$work/limited" "$calls" files) ||
        fail "status $? with no file size allowed"
}

a_descriptor_that_became_another_file_is_left_alone()
{
    : >"$work/theirs"
    traced STA_AGENT_OUTPUT=fd:9 STA_AGENT_COUNT=1 sh -c "sh -c : ; exec 9>'$work/theirs'; sh -c :" \
        9>"$output"
    expect "written to the program's own file" "$(cat "$work/theirs")" ""
    expect "tables of who had the descriptor" "$(grep -c '): exit_group$' "$output")" 1
}

# Open, other than what was open before: nothing.
no_descriptor_stays_open()
{
    local native
    native=$(ls /proc/self/fd 9>/dev/null)
    expect "descriptors" "$(traced STA_AGENT_COUNT=1 ls /proc/self/fd 9>/dev/null)" "$native"
}

lists_choose_what_is_counted()
{
    local list wanted
    while read -r list wanted; do
        rm -f "$output"
        traced STA_AGENT_COUNT=1 STA_AGENT_CALLS="$list" "$calls" files
        expect "counted with $list" "$(counts_in "$output" | awk '{ print $1 }' | xargs)" "$wanted"
    done <<'CASES'
getppid getppid
newstat,unlink,newfstatat newfstatat unlink
!all 
CASES
    rm -f "$output"
    traced STA_AGENT_COUNT=1 STA_AGENT_CALLS='!read,getppid' "$calls" files
    expect "counts of calls taken out" "$(count_of read)$(count_of getppid)" ""
    expect "unlink beside those taken out" "$(count_of unlink)" 1
}

injected_errors_arrive()
{
    : >"$work/precious"
    rm -f "$output"
    traced STA_AGENT_COUNT=1 STA_AGENT_FAIL=unlink=EPERM,unlinkat=EPERM rm -f "$work/precious" \
        2>"$work/err" && fail "rm succeeded"
    grep -q 'Operation not permitted' "$work/err" || fail "rm says" "$(cat "$work/err")"
    [ -e "$work/precious" ] || fail "the file is gone"
    expect "counted" "$(counts_in "$output" | grep '^unlink')" "unlinkat 1 1"
}

# What strace saw from the mark on, in the form of counts_in. A process that was forked is past it, a
# program that was executed is not.
strace_counts()
{
    awk '{
        pid = $1
        line = substr($0, length(pid) + 1)
        sub(/^ +/, "", line)
        if (!(pid in past))
            past[pid] = NR > 1
        if (line ~ /^<\.\.\. /) {
            name = line
            sub(/^<\.\.\. /, "", name)
            sub(/ .*/, "", name)
        } else if (match(line, /^[a-z_0-9]+\(/)) {
            name = substr(line, 1, RLENGTH - 1)
            if (line ~ /^syscall_0x/)
                name = line ~ /^syscall_0x1ff\(/ ? "(unnamed)" : "(unknown)"
            if (line ~ /^syscall_0x3e8\(/)
                past[pid] = 1
            if (past[pid])
                calls[name]++
        } else {
            next
        }
        if (past[pid] && name != "rt_sigreturn" && line ~ / = (-1 E|\? ERESTART)/)
            errors[name]++
        if (name ~ /^execve/ && line ~ / = 0$/)
            past[pid] = 0
    } END { for (name in calls) print name, calls[name], errors[name] + 0 }' "$1" | sort
}

# Two runs of the same program differ in what depends on which thread comes first: waiting, and the
# stacks that are given back. The first malloc was the agent's, before the mark.
deterministic()
{
    case $1 in
    threads) grep -vE '^(futex|mmap|munmap|mprotect|madvise|brk|getrandom) ' ;;
    *) cat ;;
    esac
}

counts_what_strace_counts()
{
    local part
    command -v strace >/dev/null || { echo "not compared with strace: not installed"; return 0; }
    strace -o "$work/strace" true 2>/dev/null ||
        { echo "not compared with strace: it may not trace here"; return 0; }
    for part in files signals threads processes exec raw_exit; do
        rm -f "$output"
        traced STA_AGENT_COUNT=1 "$calls" "$part" || fail "calls $part: status $?"
        quietly strace -f -o "$work/strace" "$calls" "$part"
        counts_in "$output" | deterministic "$part" >"$work/ours"
        strace_counts "$work/strace" | deterministic "$part" >"$work/theirs"
        [ -s "$work/theirs" ] || fail "strace saw nothing of calls $part"
        diff -u "$work/theirs" "$work/ours" >"$work/diff" ||
            fail "calls $part: strace (-) and the agent (+) differ" "$(cat "$work/diff")"
    done
}

# One table for each process and each program: who was followed.
tables()
{
    sed -n 's/^sta-agent: pid [0-9]* (\(.*\)): \(exit\|exit_group\)$/\1/p' "$output" | sort | xargs
}

programs_with_another_environment_are_followed()
{
    rm -f "$output"
    traced STA_AGENT_COUNT=1 "$calls" processes
    # calls itself, its fork, and three programs in an empty environment
    expect "processes" "$(tables)" "calls calls calls calls calls"
    rm -f "$output"
    traced STA_AGENT_COUNT=1 env -i "$calls" exec
    expect "program of execveat" "$(tables)" "calls"
    expect_line '^sta-agent: pid [0-9]+ \(env\): execve .*/calls$'
    rm -f "$output"
    (cd "$work" && traced STA_AGENT_OUTPUT=output STA_AGENT_COUNT=1 sh -c "cd /; env -i '$calls' files")
    expect_line '\(calls\): exit_group$'
    ! traced STA_AGENT_COUNT=1 env -i "$work/none" 2>/dev/null || fail "a program that is not there runs"
}

settings_that_the_program_changes_are_kept()
{
    local seen
    seen=$(traced STA_AGENT_COUNT=1 env -i STA_AGENT_CALLS=read LD_PRELOAD=/lib/libother.so env 2>/dev/null | sort)
    expect "environment" "$seen" "LD_PRELOAD=$agent:/lib/libother.so
STA_AGENT_CALLS=read
STA_AGENT_COUNT=1
STA_AGENT_METHOD=${STA_TEST_METHOD:-}
STA_AGENT_OUTPUT=$output"
    seen=$(traced env -i LD_PRELOAD="/lib/a.so $agent" A= B=2 env 2>/dev/null)
    expect "environment that has the agent" "$(head -3 <<<"$seen")" "LD_PRELOAD=/lib/a.so $agent
A=
B=2"
    # Ten thousand variables, and as long as the kernel allows.
    seen=$(traced python3 -c 'import os; os.execve("/usr/bin/env", ["env"], {"V%d" % i: "x" * 100 for i in range(10000)})' | grep -c '^V' || true)
    expect "variables" "$seen" "$(command -v python3 >/dev/null && echo 10000 || echo 0)"
}

# An environment that is just short enough for the kernel, before ours is added.
what_ours_makes_too_long_runs_without_it()
{
    cat >"$work/long.c" <<'END_OF_C'
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define STRING_SIZE 131072

/* Executes itself in the longest environment that the kernel takes, and says how long it was. */
int main(int argc, char **argv, char **envp)
{
    static char text[STRING_SIZE];
    /* A quarter of it is what the kernel takes, and that is one string. */
    struct rlimit stack = {4 * STRING_SIZE, 4 * STRING_SIZE};
    size_t total = 0;

    if (argc == 2) {
        for (; *envp; envp++)
            total += (*envp)[0] == 'x' ? strlen(*envp) : 0;
        printf("%zu\n", total);
        return 0;
    }
    setrlimit(RLIMIT_STACK, &stack);
    memset(text, 'x', sizeof(text) - 1);
    for (size_t from = 0; from < STRING_SIZE; from += 16) {
        execve(argv[0], (char *[]){argv[0], "end", NULL}, (char *[]){text + from, NULL});
        if (errno != E2BIG) {
            perror("execve");
            return 1;
        }
    }
    return 2;
}
END_OF_C
    quietly "$CC" -O2 -o "$work/long" "$work/long.c"
    expect "longest environment" "$(traced "$work/long")" "$("$work/long")"
}

# What is prepared for a vfork child's program is in its parent's memory.
children_leave_nothing_in_their_parent()
{
    cat >"$work/spawn.c" <<'END_OF_C'
#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *const argv_[] = {"true", NULL};
static char *envp[300];

static void *spawn(void *arg)
{
    for (int i = 0; i < 10; i++) {
        pid_t pid;
        int status;

        if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv_, envp) != 0 ||
            waitpid(pid, &status, 0) != pid || status != 0)
            abort();
        pid = vfork();
        if (pid == 0) {
            execve("/does/not/exist", argv_, envp);
            execve("/bin/true", argv_, envp);
            _exit(1);
        }
        if (waitpid(pid, &status, 0) != pid || status != 0)
            abort();
    }
    return arg;
}

static long memory(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages;

    if (!file || fscanf(file, "%ld", &pages) != 1)
        abort();
    fclose(file);
    return pages;
}

int main(void)
{
    pthread_t threads[4];
    long before;

    for (int i = 0; i < 299; i++)
        envp[i] = "A_VARIABLE_OF_SOME_LENGTH=and a value";
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, spawn, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    spawn(NULL);
    before = memory();
    spawn(NULL);
    printf("%ld pages more\n", memory() - before);
    return 0;
}
END_OF_C
    quietly "$CC" -O2 -pthread -o "$work/spawn" "$work/spawn.c"
    rm -f "$output"
    expect "memory of the parent" "$(traced STA_AGENT_COUNT=1 "$work/spawn")" "0 pages more"
    expect "programs followed" "$(grep -c '(true): exit_group$' "$output")" 120
}

a_program_that_would_not_load_it_is_left_alone()
{
    rm -f "$output"
    echo 'int main(void) { return 7; }' >"$work/static.c"
    if "$CC" -static -o "$work/static" "$work/static.c" 2>/dev/null; then
        expect "status of a static executable" \
            "$(traced STA_AGENT_COUNT=1 sh -c "'$work/static'; echo \$?")" 7
        expect_line "^sta-agent: pid [0-9]+ \(.*\): execve $work/static: left alone, a static executable\$"
    fi
    cp "$(command -v env)" "$work/setuid"
    chmod 4755 "$work/setuid"
    # The agent comes with the environment that the program was given: that had none.
    expect "environment of a setuid program" "$(traced STA_AGENT_COUNT=1 env -i "$work/setuid")" ""
    expect_line "execve $work/setuid: left alone, setuid, setgid or with capabilities\$"
    printf '\177ELF\001\001\001' >"$work/foreign"
    head -c 100 /dev/zero >>"$work/foreign"
    chmod 755 "$work/foreign"
    ! traced "$work/foreign" 2>/dev/null || fail "a file that is no program ran"
}

scripts_are_judged_by_their_interpreter()
{
    rm -f "$output"
    printf '#! %s files\n' "$calls" >"$work/script"
    chmod 755 "$work/script"
    traced STA_AGENT_COUNT=1 env -i "$work/script"
    expect "interpreter" "$(tables)" "calls"
    if [ -e "$work/static" ]; then
        printf '#!%s\n' "$work/static" >"$work/script"
        traced env -i "$work/script" && fail "status 0"
        expect_line "execve $work/script: left alone, a static executable\$"
    fi
}

a_privileged_program_does_not_listen_to_it()
{
    [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null ||
        { echo "no setuid program was tried: it takes root and setpriv"; return 0; }
    rm -f "$output"
    cp "$calls" "$work/setuid-calls"
    chmod 4755 "$work/setuid-calls"
    setpriv --reuid=65534 --regid=65534 --clear-groups env LD_PRELOAD="$agent" \
        STA_AGENT_COUNT=1 STA_AGENT_OUTPUT="$output" "$work/setuid-calls" files 2>/dev/null
    [ ! -e "$output" ] || fail "it wrote" "$(cat "$output")"
}

the_report_names_every_mapping()
{
    rm -f "$output"
    traced STA_AGENT_REPORT=1 "$calls" files
    if grep -q 'Syscall User Dispatch' "$output"; then
        expect_line ': Syscall User Dispatch, 1 threads dispatched, 0 left, '
    else
        expect_line ': rewriting, [0-9]+ mappings, [1-9][0-9]* sites, [1-9][0-9]* rewritten now'
        expect_line '/libc.*: [1-9][0-9]* sites, [1-9][0-9]* rewritten now: [1-9][0-9]* mov'
    fi
}

a_filter_of_the_program_s_own_is_respected()
{
    cat >"$work/filter.c" <<'END_OF_C'
#include <stddef.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From now on: write, exit_group, and death for the rest. With an argument: death for what only
 * the agent would do, and another program in an empty environment. */
static int restrict_exec(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_faccessat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
    char *argv[] = {"echo", "executes", NULL}, *envp[] = {NULL};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, 8) == 0)
        return 1;
    execve("/bin/echo", argv, envp);
    return 1;
}

int main(int argc, char **argv)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

    (void)argv;
    if (argc > 1)
        return restrict_exec();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
        return 1;
    return write(1, "runs\n", 5) == 5 ? 0 : 1;
}
END_OF_C
    rm -f "$output"
    quietly "$CC" -o "$work/filter" "$work/filter.c"
    expect "output" "$(traced STA_AGENT_COUNT=1 STA_AGENT_METHOD=rewrite "$work/filter")" runs
    expect_line '\(filter\): seccomp$'
    expect "output" "$(traced STA_AGENT_METHOD=rewrite "$work/filter" exec)" executes
}

threads_and_forks_lose_no_count()
{
    rm -f "$output"
    traced STA_AGENT_COUNT=1 STA_AGENT_CALLS=getppid "$calls" threads
    expect "getppid of 100 threads" "$(count_of getppid)" 1000
}

needs_libc_only_and_exports_nothing
nothing_is_written_where_nothing_is_asked_for
wrong_settings_are_reported_and_the_program_runs
an_output_that_cannot_be_written_changes_nothing
a_descriptor_that_became_another_file_is_left_alone
no_descriptor_stays_open
lists_choose_what_is_counted
injected_errors_arrive
counts_what_strace_counts
programs_with_another_environment_are_followed
settings_that_the_program_changes_are_kept
what_ours_makes_too_long_runs_without_it
children_leave_nothing_in_their_parent
a_program_that_would_not_load_it_is_left_alone
scripts_are_judged_by_their_interpreter
a_privileged_program_does_not_listen_to_it
the_report_names_every_mapping
a_filter_of_the_program_s_own_is_respected
threads_and_forks_lose_no_count
