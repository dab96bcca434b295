/* SPDX-License-Identifier: MIT */
#include "base/grace.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/gate.h"
#include "base/memory.h"
#include "base/quiesce.h"

/* Waiting: first hot, then giving up the processor, then asleep. */
#define SPINS    200
#define YIELDS   50
#define SLEEP_NS 50000
/* Sleeps between two looks at whether the section was left by a longjmp or with its thread. */
#define SLEEPS_PER_LOOK 64

static struct sta__reader_pool *pool_of_process(void)
{
    return atomic_load_explicit(&sta__readers, memory_order_acquire);
}

static void reset_pool_in_child(void)
{
    struct sta__reader_pool *pool = pool_of_process();
    uint32_t count = atomic_load_explicit(&pool->count, memory_order_relaxed);

    memset(pool, 0, offsetof(struct sta__reader_pool, readers[count]));
}

/* Idempotent. */
static void register_membarrier(const struct sta__log *log)
{
    int64_t err = STA__RAW3(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);

    if (err == 0)
        return;
    sta__log(log, STA_LOG_INFO, "no membarrier here (%s): each dispatch runs a barrier of its own",
             strerror((int)-err));
    atomic_fetch_or_explicit(&sta__epoch, STA__EPOCH_FENCE, memory_order_seq_cst);
}

static int wipe_on_fork(struct sta__reader_pool *pool, const struct sta__log *log)
{
    int64_t err = STA__RAW3(SYS_madvise, pool, sizeof(*pool), MADV_WIPEONFORK);

    if (err == 0)
        return 0;
    /* Linux before 4.14. fork() at least can be noticed. */
    sta__log(log, STA_LOG_INFO, "no MADV_WIPEONFORK here (%s): forks are noticed by pthread_atfork",
             strerror((int)-err));
    return -pthread_atfork(NULL, NULL, reset_pool_in_child);
}

