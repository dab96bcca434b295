/* SPDX-License-Identifier: MIT */
/* For cmocka tests that compare maps with the kernel's. */
#ifndef TESTS_KERNEL_NEEDED_H
#define TESTS_KERNEL_NEEDED_H

#include "core.h"

#include "kernel_map.h"

/* Skips the test where the kernel gives us no maps. */
static void need_kernel(void)
{
    const struct sta_map_options array = {
        .type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    int fd = kernel_map_create(&array);

    if (fd < 0) {
        print_message("skipped: no maps of the kernel: %s\n", strerror(-fd));
        skip();
    }
    close(fd);
}

#endif
