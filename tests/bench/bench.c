/* SPDX-License-Identifier: MIT */
/* See bench.h. */
#define _GNU_SOURCE /* CPU sets */
#include "bench.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define QUICK_ROUNDS 5

#define STRING_OF(x) #x
#define STRING(x)    STRING_OF(x)
#ifdef __clang__
#    define COMPILER "clang " STRING(__clang_major__) "." STRING(__clang_minor__)
#else
#    define COMPILER "gcc " __VERSION__
#endif

static cpu_set_t cpus[2];
static bool has_two_cpus;

void die(const char *what, const char *why)
{
    fflush(stdout);
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
    exit(EXIT_FAILURE);
}

int must(int result, const char *what)
{
    if (result < 0)
        die(what, strerror(-result));
    return result;
}

static double clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

double cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

double wall_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double median_of(double *samples, size_t count)
{
    qsort(samples, count, sizeof(*samples), by_value);
    return samples[count / 2];
}

bool find_two_cpus(void)
{
    cpu_set_t allowed;
    unsigned found = 0;

    if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
        return false;
    for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            CPU_SET(cpu, &cpus[found++]);
    has_two_cpus = found == 2;
    return has_two_cpus;
}

void pin_to(unsigned which)
{
    if (has_two_cpus)
        sched_setaffinity(0, sizeof(cpus[which]), &cpus[which]);
}

void bench_options_parse(struct bench_options *options, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            options->rounds = QUICK_ROUNDS;
            options->is_quick = true;
        } else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
            options->rounds = (unsigned)strtoul(argv[++i], NULL, 10);
        } else {
            options->rounds = 0;
        }
    }
    if (options->rounds < 1 || options->rounds > BENCH_ROUNDS_MAX) {
        fprintf(stderr, "usage: %s [--rounds 1..%d] [--quick]\n", program_invocation_short_name,
                BENCH_ROUNDS_MAX);
        exit(2);
    }
}

void print_machine(const char *what, unsigned rounds)
{
    struct utsname kernel;

    uname(&kernel);
    printf("libsta %s, " COMPILER ", Linux %.*s, %ld CPUs; %s of %u rounds, in ns\n\n",
           sta_version(), (int)strcspn(kernel.release, "-"), kernel.release,
           sysconf(_SC_NPROCESSORS_ONLN), what, rounds);
}

GENERAL_REGS int empty_callback(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    return 0;
}

int attach_callback(struct sta *sta, int sys_nr, bool is_enter, sta_callback callback,
                    void *user_data, unsigned flags)
{
    struct sta_attach_options options = {
        .size = sizeof(options),
        .target = {.sys_nr = sys_nr, .is_enter = is_enter},
        .callback = callback,
        .user_data = user_data,
        .flags = flags,
    };

    return must(sta_attach_with(sta, &options), "sta_attach_with");
}

void prove_ran(struct sta *sta, int attach_id, uint64_t times, const char *what)
{
    struct sta_attach_info info = {.size = sizeof(info)};
    char why[128];

    must(sta_attach_info(sta, attach_id, &info), "sta_attach_info");
    if (info.runs == times && info.missed == 0 && info.failed == 0)
        return;
    snprintf(why, sizeof(why),
             "a callback ran %llu times, missed %llu and failed %llu, of %llu calls",
             (unsigned long long)info.runs, (unsigned long long)info.missed,
             (unsigned long long)info.failed, (unsigned long long)times);
    die(what, why);
}
