/* SPDX-License-Identifier: MIT */
#include "base/memory.h"

#include <errno.h>
#include <sys/uio.h>

#include "base/gate.h"

static int copy_checked(int sys_nr, const void *own, const void *named, size_t size)
{
    struct iovec local = {(void *)(uintptr_t)own, size};
    struct iovec remote = {(void *)(uintptr_t)named, size};
    int64_t got = STA__RAW6(sys_nr, STA__RAW0(SYS_getpid), &local, 1, &remote, 1, 0);

    if (got < 0)
        return (int)got;
    return (size_t)got == size ? 0 : -EFAULT;
}

/* So short that the string instruction, which takes some time to begin, is not worth it. */
#define SHORT_MAX 64

/* The barriers keep the compiler from making calls of libc of these loops. */
static void copy_short(uint8_t *to, const uint8_t *from, size_t size)
{
    typedef uint64_t __attribute__((may_alias, aligned(1))) word;

    for (; size >= sizeof(word); to += sizeof(word), from += sizeof(word), size -= sizeof(word)) {
        *(word *)to = *(const word *)from;
        __asm__ volatile("" : : : "memory");
    }
    for (; size > 0; size--) {
        *to++ = *from++;
        __asm__ volatile("" : : : "memory");
    }
}

void sta__memory_copy(void *to, const void *from, size_t size)
{
    if (size <= SHORT_MAX)
        copy_short(to, from, size);
    else
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

bool sta__memory_is_equal(const void *a, const void *b, size_t size)
{
    typedef uint64_t __attribute__((may_alias, aligned(1))) word;
    const unsigned char *x = a, *y = b;

    for (; size >= sizeof(word); x += sizeof(word), y += sizeof(word), size -= sizeof(word)) {
        if (*(const word *)x != *(const word *)y)
            return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (x[i] != y[i])
            return false;
    }
    return true;
}

int sta__memory_read_checked(void *to, const void *from, size_t size)
{
    return copy_checked(SYS_process_vm_readv, to, from, size);
}

bool sta__memory_read(void *to, const void *from, size_t size)
{
    int err = sta__memory_read_checked(to, from, size);

    if (err != 0 && err != -EFAULT)
        sta__memory_copy(to, from, size);
    return err != -EFAULT;
}

int sta__memory_write_checked(void *to, const void *from, size_t size)
{
    return copy_checked(SYS_process_vm_writev, from, to, size);
}

bool sta__memory_write(void *to, const void *from, size_t size)
{
    int err = sta__memory_write_checked(to, from, size);

    if (err != 0 && err != -EFAULT)
        sta__memory_copy(to, from, size);
    return err != -EFAULT;
}
