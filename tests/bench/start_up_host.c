/* SPDX-License-Identifier: MIT */
/*
 * What start_up.c starts: does nothing ("native"), intercepts all its calls ("install"), or does so
 * and tells what memory that took ("memory": "<KiB added> <KiB added at most>").
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sta.h>

static volatile unsigned seen;

__attribute__((target("general-regs-only"))) static int count(void *ctx, size_t ctx_size,
                                                              uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    seen++;
    return 0;
}

static int install(void)
{
    const struct sta_attach_options options = {
        .size = sizeof(options),
        .target = {.sys_nr = STA_ALL_SYSCALLS, .is_enter = true},
        .callback = count,
        .flags = STA_CALLBACK_GENERAL_REGS,
    };
    struct sta *sta;

    if (sta_new(&sta, NULL) < 0 || sta_attach_with(sta, &options) < 0 ||
        sta_transform_install(sta, NULL) < 0)
        return EXIT_FAILURE;
    getppid();
    return seen ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The number behind a name in a file of /proc/self; in KiB. */
static long field(const char *path, const char *name)
{
    FILE *file = fopen(path, "r");
    char line[256];
    long kib = -1;

    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtol(line + strlen(name), NULL, 10);
    if (file)
        fclose(file);
    return kib;
}

/* The second time, what reading it takes is there. */
static long resident(void)
{
    field("/proc/self/smaps_rollup", "Rss:");
    return field("/proc/self/smaps_rollup", "Rss:");
}

static int tell_memory(void)
{
    long before, peak_before, after, peak;

    field("/proc/self/status", "VmHWM:");
    before = resident();
    peak_before = field("/proc/self/status", "VmHWM:");
    if (install() != EXIT_SUCCESS)
        return EXIT_FAILURE;
    after = resident();
    peak = field("/proc/self/status", "VmHWM:");
    if (before < 0 || after < 0 || peak < 0)
        return EXIT_FAILURE;
    printf("%ld %ld\n", after - before, peak - peak_before);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";

    if (strcmp(what, "native") == 0)
        return EXIT_SUCCESS;
    if (strcmp(what, "install") == 0)
        return install();
    if (strcmp(what, "memory") == 0)
        return tell_memory();
    return 2;
}
