/* SPDX-License-Identifier: MIT */
/* See program.h. */
#include "transform/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gate.h"
#include "base/memory.h"

#ifndef SYS_faccessat2 /* asm/unistd_64.h since 5.8 */
#    define SYS_faccessat2 439
#endif

/* Scripts whose interpreters are scripts: as in fs/exec.c, exec_binprm(). */
#define SCRIPT_DEPTH_MAX 5

static bool begins_with(const char *text, const char *start)
{
    while (*start)
        if (*text++ != *start++)
            return false;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The script's interpreter, from behind "#!". False: the kernel will not find one, either. */
static bool read_interpreter(struct sta__program_work *work, size_t got)
{
    const char *head = work->head;
    size_t from = 2, end;

    while (from < got && is_blank(head[from]))
        from++;
    for (end = from; end < got && !is_blank(head[end]) && head[end] != '\n'; end++)
        if (head[end] == '\0')
            break;
    if (end == from || end == got)
        return false;
    sta__memory_copy(work->interpreter, head + from, end - from);
    work->interpreter[end - from] = '\0';
    return true;
}

/* The loader, called as a program, loads what is preloaded. It has no loader of its own, and only
 * the name tells it from a static executable. */
static bool is_loader(const char *path)
{
    const char *name = path;

    for (; *path; path++)
        if (*path == '/')
            name = path + 1;
    return begins_with(name, "ld-") || begins_with(name, "ld.so");
}

static enum sta__exec_kind kind_of_elf(struct sta__program_work *work, int fd, const char *path)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)work->head;
    size_t size = header->e_phnum * sizeof(work->phdrs[0]);

    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != EM_X86_64)
        return STA__EXEC_FOREIGN;
    if (header->e_phentsize != sizeof(work->phdrs[0]) || size > sizeof(work->phdrs) ||
        STA__RAW4(SYS_pread64, fd, work->phdrs, size, header->e_phoff) != (int64_t)size)
        return STA__EXEC_FOLLOWED;
    for (unsigned i = 0; i < header->e_phnum; i++)
        if (work->phdrs[i].p_type == PT_INTERP)
            return STA__EXEC_FOLLOWED;
    return is_loader(path) ? STA__EXEC_FOLLOWED : STA__EXEC_STATIC;
}

/* Whether it runs with more rights than its caller. (Where it does not, as its owner calls it or
 * the file system is mounted so, leaving it alone does no harm.) */
static bool is_privileged(const struct stat *stat, int fd)
{
    const mode_t setgid = S_ISGID | S_IXGRP;

    return (stat->st_mode & S_ISUID) || (stat->st_mode & setgid) == setgid ||
           (fd >= 0 && STA__RAW4(SYS_fgetxattr, fd, "security.capability", 0, 0) >= 0);
}

/* "/proc/self/fd/<fd>" */
static void write_fd_path(char *to, int fd)
{
    static const char start[] = "/proc/self/fd/";
    unsigned scale = 1;

    sta__memory_copy(to, start, sizeof(start) - 1);
    to += sizeof(start) - 1;
    while ((unsigned)fd / scale >= 10)
        scale *= 10;
    for (; scale > 0; scale /= 10)
        *to++ = (char)('0' + (unsigned)fd / scale % 10);
    *to = '\0';
}

/* Opens for reading; -errno if that is not allowed. */
static int open_program(int dir, const char *path, int flags)
{
    /* Without side effects, should the file turn out to be something else meanwhile. */
    const int how = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    char self[32];

    if (path[0] != '\0' || !(flags & AT_EMPTY_PATH))
        return (int)STA__RAW3(SYS_openat, dir, path, how);
    /* The descriptor at hand may be good for executing only. */
    write_fd_path(self, dir);
    return (int)STA__RAW3(SYS_openat, AT_FDCWD, self, how);
}

/* True: it is a script, and its interpreter is to be looked at. */
static bool look_into(struct sta__program_work *work, int fd, const char *path,
                      enum sta__exec_kind *kind)
{
    int64_t got = fd < 0 ? -1 : STA__RAW4(SYS_pread64, fd, work->head, sizeof(work->head), 0);

    if (got > 2 && begins_with(work->head, "#!"))
        return read_interpreter(work, (size_t)got);
    if (is_privileged(&work->stat, fd))
        *kind = STA__EXEC_PRIVILEGED;
    else if (got >= (int64_t)sizeof(Elf64_Ehdr) && begins_with(work->head, ELFMAG))
        *kind = kind_of_elf(work, fd, path);
    return false;
}

static bool is_executable(struct sta__program_work *work, int dir, const char *path, int flags)
{
    return STA__RAW4(SYS_newfstatat, dir, path, &work->stat, flags) >= 0 &&
           S_ISREG(work->stat.st_mode) &&
           STA__RAW4(SYS_faccessat2, dir, path, X_OK, flags | AT_EACCESS) != -EACCES;
}

bool sta__program_kind(struct sta__program_work *work, int dir, const char *path, int flags,
                       enum sta__exec_kind *kind)
{
    bool is_script = true;

    flags &= AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW;
    *kind = STA__EXEC_FOLLOWED;
    for (int depth = 0; is_script && depth <= SCRIPT_DEPTH_MAX; depth++) {
        int fd;

        if (!is_executable(work, dir, path, flags))
            return false;
        fd = open_program(dir, path, flags);
        is_script = look_into(work, fd, path, kind);
        if (fd >= 0)
            STA__RAW1(SYS_close, fd);
        dir = AT_FDCWD;
        path = work->interpreter;
        flags = 0;
    }
    return !is_script;
}
