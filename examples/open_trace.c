/* SPDX-License-Identifier: MIT */
/*
 * A program of libbpf's usual form (skeleton, ring buffer, global data), as it is written for the
 * kernel, with one call added: sta_emulate_process(). From then on bpf(2) is answered by the
 * library, in this process: no privilege is needed, and the events are those of this process's own
 * calls.
 *
 * Compiled with -DIN_KERNEL, without that call, it does the same in the kernel, as root.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef IN_KERNEL
#    include <sta.h>
#endif

#include "open_trace.h"
#include "open_trace.skel.h"

static int print_event(void *data, void *record, size_t size)
{
    const struct open_event *event = record;

    (void)data, (void)size;
    if (event->result < 0)
        printf("%s  %s: %s\n", event->comm, event->path, strerror(-event->result));
    else
        printf("%s  %s: opened\n", event->comm, event->path);
    return 0;
}

static void open_some_files(void)
{
    static const char *const paths[] = {"/dev/null", "/dev/zero", "/no/such/file", "/etc", ""};

    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        int fd = open(paths[i], O_RDONLY);

        if (fd >= 0)
            close(fd);
    }
}

static int trace(struct open_trace_bpf *skeleton)
{
    struct ring_buffer *ring;
    int count;

    skeleton->rodata->target_pid = getpid();
    if (open_trace_bpf__load(skeleton) < 0)
        return -1;
    ring = ring_buffer__new(bpf_map__fd(skeleton->maps.events), print_event, NULL, NULL);
    if (!ring)
        return -1;
    if (open_trace_bpf__attach(skeleton) < 0) {
        ring_buffer__free(ring);
        return -1;
    }
    open_some_files();
    open_trace_bpf__detach(skeleton);
    count = ring_buffer__poll(ring, 1000 /* ms */);
    printf("%d events; the program counted %d\n", count, skeleton->bss->opens);
    ring_buffer__free(ring);
    return count;
}

int main(void)
{
    struct open_trace_bpf *skeleton;
    int count;

#ifndef IN_KERNEL
    if (sta_emulate_process(NULL) < 0)
        return 1;
#endif
    skeleton = open_trace_bpf__open();
    if (!skeleton)
        return 1;
    count = trace(skeleton);
    open_trace_bpf__destroy(skeleton);
    return count == 5 ? 0 : 1;
}
