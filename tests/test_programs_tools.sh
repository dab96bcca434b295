#!/usr/bin/env bash
# Compilers and other tools, under the agent.
# shellcheck source=tests/check.sh
source "$(dirname "${BASH_SOURCE[0]}")/check.sh"
# shellcheck source=tests/agent/agent.sh
source "$(dirname "${BASH_SOURCE[0]}")/agent/agent.sh"
# shellcheck source=tests/agent/programs.sh
source "$(dirname "${BASH_SOURCE[0]}")/agent/programs.sh"

git_()
{
    export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@b
    export GIT_AUTHOR_DATE='2001-01-01T00:00:00Z' GIT_COMMITTER_DATE='2001-01-01T00:00:00Z'
    export GIT_CONFIG_NOSYSTEM=1
    git init -q -b main repository && cd repository || return
    for i in 1 2 3 4 5 6; do
        seq "$i" 500 >"file$i" && git add . && git commit -q -m "commit $i" || return
    done
    git log --stat --oneline
    git checkout -q -b side HEAD~2 && echo side >side && git add side && git commit -q -m side
    git merge -q -m merge main && git log --graph --oneline | cat
    git gc -q && git count-objects -v | grep -E 'packs|in-pack'
    git fsck --no-progress
    git clone -q . ../clone && git clone -q --no-local . ../clone2 && cd ../clone2 || return
    git log --format=%H -1 && git status --short --branch && git diff HEAD~1 --stat
    git stash list && git blame file1 | tail -1 && git archive HEAD | tar tf - | tail -2
}

sqlite()
{
    sqlite3 database <<'EOF'
pragma journal_mode=wal;
create table t(a integer primary key, b text);
with recursive n(i) as (select 1 union all select i+1 from n where i < 5000) insert into t select i, hex(i*7919) from n;
create index tb on t(b);
select count(*), min(b), max(b) from t;
begin; delete from t where a % 3 = 0; rollback;
delete from t where a % 2 = 0; vacuum; pragma integrity_check;
select count(*) from t;
.schema
EOF
    sqlite3 database 'select sum(a) from t'
    sqlite3 nothing/at/all 'select 1'
    echo "status $?"
}

gcc_()
{
    cat >a.c <<'EOF'
#include <stdio.h>
#include <math.h>
int twice(int);
int main(void) { printf("%d %.3f\n", twice(21), sqrt(2)); return 0; }
EOF
    echo 'int twice(int n) { return 2 * n; }' >b.c
    gcc -pipe -O2 -Wall -c a.c && gcc -O2 -fPIC -shared -o libb.so b.c &&
        gcc -o a a.o -L. -lb -lm -Wl,-rpath,"$PWD" && ./a && cksum <a.o
    gcc -c missing.c
    echo "status $?"
    echo 'int main( {' >wrong.c && gcc -c wrong.c
    echo "status $?"
}

make_()
{
    cat >Makefile <<'EOF'
objects := $(foreach n,1 2 3 4 5 6 7 8,f$(n).o)
all: $(objects) ; @cat $^ | cksum
%.o: %.c ; @cp $< $@ && sleep 0.01
f%.c: ; @echo "int f$*;" > $@
wrong: ; false
what := $(shell echo shell)
print: ; @echo $(what) $(MAKEFLAGS)
recursive: ; @$(MAKE) --no-print-directory all && $(MAKE) --no-print-directory print
EOF
    make -j2 && make -s -j2 recursive && make wrong
    echo "status $?"
    make -j4 -n all | wc -l
}

# Another C library. A script's functions get to the shell that runs the program, its variables do
# not.
eval "calls_source() { echo '$STA_SOURCE_DIR/tests/agent/calls.c'; }"
musl()
{
    musl-gcc -O2 -o calls "$(calls_source)" || return
    for part in files signals threads processes exec raw_exit; do
        ./calls $part
        echo "$part: status $?"
    done
}

same_as_native git_ git
same_as_native sqlite sqlite3
same_as_native gcc_ gcc
same_as_native make_ make
same_as_native musl musl-gcc
end_programs
