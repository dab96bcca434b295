/* SPDX-License-Identifier: MIT */
/*
 * The library at work on this very process: its real system calls reach C callbacks, which look at
 * them, make one fail, and count them. Run it by quickstart.sh. The parts of the show are the
 * functions show_*(); main() puts them together.
 *
 * Callbacks run in the middle of a system call, possibly one that printf makes. So they only take
 * notes; these are printed afterwards, and checked against what the program itself saw.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sta.h>

/* Ends the program if something is not as it says. */
static void claim(bool holds, const char *what)
{
    if (holds)
        return;
    fflush(stdout);
    fprintf(stderr, "quickstart: it is not true that %s\n", what);
    exit(EXIT_FAILURE);
}

/* Passes on what a function of the library returned; an error, -errno, ends the program. */
static int must(int result, const char *what)
{
    if (result >= 0)
        return result;
    fflush(stdout);
    fprintf(stderr, "quickstart: %s: %s\n", what, strerror(-result));
    exit(EXIT_FAILURE);
}

static void print_log(void *log_data, enum sta_log_level level, const char *message)
{
    (void)log_data;
    if (level != STA_LOG_INFO)
        fprintf(stderr, "libsta: %s\n", message);
}

/* "842", "sys_enter_unlink", "raw_syscalls:sys_enter" */
static struct sta_target target(const char *text)
{
    struct sta_target target;

    must(sta_target_parse(&target, text), text);
    return target;
}

/* What the program does, traced or not. The library does not occur here. */

static char path[64];
static const char text[] = "A callback sees every read of this line.\n";

static void make_file(void)
{
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

    claim(fd >= 0 && write(fd, text, strlen(text)) > 0, "a file can be made in /tmp");
    close(fd);
}

/* One read() call, as the program made it or as the callbacks saw it. */
struct read_call {
    int fd;
    void *buffer;
    size_t count;
    long result; /* -errno if it failed */
};

#define READS_MAX 16

/* Reads the file to its end, then from a closed descriptor. Returns the number of calls. */
static unsigned read_file(struct read_call *calls)
{
    static char buffer[READS_MAX * 16];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    unsigned n = 0;

    do {
        calls[n] = (struct read_call){fd, buffer + 16 * n, 16, 0};
        calls[n].result = read(fd, calls[n].buffer, 16);
        if (calls[n].result < 0)
            calls[n].result = -errno;
        if (calls[n].result == 0)
            close(fd);
    } while (calls[n++].result >= 0 && n < READS_MAX);
    return n;
}

static void *yield(void *unused)
{
    sched_yield();
    return unused;
}

static void do_ordinary_things(void)
{
    FILE *file = fopen(path, "r");
    DIR *directory = opendir("/");
    char line[sizeof(text)];
    pthread_t thread;
    pid_t child;

    claim(file && fgets(line, sizeof(line), file) && fclose(file) == 0, "the file can be read");
    while (directory && readdir(directory))
        ;
    claim(directory && closedir(directory) == 0, "the directory / can be read");
    claim(pthread_create(&thread, NULL, yield, NULL) == 0, "a thread can be started");
    pthread_join(thread, NULL);
    child = fork();
    if (child == 0)
        _exit(getppid() == 0);
    claim(waitpid(child, NULL, 0) > 0, "a child can be forked");
}

/* Tracepoint ids differ from kernel to kernel. */
static int show_tracepoint(const char *name)
{
    struct sta_tracepoint found;

    must(sta_tracepoint_by_name(name, &found), name);
    printf("   %-17s id %d, from %s\n", found.name, found.id,
           found.source == STA_TRACEPOINT_TRACEFS ? "tracefs" : "the built-in table");
    return found.id;
}

static void show_install(struct sta *sta)
{
    struct sta_transform_report report = {.size = sizeof(report)};

    must(sta_transform_install(sta, NULL), "sta_transform_install");
    must(sta_transform_report(sta, &report), "sta_transform_report");
    printf("   method            %s\n   threads           %u intercepted, %u left\n",
           report.method == STA_METHOD_SUD ? "Syscall User Dispatch" : "another", report.threads,
           report.threads_left);
}

/* Callbacks on the entry and the exit of read(). */

static struct read_call seen[READS_MAX];
static unsigned entered, left;

static int note_read_enter(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    const struct sta_sys_enter *event = ctx;
    struct read_call *call = &seen[entered++ % READS_MAX];

    (void)ctx_size, (void)ret, (void)user_data;
    call->fd = (int)event->args[0];
    call->buffer = (void *)event->args[1];
    call->count = event->args[2];
    return 0;
}

static int note_read_exit(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    const struct sta_sys_exit *event = ctx;

    (void)ctx_size, (void)ret, (void)user_data;
    seen[left++ % READS_MAX].result = event->ret;
    return 0;
}

static void compare_reads(const struct read_call *made, unsigned n)
{
    printf("\n   seen at entry                          at exit   what the program did\n");
    for (unsigned i = 0; i < n; i++) {
        const struct read_call *a = &seen[i], *b = &made[i];
        bool failed = b->result < 0;

        printf("   fd %d, buffer %p, count %zu  %6ld   read(%d, %p, %zu) = %ld%s%s\n", a->fd,
               a->buffer, a->count, a->result, b->fd, b->buffer, b->count, failed ? -1 : b->result,
               failed ? " " : "", failed ? strerror((int)-b->result) : "");
        claim(a->fd == b->fd && a->buffer == b->buffer && a->count == b->count,
              "the callback saw the program's arguments");
        claim(a->result == b->result, "the callback saw the program's result");
    }
    claim(n > 3 && made[n - 1].result == -EBADF, "read() fails when there is no file");
    claim(entered == n && left == n, "each read was seen once at entry and once at exit");
}

