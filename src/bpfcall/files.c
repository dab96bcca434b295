/* SPDX-License-Identifier: MIT */
/*
 * Files of the kernel's that libbpf reads, where the kernel has none, or none for this user:
 *
 *      <tracefs>/events/syscalls/sys_{enter,exit}_<call>/id      the built-in table's id
 *      <tracefs>/events/raw_syscalls/sys_{enter,exit}/id
 *      /sys/kernel/btf/vmlinux                                   BTF of our own, own_btf.h
 *      /sys/bus/event_source/devices/kprobe/..                   a type of our own for probes
 *
 * What can be opened is left as it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sta/syscalls.h>

#include "base/gate.h"
#include "base/memory.h"
#include "base/pages.h"
#include "bpfcall/hooks.h"
#include "bpfcall/own_btf.h"
#include "bpfcall/perf.h"

#define PATH_SIZE 192 /* the longest that is ours is shorter */
#define TEXT_SIZE 16
#define PREFIX    "/sys/"

/* Copies a path, if it may be one of those. */
static bool read_path(char path[PATH_SIZE], unsigned long from)
{
    size_t size = sizeof(PREFIX) - 1, on_page;

    if (!sta__memory_read(path, (const void *)from, size) || memcmp(path, PREFIX, size) != 0)
        return false;
    /* Not past the end of a page that may be the last. */
    while (size < PATH_SIZE) {
        on_page = STA__PAGE_SIZE - (from + size) % STA__PAGE_SIZE;
        if (on_page > PATH_SIZE - size)
            on_page = PATH_SIZE - size;
        if (!sta__memory_read(path + size, (const void *)(from + size), on_page))
            return false;
        if (memchr(path + size, '\0', on_page))
            return true;
        size += on_page;
    }
    return false;
}

static const char *skip(const char *text, const char *prefix)
{
    size_t size = strlen(prefix);

    return strncmp(text, prefix, size) == 0 ? text + size : NULL;
}

/* The target of an id file; false: it is none. */
static bool parse_id_path(const char *path, struct sta_target *target)
{
    char name[STA_TRACEPOINT_NAME_SIZE];
    const char *event = skip(path, PREFIX "kernel/tracing/events/"), *end;

    if (!event)
        event = skip(path, PREFIX "kernel/debug/tracing/events/");
    end = event ? strrchr(event, '/') : NULL;
    if (!end || strcmp(end, "/id") != 0 || (size_t)(end - event) >= sizeof(name))
        return false;
    memcpy(name, event, (size_t)(end - event));
    name[end - event] = '\0';
    event = strchr(name, '/');
    if (!event)
        return false;
    name[event - name] = ':';
    return sta_target_parse(target, name) == 0;
}

/* As open(2) of a file with this text. */
static long open_text(const void *text, size_t size, int flags)
{
    int64_t fd = STA__RAW2(SYS_memfd_create, "sta-file", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);

    if (fd >= 0 && STA__RAW4(SYS_pwrite64, fd, text, size, 0) != (int64_t)size) {
        STA__RAW1(SYS_close, fd);
        return -EIO;
    }
    return fd;
}

/* What we would say in the place of a file; 0: it is none of these. */
static int text_of(const char *path, char text[TEXT_SIZE])
{
    struct sta_target target;

    if (strcmp(path, STA__PROBE_TYPE_PATH) == 0)
        return snprintf(text, TEXT_SIZE, "%u\n", STA__PROBE_TYPE);
    if (strcmp(path, STA__PROBE_RETURN_PATH) == 0)
        return snprintf(text, TEXT_SIZE, "config:0\n");
    if (!parse_id_path(path, &target))
        return 0;
    return snprintf(text, TEXT_SIZE, "%d\n",
                    STA_BUILTIN_ID_BASE + 2 * (target.sys_nr + 1) + (target.is_enter ? 0 : 1));
}

/* Whether nobody but us has an answer. */
static bool is_missing(int64_t result)
{
    return result == -ENOENT || result == -EACCES || result == -EPERM || result == -ENOTDIR;
}

static long open_btf(int flags)
{
    struct btf *btf = sta__own_btf_new();
    const void *data;
    uint32_t size;
    long fd = -ENOMEM;

    data = btf ? btf__raw_data(btf, &size) : NULL;
    if (data)
        fd = open_text(data, size, flags);
    btf__free(btf);
    return fd;
}

static bool is_own_btf(const struct sta__bpf *bpf, const char *path)
{
    return bpf->has_own_btf && strcmp(path, STA__KERNEL_BTF_PATH) == 0;
}

static long open_at(const struct sta__bpf *bpf, int dir, unsigned long path_at, unsigned long flags,
                    unsigned long mode)
{
    char path[PATH_SIZE], text[TEXT_SIZE];
    int64_t result;
    int size;

    if ((flags & O_ACCMODE) != O_RDONLY || !read_path(path, path_at))
        return STA__NOT_OURS;
    if (is_own_btf(bpf, path))
        return open_btf((int)flags);
    size = text_of(path, text);
    if (size == 0)
        return STA__NOT_OURS;
    result = STA__RAW4(SYS_openat, dir, path, flags, mode);
    return is_missing(result) ? open_text(text, (size_t)size, (int)flags) : (long)result;
}

long sta__hook_open(struct sta__bpf *bpf, const unsigned long *args)
{
    return open_at(bpf, AT_FDCWD, args[0], args[1], args[2]);
}

long sta__hook_openat(struct sta__bpf *bpf, const unsigned long *args)
{
    return open_at(bpf, (int)args[0], args[1], args[2], args[3]);
}

/* Of faccessat2(2), too. */
long sta__hook_faccessat(struct sta__bpf *bpf, const unsigned long *args)
{
    char path[PATH_SIZE];

    if (!bpf->has_own_btf || !read_path(path, args[1]) || !is_own_btf(bpf, path))
        return STA__NOT_OURS;
    return args[2] & ~(unsigned long)R_OK ? -EACCES : 0;
}

long sta__hook_access(struct sta__bpf *bpf, const unsigned long *args)
{
    const unsigned long at[] = {(unsigned long)AT_FDCWD, args[0], args[1]};

    return sta__hook_faccessat(bpf, at);
}
