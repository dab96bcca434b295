/* SPDX-License-Identifier: MIT */
/*
 * Uses the gate instead of libc: while this runs, system calls of the caller are being intercepted,
 * and these are not the application's.
 */
#include "transform/notices.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/gate.h"
#include "base/memory.h"

/* Threads that can be told; those past it are left alone. */
#define SLOT_MAX 65536

#define POLL_NS (100 * 1000)
/* A thread that blocks the signal and sleeps will go on doing so; one that runs is perhaps just
 * about to create a thread or to end. */
#define POLLS_IF_ASLEEP  100
#define POLLS_IF_RUNNING 1000
#define POLLS_MAX        10000

/* State of a slot. SENDING: the signal may or may not be queued. AGAIN: a later round began before
 * the answer, which may have been for the earlier one. */
enum { ANSWERED, SENDING, WAITING, AGAIN, SPARED };

struct slot {
    int tid;   /* 0: free */
    int round; /* in which the thread was last looked at */
    _Atomic int state;
};

static struct {
    struct slot *slots; /* NULL until sta__notices_init() */
    _Atomic unsigned count;
    _Atomic bool sending; /* a round is under way */
    int round;
} table;

int sta__notices_init(void)
{
    void *slots;

    if (table.slots)
        return 0;
    slots = mmap(NULL, SLOT_MAX * sizeof(struct slot), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slots == MAP_FAILED)
        return -ENOMEM;
    table.slots = slots;
    return 0;
}

static unsigned slot_count(void)
{
    return atomic_load_explicit(&table.count, memory_order_relaxed);
}

static struct slot *slot_of(int tid)
{
    struct slot *vacant = NULL;

    for (unsigned i = 0; i < slot_count(); i++) {
        if (table.slots[i].tid == tid)
            return &table.slots[i];
        if (table.slots[i].tid == 0)
            vacant = &table.slots[i];
    }
    if (!vacant && slot_count() < SLOT_MAX)
        vacant = &table.slots[atomic_fetch_add_explicit(&table.count, 1, memory_order_relaxed)];
    if (vacant) {
        vacant->tid = tid;
        vacant->round = table.round - 1;
        atomic_store_explicit(&vacant->state, ANSWERED, memory_order_relaxed);
    }
    return vacant;
}

static int state_of(const struct slot *slot)
{
    /* Acquire: what the thread did before it answered is seen. */
    return atomic_load_explicit(&slot->state, memory_order_acquire);
}

static void set_state(struct slot *slot, int state)
{
    atomic_store_explicit(&slot->state, state, memory_order_release);
}

/* Reads a small file below /proc/self/task/<tid>/. False: there is no such thread any more. */
static bool read_task_file(int tid, const char *name, char *text, size_t size)
{
    char path[64];
    int64_t fd, got;

    snprintf(path, sizeof(path), "/proc/self/task/%d/%s", tid, name);
    text[0] = '\0';
    fd = STA__RAW4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd != -ENOENT && fd != -ESRCH;
    got = STA__RAW3(SYS_read, fd, text, size - 1);
    STA__RAW1(SYS_close, fd);
    text[got > 0 ? got : 0] = '\0';
    return got != -ESRCH;
}

static bool mask_has(const char *status, const char *field, int signal)
{
    const char *line = strstr(status, field);

    return line && (strtoull(line + strlen(field), NULL, 16) >> (signal - 1) & 1);
}

/* Whether the thread is in rt_sigtimedwait for this signal. */
static bool sigwaits(int tid, int signal)
{
    char text[256], *rest;
    uint64_t set;

    if (!read_task_file(tid, "syscall", text, sizeof(text)) ||
        strtol(text, &rest, 10) != SYS_rt_sigtimedwait || rest == text)
        return false;
    return sta__memory_read(&set, (const void *)(uintptr_t)strtoull(rest, NULL, 16), sizeof(set)) &&
           (set >> (signal - 1) & 1);
}

static void send(struct slot *slot, int signal)
{
    siginfo_t info = {.si_signo = signal, .si_code = SI_QUEUE};
    int sending = SENDING;

    info.si_pid = (int)STA__RAW0(SYS_getpid);
    info.si_uid = (unsigned)STA__RAW0(SYS_getuid);
    info.si_value.sival_ptr = &table;
    info.si_errno = (int)(slot - table.slots);
    if (sigwaits(slot->tid, signal)) {
        set_state(slot, SPARED);
        return;
    }
    /* Before the signal: it may be answered at once. */
    set_state(slot, SENDING);
    switch (STA__RAW4(SYS_rt_tgsigqueueinfo, info.si_pid, slot->tid, signal, &info)) {
    case 0:
        atomic_compare_exchange_strong(&slot->state, &sending, WAITING);
        break;
    case -ESRCH:
        set_state(slot, ANSWERED);
        break;
    default: /* EAGAIN: too many queued signals */
        set_state(slot, SPARED);
        break;
    }
}

/* A notice of an earlier round that is still under way serves for this one, too. False: there is
 * none. */
static bool ask_again(struct slot *slot)
{
    int waiting = WAITING;

    return atomic_compare_exchange_strong(&slot->state, &waiting, AGAIN) || waiting == AGAIN;
}

