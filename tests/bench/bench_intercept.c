/* SPDX-License-Identifier: MIT */
/*
 * What interception costs a system call, and the start of a program:
 *
 *     bench_intercept [--rounds N] [--quick]
 *
 * The modes are measured in turn, round after round: the calls as they are natively, then, at once,
 * the same loops intercepted. So each figure has a native one that was taken milliseconds before,
 * and what is printed is the median of the differences; and the difference of the smallest times,
 * which are those of a quiet machine.
 *
 * Each figure is proved: the callbacks counted as many calls as were made, and calls to which
 * nothing was attached are seen when something is.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "calls.h"
#include "modes.h"
#include "start_up.h"

/* What is slow to attach is measured in every so many rounds. */
#define SLOW_ROUNDS 5

static struct bench_options options = {.rounds = 51};
static double sample_ns = 3e5;
static uint64_t native_n[CALL_COUNT];

static bool is_measured(const struct mode *mode)
{
    return mode->technique && !mode->why_not[0];
}

/* Finds how many calls fit into a sample; warms up, too. Returns how many were made for that. */
static uint64_t calibrate(const struct call *call, bool with_vectors, uint64_t *n)
{
    uint64_t made = 1;

    for (*n = 1; time_calls(call, *n, with_vectors) * (double)*n < sample_ns / 2; *n *= 2)
        made += *n * 2;
    return made;
}

static void calibrate_cell(struct mode *mode, int index)
{
    uint64_t made;

    mode->technique->attach(mode, &calls[index]);
    made = calibrate(&calls[index], mode->with_vectors, &mode->cells[index].n);
    mode->technique->detach(mode, &calls[index], made);
}

static void calibrate_mode(struct mode *mode)
{
    for (int i = 0; i < CALL_COUNT; i++)
        mode->cells[i].n = native_n[i];
    if (!is_measured(mode) || mode->technique->is_slow || mode->technique->begin(mode) < 0)
        return;
    for (int i = 0; i < CALL_COUNT; i++)
        calibrate_cell(mode, i);
    mode->technique->end(mode);
}

static void measure_cell(struct mode *mode, int index)
{
    const struct call *call = &calls[index];
    struct cell *cell = &mode->cells[index];

    mode->technique->attach(mode, call);
    cell->with[mode->rounds] = time_calls(call, cell->n, mode->with_vectors);
    mode->technique->detach(mode, call, cell->n);
}

static void measure_mode(struct mode *mode)
{
    for (int i = 0; i < CALL_COUNT; i++)
        mode->cells[i].native[mode->rounds] =
            time_calls(&calls[i], native_n[i], mode->with_vectors);
    if (mode->technique->begin(mode) < 0)
        return;
    for (int i = 0; i < CALL_COUNT; i++)
        measure_cell(mode, i);
    mode->technique->end(mode);
    mode->rounds++;
}

static void measure(void)
{
    for (int i = 0; i < CALL_COUNT; i++)
        calibrate(&calls[i], false, &native_n[i]);
    for (struct mode *mode = modes; mode < modes + mode_count; mode++)
        calibrate_mode(mode);
    for (unsigned round = 0; round < options.rounds; round++)
        for (struct mode *mode = modes; mode < modes + mode_count; mode++)
            if (is_measured(mode) && !(mode->technique->is_slow && round % SLOW_ROUNDS))
                measure_mode(mode);
}

/* The tables */

static void print_native(int index)
{
    double *samples = calloc(mode_count * options.rounds, sizeof(*samples));
    size_t count = 0;
    double median;

    if (!samples)
        die("calloc", strerror(errno));
    for (struct mode *mode = modes; mode < modes + mode_count; mode++)
        for (unsigned i = 0; is_measured(mode) && i < mode->rounds; i++)
            samples[count++] = mode->cells[index].native[i];
    if (count == 0)
        die(calls[index].name, "no mode can be measured here");
    median = median_of(samples, count);
    printf("%s%s: native %.1f, min %.1f\n", index == 0 ? "" : "\n", calls[index].name, median,
           samples[0]);
    free(samples);
    printf("%-42s  %10s  %10s  %10s  %6s\n", "", "added", "added, min", "x native", "goal");
}

static void print_number(double ns)
{
    printf(ns < 1000 ? "  %10.1f" : "  %10.0f", ns);
}

static void print_cell(const struct mode *mode, struct cell *cell)
{
    double added, ratio;
    /* What answers by itself adds nothing to a call. */
    double share = mode->answers ? 0 : 1;

    for (unsigned i = 0; i < mode->rounds; i++) {
        cell->added[i] = cell->with[i] - share * cell->native[i];
        cell->ratio[i] = cell->with[i] / cell->native[i];
    }
    added = median_of(cell->added, mode->rounds);
    ratio = median_of(cell->ratio, mode->rounds);
    median_of(cell->with, mode->rounds);
    median_of(cell->native, mode->rounds);
    print_number(added);
    print_number(cell->with[0] - share * cell->native[0]);
    printf("  %10.2f", ratio);
    if (mode->goal > 0)
        printf("  %6.0f", mode->goal);
}

static void print_mode(struct mode *mode, int index)
{
    if (!mode->technique) {
        printf("  %s\n", mode->name);
        return;
    }
    printf("    %-38s", mode->name);
    if (is_measured(mode))
        print_cell(mode, &mode->cells[index]);
    else
        printf("  skipped: %s", mode->why_not);
    printf("\n");
}

static void print_tables(void)
{
    for (int i = 0; i < CALL_COUNT; i++) {
        print_native(i);
        for (struct mode *mode = modes; mode < modes + mode_count; mode++)
            print_mode(mode, i);
    }
}

int main(int argc, char **argv)
{
    bench_options_parse(&options, argc, argv);
    if (options.is_quick)
        sample_ns = 2e4;
    find_two_cpus();
    pin_to(0);
    calls_init();
    for (struct mode *mode = modes; mode < modes + mode_count; mode++)
        if (mode->with_vectors && !has_vectors())
            snprintf(mode->why_not, sizeof(mode->why_not), "no AVX");
    print_machine("median", options.rounds);
    measure();
    print_tables();
    measure_start_up(options.rounds);
    for (struct mode *mode = modes; mode < modes + mode_count; mode++)
        sta_free(mode->sta);
    return EXIT_SUCCESS;
}
