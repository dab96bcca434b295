/* SPDX-License-Identifier: MIT */
/*
 * Makes the same system calls at every run, for test_agent.sh, which compares what the agent counts
 * with what strace sees. calls WHAT:
 *
 *   files      calls on files; some fail
 *   signals    handlers, and a call that a signal interrupts
 *   threads    100 threads, a few at a time
 *   processes  children by fork, vfork and posix_spawn, that execute `calls files` in an empty
 *              environment
 *   exec       executes `calls files` with execveat, having failed to execute other things
 *   raw_exit   ends by exit, not exit_group
 *
 * The first call of main is one that does not exist: the mark from where on calls are compared.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MARK 1000

static char *self;
static char *const files_argv[] = {"calls", "files", NULL};
static char *const no_environment[] = {NULL};

static void require(int condition)
{
    if (!condition)
        abort();
}

static void files(void)
{
    char text[64];
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    int ends[2];
    struct stat stat_;

    require(fd >= 0 && pipe(ends) == 0);
    for (int i = 0; i < 17; i++)
        require(read(fd, text, sizeof(text)) == sizeof(text));
    require(write(ends[1], text, 5) == 5 && read(ends[0], text, sizeof(text)) == 5);
    require(read(-1, text, 1) < 0 && errno == EBADF);
    require(stat("/does/not/exist", &stat_) < 0 && unlink("/does/not/exist") < 0);
    require(fcntl(ends[0], F_GETFL) == O_RDONLY);
    require(lseek(ends[0], 0, SEEK_SET) < 0 && errno == ESPIPE);
    for (int i = 0; i < 5; i++)
        getppid();
    require(syscall(-1) < 0 && errno == ENOSYS && syscall(511) < 0 && errno == ENOSYS);
    close(ends[0]);
    close(ends[1]);
    close(fd);
}

static volatile sig_atomic_t handled;

static void on_signal(int signal)
{
    (void)signal;
    getppid();
    handled++;
}

static void signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct pollfd poll_ = {.events = POLLIN};
    sigset_t alarm, none;
    int ends[2];

    require(pipe(ends) == 0);
    require(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGALRM, &action, NULL) == 0);
    for (int i = 0; i < 10; i++)
        raise(SIGUSR1);
    /* One that is pending, and comes when the call that waits lets it. */
    sigemptyset(&none);
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    require(sigprocmask(SIG_BLOCK, &alarm, NULL) == 0 && raise(SIGALRM) == 0 && handled == 10);
    poll_.fd = ends[0];
    require(ppoll(&poll_, 1, NULL, &none) < 0 && errno == EINTR);
    require(handled == 11);
}

static void *thread(void *arg)
{
    for (int i = 0; i < 10; i++)
        getppid();
    require(close(-1) < 0);
    return arg;
}

static void threads(void)
{
    pthread_t threads[5];

    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 5; i++)
            require(pthread_create(&threads[i], NULL, thread, NULL) == 0);
        for (int i = 0; i < 5; i++)
            require(pthread_join(threads[i], NULL) == 0);
    }
}

static void wait_for(pid_t pid)
{
    int status;

    require(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

static void processes(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        getppid();
        execve(self, files_argv, no_environment);
        _exit(1);
    }
    wait_for(pid);
    pid = fork();
    if (pid == 0) {
        files();
        exit(0);
    }
    wait_for(pid);
    pid = vfork();
    if (pid == 0) {
        execve(self, files_argv, no_environment);
        _exit(1);
    }
    wait_for(pid);
    require(posix_spawn(&pid, self, NULL, NULL, files_argv, no_environment) == 0);
    wait_for(pid);
    getppid();
}

static void exec(void)
{
    int fd = open(self, O_PATH | O_CLOEXEC);

    require(fd >= 0);
    require(execve("/does/not/exist", files_argv, no_environment) < 0 && errno == ENOENT);
    require(execve("/", files_argv, no_environment) < 0 && errno == EACCES);
    require(execve((char *)8, files_argv, no_environment) < 0 && errno == EFAULT);
    require(execve(self, files_argv, (char **)8) < 0 && errno == EFAULT);
    getppid();
    syscall(SYS_execveat, fd, "", files_argv, no_environment, AT_EMPTY_PATH);
    abort();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {
        {"files", files},         {"signals", signals}, {"threads", threads},
        {"processes", processes}, {"exec", exec},       {"raw_exit", files},
    };

    syscall(MARK);
    self = "/proc/self/exe";
    for (size_t i = 0; argc > 1 && i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strcmp(argv[1], parts[i].name) != 0)
            continue;
        parts[i].run();
        if (strcmp(argv[1], "raw_exit") == 0)
            syscall(SYS_exit, 0);
        return 0;
    }
    return 2;
}
