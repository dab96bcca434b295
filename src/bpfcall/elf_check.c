/* SPDX-License-Identifier: MIT */
/*
 * Whether the parts of an object file are where its headers say. libelf and libbpf 1.1 take much of
 * it for granted, so this is looked at before they see the file.
 */
#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <linux/btf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bpfcall/btf.h"
#include "bpfcall/object.h"

#ifndef EM_BPF
#    define EM_BPF 247
#endif

struct file {
    const char *data;
    size_t size;
    Elf64_Ehdr head;
    const struct sta__log *log;
};

static int bad(const struct file *file, unsigned section, const char *what)
{
    if (section)
        sta__log(file->log, STA_LOG_ERROR, "ELF file: section %u: %s", section, what);
    else
        sta__log(file->log, STA_LOG_ERROR, "ELF file: %s", what);
    return -EINVAL;
}

/* By copy: nothing says that the data is aligned. */
static Elf64_Shdr section_at(const struct file *file, unsigned index)
{
    Elf64_Shdr section;

    memcpy(&section, file->data + file->head.e_shoff + index * sizeof(section), sizeof(section));
    return section;
}

static bool is_inside(const struct file *file, uint64_t offset, uint64_t size)
{
    return offset <= file->size && size <= file->size - offset;
}

static int check_head(struct file *file)
{
    const Elf64_Ehdr *head = &file->head;

    if (file->size < sizeof(*head))
        return bad(file, 0, "it is shorter than its header");
    memcpy(&file->head, file->data, sizeof(file->head));
    if (memcmp(head->e_ident, ELFMAG, SELFMAG) != 0)
        return bad(file, 0, "it is none");
    if (head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_ident[EI_DATA] != ELFDATA2LSB ||
        head->e_ident[EI_VERSION] != EV_CURRENT || head->e_version != EV_CURRENT)
        return bad(file, 0, "it is not of 64 bits and little-endian");
    if (head->e_type != ET_REL || (head->e_machine != EM_BPF && head->e_machine != EM_NONE))
        return bad(file, 0, "it is not what a compiler makes for BPF");
    /* As libelf reads it: 0 would mean that the count is elsewhere. */
    if (head->e_shnum == 0 || head->e_shnum >= SHN_LORESERVE ||
        head->e_shentsize != sizeof(Elf64_Shdr) ||
        !is_inside(file, head->e_shoff, (uint64_t)head->e_shnum * sizeof(Elf64_Shdr)))
        return bad(file, 0, "its section headers are not there");
    if (head->e_phnum != 0 &&
        (head->e_phentsize != sizeof(Elf64_Phdr) ||
         !is_inside(file, head->e_phoff, (uint64_t)head->e_phnum * sizeof(Elf64_Phdr))))
        return bad(file, 0, "its program headers are not there");
    if (head->e_shstrndx == 0 || head->e_shstrndx >= head->e_shnum)
        return bad(file, 0, "its sections have no names");
    return 0;
}

/* Whether text at this place of a section of strings ends inside it. The section is checked. */
static bool has_text(const struct file *file, unsigned strings, uint64_t at)
{
    Elf64_Shdr section;

    if (strings == 0 || strings >= file->head.e_shnum)
        return false;
    section = section_at(file, strings);
    return section.sh_type == SHT_STRTAB && at < section.sh_size;
}

static int check_section(const struct file *file, unsigned index)
{
    const Elf64_Shdr section = section_at(file, index);

    if (section.sh_type == SHT_NULL)
        return 0;
    if (section.sh_type != SHT_NOBITS && !is_inside(file, section.sh_offset, section.sh_size))
        return bad(file, index, "it is not in the file");
    if (section.sh_size > UINT32_MAX / 4)
        return bad(file, index, "it is larger than anything that could be loaded");
    if (section.sh_addralign & (section.sh_addralign - 1))
        return bad(file, index, "its alignment is no power of two");
    if (section.sh_addralign > 1 && section.sh_type != SHT_NOBITS &&
        section.sh_offset % section.sh_addralign)
        return bad(file, index, "it is not aligned");
    if (section.sh_flags & SHF_COMPRESSED)
        return bad(file, index, "it is compressed");
    if (section.sh_type == SHT_STRTAB &&
        (section.sh_size == 0 || file->data[section.sh_offset + section.sh_size - 1]))
        return bad(file, index, "its last string does not end");
    return 0;
}

static int check_symbols(const struct file *file, unsigned index)
{
    const Elf64_Shdr section = section_at(file, index);

    if (section.sh_entsize != sizeof(Elf64_Sym) || section.sh_size % sizeof(Elf64_Sym))
        return bad(file, index, "it is no table of symbols");
    for (uint64_t at = 0; at < section.sh_size; at += sizeof(Elf64_Sym)) {
        Elf64_Sym symbol;

        memcpy(&symbol, file->data + section.sh_offset + at, sizeof(symbol));
        if (!has_text(file, section.sh_link, symbol.st_name))
            return bad(file, index, "a symbol has no name");
        if (symbol.st_shndx >= file->head.e_shnum && symbol.st_shndx < SHN_LORESERVE)
            return bad(file, index, "a symbol is in no section");
        if (symbol.st_shndx == SHN_XINDEX)
            return bad(file, index, "it has more sections than anybody needs");
    }
    return 0;
}

