/* SPDX-License-Identifier: MIT */
/*
 * What the benches share. They end at once, with a message and status 1, when something goes wrong:
 * a figure of work that was not done is worse than none.
 */
#ifndef TESTS_BENCH_H
#define TESTS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sta.h>

#define BENCH_ROUNDS_MAX 1001

/* Callbacks that are to be declared STA_CALLBACK_GENERAL_REGS. */
#define GENERAL_REGS __attribute__((noinline, target("general-regs-only")))

__attribute__((noreturn)) void die(const char *what, const char *why);
int must(int result, const char *what); /* dies of a negative result */

/* CPU time of this thread: what is measured never sleeps, and others that run meanwhile do not
 * count. */
double cpu_ns(void);
/* Time. */
double wall_ns(void);

/* Sorts the samples: the smallest is samples[0] then. Returns the median. */
double median_of(double *samples, size_t count);

/* The first two CPUs that this process may run on. */
bool find_two_cpus(void);
void pin_to(unsigned which); /* 0 or 1; nothing if there are not two */

/* [--rounds N] [--quick]; ends the program with status 2 if it does not understand them. */
struct bench_options {
    unsigned rounds;
    bool is_quick; /* whether it works is all that matters */
};
void bench_options_parse(struct bench_options *options, int argc, char **argv);

/* One line: library, compiler, machine, and `what` the figures are. */
void print_machine(const char *what, unsigned rounds);

/* A callback that does nothing. */
int empty_callback(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data);

/* Attaches, with STA_CALLBACK_* flags; dies if it fails. */
int attach_callback(struct sta *sta, int sys_nr, bool is_enter, sta_callback callback,
                    void *user_data, unsigned flags);

/* Dies unless the attachment ran so often, and was not missed and did not fail. */
void prove_ran(struct sta *sta, int attach_id, uint64_t times, const char *what);

#endif
