/* SPDX-License-Identifier: MIT */
/* bpf(2) as the emulation answers it, without interception. To be included after core.h. */
#ifndef TESTS_BPF_CALLS_H
#define TESTS_BPF_CALLS_H

#include <linux/bpf.h>

#include "bpfcall/bpfcall.h"

__attribute__((unused)) static void log_bpf(void *data, enum sta_log_level level,
                                            const char *message)
{
    (void)data, (void)level;
    if (getenv("STA_TEST_LOG"))
        print_message("%s\n", message);
}

/* An emulation whose hooks the test calls itself. */
static inline struct sta__bpf *new_bpf(void)
{
    const struct sta__log log = {log_bpf, NULL};
    struct sta__bpf *bpf = NULL;
    struct sta *sta = NULL;

    must_equal(sta_new(&sta, NULL), 0);
    must_equal(sta__bpf_new(&bpf, sta, &log), 0);
    return bpf;
}

static inline void free_bpf(struct sta__bpf *bpf)
{
    struct sta *sta = bpf->sta;

    sta__bpf_free(bpf);
    sta_free(sta);
}

/* A descriptor, 0, or -errno. */
static inline long call_bpf(struct sta__bpf *bpf, int cmd, union bpf_attr *attr)
{
    return sta__bpf_call(bpf, cmd, attr, sizeof(*attr));
}

static inline long create_map(struct sta__bpf *bpf, uint32_t type, uint32_t key_size,
                              uint32_t value_size, uint32_t max_entries)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.map_type = type;
    attr.key_size = key_size;
    attr.value_size = value_size;
    attr.max_entries = max_entries;
    return call_bpf(bpf, BPF_MAP_CREATE, &attr);
}

/* What the application's close(2) does. */
static inline long close_fd(struct sta__bpf *bpf, int fd)
{
    const unsigned long args[6] = {(unsigned long)fd};
    long result = sta__hook_close(bpf, args);

    return result == STA__NOT_OURS ? close(fd) : result;
}

#endif
