/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer: any program that can be decoded is judged, and what is accepted is run, with every
 * access looked at.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ebpf/code.h"
#include "ebpf/verify.h"
#include "verifier/concrete.h"

#define INSNS_MAX 4096

/* abort() is what libFuzzer takes for a finding. */
#define CHECK(condition)  \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

static char values[64];
static struct sta_map maps[] = {
    {.type = BPF_MAP_TYPE_ARRAY,
     .key_size = 4,
     .value_size = 64,
     .max_entries = 1,
     .values = values,
     .is_frozen = true,
     .flags = BPF_F_RDONLY_PROG},
    {.type = BPF_MAP_TYPE_HASH, .key_size = 8, .value_size = 8, .max_entries = 16},
    {.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 8},
    {.type = BPF_MAP_TYPE_RINGBUF, .max_entries = 4096},
};

static int find_map(void *data, int fd_or_index, int is_index, struct sta_map **out)
{
    (void)data, (void)is_index;
    if (fd_or_index < 0 || fd_or_index > 3)
        return -EBADF;
    *out = &maps[fd_or_index];
    return 0;
}

/* A refusal has a message. */
static void note(void *data, enum sta_log_level level, const char *message)
{
    CHECK(level == STA_LOG_ERROR && message[0]);
    *(int *)data += 1;
}

/* What is accepted runs without an access that it must not make, whatever it reads. */
static void check_runs(const struct sta__code *code, const struct sta__verify_result *result)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        uint32_t insn;

        CHECK(!concrete_run(code, result, seed, &insn));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct bpf_insn insns[INSNS_MAX];
    static char text[1024];
    size_t count = size / sizeof(insns[0]);
    const struct sta__map_finder finder = {find_map, NULL};
    int messages = 0;
    const struct sta__log log = {note, &messages};
    struct sta__verify_options options = {.type = size % 2 ? BPF_PROG_TYPE_TRACEPOINT
                                                           : BPF_PROG_TYPE_RAW_TRACEPOINT,
                                          .allow_missing_helpers = true,
                                          .complexity_max = 20000,
                                          .log_buf = text,
                                          .log_size = sizeof(text),
                                          .log_level = size % 4};
    struct sta__verify_result result;
    struct sta__code code;
    int err;

    if (count > INSNS_MAX)
        return 0;
    memcpy(insns, bytes, count * sizeof(insns[0]));
    if (sta__code_decode(&code, insns, count, &finder, &log))
        return 0;
    err = sta__verify(&code, &options, &result, &log);
    CHECK(err <= 0 && messages == (err < 0));
    CHECK(memchr(text, 0, sizeof(text)));
    if (err == 0)
        check_runs(&code, &result);
    sta__code_free(&code);
    return 0;
}