static struct sta_target target_by_id(int tracepoint_id)
{
    char decimal[16];

    snprintf(decimal, sizeof(decimal), "%d", tracepoint_id);
    return target(decimal);
}

static void show_reads(struct sta *sta, int enter_tracepoint, int exit_tracepoint)
{
    struct sta_target read_enter = target_by_id(enter_tracepoint);
    struct sta_target read_exit = target_by_id(exit_tracepoint);
    int enter_id = must(sta_attach(sta, &read_enter, note_read_enter, NULL), "sta_attach");
    int exit_id = must(sta_attach(sta, &read_exit, note_read_exit, NULL), "sta_attach");
    struct read_call made[READS_MAX];
    unsigned n = read_file(made);

    must(sta_detach(sta, enter_id), "sta_detach");
    must(sta_detach(sta, exit_id), "sta_detach");
    compare_reads(made, n);
}

/* A callback that decides what a call returns: at its entry, so that the call is never made. */

static int refuse(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    return sta_override_return(-EPERM);
}

static void try_unlink(int expected)
{
    int err = unlink(path) == 0 ? 0 : errno;
    bool exists = access(path, F_OK) == 0;

    printf("   unlink(\"%s\"): %s; the file %s\n", path, err ? strerror(err) : "done",
           exists ? "still exists" : "is gone");
    claim(err == expected, "unlink() returns what it should");
    claim(exists == (expected != 0), "the file is there only if unlink() failed");
}

static void show_override(struct sta *sta)
{
    struct sta_target unlink_enter = target("sys_enter_unlink");
    int id = must(sta_attach(sta, &unlink_enter, refuse, NULL), "sta_attach");

    try_unlink(EPERM);
    must(sta_detach(sta, id), "sta_detach");
    printf("   detached\n");
    try_unlink(0);
}

/* A callback on all calls, which may run on several threads at once. The counts are in memory that
 * a forked child shares with its parent. */

static _Atomic unsigned *counts;

static int count_call(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    const struct sta_sys_enter *event = ctx;

    (void)ctx_size, (void)ret, (void)user_data;
    if (event->id >= 0 && event->id < STA_SYSCALL_LIMIT)
        atomic_fetch_add(&counts[event->id], 1);
    return 0;
}

static int by_count(const void *a, const void *b)
{
    unsigned x = counts[*(const int *)a], y = counts[*(const int *)b];

    return (x < y) - (x > y);
}

static unsigned total_count(void)
{
    unsigned total = 0;

    for (int nr = 0; nr < STA_SYSCALL_LIMIT; nr++)
        total += counts[nr];
    return total;
}

static void print_counts(void)
{
    int order[STA_SYSCALL_LIMIT];

    for (int nr = 0; nr < STA_SYSCALL_LIMIT; nr++)
        order[nr] = nr;
    qsort(order, STA_SYSCALL_LIMIT, sizeof(*order), by_count);
    printf("\n   calls  name\n");
    for (int i = 0; i < STA_SYSCALL_LIMIT && counts[order[i]]; i++)
        printf("   %5u  %s\n", counts[order[i]], sta_syscall_name(order[i]));
    printf("   %5u  together\n", total_count());
}

static void show_counts(struct sta *sta)
{
    struct sta_target all = target("raw_syscalls:sys_enter");
    int id = must(sta_attach(sta, &all, count_call, NULL), "sta_attach");

    do_ordinary_things();
    must(sta_detach(sta, id), "sta_detach");
    print_counts();
    claim(counts[sta_syscall_number("getdents64")] >= 2, "reading the directory was seen");
    claim(counts[sta_syscall_number("sched_yield")] == 1, "the thread's call was seen");
    claim(counts[sta_syscall_number("getppid")] == 1, "the child's call was seen");
}

static void show_silence(const char *when)
{
    unsigned counted = total_count(), reads = left;
    struct read_call made[READS_MAX];

    do_ordinary_things();
    read_file(made);
    printf("   %-17s calls counted: %u before, %u after; reads seen: %u before, %u after\n", when,
           counted, total_count(), reads, left);
    claim(total_count() == counted && left == reads && entered == reads, "nothing more was seen");
}

int main(void)
{
    const struct sta_options options = {.size = sizeof(options), .log = print_log};
    struct sta *sta;
    int read_enter, read_exit;

    snprintf(path, sizeof(path), "/tmp/sta-quickstart.%d", (int)getpid());
    counts = mmap(NULL, STA_SYSCALL_LIMIT * sizeof(*counts), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    claim(counts != MAP_FAILED, "there is memory");
    make_file();
    must(sta_new(&sta, &options), "sta_new");
    printf("libsta %s\n", sta_version());

    printf("\n1. The tracepoints\n");
    read_enter = show_tracepoint("sys_enter_read");
    read_exit = show_tracepoint("sys_exit_read");
    show_tracepoint("sys_enter_unlink");

    printf("\n2. The transformer is installed: this process's system calls reach the library\n");
    show_install(sta);

    printf("\n3. Callbacks attached by id, to %d and %d, see read()\n", read_enter, read_exit);
    show_reads(sta, read_enter, read_exit);

    printf("\n4. A callback attached to sys_enter_unlink overrides the result with -EPERM\n");
    show_override(sta);

    printf("\n5. A callback on all calls counts, while the program reads a file and a directory,\n"
           "   starts a thread (which calls sched_yield) and forks a child (getppid)\n");
    make_file();
    show_counts(sta);

    printf("\n6. Everything is detached, then the transformer removed: nothing more is seen\n");
    show_silence("detached");
    must(sta_transform_remove(sta), "sta_transform_remove");
    show_silence("removed");

    sta_free(sta);
    unlink(path);
    printf("\nAll of this was checked, and holds.\n");
    return EXIT_SUCCESS;
}
