#!/usr/bin/env bash
# Language runtimes, under the agent: threads, event loops, signals, other programs.
# shellcheck source=tests/check.sh
source "$(dirname "${BASH_SOURCE[0]}")/check.sh"
# shellcheck source=tests/agent/agent.sh
source "$(dirname "${BASH_SOURCE[0]}")/agent/agent.sh"
# shellcheck source=tests/agent/programs.sh
source "$(dirname "${BASH_SOURCE[0]}")/agent/programs.sh"

python()
{
    cat >program.py <<'EOF'
import asyncio, ctypes, multiprocessing, os, signal, socket, subprocess, sys, tempfile, threading, time

def work(n):
    return sum(i * i for i in range(n)) + len(os.listdir("/"))  * 0

results = {}
lock = threading.Lock()
def body(i):
    for _ in range(20):
        with open("/dev/zero", "rb") as f:
            f.read(10)
    with lock:
        results[i] = work(i)
threads = [threading.Thread(target=body, args=(i,)) for i in range(50)]
[t.start() for t in threads]
[t.join() for t in threads]
print("threads", sum(results.values()))

print(subprocess.run(["sh", "-c", "echo $VARIABLE; exit 3"], env={"VARIABLE": "set"}, capture_output=True))
print(subprocess.run(["sh", "-c", "echo $1", "x", "y"], env={}, stdout=subprocess.PIPE).stdout)
print(subprocess.run("cat | tr a-z A-Z", shell=True, input=b"text", capture_output=True).stdout)
try:
    subprocess.run(["does-not-exist"])
except OSError:
    print("no such program")
def group():
    os.setpgid(0, 0)
print(subprocess.check_output(["echo", "after preexec_fn"], preexec_fn=group))
with subprocess.Popen(["sleep", "100"]) as p:
    p.terminate()
    print("terminated", p.wait())
try:
    subprocess.run(["sleep", "100"], timeout=0.05)
except subprocess.TimeoutExpired:
    print("timeout")
print("spawned", os.waitpid(os.posix_spawn("/bin/sh", ["sh", "-c", "exit 5"], {}), 0)[1])

caught = []
signal.signal(signal.SIGALRM, lambda *_: caught.append("alarm"))
signal.setitimer(signal.ITIMER_REAL, 0.01)
while not caught:
    time.sleep(0.001)
signal.signal(signal.SIGUSR1, lambda *_: caught.append("usr1"))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
os.kill(os.getpid(), signal.SIGUSR1)
print(caught, signal.sigpending() == {signal.SIGUSR1})
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
print(caught)
r, w = os.pipe()
signal.set_wakeup_fd(w) if os.set_blocking(w, False) is None else None
os.kill(os.getpid(), signal.SIGUSR1)
print("wakeup", os.read(r, 1) == bytes([signal.SIGUSR1]))
signal.set_wakeup_fd(-1)

async def echo(reader, writer):
    writer.write((await reader.readline()).upper())
    await writer.drain()
    writer.close()
async def client(port, i):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"line %d\n" % i)
    line = await reader.readline()
    writer.close()
    return line
async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(sorted(await asyncio.gather(*(client(port, i) for i in range(20))))[:3])
    p = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    print(await p.communicate(b"through cat"))
    print(await asyncio.get_running_loop().run_in_executor(None, work, 10))
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, caught.append, "usr2")
    os.kill(os.getpid(), signal.SIGUSR2)
    while "usr2" not in caught:
        await asyncio.sleep(0.001)
    print(caught)
asyncio.run(main())

with multiprocessing.get_context("fork").Pool(3) as pool:
    print("pool", pool.map(work, [10, 20, 30]))
pid = os.fork()
if pid == 0:
    os.abort()
print("aborted", os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGABRT)
libc = ctypes.CDLL(None, use_errno=True)
print("syscall", libc.syscall(39) == os.getpid(), libc.syscall(1000), ctypes.get_errno())
print("pthread_cancel", os.getpid() == libc.getpid())
os.execve("/bin/sh", ["sh", "-c", "echo executed in an empty environment"], {})
EOF
    python3 program.py
}

