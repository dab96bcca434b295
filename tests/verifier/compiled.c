/* SPDX-License-Identifier: MIT */
#include "verifier/compiled.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebpf/isa.h"
#include "verifier/both.h"

#ifndef R_BPF_64_64
#    define R_BPF_64_64 1 /* a wide immediate: a map */
#endif
#define R_BPF_64_32 10 /* a call */

#ifndef COMPILED_PROGRAMS
#    define COMPILED_PROGRAMS ""
#endif

static int map_of(const char *symbol)
{
    static const struct {
        const char *name;
        int map;
    } names[] = {{"map_hash", MAP_HASH}, {"map_array", MAP_ARRAY},   {"map_ring", MAP_RING},
                 {"map_perf", MAP_PERF}, {"map_percpu", MAP_PERCPU}, {"map_stacks", MAP_STACKS}};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!strcmp(names[i].name, symbol))
            return names[i].map;
    }
    return -1;
}

struct object {
    char *bytes;
    const Elf64_Ehdr *header;
    const Elf64_Shdr *sections;
    const Elf64_Sym *symbols;
    const char *names; /* of symbols */
};

static bool relocate(const struct object *object, const Elf64_Rel *rel, struct bpf_insn *insns)
{
    const Elf64_Sym *symbol = &object->symbols[ELF64_R_SYM(rel->r_info)];
    struct bpf_insn *insn = &insns[rel->r_offset / sizeof(*insn)];
    int64_t target = (int64_t)(symbol->st_value / sizeof(*insn));
    int map = map_of(object->names + symbol->st_name);

    if (ELF64_R_TYPE(rel->r_info) == R_BPF_64_64 && map >= 0) {
        insn->src_reg = BPF_PSEUDO_MAP_FD;
        insn->imm = map;
        return true;
    }
    if (ELF64_R_TYPE(rel->r_info) == R_BPF_64_64) { /* a callback; imm: bytes from the symbol */
        target += insn->imm / (int)sizeof(*insn);
        insn->src_reg = BPF_PSEUDO_FUNC;
    } else if (ELF64_R_TYPE(rel->r_info) == R_BPF_64_32) {
        target += insn->imm + 1;
        insn->src_reg = BPF_PSEUDO_CALL;
    } else {
        return false;
    }
    insn->imm = (int32_t)(target - (insn - insns) - 1);
    return true;
}

/* The program proper has to come first: it is turned round with what stands before it. */
static size_t entry_of(const struct object *object, size_t section, size_t symbol_count)
{
    for (size_t i = 0; i < symbol_count; i++) {
        const Elf64_Sym *symbol = &object->symbols[i];

        if (symbol->st_shndx == section && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
            ELF64_ST_BIND(symbol->st_info) == STB_GLOBAL)
            return symbol->st_value / sizeof(struct bpf_insn);
    }
    return 0;
}

static void rotate(struct bpf_insn *insns, size_t count, size_t entry)
{
    struct bpf_insn *copy = malloc(count * sizeof(*copy));

    for (size_t i = 0; i < count; i++) {
        size_t from = (i + entry) % count;

        copy[i] = insns[from];
        if (sta__insn_is_subprog_call(&copy[i]) ||
            (copy[i].code == STA__OP_LDDW && copy[i].src_reg == BPF_PSEUDO_FUNC)) {
            size_t target = (from + 1 + (size_t)copy[i].imm) % count;

            copy[i].imm = (int32_t)((target + count - entry) % count) - (int32_t)i - 1;
        }
    }
    memcpy(insns, copy, count * sizeof(*insns));
    free(copy);
}

static bool visit_section(const struct object *object, size_t index, size_t symbol_count,
                          const char *name, compiled_fn fn)
{
    const Elf64_Shdr *section = &object->sections[index];
    struct bpf_insn *insns = (struct bpf_insn *)(object->bytes + section->sh_offset);
    size_t count = section->sh_size / sizeof(*insns);

    for (size_t i = 0; i < object->header->e_shnum; i++) {
        const Elf64_Shdr *rels = &object->sections[i];
        const Elf64_Rel *rel = (const Elf64_Rel *)(object->bytes + rels->sh_offset);

        if (rels->sh_type != SHT_REL || rels->sh_info != index)
            continue;
        for (size_t j = 0; j < rels->sh_size / sizeof(*rel); j++) {
            if (!relocate(object, &rel[j], insns))
                return false;
        }
    }
    rotate(insns, count, entry_of(object, index, symbol_count));
    fn(name, insns, count,
       strstr(name, "raw_tp") ? BPF_PROG_TYPE_RAW_TRACEPOINT : BPF_PROG_TYPE_TRACEPOINT);
    return true;
}

static bool visit_object(struct object *object, const char *path, compiled_fn fn)
{
    const char *section_names;
    size_t symbol_count = 0;

    object->header = (const Elf64_Ehdr *)object->bytes;
    object->sections = (const Elf64_Shdr *)(object->bytes + object->header->e_shoff);
    section_names = object->bytes + object->sections[object->header->e_shstrndx].sh_offset;
    for (size_t i = 0; i < object->header->e_shnum; i++) {
        const Elf64_Shdr *section = &object->sections[i];

        if (section->sh_type != SHT_SYMTAB)
            continue;
        object->symbols = (const Elf64_Sym *)(object->bytes + section->sh_offset);
        symbol_count = section->sh_size / sizeof(*object->symbols);
        object->names = object->bytes + object->sections[section->sh_link].sh_offset;
    }
    for (size_t i = 0; i < object->header->e_shnum; i++) {
        const Elf64_Shdr *section = &object->sections[i];
        char name[256];

        snprintf(name, sizeof(name), "%s: %s", strrchr(path, '/') ? strrchr(path, '/') + 1 : path,
                 section_names + section->sh_name);
        if (section->sh_type == SHT_PROGBITS && (section->sh_flags & SHF_EXECINSTR) &&
            section->sh_size && !visit_section(object, i, symbol_count, name, fn)) {
            printf("%s cannot be relocated\n", name);
            return false;
        }
    }
    return true;
}

static bool visit_file(const char *path, compiled_fn fn)
{
    struct object object = {0};
    FILE *file = fopen(path, "r");
    const size_t room = 1 << 20;
    size_t size;
    bool good;

    if (!file) {
        printf("%s cannot be opened\n", path);
        return false;
    }
    object.bytes = calloc(1, room);
    size = object.bytes ? fread(object.bytes, 1, room, file) : 0;
    fclose(file);
    good = size > sizeof(Elf64_Ehdr) && size < room && visit_object(&object, path, fn);
    free(object.bytes);
    return good;
}

int compiled_compare(compiled_fn fn)
{
    char paths[] = COMPILED_PROGRAMS, *rest = paths;
    int failed = 0;

    for (char *path; (path = strsep(&rest, "|"));)
        failed += *path && !visit_file(path, fn);
    if (!paths[0])
        printf("no compiler for BPF: compiled programs are left out\n");
    return failed;
}
