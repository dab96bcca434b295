/* SPDX-License-Identifier: MIT */
/*
 * What does a program do when the disk is full? An eBPF object, inject.bpf.o, which lies beside
 * this program, lets it find out without a full disk: from the third on, writes to a descriptor
 * fail.
 */
#include <errno.h>
#include <sta.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void log_line(void *data, enum sta_log_level level, const char *message)
{
    (void)data;
    if (level == STA_LOG_ERROR)
        fprintf(stderr, "%s\n", message);
}

/* The object beside this program. */
static const char *object_path(char *path, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    const char *suffix = ".bpf.o";

    if (length < 0 || (size_t)length + strlen(suffix) >= size)
        return NULL;
    strcpy(path + length, suffix);
    return path;
}

/* What is tested: it must say what became of each line. */
static void save_lines(int fd)
{
    static const char *const lines[] = {"one\n", "two\n", "three\n", "four\n"};

    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        if (write(fd, lines[i], strlen(lines[i])) < 0)
            printf("line %zu: %s\n", i + 1, strerror(errno));
        else
            printf("line %zu: saved\n", i + 1);
    }
}

int main(void)
{
    const struct sta_options options = {sizeof(options), log_line, NULL};
    char path[4096], name[] = "/tmp/inject-XXXXXX";
    struct sta_object *object;
    struct sta *sta;
    int fd = mkstemp(name);

    unlink(name);
    if (fd < 0 || sta_new(&sta, &options) < 0 || !object_path(path, sizeof(path)) ||
        sta_object_open(&object, sta, path) < 0)
        return 1;
    *(int *)sta_object_global(object, "target_fd", NULL) = fd;
    if (sta_object_load(object) < 0 || sta_transform_install(sta, NULL) < 0 ||
        sta_object_attach(object) < 0)
        return 1;
    save_lines(fd);
    printf("%d writes were seen\n", *(int *)sta_object_global(object, "writes", NULL));
    sta_object_close(object);
    sta_free(sta);
    printf("%ld bytes are in the file\n", (long)lseek(fd, 0, SEEK_END));
    close(fd);
    return 0;
}
