/* SPDX-License-Identifier: MIT */
/* See modes.h. */
#include "modes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROOF_CALLS    50   /* made to find out whether they are seen */
#define STACK_NEAR     8192 /* bytes within which a callback is on the stack of the call */
#define OTHER_EVENT    "syscalls:sys_enter_getpgrp"
#define OTHER_EVENT_NR SYS_getpgrp

/* libsta */

static void keep_reason(void *log_data, enum sta_log_level level, const char *message)
{
    struct mode *mode = log_data;

    if (level == STA_LOG_ERROR)
        snprintf(mode->why_not, sizeof(mode->why_not), "%s", message);
}

GENERAL_REGS static int answer(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret;
    return sta_override_return(*(const int64_t *)user_data);
}

/* Syscall User Dispatch is on, too, where it was asked for: without a proof, it would cost nothing.
 */
static bool is_armed(const struct mode *mode)
{
    struct sta_transform_report report = {.size = sizeof(report)};

    must(sta_transform_report(mode->sta, &report), "sta_transform_report");
    return !(mode->flags & STA_TRANSFORM_EXHAUSTIVE) || report.threads > 0;
}

/* How far a callback's stack is from that of the call. */
GENERAL_REGS static int measure_distance(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    uintptr_t *distance = user_data, here = (uintptr_t)__builtin_frame_address(0);

    (void)ctx, (void)ctx_size, (void)ret;
    *distance = here > *distance ? here - *distance : *distance - here;
    return 0;
}

/* Callbacks run on a stack of their own where that was asked for. */
static bool is_apart(const struct mode *mode)
{
    uintptr_t distance = (uintptr_t)__builtin_frame_address(0);
    int id;

    if (!(mode->flags & STA_TRANSFORM_PRIVATE_STACK))
        return true;
    id = attach_callback(mode->sta, calls[0].sys_nr, true, measure_distance, &distance,
                         STA_CALLBACK_GENERAL_REGS);
    calls[0].loop(1);
    prove_ran(mode->sta, id, 1, mode->name);
    must(sta_detach(mode->sta, id), "sta_detach");
    return distance > STACK_NEAR;
}

static int refuse(struct mode *mode, const char *why)
{
    if (!mode->why_not[0])
        snprintf(mode->why_not, sizeof(mode->why_not), "%s", why);
    return -ENOTSUP;
}

static int install(struct mode *mode)
{
    struct sta_options registry = {.size = sizeof(registry), .log = keep_reason, .log_data = mode};
    struct sta_transform_options transform = {
        .size = sizeof(transform),
        .method = mode->method,
        .flags = mode->flags,
    };
    int err;

    if (!mode->sta)
        must(sta_new(&mode->sta, &registry), "sta_new");
    err = sta_transform_install(mode->sta, &transform);
    if (err < 0)
        return refuse(mode, strerror(-err));
    if (is_armed(mode) && is_apart(mode))
        return 0;
    err = refuse(mode, is_armed(mode) ? "callbacks run on the application's stack"
                                      : "Syscall User Dispatch is not armed");
    sta_transform_remove(mode->sta);
    return err;
}

static void attach(struct mode *mode, const struct call *call)
{
    unsigned flags = mode->is_plain ? 0 : STA_CALLBACK_GENERAL_REGS;

    for (int i = 0; i < mode->enters + mode->exits; i++)
        mode->ids[i] =
            attach_callback(mode->sta, call->sys_nr, i < mode->enters,
                            mode->answers ? answer : empty_callback, (void *)&call->result, flags);
}

/* Where nothing is attached there is no other proof that calls would be seen. */
static const char *name_of(const struct mode *mode, const struct call *call)
{
    static char name[128];

    snprintf(name, sizeof(name), "%s, %s", call->name, mode->name);
    return name;
}

static void prove_attachable(struct mode *mode, const struct call *call)
{
    int id = attach_callback(mode->sta, call->sys_nr, true, empty_callback, NULL,
                             STA_CALLBACK_GENERAL_REGS);

    call->loop(PROOF_CALLS);
    prove_ran(mode->sta, id, PROOF_CALLS, name_of(mode, call));
    must(sta_detach(mode->sta, id), "sta_detach");
}

static void detach(struct mode *mode, const struct call *call, uint64_t n)
{
    int count = mode->enters + mode->exits;

    for (int i = 0; i < count; i++) {
        prove_ran(mode->sta, mode->ids[i], n, name_of(mode, call));
        must(sta_detach(mode->sta, mode->ids[i]), "sta_detach");
    }
    if (count == 0)
        prove_attachable(mode, call);
}

static void remove_transformer(struct mode *mode)
{
    must(sta_transform_remove(mode->sta), "sta_transform_remove");
}

static const struct technique libsta = {false, install, attach, detach, remove_transformer};

/* The kernel's tracepoints */

static const char *event_of(const struct mode *mode, const struct call *call, int i)
{
    if (mode->is_other)
        return OTHER_EVENT;
    return i == 0 ? call->enter_event : call->exit_event;
}

