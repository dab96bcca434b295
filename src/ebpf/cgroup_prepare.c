/* SPDX-License-Identifier: MIT */
/* Where the unified hierarchy is mounted: lines of /proc/self/mountinfo, see proc(5). */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebpf/cgroup.h"
#include "ebpf/cgroup_state.h"

#define STRING(x)  #x
#define WIDTH(x)   STRING(x)
#define PATH_WIDTH 767

_Static_assert(PATH_WIDTH == STA__CGROUP_PATH_MAX - 1, "scanf has to know it as a number");

/* Spaces and the like are written as \040. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; from++) {
        if (from[0] == '\\' && strspn(from + 1, "01234567") >= 3) {
            *to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 3;
        } else {
            *to++ = *from;
        }
    }
    *to = 0;
}

static bool read_mount(const char *line, struct sta__cgroup_mount *out)
{
    const char *type = strstr(line, " - ");

    if (!type || strncmp(type + 3, "cgroup2 ", 8) != 0 ||
        sscanf(line, "%*s %*s %*s %" WIDTH(PATH_WIDTH) "s %" WIDTH(PATH_WIDTH) "s", out->root,
               out->directory) != 2)
        return false;
    unescape(out->root);
    unescape(out->directory);
    if (strcmp(out->root, "/") == 0)
        out->root[0] = 0;
    return true;
}

/* Of several, that which shows the most. */
static bool find_mount(struct sta__cgroup_mount *out)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    struct sta__cgroup_mount mount;
    bool is_found = false;
    char *line = NULL;
    size_t size = 0;

    while (file && getline(&line, &size, file) > 0) {
        if (read_mount(line, &mount) && (!is_found || strlen(mount.root) < strlen(out->root))) {
            *out = mount;
            is_found = true;
        }
    }
    free(line);
    if (file)
        fclose(file);
    return is_found;
}

void sta__cgroup_prepare(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct sta__cgroup_mount mount;
    static bool is_prepared;

    pthread_mutex_lock(&lock);
    /* Release: what is at the pointer is there. */
    if (!is_prepared && find_mount(&mount))
        atomic_store_explicit(&sta__cgroup_mounted, &mount, memory_order_release);
    is_prepared = true;
    pthread_mutex_unlock(&lock);
}
