/* SPDX-License-Identifier: MIT */
/*
 * See counts.h. On the dispatch path: general registers only, no libc, no system call but through
 * the gate.
 *
 * The table is a mapping that the kernel wipes in a forked child. Each thread counts in a stripe of
 * its own, as attachments do (base/stripe.h).
 */
#include "agent/counts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "agent/output.h"
#include "agent/report.h"
#include "attach/dispatch.h"
#include "base/gate.h"
#include "base/quiesce.h"
#include "base/stripe.h"
#include "transform/exec.h"

/* The last one is for all numbers without a place of their own. */
#define ROW_COUNT (STA_SYSCALL_LIMIT + 1)

struct row {
    _Atomic uint64_t calls, errors;
};

struct written {
    uint64_t calls, errors;
};

static struct table {
    /* Whose calls these are: 0 until the first one. Tells a child that shares the memory. */
    _Atomic int pid;
    struct written written[ROW_COUNT]; /* under the output's lock */
    struct row rows[STA__STRIPE_COUNT][ROW_COUNT];
} * table;

static bool is_counting;
static bool counted[ROW_COUNT];

static unsigned row_of(long sys_nr)
{
    return sys_nr >= 0 && sys_nr < STA_SYSCALL_LIMIT ? (unsigned)sys_nr : ROW_COUNT - 1;
}

static uint32_t own_stripe(void)
{
    return sta__self.reader->stripe;
}

/* The first event of a process is its own: a forked child's is the exit of the fork. */
static bool is_ours(void)
{
    int pid = (int)STA__RAW0(SYS_getpid);
    int owner = 0;

    /* Relaxed: who shares the memory without being a thread of the process begins later. */
    return atomic_compare_exchange_strong_explicit(&table->pid, &owner, pid, memory_order_relaxed,
                                                   memory_order_relaxed) ||
           owner == pid;
}

static void claim_table(void)
{
    if (sta__unlikely(atomic_load_explicit(&table->pid, memory_order_relaxed) == 0))
        is_ours();
}

/* --- Writing the table --- */

static struct written total(unsigned row)
{
    struct written sum = {0, 0};

    for (unsigned stripe = 0; stripe < STA__STRIPE_COUNT; stripe++) {
        const struct row *counts = &table->rows[stripe][row];

        sum.calls += atomic_load_explicit(&counts->calls, memory_order_relaxed);
        sum.errors += atomic_load_explicit(&counts->errors, memory_order_relaxed);
    }
    return sum;
}

static void add_row(uint64_t calls, uint64_t errors, const char *name)
{
    sta__agent_add_number(calls, 10);
    sta__agent_add_number(errors, 10);
    sta__agent_add("  ");
    sta__agent_add(name);
    sta__agent_add("\n");
}

static void add_call(unsigned row, uint64_t calls, uint64_t errors)
{
    const char *name = row < STA_SYSCALL_LIMIT ? sta_syscall_name((int)row) : "(unknown)";

    add_row(calls, errors, name ? name : "(unnamed)");
}

static void add_rows(void)
{
    uint64_t calls = 0, errors = 0;

    for (unsigned row = 0; row < ROW_COUNT; row++) {
        struct written now = total(row), *before = &table->written[row];
        uint64_t new_calls = now.calls - before->calls;
        uint64_t new_errors = now.errors - before->errors;

        /* Member by member: see attach/dispatch.c. */
        before->calls = now.calls;
        before->errors = now.errors;
        if (!new_calls && !new_errors)
            continue;
        add_call(row, new_calls, new_errors);
        calls += new_calls;
        errors += new_errors;
    }
    add_row(calls, errors, "total");
}

static void write_table(const char *why, const char *object)
{
    struct sta__agent_text text;

    if (!sta__agent_begin(&text))
        return;
    sta__agent_add_head();
    sta__agent_add(why);
    if (object)
        sta__agent_add(object);
    sta__agent_add("\n     calls    errors  call\n");
    add_rows();
    sta__agent_end(&text);
}

void sta__agent_write(const char *why, const char *object)
{
    if (!table || !is_ours())
        return;
    if (is_counting)
        write_table(why, object);
    sta__agent_write_report();
}

/* --- What ends a count --- */

/* A thread ends that no other thread is left beside: of a program that does not use exit_group. */
static bool is_last_thread(void)
{
    struct stat stat;

    return STA__RAW4(SYS_newfstatat, AT_FDCWD, "/proc/self/task", &stat, 0) == 0 &&
           stat.st_nlink == 3; /* ".", the parent's entry for it, and one thread */
}

/* Libraries ask with a NULL filter what the kernel can do. */
static bool sets_filter(const struct sta_sys_enter *event)
{
    if (event->id == SYS_prctl)
        return event->args[0] == PR_SET_SECCOMP &&
               (event->args[1] != SECCOMP_MODE_FILTER || event->args[2]);
    return event->args[0] == SECCOMP_SET_MODE_STRICT ||
           (event->args[0] == SECCOMP_SET_MODE_FILTER && event->args[2]);
}

