/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer: any bytes are loaded as a program that nobody trusts. What the verifier accepts is
 * run, by an interpreter that is compiled with AddressSanitizer, on a context and a map of just the
 * size that was promised, and natively: nothing may be touched that is not the program's, and every
 * run has to end. Results are not compared: programs may look at addresses and at what lies on the
 * stack.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sta/program.h>

#include "ebpf/isa.h"
#include "maps/map.h"

#define INSNS_MAX  1024
#define VALUE_SIZE 48
#define ENTRIES    4

/* abort() is what libFuzzer takes for a finding. */
#define CHECK(condition)  \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

static void *lookup(struct sta_map *map, const void *key)
{
    uint32_t index;

    memcpy(&index, key, sizeof(index));
    return index < map->max_entries ? (char *)map->values + index * map->value_stride : NULL;
}

static long update(struct sta_map *map, const void *key, const void *value, uint64_t flags)
{
    void *element = lookup(map, key);

    if (flags > BPF_EXIST)
        return -EINVAL;
    if (!element)
        return -E2BIG;
    memmove(element, value, map->value_size);
    return 0;
}

static long refuse_removal(struct sta_map *map, const void *key)
{
    return lookup(map, key) ? -EINVAL : -ENOENT;
}

static const struct sta__map_ops ops = {
    .lookup = lookup, .update = update, .remove = refuse_removal};

/* Map 0 has one element, whose address programs may load; map 1 has some. */
static struct sta_map maps[2] = {
    {.ops = &ops,
     .type = BPF_MAP_TYPE_ARRAY,
     .key_size = 4,
     .value_size = VALUE_SIZE,
     .max_entries = 1,
     .value_stride = VALUE_SIZE},
    {.ops = &ops,
     .type = BPF_MAP_TYPE_ARRAY,
     .key_size = 4,
     .value_size = VALUE_SIZE,
     .max_entries = ENTRIES,
     .value_stride = VALUE_SIZE},
};

static int find_map(void *data, int fd_or_index, int is_index, struct sta_map **out)
{
    (void)data, (void)is_index;
    *out = &maps[fd_or_index & 1];
    return 0;
}

/* Programs that call back take as long as they like: 2^23 rounds, in each of which they do it
 * again. */
static bool may_take_long(const struct bpf_insn *insns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (insns[i].code == STA__OP_CALL && insns[i].imm == BPF_FUNC_loop)
            return true;
    }
    return false;
}

static void run(struct sta_program *program)
{
    struct sta_program_info info = {.size = sizeof(info)};
    uint64_t ret;
    void *ctx;

    CHECK(sta_program_info(program, &info) == 0);
    ctx = calloc(1, info.context_size);
    CHECK(ctx);
    CHECK(sta_program_run(program, ctx, info.context_size, &ret) == 0);
    free(ctx);
}

static void load_and_run(const struct bpf_insn *insns, size_t count, unsigned flags)
{
    const struct sta_program_options options = {
        .size = sizeof(options), .flags = flags, .find_map = find_map};
    struct sta_program *program = NULL;

    if (sta_program_load(&program, insns, count, &options) == 0 && !may_take_long(insns, count))
        run(program);
    sta_program_free(program);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct bpf_insn insns[INSNS_MAX];
    size_t count = size / sizeof(insns[0]);

    if (count > INSNS_MAX)
        return 0;
    memcpy(insns, bytes, count * sizeof(insns[0]));
    for (size_t i = 0; i < 2; i++) {
        maps[i].values = calloc(maps[i].max_entries, VALUE_SIZE);
        CHECK(maps[i].values);
    }
    load_and_run(insns, count, STA_PROGRAM_INTERPRET);
    load_and_run(insns, count, 0);
    free(maps[0].values);
    free(maps[1].values);
    return 0;
}
