/* SPDX-License-Identifier: MIT */
/* Libraries that are opened before a test becomes another user, who may not reach them. */
#ifndef TESTS_LIBRARIES_H
#define TESTS_LIBRARIES_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

static bool open_libraries(const char *const *paths, int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fds[i] = open(paths[i], O_RDONLY);
        if (fds[i] < 0) {
            perror(paths[i]);
            return false;
        }
    }
    return true;
}

#endif
