#!/usr/bin/env bash
# Shells and what they are made to combine, under the agent.
# shellcheck source=tests/check.sh
source "$(dirname "${BASH_SOURCE[0]}")/check.sh"
# shellcheck source=tests/agent/agent.sh
source "$(dirname "${BASH_SOURCE[0]}")/agent/agent.sh"
# shellcheck source=tests/agent/programs.sh
source "$(dirname "${BASH_SOURCE[0]}")/agent/programs.sh"

bash_script()
{
    local i sum=0 line
    seq 1 200 | while read -r i; do echo $((i * i)); done | tail -3
    for i in $(seq 1 20); do sum=$((sum + $(echo "$i" | cat))); done
    echo "sum $sum"
    (cd / && pwd; (exit 7); echo "status $?")
    diff <(seq 1 5) <(seq 2 6)
    trap 'echo caught USR1' USR1
    kill -USR1 $$
    (trap 'echo child ends' EXIT; true)
    for i in 1 2 3 4; do (sleep 0.0$i; exit $i) & done
    for i in $(jobs -p); do wait "$i"; echo "job $?"; done
    sleep 100 &
    kill -TERM $! && wait $!
    echo "killed $?"
    coproc pair { cat; }
    echo through >&"${pair[1]}"
    read -r line <&"${pair[0]}" && echo "$line"
    eval "exec ${pair[1]}>&-"
    wait
    mapfile -t lines < <(yes | head -1000)
    echo ${#lines[@]}
    cat <<EOF
here $(printf '%s' document)
EOF
    set -o pipefail
    false | true
    echo "pipefail $?"
    timeout 0.1 sleep 10
    echo "timeout $?"
    ulimit -n 64 && echo "files $(ulimit -n)"
    bash -c 'kill -SEGV $$' 2>/dev/null
    echo "SEGV $?"
    exec 7>file && echo seven >&7 && exec 7>&- && cat file
}

# "line 16: 3948 Segmentation fault"
normal_bash_script()
{
    sed 's/: *[0-9]* Segmentation/: PID Segmentation/'
}

dash_script()
{
    cat >script <<'EOF'
for i in 1 2 3; do echo $(echo $(echo $i)); done
x=$(seq 1 1000 | while read n; do [ $((n % 7)) -eq 0 ] && echo $n; done | wc -l)
echo $x
trap 'echo got TERM; exit 3' TERM
(sleep 0.05; kill -TERM $$) &
while :; do sleep 0.01; done
EOF
    dash script
    echo "status $?"
    dash -c 'set -- a b c; for x; do (echo $x) & wait; done; exec echo end'
    cat nothing | dash -c 'cat; echo read' 2>&1
}

find_and_xargs()
{
    mkdir -p tree/{a,b,c}/{1..10}
    for d in tree/*/*; do echo "$d" >"$d/file"; done
    find tree -type f -print0 | xargs -0 -n 3 -P 2 cat | sort | cksum
    find tree -name file -exec sha256sum {} + | sort | tail -2
    find tree -name file -newer tree/a -delete
    find tree | sort | head -5
    grep -rc file tree | head -2
}

sort_parallel()
{
    seq 1 300000 | awk '{ print ($1 * 7919) % 1000003 }' >numbers
    sort --parallel=4 -S 1M -n numbers | cksum
    sort --parallel=4 -r numbers | head -3
}

archives()
{
    mkdir tree
    for i in $(seq 1 40); do seq "$i" 3000 >"tree/$i"; done
    tar cf - tree | gzip -9 | gzip -d | tar tf - | sort | cksum
    tar --sort=name --mtime=@0 --owner=0 --group=0 -cf tree.tar tree && cksum <tree.tar
    xz -T2 --block-size=100000 -k tree.tar && xz -d <tree.tar.xz | cksum
    tar cJf tree.txz tree && rm -r tree && tar xf tree.txz && cat tree/* | cksum
    gzip -t tree.txz
    echo "status $?"
}

same_as_native bash_script bash seq
same_as_native dash_script dash
same_as_native find_and_xargs find xargs sha256sum
same_as_native sort_parallel sort awk
same_as_native archives tar gzip xz
end_programs
