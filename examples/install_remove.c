/* SPDX-License-Identifier: MIT */
/*
 * A host that looks at itself for a moment, again and again, and then is as it was: the library is
 * installed and removed while threads call, and afterwards no byte of the program's code or of
 * libc's differs.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <sta.h>

#define WORKERS 3
#define ROUNDS  10

static void claim(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "install_remove: it is not true that %s\n", what);
    exit(EXIT_FAILURE);
}

/* The load. */

static atomic_bool stop;
static atomic_ulong made;

static void *work(void *unused)
{
    const pid_t parent = getppid();

    for (; !atomic_load(&stop); atomic_fetch_add(&made, 1))
        claim(getppid() == parent, "a call gives what it should at any moment");
    return unused;
}

/* All code of the process, added up (FNV-1a): ranges and their bytes. */
static unsigned long sum_of_code(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    unsigned long sum = 0xcbf29ce484222325, start, end;
    char line[512];

    claim(maps != NULL, "/proc is there");
    while (fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx r-xp", &start, &end) != 2 || !strstr(line, " r-xp "))
            continue;
        if (!strchr(line, '/') && !strstr(line, "[vdso]")) /* the library's own, for now */
            continue;
        for (const unsigned char *at = (void *)start; at < (unsigned char *)end; at++)
            sum = (sum ^ *at) * 0x100000001b3;
    }
    fclose(maps);
    return sum;
}

/* The look. */

static int count(void *ctx, size_t ctx_size, uint64_t *ret, void *seen)
{
    (void)ctx, (void)ctx_size, (void)ret;
    atomic_fetch_add((atomic_ulong *)seen, 1);
    return 0;
}

/* Returns how many calls of the workers were seen. */
static unsigned long look(struct sta *sta, atomic_ulong *seen)
{
    unsigned long before = atomic_load(seen), end;

    claim(sta_transform_install(sta, NULL) == 0, "the library can be installed");
    while (atomic_load(seen) < before + 1000)
        usleep(1000);
    claim(sta_transform_remove(sta) == 0, "and removed");
    end = atomic_load(seen);
    usleep(1000);
    claim(atomic_load(seen) == end, "nothing is seen after that");
    return end - before;
}

int main(void)
{
    const struct sta_target target = {SYS_getppid, true};
    unsigned long code = 0, calls;
    pthread_t threads[WORKERS];
    atomic_ulong seen = 0;
    struct sta *sta;

    claim(sta_new(&sta, NULL) == 0 && sta_attach(sta, &target, count, &seen) > 0,
          "a callback can be attached");
    for (int i = 0; i < WORKERS; i++)
        claim(pthread_create(&threads[i], NULL, work, NULL) == 0, "a thread can be created");
    code = sum_of_code();
    for (int i = 1; i <= ROUNDS; i++) {
        calls = atomic_load(&made);
        printf("   %2d  %lu calls seen", i, look(sta, &seen));
        claim(sum_of_code() == code, "the code is as it was");
        claim(atomic_load(&made) > calls, "the threads go on");
        printf(", code as before\n");
    }
    atomic_store(&stop, true);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    sta_free(sta);
    printf("Installed and removed %d times under load.\n", ROUNDS);
    return EXIT_SUCCESS;
}
