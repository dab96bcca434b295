/* SPDX-License-Identifier: MIT */
/*
 * Loading: decode, verify, then compile or translate. Whatever refuses the program has said why by
 * then, to the log and, as the kernel does, in the text that the caller gave room for.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/options.h"
#include "ebpf/code.h"
#include "ebpf/helper.h"
#include "ebpf/jit.h"
#include "ebpf/program.h"
#include "ebpf/verify.h"
#include "maps/lease.h"

#define OPTIONS_FIRST_SIZE sizeof(struct sta_program_options)
#define INFO_FIRST_SIZE    sizeof(struct sta_program_info)
#define KNOWN_FLAGS        (STA_PROGRAM_TRUSTED | STA_PROGRAM_INTERPRET | STA_PROGRAM_PERF_MAP)

struct loading {
    struct sta_program_options options;
    struct sta__log log; /* the caller's */
    struct sta__code code;
    struct sta_program *program;
};

static const char *name_of(const struct loading *loading)
{
    return loading->options.name ? loading->options.name : "";
}

/* A message of the decoder or of the compiler: the verifier writes the text itself. */
static void log_and_write(void *data, enum sta_log_level level, const char *message)
{
    struct loading *loading = data;

    if (level == STA_LOG_ERROR && loading->options.log_buf && loading->options.log_size)
        snprintf(loading->options.log_buf, loading->options.log_size, "%s\n", message);
    sta__log(&loading->log, level, "program '%s': %s", name_of(loading), message);
}

static int check_options(const struct loading *loading)
{
    const struct sta_program_options *options = &loading->options;

    if (options->flags & ~KNOWN_FLAGS) {
        sta__log(&loading->log, STA_LOG_ERROR, "program '%s': unknown flags %#x", name_of(loading),
                 options->flags & ~KNOWN_FLAGS);
        return -EINVAL;
    }
    if (options->type > BPF_PROG_TYPE_UNSPEC && options->type != BPF_PROG_TYPE_TRACEPOINT &&
        options->type != BPF_PROG_TYPE_RAW_TRACEPOINT && options->type != BPF_PROG_TYPE_KPROBE) {
        sta__log(&loading->log, STA_LOG_ERROR,
                 "program '%s': type %u; it can be tracepoint, raw tracepoint or kprobe",
                 name_of(loading), options->type);
        return -EINVAL;
    }
    return 0;
}

static int decode(struct loading *loading, const struct bpf_insn *insns, size_t count)
{
    const struct sta__map_finder finder = {loading->options.find_map, loading->options.find_data};
    const struct sta__log log = {log_and_write, loading};

    if (loading->options.flags & STA_PROGRAM_TRUSTED)
        return sta__code_decode_trusted(&loading->code, insns, count, &finder, &log);
    return sta__code_decode(&loading->code, insns, count, &finder, &log);
}

/* A message of the verifier, which has written its text by then. */
static void log_named(void *data, enum sta_log_level level, const char *message)
{
    const struct loading *loading = data;

    sta__log(&loading->log, level, "program '%s': %s", name_of(loading), message);
}

static int verify(struct loading *loading)
{
    const struct sta_program_options *options = &loading->options;
    const struct sta__log log = {log_named, loading};
    struct sta__verify_options how = {.type = loading->program->type,
                                      .log_buf = options->log_buf,
                                      .log_size = options->log_size,
                                      .log_level = options->log_level};
    struct sta__verify_result result;
    int err;

    how.is_not_gpl = options->license && !sta__license_is_gpl(options->license);
    if (options->flags & STA_PROGRAM_TRUSTED)
        return 0;
    if (options->target && loading->program->type == BPF_PROG_TYPE_TRACEPOINT)
        how.context_limit = (uint32_t)sta__program_context_limit(options->target);
    err = sta__verify(&loading->code, &how, &result, &log);
    loading->program->processed_insns = result.processed;
    loading->program->context_size = loading->program->tail.context_size = result.context_size;
    if (!result.log_is_cut)
        return err;
    log_named(loading, STA_LOG_ERROR, "the verifier's text is longer than the room for it");
    return -ENOSPC;
}

static int interpret(struct loading *loading, const struct sta__log *log)
{
    struct sta_program *program = loading->program;

    program->tail.enter = sta__program_enter_interpreted;
    program->run = sta__program_run_interpreted;
    return sta__interpreted_new(&program->interpreted, &loading->code, log);
}

static int compile(struct loading *loading, const struct sta__log *log)
{
    struct sta_program *program = loading->program;
    const struct sta__jit_options options = {
        .name = program->name,
        .writes_map = loading->options.flags & STA_PROGRAM_PERF_MAP,
    };
    int err = sta__jit_compile(&program->jit, &loading->code, &options, log);

    program->tail.enter = program->jit.enter;
    program->run = program->jit.run;
    return err;
}

