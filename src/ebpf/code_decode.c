/* SPDX-License-Identifier: MIT */
/*
 * From instructions that anybody may have written to a struct sta__code:
 *
 *   read_insns      each by itself; wide immediates and what they stand for; where subprograms
 * begin cut_subprogs    from there to the next, or to the end check_jumps     none leads out of its
 * subprogram or into a wide immediate
 *
 * Each walks over the instructions once.
 */
#include "ebpf/code.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ebpf/form.h"
#include "ebpf/isa.h"

struct decoder {
    struct sta__code code;
    const struct sta__map_finder *finder;
    uint32_t wide_room;
    bool is_trusted;
    struct sta__refusal why;
};

static bool alloc_code(struct decoder *decoder, const struct bpf_insn *insns, size_t count)
{
    struct sta__code *code = &decoder->code;

    code->count = (uint32_t)count;
    code->insns = malloc(count * sizeof(*code->insns));
    code->marks = calloc(count, sizeof(*code->marks));
    code->wides = calloc(count, sizeof(*code->wides));
    if (!code->insns || !code->marks || !code->wides)
        return sta__refuse(&decoder->why, -ENOMEM, "no memory for %zu instructions", count);
    memcpy(code->insns, insns, count * sizeof(*code->insns));
    return true;
}

/* A new entry of the table of wide immediates for this instruction; NULL: no memory. */
static struct sta__wide *add_wide(struct decoder *decoder, uint32_t index)
{
    struct sta__code *code = &decoder->code;

    if (code->wide_count == decoder->wide_room) {
        uint32_t room = decoder->wide_room ? 2 * decoder->wide_room : 8;
        struct sta__wide *table = realloc(code->wide, room * sizeof(*table));

        if (!table) {
            sta__refuse(&decoder->why, -ENOMEM, "no memory for %u wide immediates", room);
            return NULL;
        }
        code->wide = table;
        decoder->wide_room = room;
    }
    code->wide[code->wide_count] = (struct sta__wide){0};
    code->wides[index] = code->wide_count + 1;
    return &code->wide[code->wide_count++];
}

static bool keep_map(struct decoder *decoder, struct sta_map *map)
{
    struct sta__code *code = &decoder->code;

    for (uint32_t i = 0; i < code->map_count; i++) {
        if (code->maps[i] == map)
            return true;
    }
    if (!code->maps)
        code->maps = malloc(STA__PROG_MAPS_MAX * sizeof(struct sta_map *));
    if (!code->maps)
        return sta__refuse(&decoder->why, -ENOMEM, "no memory for a list of maps");
    if (code->map_count == STA__PROG_MAPS_MAX)
        return sta__refuse(&decoder->why, -E2BIG,
                           "The total number of maps per program has reached the limit of %u",
                           STA__PROG_MAPS_MAX);
    sta__map_get(map);
    code->maps[code->map_count++] = map;
    return true;
}

static bool find_map(struct decoder *decoder, const struct bpf_insn *insn, struct sta_map **out)
{
    bool is_index =
        insn->src_reg == BPF_PSEUDO_MAP_IDX || insn->src_reg == BPF_PSEUDO_MAP_IDX_VALUE;
    const struct sta__map_finder *finder = decoder->finder;
    int err = -EBADF;

    *out = NULL;
    if (finder && finder->find)
        err = finder->find(finder->data, insn->imm, is_index, out);
    if (err < 0 || !*out)
        return sta__refuse(&decoder->why, err < 0 ? err : -EBADF,
                           is_index ? "map index %d is not of a map"
                                    : "fd %d is not pointing to valid bpf_map",
                           insn->imm);
    return keep_map(decoder, *out);
}

/* BPF_PSEUDO_MAP_VALUE points into the only element of an array. */
static bool check_value_offset(struct decoder *decoder, const struct sta_map *map, uint32_t offset)
{
    if (!map->values || map->max_entries != 1)
        return sta__refuse(&decoder->why, -EINVAL,
                           "no direct value access support for this map type");
    if (offset >= map->value_size)
        return sta__refuse(&decoder->why, -EINVAL,
                           "invalid access to map value pointer, value_size=%u off=%u",
                           map->value_size, offset);
    return true;
}

