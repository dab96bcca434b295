/* SPDX-License-Identifier: MIT */
/*
 * The code of the ELF files that this very process has loaded, the vDSO among them.
 */
#ifndef STA_TESTS_LOADED_H
#define STA_TESTS_LOADED_H

#include <link.h>
#include <stdbool.h>
#include <stdint.h>

#include "transform/site.h"

struct loaded {
    const char *path; /* empty: the program; of the vDSO, its soname */
    struct sta__unwind unwind;
    struct sta__code code; /* without its unwind data: call loaded_code() */
    bool has_unwind;
};

static inline struct sta__code loaded_code(const struct loaded *loaded)
{
    struct sta__code code = loaded->code;

    code.unwind = loaded->has_unwind ? &loaded->unwind : NULL;
    return code;
}

static inline bool loaded_read(struct loaded *loaded, const struct dl_phdr_info *info)
{
    uintptr_t header = 0;

    *loaded = (struct loaded){.path = info->dlpi_name};
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;

        if (segment->p_type == PT_GNU_EH_FRAME)
            header = start;
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X))
            loaded->code = (struct sta__code){start, start + segment->p_filesz, NULL};
    }
    for (int i = 0; i < info->dlpi_phnum && header; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;

        if (segment->p_type == PT_LOAD && header >= start && header < start + segment->p_filesz)
            loaded->has_unwind =
                sta__unwind_open(&loaded->unwind, header, start, start + segment->p_filesz) == 0;
    }
    return loaded->code.end > loaded->code.start;
}

#endif