/* Relocations lie on something of their section, and are of a symbol. */
static int check_relocations(const struct file *file, unsigned index)
{
    const Elf64_Shdr section = section_at(file, index);
    Elf64_Shdr symbols, target;

    if (section.sh_entsize != sizeof(Elf64_Rel) || section.sh_size % sizeof(Elf64_Rel))
        return bad(file, index, "it is no table of relocations");
    if (section.sh_link >= file->head.e_shnum || section.sh_info >= file->head.e_shnum)
        return bad(file, index, "it relocates nothing");
    symbols = section_at(file, section.sh_link);
    target = section_at(file, section.sh_info);
    if (symbols.sh_type != SHT_SYMTAB || target.sh_type == SHT_NULL)
        return bad(file, index, "it relocates nothing");
    for (uint64_t at = 0; at < section.sh_size; at += sizeof(Elf64_Rel)) {
        Elf64_Rel relocation;

        memcpy(&relocation, file->data + section.sh_offset + at, sizeof(relocation));
        if (ELF64_R_SYM(relocation.r_info) >= symbols.sh_size / sizeof(Elf64_Sym))
            return bad(file, index, "a relocation is of no symbol");
        if (relocation.r_offset >= target.sh_size)
            return bad(file, index, "a relocation is past its section's end");
    }
    return 0;
}

static int check_contents(const struct file *file, unsigned index)
{
    const Elf64_Shdr section = section_at(file, index);

    if (!has_text(file, file->head.e_shstrndx, section.sh_name))
        return bad(file, index, "it has no name");
    if (section.sh_type == SHT_SYMTAB)
        return check_symbols(file, index);
    if (section.sh_type == SHT_REL)
        return check_relocations(file, index);
    if (section.sh_type == SHT_RELA || section.sh_type == SHT_DYNSYM ||
        section.sh_type == SHT_GROUP)
        return bad(file, index, "no compiler for BPF makes such a section");
    return 0;
}

/* The section of this name: 0 or its index. Names are checked. */
static unsigned find(const struct file *file, const char *name)
{
    const Elf64_Shdr names = section_at(file, file->head.e_shstrndx);

    for (unsigned i = 1; i < file->head.e_shnum; i++) {
        const Elf64_Shdr section = section_at(file, i);

        if (section.sh_type != SHT_NULL &&
            strcmp(file->data + names.sh_offset + section.sh_name, name) == 0)
            return i;
    }
    return 0;
}

/* By a copy that is aligned. Its strings' size in *strings_size. */
static int check_btf(const struct file *file, const Elf64_Shdr *section, uint32_t *strings_size)
{
    struct btf_header head;
    const char *why = "no memory";
    void *copy = malloc(section->sh_size + 1);
    int err = -ENOMEM;

    if (copy) {
        memcpy(copy, file->data + section->sh_offset, section->sh_size);
        err = sta__btf_check(copy, (uint32_t)section->sh_size, &why);
    }
    if (err == 0) {
        memcpy(&head, copy, sizeof(head));
        *strings_size = head.str_len;
        why = sta__btf_find_wrong(copy);
        err = why ? -EINVAL : 0;
    }
    free(copy);
    if (err < 0)
        sta__log(file->log, STA_LOG_ERROR, "BTF: %s", why);
    return err;
}

static int check_types(const struct file *file)
{
    unsigned btf_index = find(file, ".BTF"), ext_index = find(file, ".BTF.ext");
    uint32_t strings_size = 0;
    Elf64_Shdr btf, ext;
    int err;

    if (btf_index == 0)
        return 0; /* programs need none */
    btf = section_at(file, btf_index);
    if (btf.sh_type != SHT_PROGBITS)
        return bad(file, btf_index, "types are not where they should be");
    err = check_btf(file, &btf, &strings_size);
    if (err < 0 || ext_index == 0)
        return err;
    ext = section_at(file, ext_index);
    if (ext.sh_type != SHT_PROGBITS)
        return bad(file, ext_index, "types are not where they should be");
    return sta__btf_ext_check(file->data + ext.sh_offset, ext.sh_size, strings_size, file->log);
}

int sta__elf_check(const void *data, size_t size, const struct sta__log *log)
{
    struct file file = {.data = data, .size = size, .log = log};
    int err = check_head(&file);

    for (unsigned i = 1; i < file.head.e_shnum && err == 0; i++)
        err = check_section(&file, i);
    for (unsigned i = 1; i < file.head.e_shnum && err == 0; i++)
        err = check_contents(&file, i);
    return err == 0 ? check_types(&file) : err;
}

const void *sta__elf_section(const void *data, size_t size, const char *name, size_t *section_size)
{
    struct file file = {.data = data, .size = size};
    Elf64_Shdr section;
    unsigned index;

    memcpy(&file.head, data, sizeof(file.head));
    index = find(&file, name);
    if (index == 0)
        return NULL;
    section = section_at(&file, index);
    *section_size = section.sh_size;
    return file.data + section.sh_offset;
}
