/* SPDX-License-Identifier: MIT */
/*
 * Option structs that start with their size, so that programs compiled against another version of
 * the library keep working:
 *
 *   smaller than known   an older program: what it does not have is zero
 *   larger than known    a newer program: fine as long as what we do not know is zero
 */
#ifndef STA_BASE_OPTIONS_H
#define STA_BASE_OPTIONS_H

#include <errno.h>
#include <stddef.h>
#include <string.h>

/*
 * Copies the caller's struct `source` (NULL: all defaults) into `options`, a struct of `known`
 * bytes, and sets its size to `known`. `first` is the size that the struct had in its first
 * version.
 *
 * Returns 0; -EINVAL, a size below `first`, and the copy has defaults only; -E2BIG, something
 * unknown is asked for, and what is known has been copied.
 */
static inline int sta__options_copy(void *options, size_t known, size_t first, const void *source)
{
    size_t size = 0;

    memset(options, 0, known);
    memcpy(options, &known, sizeof(known));
    if (!source)
        return 0;
    memcpy(&size, source, sizeof(size));
    if (size < first)
        return -EINVAL;
    memcpy(options, source, size < known ? size : known);
    memcpy(options, &known, sizeof(known));
    for (size_t i = known; i < size; i++)
        if (((const unsigned char *)source)[i] != 0)
            return -E2BIG;
    return 0;
}

#endif
