#!/usr/bin/env bash
# Servers under load, under the agent.
# shellcheck source=tests/check.sh
source "$(dirname "${BASH_SOURCE[0]}")/check.sh"
# shellcheck source=tests/agent/agent.sh
source "$(dirname "${BASH_SOURCE[0]}")/agent/agent.sh"
# shellcheck source=tests/agent/programs.sh
source "$(dirname "${BASH_SOURCE[0]}")/agent/programs.sh"

for directory in /usr/lib/postgresql/*/bin; do
    PATH=$PATH:$directory
done

# Tries a command until it succeeds, for up to 20 s.
until_it_works()
{
    local tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 400 ] || { echo "never: $*"; return 1; }
        sleep 0.05
    done
}

# Runs a command as an ordinary user.
unprivileged()
{
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
    else
        "$@"
    fi
}

# start_on_a_port COMMAND...: as $server, with PORT replaced by one that is free, $port; in the file
# $config, too, if there is one.
start_on_a_port()
{
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        port=$((20000 + RANDOM % 10000))
        sed "s/PORT/$port/g" "${config:-/dev/null}" >config
        "${@//PORT/$port}" >>server.log 2>&1 &
        server=$!
        while kill -0 $server 2>/dev/null; do
            (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && kill -0 $server && return 0
            sleep 0.05
        done
        wait $server
    done
    cat server.log
    return 1
}

redis()
{
    redis-server --port 0 --unixsocket "$PWD/socket" --dir "$PWD" --save '' --io-threads 2 >server.log 2>&1 &
    server=$!
    trap 'kill -KILL $server' EXIT
    ask="redis-cli -s $PWD/socket"
    until_it_works $ask ping || return
    $ask set key value
    redis-benchmark -s "$PWD/socket" -n 2000 -c 20 -P 4 -q -t set,get,lpush,lrange_100 | tr '\r' '\n' |
        grep 'requests per second' | sed 's/: .*//' | sort -u
    seq 1 500 | sed 's/.*/set key& value&/' | $ask --pipe 2>/dev/null | grep -c errors
    $ask bgsave
    until_it_works sh -c "$ask info persistence | grep -q rdb_bgsave_in_progress:0" || return
    $ask info persistence | grep rdb_last_bgsave_status
    $ask bgrewriteaof
    until_it_works sh -c "$ask info persistence | grep -q aof_rewrite_in_progress:0" || return
    $ask info persistence | grep aof_last_bgrewrite_status
    $ask eval 'return redis.call("get", KEYS[1])' 1 key
    $ask dbsize
    $ask shutdown nosave
    wait $server
    echo "status $?"
    trap - EXIT
    redis-check-rdb dump.rdb | grep -oE 'RDB looks OK|[0-9]+ keys read'
}

nginx_()
{
    mkdir html
    chmod 755 . html
    for i in 1 2 3; do seq "$i" "${i}000" >"html/$i"; done
    cat >nginx.conf <<EOF
daemon off;
worker_processes 2;
$([ "$(id -u)" -ne 0 ] || echo 'user nobody nogroup;')
pid $PWD/pid;
error_log $PWD/error.log;
events { worker_connections 256; }
http {
    access_log $PWD/access.log;
    sendfile on;
    aio threads;
    $(for path in client_body proxy fastcgi uwsgi scgi; do echo "${path}_temp_path $PWD/temp_$path;"; done)
    server {
        listen 127.0.0.1:PORT;
        root $PWD/html;
        location /proxy/ { proxy_pass http://127.0.0.1:PORT/; }
        gzip on; gzip_types *; gzip_min_length 1;
    }
}
EOF
    config=nginx.conf
    start_on_a_port nginx -e "$PWD/error.log" -c "$PWD/config" || return
    trap 'kill -TERM $server' EXIT
    fetch()
    {
        exec 3<>"/dev/tcp/127.0.0.1/$port"
        printf 'GET /%s HTTP/1.0\r\n\r\n' "$1" >&3
        sed '1,/^\r$/d' <&3 | cksum
        exec 3>&-
    }
    for i in 1 2 3 proxy/1 none; do fetch $i; done
    wrk -t 2 -c 20 -d 1 "http://127.0.0.1:$port/2" | grep -E 'Non-2xx|Socket errors|Requests/sec' |
        sed 's/sec:.*/sec/'
    kill -HUP $server
    until_it_works test "$(wc -l <access.log)" -gt 10 || return
    fetch 3
    kill -QUIT $server
    wait $server
    echo "status $?"
    trap - EXIT
    grep -cE '\[(alert|crit|emerg)\]|exited on signal' error.log
    true
}

memcached_()
{
    start_on_a_port memcached -l 127.0.0.1 -p PORT -U 0 -t 4 -u nobody || return
    trap 'kill -KILL $server' EXIT
    client()
    {
        exec 3<>"/dev/tcp/127.0.0.1/$port"
        for i in $(seq 1 300); do printf 'set key%d.%d 0 0 5\r\nvalue\r\nget key%d.%d\r\n' $1 $i $1 $i; done >&3
        printf 'incr none 1\r\nquit\r\n' >&3
        cksum <&3
    }
    for i in 1 2 3 4 5 6 7 8; do client $i >client$i & clients="${clients:-} $!"; done
    wait $clients
    cat client?
    exec 3<>"/dev/tcp/127.0.0.1/$port"
    printf 'stats\r\nquit\r\n' >&3
    grep -E 'curr_items|cmd_set|get_hits|threads' <&3
    kill -TERM $server
    wait $server
    echo "status $?"
    trap - EXIT
}

postgres_()
{
    chmod 755 . && mkdir data socket && [ "$(id -u)" -ne 0 ] || chown 65534:65534 data socket
    unprivileged initdb -D "$PWD/data" -U test -A trust --no-sync --locale=C -E UTF8 >initdb.log 2>&1 ||
        { cat initdb.log; return 1; }
    grep Success initdb.log
    trap 'unprivileged pg_ctl -D "$PWD/data" stop -m immediate' EXIT
    unprivileged pg_ctl -D "$PWD/data" -s -w -l "$PWD/data/log" \
        -o "-k '$PWD/socket' -c listen_addresses= -c fsync=off -c shared_buffers=16MB" start || return
    export PGHOST=$PWD/socket PGUSER=test PGDATABASE=postgres
    pgbench -i -q -s 1 2>&1 | grep -c 'done'
    pgbench -c 4 -j 2 -t 100 2>/dev/null | grep -E 'actually processed|failed'
    psql -At <<'EOF'
select count(*), sum(abalance) = (select sum(delta) from pgbench_history) from pgbench_accounts;
set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
set min_parallel_table_scan_size = 0;
select count(*), min(aid), max(aid) from pgbench_accounts where bid = 1;
vacuum full pgbench_accounts;
select 1/0;
checkpoint;
EOF
    # Until there is something to cancel.
    (until psql -At -c "select pg_cancel_backend(pid) from pg_stat_activity where query = 'select pg_sleep(600)'" |
        grep -q t; do sleep 0.05; done) &
    psql -At -c 'select pg_sleep(600)'
    wait
    unprivileged pg_ctl -D "$PWD/data" -s -w stop -m fast
    echo "status $?"
    trap - EXIT
    grep -cE 'PANIC|terminated by signal|server process .* exited' data/log
    true
}

same_as_native redis redis-server redis-cli redis-benchmark
same_as_native nginx_ nginx wrk
same_as_native memcached_ memcached
same_as_native postgres_ initdb pg_ctl pgbench psql setpriv
end_programs
