/* SPDX-License-Identifier: MIT */
/*
 * What it costs to resolve tracepoints. Each operation is done once cold, as a program does it that
 * has just started (after the kernel dropped its caches, where we may ask for that), then in
 * interleaved rounds of which the median is printed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sta/syscalls.h>

#include "bench.h"

#define ROUNDS 101

static int ids[2048], id_count;

static int remember_id(const struct sta_tracepoint *tracepoint, void *data)
{
    (void)data;
    if (id_count < (int)(sizeof(ids) / sizeof(ids[0])))
        ids[id_count++] = tracepoint->id;
    return 0;
}

static int ignore(const struct sta_tracepoint *tracepoint, void *data)
{
    (void)tracepoint;
    (void)data;
    return 0;
}

static void by_name(int round)
{
    static const char *const names[] = {"sys_enter_read", "sys_exit_openat", "sys_enter_mmap"};
    struct sta_tracepoint tracepoint;

    sta_tracepoint_by_name(names[round % 3], &tracepoint);
}

static void by_id(int round)
{
    struct sta_tracepoint tracepoint;

    sta_tracepoint_by_id(ids[((size_t)round * 7919 + 360) % (size_t)id_count], &tracepoint);
}

static void by_raw_id(int round)
{
    struct sta_tracepoint tracepoint;

    sta_tracepoint_by_id(ids[round % 2], &tracepoint);
}

static void by_builtin_id(int round)
{
    struct sta_tracepoint tracepoint;

    sta_tracepoint_by_id(STA_BUILTIN_ID_BASE + 2 + round % 64, &tracepoint);
}

static void by_unknown_id(int round)
{
    struct sta_tracepoint tracepoint;

    (void)round;
    sta_tracepoint_by_id(1, &tracepoint);
}

static void list_all(int round)
{
    (void)round;
    sta_tracepoint_list(NULL, ignore, NULL);
}

static void one_format(int round)
{
    static struct sta_tracepoint tracepoint;
    struct sta_event_format format;

    (void)round;
    if (!tracepoint.id)
        sta_tracepoint_by_name("sys_enter_read", &tracepoint);
    sta_tracepoint_format(NULL, &tracepoint, &format);
}

static struct operation {
    const char *what;
    void (*run)(int round);
    double cold_us, us[ROUNDS];
} operations[] = {
    {.what = "one id by name", .run = by_name},
    {.what = "one event by id", .run = by_id},
    {.what = "one raw event by id", .run = by_raw_id},
    {.what = "one event by built-in id", .run = by_builtin_id},
    {.what = "an id that no event has", .run = by_unknown_id},
    {.what = "one format", .run = one_format},
    {.what = "all ids", .run = list_all},
};

#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

static void drop_caches(void)
{
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (write(fd, "2\n", 2) < 0)
        perror("drop_caches");
    close(fd);
}

static double measure(const struct operation *operation, int round)
{
    double start = wall_ns();

    operation->run(round);
    return (wall_ns() - start) / 1e3;
}

int main(void)
{
    int count = sta_tracepoint_list(NULL, remember_id, NULL);

    if (count <= 0) {
        fprintf(stderr, "no tracepoints: %s\n", strerror(-count));
        return EXIT_FAILURE;
    }
    printf("%d tracepoints, ids from %s\n\n%-28s %12s %12s\n", count,
           ids[0] < STA_BUILTIN_ID_BASE ? "tracefs" : "the built-in table", "", "cold, us",
           "median, us");
    for (size_t i = 0; i < OPERATIONS; i++) {
        drop_caches();
        operations[i].cold_us = measure(&operations[i], 0);
    }
    for (int round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < OPERATIONS; i++)
            operations[i].us[round] = measure(&operations[i], round);
    for (size_t i = 0; i < OPERATIONS; i++) {
        double median = median_of(operations[i].us, ROUNDS);

        printf("%-28s %12.1f %12.1f\n", operations[i].what, operations[i].cold_us, median);
    }
    return EXIT_SUCCESS;
}