/* Without a lock: if two threads come here at the same time, one pool is superfluous. */
int sta__readers_init(const struct sta__log *log)
{
    struct sta__reader_pool *pool, *none = NULL;
    int64_t address;

    if (pool_of_process())
        return 0;
    address = STA__RAW6(SYS_mmap, 0, sizeof(*pool), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (address < 0) {
        sta__log(log, STA_LOG_ERROR, "no memory for the %zu bytes of thread records: %s",
                 sizeof(*pool), strerror((int)-address));
        return (int)address;
    }
    pool = (struct sta__reader_pool *)address;
    atomic_init(&pool->pid, (int)STA__RAW0(SYS_getpid));
    register_membarrier(log);
    /* Release: who sees the pool runs the barriers that it needs. */
    if (!atomic_compare_exchange_strong_explicit(&sta__readers, &none, pool, memory_order_release,
                                                 memory_order_relaxed)) {
        STA__RAW2(SYS_munmap, pool, sizeof(*pool));
        return 0;
    }
    return wipe_on_fork(pool, log);
}

static void sleep_ns(long ns)
{
    struct timespec time = {.tv_nsec = ns};

    STA__RAW2(SYS_nanosleep, &time, 0);
}

/* Whether all readers are known to see STA__EPOCH_FENCE where it is set. */
static _Atomic bool fence_is_seen;

static void wait_until_fence_is_seen(void)
{
    if (atomic_load_explicit(&fence_is_seen, memory_order_acquire))
        return;
    /* Readers that do not yet see the flag have their stores in a store buffer at most, and no
     * buffer keeps a store for milliseconds. */
    sleep_ns(10 * 1000 * 1000);
    atomic_store_explicit(&fence_is_seen, true, memory_order_release);
}

/* A full barrier on every thread of the process. Pairs with the signal fence in sta__section_enter:
 * each section entered before shows in `state`, each entered after sees what was published. */
static void barrier_everywhere(void)
{
    int64_t err = 0;

    sta__full_barrier();
    if (atomic_load_explicit(&sta__epoch, memory_order_relaxed) & STA__EPOCH_FENCE) {
        wait_until_fence_is_seen();
        return;
    }
    err = STA__RAW3(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    if (err == -EPERM) { /* a registration does not outlast execve, and need not outlast fork */
        STA__RAW3(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
        err = STA__RAW3(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    }
    if (err == 0)
        return;
    /* Refused from now on, by a seccomp filter say. */
    atomic_fetch_or_explicit(&sta__epoch, STA__EPOCH_FENCE, memory_order_seq_cst);
    wait_until_fence_is_seen();
}

/* Whether the section's frame is still on its thread's stack, which may itself be gone. */
static bool frame_is_intact(uint64_t state)
{
    const void *frame = (const void *)(uintptr_t)(state >> STA__EPOCH_BITS << 4);
    uint64_t token;
    int err = sta__memory_read_checked(&token, frame, sizeof(token));

    return err == 0 ? token == state : err != -EFAULT;
}

/* Whether `reader` waits, perhaps by way of others, for `self`. */
static bool waits_for(struct sta__reader *reader, const struct sta__reader *self)
{
    for (int depth = 0; reader && depth < 64; depth++) {
        if (reader == self)
            return true;
        reader = atomic_load_explicit(&reader->waits_for, memory_order_acquire);
    }
    return false;
}

static void back_off(unsigned round)
{
    if (round < SPINS)
        __builtin_ia32_pause();
    else if (round < SPINS + YIELDS)
        STA__RAW0(SYS_sched_yield);
    else
        sleep_ns(SLEEP_NS);
}

/* Waits until `reader` has left the section it is in. `self` is the caller's record if the caller
 * is in a section itself, else NULL. False if both wait for each other. */
static bool wait_for(struct sta__reader *reader, struct sta__reader *self)
{
    uint64_t state = atomic_load_explicit(&reader->state, memory_order_acquire);
    bool over = true;

    if (state == 0)
        return true;
    if (self)
        atomic_store_explicit(&self->waits_for, reader, memory_order_seq_cst);
    /* Acquire: pairs with the release store that leaves the section. */
    for (unsigned round = 0; atomic_load_explicit(&reader->state, memory_order_acquire) == state;
         round++) {
        if (self && waits_for(reader, self)) {
            over = false;
            break;
        }
        if (round > SPINS + YIELDS && round % SLEEPS_PER_LOOK == 0 && !frame_is_intact(state)) {
            /* It may have been left in the regular way just now: acquire, as above. */
            (void)atomic_load_explicit(&reader->state, memory_order_acquire);
            break;
        }
        back_off(round);
    }
    if (self)
        atomic_store_explicit(&self->waits_for, NULL, memory_order_release);
    return over;
}

/* Not a plain increment: it must not run over into the flag. */
static void next_epoch(void)
{
    uint64_t epoch = atomic_load_explicit(&sta__epoch, memory_order_relaxed);
    uint64_t next;

    do
        next = (epoch & STA__EPOCH_FENCE) | ((epoch + 1) & STA__EPOCH_COUNT_MASK);
    while (!atomic_compare_exchange_weak_explicit(&sta__epoch, &epoch, next, memory_order_relaxed,
                                                  memory_order_relaxed));
}

enum sta__grace sta__grace_wait(void)
{
    struct sta__reader *own = sta__self.reader;
    struct sta__reader *inside = sta__section_current(__builtin_frame_address(0)) ? own : NULL;
    enum sta__grace result = inside ? STA__GRACE_INSIDE : STA__GRACE_OVER;
    struct sta__reader_pool *pool = pool_of_process();
    uint32_t count;

    /* Sections entered from now on differ from those found in the same place below. */
    next_epoch();
    barrier_everywhere();
    count = atomic_load_explicit(&pool->count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        struct sta__reader *reader = &pool->readers[i];

        if (reader != own && !wait_for(reader, inside))
            result = STA__GRACE_DEADLOCK;
    }
    return result;
}
