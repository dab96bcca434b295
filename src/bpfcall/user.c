/* SPDX-License-Identifier: MIT */
/* See user.h: the kernel copies between two places of this process, and says where it cannot. */
#include "bpfcall/user.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/gate.h"
#include "base/pages.h"

static int copy(int sys_nr, const void *own, uint64_t theirs, size_t size)
{
    struct iovec local = {(void *)(uintptr_t)own, size}, remote = {(void *)(uintptr_t)theirs, size};
    int64_t got;

    if (size == 0)
        return 0;
    got = STA__RAW6(sys_nr, STA__RAW0(SYS_getpid), &local, 1, &remote, 1, 0);
    if (got == (int64_t)size)
        return 0;
    if (got >= 0 || got == -EFAULT)
        return -EFAULT;
    /* Forbidden (seccomp): then it is as with any function that is given a bad address. */
    if (sys_nr == SYS_process_vm_readv)
        memcpy((void *)(uintptr_t)own, remote.iov_base, size);
    else
        memcpy(remote.iov_base, own, size);
    return 0;
}

int sta__user_read(void *to, uint64_t from, size_t size)
{
    return copy(SYS_process_vm_readv, to, from, size);
}

int sta__user_write(uint64_t to, const void *from, size_t size)
{
    return copy(SYS_process_vm_writev, from, to, size);
}

/* By pieces that end with a page, as the next one may not be there. */
long sta__user_read_string(char *to, uint64_t from, size_t size)
{
    size_t done = 0;

    while (done < size - 1) {
        size_t piece = STA__PAGE_SIZE - (from + done) % STA__PAGE_SIZE;
        char *end;

        if (piece > size - 1 - done)
            piece = size - 1 - done;
        if (sta__user_read(to + done, from + done, piece) < 0)
            return -EFAULT;
        end = memchr(to + done, '\0', piece);
        if (end)
            return end - to;
        done += piece;
    }
    to[done] = '\0';
    return (long)done;
}

void *sta__user_copy(uint64_t from, size_t size, int *error)
{
    void *copied = malloc(size ? size : 1);

    *error = copied ? sta__user_read(copied, from, size) : -ENOMEM;
    if (*error == 0)
        return copied;
    free(copied);
    return NULL;
}
