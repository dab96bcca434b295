/* SPDX-License-Identifier: MIT */
/*
 * Threads that were there before the library was installed, and threads that were created later:
 * each one's calls reach the callback, which runs on the thread that makes the call and so can
 * count in a thread-local variable.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <sta.h>

#define THREADS 3 /* before, and as many after */

static __thread unsigned seen;

static int count(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    seen++;
    return 0;
}

static void claim(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "hook_threads: it is not true that %s\n", what);
    exit(EXIT_FAILURE);
}

static pthread_barrier_t started, installed;

struct worker {
    pthread_t thread;
    int number;      /* it makes 10 times as many calls, before the library is there and after */
    bool from_start; /* it was created before */
    unsigned seen_before, seen_after;
};

static void make_calls(int times)
{
    for (int i = 0; i < times; i++)
        syscall(SYS_getppid);
}

static void *work(void *data)
{
    struct worker *worker = data;

    if (worker->from_start) {
        make_calls(10 * worker->number);
        worker->seen_before = seen;
        pthread_barrier_wait(&started);
        pthread_barrier_wait(&installed);
    }
    make_calls(10 * worker->number);
    worker->seen_after = seen;
    return NULL;
}

static void create(struct worker *worker, int number, bool from_start)
{
    *worker = (struct worker){.number = number, .from_start = from_start};
    claim(pthread_create(&worker->thread, NULL, work, worker) == 0, "a thread can be created");
}

static void finish(struct worker *worker)
{
    pthread_join(worker->thread, NULL);
    printf("   thread %d, created %-7s  seen before %u, after %u\n", worker->number,
           worker->from_start ? "before:" : "after:", worker->seen_before, worker->seen_after);
    claim(worker->seen_before == 0, "nothing is seen before the library is installed");
    claim(worker->seen_after == 10u * (unsigned)worker->number, "each call is seen after that");
}

int main(void)
{
    const struct sta_target target = {SYS_getppid, true};
    struct worker workers[2 * THREADS];
    struct sta *sta;

    pthread_barrier_init(&started, NULL, THREADS + 1);
    pthread_barrier_init(&installed, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        create(&workers[i], i + 1, true);
    pthread_barrier_wait(&started);

    claim(sta_new(&sta, NULL) == 0 && sta_attach(sta, &target, count, NULL) > 0 &&
              sta_transform_install(sta, NULL) == 0,
          "the library can be installed");
    printf("Installed with %d threads there, %d more are created\n", THREADS, THREADS);
    pthread_barrier_wait(&installed);
    for (int i = THREADS; i < 2 * THREADS; i++)
        create(&workers[i], i + 1, false);
    for (int i = 0; i < 2 * THREADS; i++)
        finish(&workers[i]);
    claim(seen == 0, "the main thread made no such call");

    sta_free(sta);
    printf("Each thread's calls were seen.\n");
    return EXIT_SUCCESS;
}
