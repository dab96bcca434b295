/* SPDX-License-Identifier: MIT */
/* Attaching programs: like callbacks, but for what they may read. */
#include <errno.h>

#include "attach/registry.h"
#include "base/options.h"
#include "ebpf/program.h"
#include "syscalls/event.h"

#define OPTIONS_FIRST_SIZE offsetof(struct sta_attach_options, cookie)

static size_t whole_context(const struct sta_target *target)
{
    return target->is_enter ? sizeof(struct sta_sys_enter) : sizeof(struct sta_sys_exit);
}

/* The end of the event's last field; 0: its format is not known here. */
static size_t end_of_format(const struct sta_target *target)
{
    struct sta_tracepoint tracepoint;
    char name[STA_TRACEPOINT_NAME_SIZE];
    struct sta_event_format format;
    size_t end = 0;

    if (!sta__event_name(target, name) || sta_tracepoint_by_name(name, &tracepoint) < 0 ||
        sta_tracepoint_format(NULL, &tracepoint, &format) < 0)
        return 0;
    for (unsigned i = 0; i < format.field_count; i++) {
        if (format.fields[i].offset + format.fields[i].size > end)
            end = format.fields[i].offset + format.fields[i].size;
    }
    return end;
}

size_t sta__program_context_limit(const struct sta_target *target)
{
    size_t whole = whole_context(target);
    size_t end = target->sys_nr == STA_ALL_SYSCALLS ? whole : end_of_format(target);

    return end && end < whole ? end : whole;
}

static int check_limit(const struct sta *sta, const struct sta_target *target,
                       const struct sta_program *program)
{
    size_t limit = program->context_size ? sta__program_context_limit(target) : 0;

    if (program->context_size <= limit)
        return 0;
    sta__log(&sta->log, STA_LOG_ERROR,
             "program '%s' reads %zu bytes of the context of call %d, which has %zu", program->name,
             program->context_size, target->sys_nr, limit);
    return -EACCES;
}

/* The kernel has two raw tracepoints of system calls, each for all of them, of two arguments. */
static int check_raw(const struct sta *sta, const struct sta_target *target,
                     const struct sta_program *program)
{
    if (target->sys_nr == STA_ALL_SYSCALLS && program->context_size <= STA__RAW_CONTEXT_SIZE)
        return 0;
    sta__log(&sta->log, STA_LOG_ERROR,
             target->sys_nr == STA_ALL_SYSCALLS
                 ? "program '%s' reads more than two arguments of a raw tracepoint"
                 : "program '%s' is for raw tracepoints, which are of all calls",
             program->name);
    return -EINVAL;
}

/* The kernel has a function for each call. */
static int check_probe(const struct sta *sta, const struct sta_target *target,
                       const struct sta_program *program)
{
    if (target->sys_nr != STA_ALL_SYSCALLS)
        return 0;
    sta__log(&sta->log, STA_LOG_ERROR, "program '%s' is a probe of one call, not of all",
             program->name);
    return -EINVAL;
}

static int check(const struct sta *sta, const struct sta_target *target,
                 const struct sta_program *program)
{
    if (program->type == BPF_PROG_TYPE_RAW_TRACEPOINT)
        return check_raw(sta, target, program);
    if (program->type == BPF_PROG_TYPE_KPROBE)
        return check_probe(sta, target, program);
    return check_limit(sta, target, program);
}

static sta_callback callback_of(const struct sta_program *program)
{
    if (program->type == BPF_PROG_TYPE_RAW_TRACEPOINT)
        return sta__program_run_raw;
    if (program->type == BPF_PROG_TYPE_KPROBE)
        return sta__program_run_probe;
    return program->run;
}

static void detached(void *program)
{
    sta__program_put(program);
}

int sta_attach_program_with(struct sta *sta, struct sta_program *program,
                            const struct sta_attach_options *given)
{
    struct sta_attach_options options;
    int err;

    if (!sta || !program || !given)
        return -EINVAL;
    err = sta__options_copy(&options, sizeof(options), OPTIONS_FIRST_SIZE, given);
    if (err < 0 || options.callback || options.user_data || options.flags)
        return err < 0 ? err : -EINVAL;
    err = check(sta, &options.target, program);
    if (err < 0)
        return err;
    options.callback = callback_of(program);
    options.user_data = program;
    options.flags = STA_CALLBACK_GENERAL_REGS;
    if (!options.name)
        options.name = program->name;
    sta__program_get(program);
    err = sta__attach_owned(sta, &options, detached);
    if (err < 0)
        sta__program_put(program);
    return err;
}

int sta_attach_program(struct sta *sta, const struct sta_target *target,
                       struct sta_program *program)
{
    struct sta_attach_options options = {.size = sizeof(options)};

    if (!target)
        return -EINVAL;
    options.target = *target;
    return sta_attach_program_with(sta, program, &options);
}