static bool read_map(struct decoder *decoder, const struct bpf_insn *insn, uint32_t index)
{
    bool is_value =
        insn->src_reg == BPF_PSEUDO_MAP_VALUE || insn->src_reg == BPF_PSEUDO_MAP_IDX_VALUE;
    uint32_t offset = is_value ? (uint32_t)insn[1].imm : 0;
    struct sta__wide *wide;
    struct sta_map *map;

    if (!is_value && insn[1].imm)
        return sta__refuse(&decoder->why, -EINVAL, "unrecognized bpf_ld_imm64 insn");
    if (!find_map(decoder, insn, &map) || (is_value && !check_value_offset(decoder, map, offset)))
        return false;
    wide = add_wide(decoder, index);
    if (!wide)
        return false;
    wide->map = map;
    wide->offset = offset;
    return true;
}

/* Notes that a subprogram begins where a call leads, or an address of one. */
static bool read_subprog(struct decoder *decoder, int64_t target)
{
    if (target < 0 || target >= decoder->code.count)
        return sta__refuse(&decoder->why, -EINVAL, "call to invalid destination");
    decoder->code.marks[target] |= STA__MARK_SUBPROG | STA__MARK_TARGET;
    return true;
}

static bool read_wide(struct decoder *decoder, uint32_t index)
{
    const struct bpf_insn *insn = &decoder->code.insns[index];

    if (index + 1 == decoder->code.count || insn[1].code || insn[1].dst_reg || insn[1].src_reg ||
        insn[1].off)
        return sta__refuse(&decoder->why, -EINVAL, "invalid bpf_ld_imm64 insn");
    decoder->code.marks[index + 1] |= STA__MARK_TAIL;
    if (insn->src_reg == 0)
        return true;
    if (insn->src_reg != BPF_PSEUDO_FUNC)
        return read_map(decoder, insn, index);
    decoder->code.marks[index] |= STA__MARK_CALLBACK;
    return add_wide(decoder, index) && read_subprog(decoder, sta__insn_func_target(insn, index));
}

/* Sets *index to the instruction that is refused. */
static bool read_insns(struct decoder *decoder, uint32_t *index)
{
    struct sta__code *code = &decoder->code;
    uint32_t i;

    code->marks[0] |= STA__MARK_SUBPROG;
    for (i = 0; i < code->count; i++) {
        struct bpf_insn *insn = &code->insns[i];

        *index = i;
        if (decoder->is_trusted)
            sta__form_mask_shift(insn);
        if (!sta__form_check(insn, &decoder->why))
            return false;
        if (sta__insn_is_subprog_call(insn) && !read_subprog(decoder, sta__insn_target(insn, i)))
            return false;
        if (sta__insn_is_wide(insn) && !read_wide(decoder, i++))
            return false;
    }
    return true;
}

static bool alloc_subprogs(struct decoder *decoder)
{
    struct sta__code *code = &decoder->code;
    uint32_t count = 0;

    for (uint32_t i = 0; i < code->count; i++)
        count += (code->marks[i] & STA__MARK_SUBPROG) != 0;
    if (count > STA__SUBPROG_MAX)
        return sta__refuse(&decoder->why, -E2BIG, "too many subprograms");
    code->subprogs = calloc(count, sizeof(*code->subprogs));
    if (!code->subprogs)
        return sta__refuse(&decoder->why, -ENOMEM, "no memory for %u subprograms", count);
    return true;
}

static bool cut_subprogs(struct decoder *decoder, uint32_t *index)
{
    struct sta__code *code = &decoder->code;

    *index = 0;
    if (!alloc_subprogs(decoder))
        return false;
    for (uint32_t i = 0; i < code->count; i++) {
        *index = i;
        if (code->marks[i] & STA__MARK_SUBPROG) {
            if (code->marks[i] & STA__MARK_TAIL)
                return sta__refuse(&decoder->why, -EINVAL,
                                   "jump into the middle of ldimm64 insn %u", i - 1);
            code->subprogs[code->subprog_count++] =
                (struct sta__subprog){.start = i, .stack_depth = STA__STACK_SIZE};
        }
        code->subprogs[code->subprog_count - 1].end = i + 1;
    }
    return true;
}

