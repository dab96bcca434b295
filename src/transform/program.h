/* SPDX-License-Identifier: MIT */
/*
 * What kind of program a file is, before it is executed: whether a dynamic loader will load what is
 * preloaded into it. On the dispatch path: no libc.
 */
#ifndef STA_TRANSFORM_PROGRAM_H
#define STA_TRANSFORM_PROGRAM_H

#include <elf.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "transform/exec.h"

#define STA__PROGRAM_HEAD_SIZE 256 /* as much as the kernel reads (BINPRM_BUF_SIZE) */
#define STA__PROGRAM_PHDR_MAX  64

/* Room to work in, too large for any stack. */
struct sta__program_work {
    char interpreter[STA__PROGRAM_HEAD_SIZE]; /* of a script */
    char head[STA__PROGRAM_HEAD_SIZE];
    struct stat stat;
    Elf64_Phdr phdrs[STA__PROGRAM_PHDR_MAX];
};

/*
 * The kind of what execveat(dir, path, ..., flags) would execute; a file that cannot be read is
 * taken for one that can be followed. False: the call is going to fail, as there is no such file,
 * or it is not executable.
 */
bool sta__program_kind(struct sta__program_work *work, int dir, const char *path, int flags,
                       enum sta__exec_kind *kind);

#endif
