/* SPDX-License-Identifier: MIT */
/* Emulation in a victim. To be included after intercept.h. */
#ifndef TESTS_EMULATE_H
#define TESTS_EMULATE_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>

#include <sta/bpfcall.h>

UNUSED static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
    return getenv("STA_TEST_LOG") ? vfprintf(stderr, format, args) : level == LIBBPF_DEBUG ? 0 : 0;
}

UNUSED static int open_fds(void)
{
    int count = 0;

    for (int fd = 0; fd < 2048; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

UNUSED static struct sta *emulate(void)
{
    const struct sta_emulate_options options = {.size = sizeof(options), .log = log_to_stderr};
    struct sta *sta = new_registry();

    CHECK_EQ(sta_emulate_start(sta, getenv("STA_TEST_LOG") ? &options : NULL), 0);
    install(sta);
    return sta;
}

UNUSED static void end_emulation(struct sta *sta)
{
    remove_transformer(sta);
    CHECK_EQ(sta_emulate_stop(sta), 0);
    sta_free(sta);
}

#endif
