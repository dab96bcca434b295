/* SPDX-License-Identifier: MIT */
/*
 * Counts the system calls of this process with an eBPF object, syscount.bpf.o, which lies beside
 * this program: opened, told whom to count, attached; then its map is read.
 */
#include <sta.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/syscall.h>

static void log_line(void *data, enum sta_log_level level, const char *message)
{
    (void)data;
    if (level == STA_LOG_ERROR)
        fprintf(stderr, "%s\n", message);
}

/* The object beside this program. */
static const char *object_path(char *path, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    const char *suffix = ".bpf.o";

    if (length < 0 || (size_t)length + strlen(suffix) >= size)
        return NULL;
    strcpy(path + length, suffix);
    return path;
}

/* Calls whose numbers are known beforehand. */
static void make_some_calls(void)
{
    for (int i = 0; i < 1000; i++)
        getppid();
    for (int i = 0; i < 10; i++)
        syscall(SYS_sched_yield);
    close(-1);
}

static int by_count(const void *a, const void *b)
{
    const long *x = a, *y = b;

    return x[1] != y[1] ? (x[1] < y[1] ? 1 : -1) : (x[0] > y[0]) - (x[0] < y[0]);
}

static void print_counts(struct sta_map *counts)
{
    long rows[64][2], key, *last = NULL;
    int count = 0;

    while (count < 64 && sta_map_next_key(counts, last, &key) == 0) {
        rows[count][0] = key;
        if (sta_map_lookup(counts, &key, &rows[count][1], 0) == 0)
            count++;
        last = &key;
    }
    qsort(rows, (size_t)count, sizeof(rows[0]), by_count);
    for (int i = 0; i < count; i++)
        printf("%8ld  %s\n", rows[i][1], sta_syscall_name((int)rows[i][0]));
}

int main(void)
{
    const struct sta_options options = {sizeof(options), log_line, NULL};
    struct sta_object *object;
    struct sta *sta;
    char path[4096];

    if (sta_new(&sta, &options) < 0 || !object_path(path, sizeof(path)) ||
        sta_object_open(&object, sta, path) < 0)
        return 1;
    *(int *)sta_object_global(object, "target_pid", NULL) = getpid();
    if (sta_object_load(object) < 0 || sta_transform_install(sta, NULL) < 0 ||
        sta_object_attach(object) < 0)
        return 1;
    make_some_calls();
    sta_object_detach(object);
    print_counts(sta_object_map(object, "counts"));
    sta_object_close(object);
    sta_free(sta);
    return 0;
}