/* Where no memory can be made executable (PR_SET_MDWE, SELinux) programs run all the same. */
static bool is_forbidden(int err)
{
    return err == -EACCES || err == -EPERM;
}

static int make_runnable(struct loading *loading)
{
    const struct sta__log log = {log_and_write, loading};
    int err;

    if (loading->options.flags & STA_PROGRAM_INTERPRET)
        return interpret(loading, &log);
    err = compile(loading, &log);
    if (!is_forbidden(err))
        return err;
    sta__log(&log, STA_LOG_WARN, "it is interpreted");
    return interpret(loading, &log);
}

/* Whether runs have to be alone on a CPU: the program's maps say so, or it asks which one it is. */
static bool needs_lease(const struct sta__code *code)
{
    for (uint32_t i = 0; i < code->wide_count; i++) {
        if (code->wide[i].map && code->wide[i].map->is_leased)
            return true;
    }
    return sta__helper_is_called(code, BPF_FUNC_get_smp_processor_id);
}

static int lease(struct loading *loading)
{
    struct sta_program *program = loading->program;
    uint64_t id;
    int err;

    if (!needs_lease(&loading->code))
        return 0;
    err = sta__lease_prepare(&id, &loading->log);
    if (err < 0)
        return err;
    program->run_leased = program->run;
    program->run = sta__program_run_on_cpu;
    return 0;
}

static int make_program(struct loading *loading, size_t count)
{
    struct sta_program *program = calloc(1, sizeof(*program));

    if (!program) {
        sta__log(&loading->log, STA_LOG_ERROR, "program '%s': no memory", name_of(loading));
        return -ENOMEM;
    }
    loading->program = program;
    atomic_init(&program->references, 1);
    program->insns = count;
    program->type = loading->options.type ? loading->options.type : BPF_PROG_TYPE_TRACEPOINT;
    strncpy(program->name, name_of(loading), sizeof(program->name) - 1);
    return 0;
}

static int check_arrays(const struct loading *loading)
{
    for (uint32_t i = 0; i < loading->code.map_count; i++) {
        if (sta__program_fits(loading->program, loading->code.maps[i]) < 0) {
            log_named((void *)loading, STA_LOG_ERROR,
                      "a program array that it uses is for programs of another type");
            return -EINVAL;
        }
    }
    return 0;
}

/* They are the program's now. */
static void keep_maps(struct loading *loading)
{
    loading->program->maps = loading->code.maps;
    loading->program->map_count = loading->code.map_count;
    loading->code.maps = NULL;
    loading->code.map_count = 0;
}

int sta_program_load(struct sta_program **out, const struct bpf_insn *insns, size_t count,
                     const struct sta_program_options *options)
{
    struct loading loading = {0};
    int err;

    if (!out || !insns)
        return -EINVAL;
    err = sta__options_copy(&loading.options, sizeof(loading.options), OPTIONS_FIRST_SIZE, options);
    loading.log = (struct sta__log){loading.options.log, loading.options.log_data};
    if (err < 0) {
        sta__log(&loading.log, STA_LOG_ERROR, "options of a program are of another version");
        return err;
    }
    if (loading.options.log_buf && loading.options.log_size)
        loading.options.log_buf[0] = '\0';
    sta__clock_prepare();
    sta__after_grace_rest();
    err = check_options(&loading);
    if (err == 0)
        err = make_program(&loading, count);
    if (err == 0)
        err = decode(&loading, insns, count);
    if (err == 0)
        err = verify(&loading);
    if (err == 0)
        err = check_arrays(&loading);
    if (err == 0)
        err = sta__helpers_prepare(&loading.code, &loading.log);
    if (err == 0)
        err = make_runnable(&loading);
    if (err == 0)
        err = lease(&loading);
    if (err == 0)
        keep_maps(&loading);
    sta__code_free(&loading.code);
    if (err == 0)
        *out = loading.program;
    else
        sta_program_free(loading.program);
    return err;
}

int sta_program_info(const struct sta_program *program, struct sta_program_info *out)
{
    struct sta_program_info info = {.size = sizeof(info)};

    if (!program || !out || out->size < sizeof(out->size))
        return -EINVAL;
    info.insns = program->insns;
    info.processed_insns = program->processed_insns;
    info.context_size = program->context_size;
    info.native = (const void *)(uintptr_t)program->jit.run;
    info.native_size = program->jit.size;
    if (out->size < info.size)
        info.size = out->size;
    memcpy(out, &info, info.size);
    return 0;
}