/* Under a filter that was not made with us in mind, a call of ours may be the process's end.
 * Relaxed, as it is about the thread's own next calls; but what sta__exec_follow points to was
 * written before. */
static void keep_still(bool still)
{
    static _Atomic(const struct sta__exec_follow *) follow;
    static _Atomic unsigned filters; /* that are set, or about to be */

    if (still && atomic_fetch_add_explicit(&filters, 1, memory_order_relaxed) == 0) {
        sta__agent_output_mute(true);
        atomic_store_explicit(
            &follow, atomic_exchange_explicit(&sta__exec_follow, NULL, memory_order_acquire),
            memory_order_relaxed);
    }
    if (!still && atomic_fetch_sub_explicit(&filters, 1, memory_order_relaxed) == 1) {
        atomic_store_explicit(&sta__exec_follow,
                              atomic_load_explicit(&follow, memory_order_relaxed),
                              memory_order_release);
        sta__agent_output_mute(false);
    }
}

/* Not inlined: what it needs of the stack, only these calls pay. */
static STA__NOINLINE void before_call(const struct sta_sys_enter *event)
{
    switch (event->id) {
    case SYS_exit_group:
        sta__agent_write("exit_group", NULL);
        break;
    case SYS_exit:
        if (is_last_thread())
            sta__agent_write("exit", NULL);
        break;
    case SYS_prctl:
    case SYS_seccomp:
        if (!sets_filter(event))
            break;
        sta__agent_write("seccomp", NULL);
        keep_still(true);
        break;
    default:
        break;
    }
}

static STA__NOINLINE void after_call(const struct sta_sys_exit *event)
{
    struct sta_sys_enter entered;
    const unsigned long *args;

    if ((event->id != SYS_prctl && event->id != SYS_seccomp) || event->ret >= 0)
        return;
    args = sta_current_args();
    entered.id = event->id;
    for (unsigned i = 0; i < 3; i++)
        entered.args[i] = args[i];
    if (sets_filter(&entered))
        keep_still(false);
}

/* --- Callbacks --- */

static int on_enter(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    const struct sta_sys_enter *event = ctx;
    unsigned row = row_of(event->id);
    uint32_t stripe = own_stripe();

    (void)ctx_size, (void)ret, (void)user_data;
    claim_table();
    if (counted[row])
        sta__count(&table->rows[stripe][row].calls, stripe);
    before_call(event);
    return 0;
}

static int on_exit_(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    const struct sta_sys_exit *event = ctx;
    unsigned row = row_of(event->id);
    uint32_t stripe = own_stripe();

    (void)ctx_size, (void)ret, (void)user_data;
    claim_table();
    if (event->ret < 0 && event->ret >= -4095 && counted[row])
        sta__count(&table->rows[stripe][row].errors, stripe);
    after_call(event);
    return 0;
}

/* --- Attaching --- */

/* Needed for the bookkeeping, counted or not. */
static const int needed_calls[] = {
    SYS_exit, SYS_exit_group, SYS_prctl, SYS_seccomp, SYS_fork, SYS_vfork, SYS_clone, SYS_clone3,
};

static int attach(struct sta *sta, int sys_nr)
{
    struct sta_attach_options options = {
        .size = sizeof(options),
        .target = {.sys_nr = sys_nr, .is_enter = true},
        .callback = on_enter,
        .flags = STA_CALLBACK_GENERAL_REGS,
        .name = "sta-agent count",
    };
    int err = sta_attach_with(sta, &options);

    if (err < 0)
        return err;
    options.target.is_enter = false;
    options.callback = on_exit_;
    return sta_attach_with(sta, &options);
}

static bool is_needed(int sys_nr)
{
    for (unsigned i = 0; i < sizeof(needed_calls) / sizeof(*needed_calls); i++)
        if (needed_calls[i] == sys_nr)
            return true;
    return false;
}

static int map_table(void)
{
    int64_t at = STA__RAW6(SYS_mmap, 0, sizeof(*table), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int64_t err;

    if (at < 0)
        return (int)at;
    err = STA__RAW3(SYS_madvise, at, sizeof(*table), MADV_WIPEONFORK);
    if (err < 0) {
        STA__RAW2(SYS_munmap, at, sizeof(*table));
        return (int)err;
    }
    table = (struct table *)at;
    claim_table();
    return 0;
}

int sta__agent_count(struct sta *sta, const struct sta__agent_config *config)
{
    bool all = config->count && config->all;
    int err = map_table();

    is_counting = config->count;
    counted[ROW_COUNT - 1] = all;
    for (int sys_nr = 0; sys_nr < STA_SYSCALL_LIMIT && err >= 0; sys_nr++) {
        counted[sys_nr] = config->count && config->calls[sys_nr];
        if (!all && (counted[sys_nr] || is_needed(sys_nr)))
            err = attach(sta, sys_nr);
    }
    if (all && err >= 0)
        err = attach(sta, STA_ALL_SYSCALLS);
    return err < 0 ? err : 0;
}