static int begin_probes(struct mode *mode)
{
    int event;

    if (mode->program > 0)
        return 0;
    mode->program = probe_load_empty(mode->type);
    event = mode->program < 0 ? mode->program
                              : probe_attach(mode->type, mode->program, event_of(mode, calls, 0));
    if (event < 0) {
        snprintf(mode->why_not, sizeof(mode->why_not), "%s: %s",
                 mode->program < 0 ? "bpf(2)" : event_of(mode, calls, 0), strerror(-event));
        return event;
    }
    close(event);
    return 0;
}

/* A program that counts, at an event. */
struct counter {
    int program, map, event;
    uint64_t before;
};

static uint64_t count_of(const struct counter *counter)
{
    uint64_t count = 0;

    must(probe_read_count(counter->map, &count), "a program's count");
    return count;
}

static void prove_count(const struct counter *counter, const char *event)
{
    uint64_t count = count_of(counter) - counter->before;
    char why[64];

    if (count == PROOF_CALLS)
        return;
    snprintf(why, sizeof(why), "its program ran %llu times for %d calls", (unsigned long long)count,
             PROOF_CALLS);
    die(event, why);
}

static void make_proof_calls(const struct mode *mode, const struct call *call)
{
    if (!mode->is_other) {
        call->loop(PROOF_CALLS);
        return;
    }
    for (int i = 0; i < PROOF_CALLS; i++)
        syscall(OTHER_EVENT_NR);
}

/* The empty programs cannot tell that they run, so the same is done once with ones that count.
 * (Attaching the second makes calls that the first may see.) */
static void prove_probed(const struct mode *mode, const struct call *call)
{
    int nr = mode->is_other ? OTHER_EVENT_NR : call->sys_nr;
    struct counter counters[MODE_PROBES];

    for (int i = 0; i < mode->probes; i++) {
        struct counter *counter = &counters[i];

        counter->program = must(probe_load_counting(mode->type, nr, &counter->map), "a program");
        counter->event = must(probe_attach(mode->type, counter->program, event_of(mode, call, i)),
                              event_of(mode, call, i));
    }
    for (int i = 0; i < mode->probes; i++)
        counters[i].before = count_of(&counters[i]);
    make_proof_calls(mode, call);
    for (int i = 0; i < mode->probes; i++)
        prove_count(&counters[i], event_of(mode, call, i));
    for (int i = 0; i < mode->probes; i++) {
        close(counters[i].event);
        close(counters[i].program);
        close(counters[i].map);
    }
}

static void attach_probes(struct mode *mode, const struct call *call)
{
    if (!mode->is_proved[call - calls])
        prove_probed(mode, call);
    mode->is_proved[call - calls] = true;
    for (int i = 0; i < mode->probes; i++)
        mode->events[i] =
            must(probe_attach(mode->type, mode->program, event_of(mode, call, i)), mode->name);
}

static void detach_probes(struct mode *mode, const struct call *call, uint64_t n)
{
    (void)call, (void)n;
    for (int i = 0; i < mode->probes; i++)
        close(mode->events[i]);
}

static void end_probes(struct mode *mode)
{
    (void)mode;
}

static const struct technique kernel = {true, begin_probes, attach_probes, detach_probes,
                                        end_probes};

#define REWRITING      .technique = &libsta, .method = STA_METHOD_REWRITE
#define SUD            .technique = &libsta, .method = STA_METHOD_SUD
#define TRACEPOINT     .technique = &kernel, .type = PROBE_TRACEPOINT
#define RAW_TRACEPOINT .technique = &kernel, .type = PROBE_RAW

/* clang-format off */
struct mode modes[] = {
    {.name = "Rewriting"},
    {.name = "nothing attached", REWRITING, .goal = 2},
    {.name = "1 enter", REWRITING, .enters = 1, .goal = 8},
    {.name = "1 enter + 1 exit", REWRITING, .enters = 1, .exits = 1, .goal = 12},
    {.name = "1 enter that answers (no real call)", REWRITING, .enters = 1, .answers = true, .goal = 6},
    {.name = "8 enter", REWRITING, .enters = 8},
    {.name = "1 enter, plain callback", REWRITING, .enters = 1, .is_plain = true, .goal = 20},
    {.name = "1 enter, plain callback, AVX in use", REWRITING, .enters = 1, .is_plain = true, .with_vectors = true, .goal = 20},
    {.name = "1 enter, private stack", REWRITING, .flags = STA_TRANSFORM_PRIVATE_STACK, .enters = 1},
    {.name = "exhaustive, nothing attached", REWRITING, .flags = STA_TRANSFORM_EXHAUSTIVE},
    {.name = "exhaustive, 1 enter", REWRITING, .flags = STA_TRANSFORM_EXHAUSTIVE, .enters = 1},
    {.name = "Syscall User Dispatch"},
    {.name = "nothing attached", SUD},
    {.name = "1 enter + 1 exit", SUD, .enters = 1, .exits = 1},
    {.name = "The kernel's tracepoints"},
    {.name = "another call's tracepoint is on", TRACEPOINT, .is_other = true, .probes = 1},
    {.name = "1 enter, raw tracepoint", RAW_TRACEPOINT, .probes = 1},
    {.name = "1 enter", TRACEPOINT, .probes = 1},
    {.name = "1 enter + 1 exit", TRACEPOINT, .probes = 2},
};
/* clang-format on */

const size_t mode_count = sizeof(modes) / sizeof(*modes);
