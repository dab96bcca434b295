/* SPDX-License-Identifier: MIT */
/* See start_up.h. The programs that are started are start_up_host.c. */
#define _GNU_SOURCE
#include "start_up.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define GOAL_MS  2.0
#define GOAL_KIB 2048

extern char **environ;

static pid_t start(const char *what, posix_spawn_file_actions_t *actions)
{
    char *argv[] = {START_UP_HOST, (char *)what, NULL};
    pid_t pid = -1;

    must(-posix_spawn(&pid, START_UP_HOST, actions, NULL, argv, environ), START_UP_HOST);
    return pid;
}

static void finish(pid_t pid, const char *what)
{
    int status = 0;

    if (waitpid(pid, &status, 0) != pid || status != 0)
        die(START_UP_HOST, what);
}

/* From before it is started to after its end, in ms. */
static double time_host(const char *what)
{
    double start_ns = wall_ns();

    finish(start(what, NULL), what);
    return (wall_ns() - start_ns) / 1e6;
}

/* KiB that installing and attaching added, at the end and at most. */
static void measure_memory(long *added, long *peak)
{
    posix_spawn_file_actions_t actions;
    char text[64] = "";
    int ends[2];
    pid_t pid;

    if (pipe(ends) < 0)
        die("pipe", strerror(errno));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    pid = start("memory", &actions);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (read(ends[0], text, sizeof(text) - 1) < 0 || sscanf(text, "%ld %ld", added, peak) != 2)
        die(START_UP_HOST, "it does not tell of its memory");
    close(ends[0]);
    finish(pid, "memory");
}

void measure_start_up(unsigned rounds)
{
    static double native[BENCH_ROUNDS_MAX], with[BENCH_ROUNDS_MAX], added[BENCH_ROUNDS_MAX];
    double median_added, median_native;
    long added_kib, peak_kib;

    for (unsigned i = 0; i < rounds; i++) {
        native[i] = time_host("native");
        with[i] = time_host("install");
        added[i] = with[i] - native[i];
    }
    median_added = median_of(added, rounds);
    median_native = median_of(native, rounds);
    median_of(with, rounds);
    measure_memory(&added_kib, &peak_kib);
    printf("\nStart of a small program: native %.2f ms, min %.2f\n", median_native, native[0]);
    printf("%-42s  %10s  %10s  %10s  %6s\n", "", "added", "added, min", "x native", "goal");
    printf("    %-38s  %10.2f  %10.2f  %10.2f  %6.0f\n", "install and attach to all, ms",
           median_added, with[0] - native[0], (median_native + median_added) / median_native,
           GOAL_MS);
    printf("    %-38s  %10ld  %10s  %10s  %6d\n", "memory, KiB", added_kib, "", "", GOAL_KIB);
    printf("    %-38s  %10ld  %10s  %10s  %6s\n", "memory at most, KiB", peak_kib, "", "", "");
}