perl_()
{
    cat >program.pl <<'EOF'
use strict; use warnings; $| = 1;
my @lines = sort { $a <=> $b } map { ($_ * 7919) % 1009 } 1..1000;
print "@lines[0..4]\n";
pipe(my $r, my $w); my $pid = fork();
if (!$pid) { close $r; print $w "from the child\n"; close $w; exit 4 }
close $w; print scalar <$r>; waitpid $pid, 0; print $? >> 8, "\n";
print `echo backticks`; system("exit 3"); print $? >> 8, "\n";
$SIG{ALRM} = sub { print "alarm\n" }; alarm 1; my $n = select(undef, undef, undef, 5); print "select ended\n";
eval { local $SIG{ALRM} = sub { die "timeout\n" }; alarm 1; sleep 10; }; print $@;
open(my $f, '>', 'file') or die; print $f $_ x 100 for 'a'..'e'; close $f; print -s 'file', "\n";
open(my $p, '-|', 'sort', '-r', 'file') or die; print length join '', <$p>; print "\n";
{ local %ENV = (); exec '/bin/echo', 'executed' }
EOF
    perl program.pl
}

node_()
{
    cat >program.js <<'EOF'
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const { execFileSync, spawn, spawnSync } = require('child_process');
const fs = require('fs'), net = require('net'), zlib = require('zlib'), crypto = require('crypto');
if (!isMainThread) {
    let sum = 0;
    for (let i = 0; i < 1e6; i++) sum = (sum + i * workerData) % 1000003;
    parentPort.postMessage([workerData, sum, fs.readFileSync('/proc/self/comm').length > 0]);
} else (async () => {
    const run = (n) => new Promise((done, failed) => {
        const worker = new Worker(__filename, { workerData: n });
        worker.on('message', done); worker.on('error', failed);
    });
    console.log(await Promise.all([1, 2, 3, 4].map(run)));
    console.log(execFileSync('sh', ['-c', 'echo $A'], { env: { A: 'set' } }).toString());
    console.log(spawnSync('cat', { input: 'through cat', env: {} }).stdout && 'cat');
    const child = spawn('sleep', ['100']);
    child.kill(); child.on('exit', (code, signal) => console.log('child', code, signal));
    await new Promise((done) => child.on('close', done));
    const server = net.createServer((c) => c.pipe(c)).listen(0, '127.0.0.1');
    await new Promise((done) => server.on('listening', done));
    const client = net.connect(server.address().port, '127.0.0.1', () => client.end('echoed'));
    client.on('data', (data) => console.log(data.toString()));
    await new Promise((done) => client.on('close', done));
    server.close();
    await Promise.all([...Array(20).keys()].map((i) => fs.promises.writeFile('f' + i, 'x'.repeat(i))));
    console.log((await fs.promises.readdir('.')).length);
    console.log(zlib.gunzipSync(zlib.gzipSync(Buffer.alloc(100000, 'a'))).length);
    console.log(crypto.pbkdf2Sync('a', 'b', 1000, 16, 'sha256').toString('hex'));
    process.on('SIGUSR2', () => { console.log('USR2'); process.exit(3); });
    process.kill(process.pid, 'SIGUSR2');
    setTimeout(() => {}, 10000);
})();
EOF
    node program.js
    echo "status $?"
    node -e 'WebAssembly; process.stdout.write("end\n")'
}

# One that makes its own system calls but loads libc, and a static one.
go_()
{
    cat >main.go <<'EOF'
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"sync"
	"syscall"
)

func main() {
	var group sync.WaitGroup
	var lock sync.Mutex
	sum := 0
	for i := 0; i < 200; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			data, _ := os.ReadFile("/proc/self/comm")
			lock.Lock()
			defer lock.Unlock()
			sum += i + len(data)*0
		}(i)
	}
	group.Wait()
	out, err := exec.Command("sh", "-c", "echo from sh").Output()
	fmt.Println(sum, string(out), err)
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-c)
	_, err = net.LookupHost("localhost")
	_, err2 := user.Current()
	fmt.Println(err == nil, err2 == nil)
	_, err = os.Open("/does/not/exist")
	fmt.Println(err)
}
EOF
    export GOCACHE=$PWD/cache GO111MODULE=off GOFLAGS=-p=2
    go build -o dynamic main.go && ./dynamic && CGO_ENABLED=0 go build -o static main.go && ./static
}

same_as_native python python3
same_as_native perl_ perl
same_as_native node_ node
same_as_native go_ go gcc
end_programs