static bool check_jump(struct decoder *decoder, const struct sta__subprog *subprog, uint32_t index)
{
    struct sta__code *code = &decoder->code;
    int64_t target = sta__insn_target(&code->insns[index], index);

    if (target < subprog->start || target >= subprog->end)
        return sta__refuse(&decoder->why, -EINVAL, "jump out of range from insn %u to %lld", index,
                           (long long)target);
    if (code->marks[target] & STA__MARK_TAIL)
        return sta__refuse(&decoder->why, -EINVAL, "jump into the middle of ldimm64 insn %lld",
                           (long long)target - 1);
    code->marks[target] |= STA__MARK_TARGET;
    return true;
}

static bool check_subprog(struct decoder *decoder, const struct sta__subprog *subprog,
                          uint32_t *index)
{
    const struct sta__code *code = &decoder->code;
    const struct bpf_insn *last = &code->insns[subprog->end - 1];

    for (uint32_t i = subprog->start; i < subprog->end; i++) {
        const struct bpf_insn *insn = &code->insns[i];

        *index = i;
        if ((sta__insn_is_goto(insn) || sta__insn_is_branch(insn)) &&
            !check_jump(decoder, subprog, i))
            return false;
    }
    if (!sta__insn_is_exit(last) && !sta__insn_is_goto(last))
        return sta__refuse(&decoder->why, -EINVAL, "last insn is not an exit or jmp");
    return true;
}

static bool check_jumps(struct decoder *decoder, uint32_t *index)
{
    for (uint32_t i = 0; i < decoder->code.subprog_count; i++) {
        if (!check_subprog(decoder, &decoder->code.subprogs[i], index))
            return false;
    }
    return true;
}

/* Now that subprograms have numbers. */
static void number_callbacks(struct sta__code *code)
{
    for (uint32_t i = 0; i < code->count; i++) {
        struct sta__wide *wide;

        if (!(code->marks[i] & STA__MARK_CALLBACK))
            continue;
        wide = &code->wide[code->wides[i] - 1];
        wide->subprog =
            sta__code_subprog_at(code, (uint32_t)sta__insn_func_target(&code->insns[i], i));
        code->subprogs[wide->subprog].is_callback = true;
    }
}

static int decode(struct sta__code *out, const struct bpf_insn *insns, size_t count,
                  const struct sta__map_finder *finder, bool is_trusted, const struct sta__log *log)
{
    struct decoder decoder = {.finder = finder, .is_trusted = is_trusted};
    uint32_t index = 0;

    if (count == 0 || count > STA__INSN_MAX) {
        sta__log(log, STA_LOG_ERROR, "%zu instructions; there can be 1 to %d", count,
                 STA__INSN_MAX);
        return -E2BIG;
    }
    if (!alloc_code(&decoder, insns, count) || !read_insns(&decoder, &index) ||
        !cut_subprogs(&decoder, &index) || !check_jumps(&decoder, &index)) {
        sta__log(log, STA_LOG_ERROR, "insn %u: %s", index, decoder.why.reason);
        sta__code_free(&decoder.code);
        return decoder.why.err;
    }
    number_callbacks(&decoder.code);
    *out = decoder.code;
    return 0;
}

int sta__code_decode(struct sta__code *out, const struct bpf_insn *insns, size_t count,
                     const struct sta__map_finder *finder, const struct sta__log *log)
{
    return decode(out, insns, count, finder, false, log);
}

int sta__code_decode_trusted(struct sta__code *out, const struct bpf_insn *insns, size_t count,
                             const struct sta__map_finder *finder, const struct sta__log *log)
{
    return decode(out, insns, count, finder, true, log);
}
