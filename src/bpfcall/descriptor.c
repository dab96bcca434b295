/* SPDX-License-Identifier: MIT */
/* See descriptor.h. */
#include "bpfcall/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/gate.h"
#include "bpfcall/fds.h"

/* Our own descriptors are where the application does not look for the lowest free one. */
#define OWN_FD_MIN 512

/* Locks. A description that may read shares the first byte; one that may not, and cannot have a
 * shared lock, has a byte of its own. */
static int lock_description(int fd, int flags)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
    int64_t err;

    if ((flags & O_ACCMODE) == O_WRONLY)
        lock.l_type = F_WRLCK;
    do {
        lock.l_start += lock.l_type == F_WRLCK;
        lock.l_pid = 0; /* as the kernel wants it */
        err = STA__RAW3(SYS_fcntl, fd, F_OFD_SETLK, &lock);
    } while (err == -EAGAIN);
    return (int)err;
}

/* Whether a description that was given out is there yet, anywhere. */
bool sta__fd_is_open_somewhere(int own_fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return STA__RAW3(SYS_fcntl, own_fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* A description of its own. Not through /proc/self: the thread may have left its process's table.
 */
int sta__fd_open(int own_fd, int flags)
{
    char path[64];
    int64_t fd;
    int err;

    snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", own_fd);
    fd = STA__RAW4(SYS_openat, AT_FDCWD, path, (flags & O_ACCMODE) | O_CLOEXEC, 0);
    if (fd < 0)
        return (int)fd;
    err = lock_description((int)fd, flags);
    if (err < 0) {
        STA__RAW1(SYS_close, fd);
        return err;
    }
    return (int)fd;
}

int64_t sta__fd_copy_own(int fd)
{
    return STA__RAW3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, OWN_FD_MIN);
}

int sta__fds_move_own(int fd)
{
    int64_t moved = sta__fd_copy_own(fd);

    if (moved < 0)
        return fd;
    STA__RAW1(SYS_close, fd);
    return (int)moved;
}

int sta__fds_open_own(int fd)
{
    char path[64];
    int64_t own;

    snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", fd);
    own = STA__RAW4(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    return own < 0 ? (int)own : sta__fds_move_own((int)own);
}

void sta__fds_lock_foreign(int fd)
{
    int64_t flags = STA__RAW2(SYS_fcntl, fd, F_GETFL);

    if (flags >= 0)
        lock_description(fd, (int)flags);
}

/* Whether the kernel itself has an object behind a descriptor, by what /proc shows of it. */
int sta__fd_why_not_ours(int fd)
{
    static const char *const kernels[] = {"anon_inode:bpf", "anon_inode:btf",
                                          "anon_inode:[perf_event]"};
    char path[64], target[64];
    int64_t size;

    if (STA__RAW2(SYS_fcntl, fd, F_GETFD) == -EBADF)
        return -EBADF;
    snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", fd);
    size = STA__RAW4(SYS_readlinkat, AT_FDCWD, path, target, sizeof(target));
    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
        int64_t length = (int64_t)strlen(kernels[i]);

        if (size >= length && memcmp(target, kernels[i], (size_t)length) == 0)
            return 0;
    }
    return size < 0 ? 0 : -EINVAL;
}
