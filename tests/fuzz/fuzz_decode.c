/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer: any bytes are decoded as a program, as an untrusted and as a trusted one. What is
 * accepted has to be what the header of the decoder says of it, and can be translated for the
 * interpreter; it is not run.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ebpf/code.h"
#include "ebpf/interpret.h"
#include "ebpf/isa.h"

#define INSNS_MAX 4096

/* abort() is what libFuzzer takes for a finding. */
#define CHECK(condition)  \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

static char values[64];
static struct sta_map maps[] = {
    {.type = BPF_MAP_TYPE_ARRAY, .value_size = 64, .max_entries = 1, .values = values},
    {.type = BPF_MAP_TYPE_HASH, .key_size = 8, .value_size = 8, .max_entries = 16},
    {.type = BPF_MAP_TYPE_ARRAY, .value_size = 8, .max_entries = 8, .values = values},
};

static int find_map(void *data, int fd_or_index, int is_index, struct sta_map **out)
{
    (void)data, (void)is_index;
    if (fd_or_index < 0 || fd_or_index > 3)
        return -EBADF;
    *out = fd_or_index < 3 ? &maps[fd_or_index] : NULL;
    return 0;
}

static void check_wide(const struct sta__code *code, uint32_t index)
{
    const struct sta__wide *wide = sta__code_wide(code, index);

    CHECK(index + 1 < code->count && (code->marks[index + 1] & STA__MARK_TAIL));
    CHECK((wide != NULL) == (code->insns[index].src_reg != 0));
    if (!wide)
        return;
    CHECK((wide->map != NULL) == !(code->marks[index] & STA__MARK_CALLBACK));
    CHECK(!wide->offset || wide->offset < wide->map->value_size);
    CHECK(wide->map || wide->subprog < code->subprog_count);
}

static void check_target(const struct sta__code *code, int64_t target)
{
    CHECK(target >= 0 && target < code->count);
    CHECK(!(code->marks[target] & STA__MARK_TAIL) && (code->marks[target] & STA__MARK_TARGET));
}

static void check_insn(const struct sta__code *code, const struct sta__subprog *subprog,
                       uint32_t index)
{
    const struct bpf_insn *insn = &code->insns[index];
    int64_t target = sta__insn_target(insn, index);

    if (code->marks[index] & STA__MARK_TAIL)
        return;
    CHECK(insn->dst_reg < STA__REG_COUNT);
    if (sta__insn_is_wide(insn)) {
        check_wide(code, index);
    } else if (sta__insn_is_subprog_call(insn)) {
        check_target(code, target);
        CHECK(sta__code_subprog_at(code, (uint32_t)target) < code->subprog_count);
    } else if (sta__insn_is_goto(insn) || sta__insn_is_branch(insn)) {
        check_target(code, target);
        CHECK(target >= subprog->start && target < subprog->end);
    } else if (insn->code != STA__OP_CALL) {
        CHECK(insn->src_reg < STA__REG_COUNT);
    }
}

static void check_code(const struct sta__code *code)
{
    uint32_t end = 0;

    CHECK(code->subprog_count > 0 && code->subprog_count <= STA__SUBPROG_MAX);
    for (uint32_t i = 0; i < code->subprog_count; i++) {
        const struct sta__subprog *subprog = &code->subprogs[i];
        const struct bpf_insn *last = &code->insns[subprog->end - 1];

        CHECK(subprog->start == end && subprog->end > end);
        CHECK(sta__insn_is_exit(last) || sta__insn_is_goto(last));
        for (uint32_t j = subprog->start; j < subprog->end; j++)
            check_insn(code, subprog, j);
        end = subprog->end;
    }
    CHECK(end == code->count);
}

static void check_translation(const struct sta__code *code, const struct sta__log *log)
{
    struct sta__interpreted *program = NULL;
    int err = sta__interpreted_new(&program, code, log);

    CHECK(err == 0 || err == -EINVAL);
    CHECK((err == 0) == (program != NULL));
    sta__interpreted_free(program);
}

/* A refusal has a message. */
static void note(void *data, enum sta_log_level level, const char *message)
{
    CHECK(level == STA_LOG_ERROR && message[0]);
    *(int *)data += 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct bpf_insn insns[INSNS_MAX];
    size_t count = size / sizeof(insns[0]);
    const struct sta__map_finder finder = {find_map, NULL};
    int messages = 0;
    const struct sta__log log = {note, &messages};
    struct sta__code code;
    int err, trusted_err;

    if (count > INSNS_MAX)
        return 0;
    memcpy(insns, bytes, count * sizeof(insns[0]));
    err = sta__code_decode(&code, insns, count, &finder, &log);
    CHECK(err <= 0 && messages == (err < 0));
    if (err == 0) {
        check_code(&code);
        CHECK(memcmp(code.insns, insns, count * sizeof(insns[0])) == 0);
        check_translation(&code, &log);
        sta__code_free(&code);
    }
    trusted_err = sta__code_decode_trusted(&code, insns, count, &finder, &log);
    CHECK(trusted_err == 0 || err < 0);
    if (trusted_err == 0) {
        check_code(&code);
        sta__code_free(&code);
    }
    return 0;
}
