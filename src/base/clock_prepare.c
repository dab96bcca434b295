/* SPDX-License-Identifier: MIT */
/*
 * The vDSO is an ELF file in memory, whose address the kernel hands to each process. It has no
 * relocations; its dynamic symbols are found as in any shared object. What is not as expected is
 * not used: then the clocks are system calls.
 */
#include "base/clock.h"

#include <cpuid.h>
#include <elf.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/clock_state.h"

struct vdso {
    uintptr_t bias; /* to be added to its addresses */
    const Elf64_Dyn *dynamic;
    const Elf64_Sym *symbols;
    const uint32_t *hash; /* DT_HASH: nbucket, nchain, ..; nchain is the number of symbols */
    const char *names;
};

static void read_segments(struct vdso *vdso, const Elf64_Ehdr *header)
{
    const char *file = (const char *)header;
    const Elf64_Phdr *segments = (const Elf64_Phdr *)(file + header->e_phoff);

    for (unsigned i = 0; i < header->e_phnum; i++) {
        if (segments[i].p_type == PT_LOAD)
            vdso->bias = (uintptr_t)file + segments[i].p_offset - segments[i].p_vaddr;
        else if (segments[i].p_type == PT_DYNAMIC)
            vdso->dynamic = (const Elf64_Dyn *)(file + segments[i].p_offset);
    }
}

static void read_dynamic(struct vdso *vdso)
{
    for (const Elf64_Dyn *entry = vdso->dynamic; entry && entry->d_tag != DT_NULL; entry++) {
        const void *address = (const void *)(vdso->bias + entry->d_un.d_ptr);

        if (entry->d_tag == DT_SYMTAB)
            vdso->symbols = address;
        else if (entry->d_tag == DT_STRTAB)
            vdso->names = address;
        else if (entry->d_tag == DT_HASH)
            vdso->hash = address;
    }
}

static const void *find_function(const struct vdso *vdso, const char *name)
{
    uint32_t count = vdso->symbols && vdso->names && vdso->hash ? vdso->hash[1] : 0;

    for (uint32_t i = 0; i < count; i++) {
        const Elf64_Sym *symbol = &vdso->symbols[i];

        if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx != SHN_UNDEF &&
            strcmp(vdso->names + symbol->st_name, name) == 0)
            return (const void *)(vdso->bias + symbol->st_value);
    }
    return NULL;
}

static void prepare_clock(void)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)getauxval(AT_SYSINFO_EHDR);
    struct vdso vdso = {0};
    const void *function;

    if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return;
    read_segments(&vdso, header);
    read_dynamic(&vdso);
    function = find_function(&vdso, "__vdso_clock_gettime");
    atomic_store_explicit(&sta__vdso_clock_gettime, (sta__clock_gettime_fn)(uintptr_t)function,
                          memory_order_relaxed);
}

static void prepare_cpu(void)
{
    unsigned a, b, c, d;

    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_RDPID))
        atomic_store_explicit(&sta__has_rdpid, true, memory_order_relaxed);
}

/* Once: virtual machines take long over cpuid. Two threads that do it at the same time find out the
 * same. */
void sta__clock_prepare(void)
{
    static _Atomic bool is_prepared;

    if (atomic_load_explicit(&is_prepared, memory_order_relaxed))
        return;
    prepare_clock();
    prepare_cpu();
    atomic_store_explicit(&is_prepared, true, memory_order_relaxed);
}
