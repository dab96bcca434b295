/* SPDX-License-Identifier: MIT */
/* See user.h. */
#include "bpfcall/user.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/copy_user.h"
#include "base/pages.h"

int sta__user_read(void *to, uint64_t from, size_t size)
{
    return (int)sta__copy_from_user(to, from, size);
}

int sta__user_write(uint64_t to, const void *from, size_t size)
{
    return (int)sta__copy_to_user(to, from, size);
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