static unsigned send_to_entries(const char *entries, size_t size, int signal)
{
    int self = (int)STA__RAW0(SYS_gettid);
    unsigned told = 0;

    for (size_t at = 0; at < size;) {
        const struct dirent64 *entry = (const struct dirent64 *)(entries + at);
        int tid = atoi(entry->d_name); /* 0 for . and .. */
        struct slot *slot = tid > 0 && tid != self ? slot_of(tid) : NULL;

        at += entry->d_reclen;
        if (!slot || slot->round == table.round)
            continue;
        slot->round = table.round;
        told++;
        if (!ask_again(slot))
            send(slot, signal);
    }
    return told;
}

/* Returns how many threads were found that had not been told in this round. */
static unsigned send_to_new(int signal)
{
    int fd = (int)STA__RAW4(SYS_openat, AT_FDCWD, "/proc/self/task",
                            O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    char entries[4096] __attribute__((aligned(8)));
    unsigned told = 0;

    if (fd < 0)
        return 0;
    for (;;) {
        int64_t size = STA__RAW3(SYS_getdents64, fd, entries, sizeof(entries));

        if (size <= 0)
            break;
        told += send_to_entries(entries, (size_t)size, signal);
    }
    STA__RAW1(SYS_close, fd);
    return told;
}

/* What threads that have not answered are doing. */
struct silence {
    unsigned spared;  /* were not sent the signal */
    unsigned asleep;  /* block the signal, asleep */
    unsigned running; /* block the signal */
    unsigned late;    /* will answer at any moment */
};

static void look_at(struct slot *slot, int signal, struct silence *silence)
{
    char status[4096];

    if (!read_task_file(slot->tid, "status", status, sizeof(status))) {
        slot->tid = 0;
        set_state(slot, ANSWERED);
    } else if (state_of(slot) == SPARED) {
        silence->spared++;
    } else if (!mask_has(status, "\nSigPnd:", signal) || !mask_has(status, "\nSigBlk:", signal)) {
        silence->late++;
    } else if (strstr(status, "\nState:\tR")) {
        silence->running++;
    } else {
        silence->asleep++;
    }
}

static struct silence look_at_all(int signal)
{
    struct silence silence = {0};

    for (unsigned i = 0; i < slot_count(); i++) {
        if (table.slots[i].tid && state_of(&table.slots[i]) != ANSWERED)
            look_at(&table.slots[i], signal, &silence);
    }
    return silence;
}

static unsigned under_way(const struct silence *silence)
{
    return silence->asleep + silence->running + silence->late;
}

unsigned sta__notices_unanswered(int signal)
{
    const struct silence silence = look_at_all(signal);

    return silence.spared + under_way(&silence);
}

unsigned sta__notices_send(int signal, const struct sta__log *log)
{
    const struct timespec interval = {.tv_nsec = POLL_NS};
    struct silence silence;
    unsigned quiet = 0;

    atomic_store_explicit(&table.sending, true, memory_order_seq_cst);
    table.round++;
    for (unsigned polls = 0;; polls++) {
        bool more = send_to_new(signal) > 0;

        silence = look_at_all(signal);
        quiet = more || silence.late > 0 ? 0 : quiet + 1;
        if (!more && under_way(&silence) == 0)
            break;
        if (polls == POLLS_MAX || quiet > (silence.running ? POLLS_IF_RUNNING : POLLS_IF_ASLEEP))
            break;
        STA__RAW2(SYS_nanosleep, &interval, 0);
    }
    atomic_store_explicit(&table.sending, false, memory_order_relaxed);
    if (under_way(&silence) > 0)
        sta__log(log, STA_LOG_WARN, "%u threads block signal %d: reached when they unblock it",
                 under_way(&silence), signal);
    if (silence.spared > 0)
        sta__log(log, STA_LOG_WARN, "%u threads wait for signal %d themselves: left alone",
                 silence.spared, signal);
    return under_way(&silence);
}

bool sta__notice_is(const siginfo_t *info)
{
    return info->si_code == SI_QUEUE && info->si_value.sival_ptr == &table &&
           (unsigned)info->si_errno < slot_count();
}

static bool answer(struct slot *slot)
{
    int state = state_of(slot);

    while (!atomic_compare_exchange_weak(&slot->state, &state, state == AGAIN ? WAITING : ANSWERED))
        ;
    return state != AGAIN;
}

bool sta__notice_answer(const siginfo_t *info)
{
    return answer(&table.slots[info->si_errno]);
}

static bool is_pending(int signal)
{
    uint64_t pending = 0;

    STA__RAW2(SYS_rt_sigpending, &pending, sizeof(pending));
    return pending >> (signal - 1) & 1;
}

static bool answer_if_lost(struct slot *slot, int signal)
{
    while (state_of(slot) == SENDING)
        STA__RAW0(SYS_sched_yield);
    if ((state_of(slot) != WAITING && state_of(slot) != AGAIN) || is_pending(signal))
        return true;
    return answer(slot);
}

bool sta__notice_answer_lost(int signal)
{
    int self;

    if (!atomic_load_explicit(&table.sending, memory_order_relaxed))
        return true;
    self = (int)STA__RAW0(SYS_gettid);
    for (unsigned i = 0; i < slot_count(); i++) {
        if (table.slots[i].tid == self)
            return answer_if_lost(&table.slots[i], signal);
    }
    return true;
}

void sta__notices_forked(void)
{
    for (unsigned i = 0; i < slot_count(); i++) {
        table.slots[i].tid = 0;
        set_state(&table.slots[i], ANSWERED);
    }
}
