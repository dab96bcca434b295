/* SPDX-License-Identifier: MIT */
/* How many mappings the process has; no libc that could map some itself. */
#ifndef TESTS_MAPPINGS_H
#define TESTS_MAPPINGS_H

#include "intercept.h"

#include <fcntl.h>
#include <unistd.h>

static unsigned count_mappings(void)
{
    char buffer[4096];
    unsigned lines = 0;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    ssize_t got;

    CHECK(fd >= 0);
    while ((got = read(fd, buffer, sizeof(buffer))) > 0)
        for (ssize_t i = 0; i < got; i++)
            lines += buffer[i] == '\n';
    close(fd);
    return lines;
}

#endif
