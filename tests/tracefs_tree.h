/* SPDX-License-Identifier: MIT */
/*
 * For the tests of tracefs: made-up trees in a temporary directory, and a log that can be asked
 * what it heard. To be included first.
 */
#ifndef TESTS_TRACEFS_TREE_H
#define TESTS_TRACEFS_TREE_H

#define _GNU_SOURCE /* nftw */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <sta/syscalls.h>

struct tree {
    char root[64];
    struct sta_tracefs_options options;
    char log[16384]; /* lines that begin with E, W or I */
};

static inline void tree_log(void *data, enum sta_log_level level, const char *message)
{
    struct tree *tree = data;
    size_t used = strlen(tree->log);

    assert_null(strchr(message, '\n'));
    snprintf(tree->log + used, sizeof(tree->log) - used, "%c %s\n", "EWI"[level], message);
}

static inline int tree_setup(void **state)
{
    struct tree *tree = calloc(1, sizeof(*tree));
    char path[128];

    strcpy(tree->root, "/tmp/sta-tree.XXXXXX");
    if (!mkdtemp(tree->root))
        return -1;
    chmod(tree->root, 0755);
    snprintf(path, sizeof(path), "%s/events", tree->root);
    mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s/events/syscalls", tree->root);
    mkdir(path, 0755);
    tree->options = (struct sta_tracefs_options){sizeof(tree->options), tree->root, tree_log, tree};
    *state = tree;
    return 0;
}

static inline int tree_remove_entry(const char *path, const struct stat *status, int type,
                                    struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

static inline int tree_teardown(void **state)
{
    struct tree *tree = *state;

    nftw(tree->root, tree_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(tree);
    return 0;
}

/* "<root>/events/<path>" in a static buffer. */
static inline const char *tree_path(const struct tree *tree, const char *path)
{
    static char full[PATH_MAX];

    snprintf(full, sizeof(full), "%s/events/%s", tree->root, path);
    return full;
}

/* Writes a file below events/, with the directories that it needs. */
static inline void tree_put_bytes(const struct tree *tree, const char *path, const void *bytes,
                                  size_t length)
{
    char full[PATH_MAX];
    int fd;

    strcpy(full, tree_path(tree, path));
    for (char *slash = full + strlen(tree->root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(full, 0755);
        *slash = '/';
    }
    fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    close(fd);
}

static inline void tree_put(const struct tree *tree, const char *path, const char *text)
{
    tree_put_bytes(tree, path, text, strlen(text));
}

static inline void tree_put_id(const struct tree *tree, const char *category, const char *event,
                               int id)
{
    char path[512], text[16];

    snprintf(path, sizeof(path), "%s/%s/id", category, event);
    snprintf(text, sizeof(text), "%d\n", id);
    tree_put(tree, path, text);
}

static inline void assert_logged(struct tree *tree, const char *text)
{
    if (!strstr(tree->log, text))
        fail_msg("'%s' is not in the log:\n%s", text, tree->log);
}

static inline void assert_not_logged(struct tree *tree, const char *text)
{
    if (strstr(tree->log, text))
        fail_msg("'%s' is in the log:\n%s", text, tree->log);
}

static inline void clear_log(struct tree *tree)
{
    tree->log[0] = '\0';
}

/*
 * Runs `check` as an ordinary user: in a child if we are root. It returns NULL, or what is wrong,
 * and must not use assertions.
 */
static inline void as_ordinary_user(const char *(*check)(struct tree *tree), struct tree *tree)
{
    const char *wrong;
    int status;
    pid_t child;

    if (geteuid() != 0) {
        wrong = check(tree);
        if (wrong)
            fail_msg("%s; log:\n%s", wrong, tree->log);
        return;
    }
    child = fork();
    if (child == 0) {
        if (setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0)
            _exit(2);
        wrong = check(tree);
        if (wrong)
            fprintf(stderr, "as an ordinary user: %s; log:\n%s", wrong, tree->log);
        _exit(wrong != NULL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* How many times this process has called read(2) and the like, or -1. */
static inline long reads_so_far(void)
{
    FILE *file = fopen("/proc/self/io", "r");
    char line[128];
    long reads = -1;

    if (!file)
        return -1;
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "syscr: %ld", &reads) == 1)
            break;
    fclose(file);
    return reads;
}

/* tracefs as the kernel has it, mounted if need be. Otherwise says why not, and returns false. */
static inline int kernel_tracefs_is_readable(void)
{
    static const char events[] = "/sys/kernel/tracing/events/syscalls";

    if (access(events, R_OK) == 0)
        return 1;
    if (geteuid() == 0 && mount("nodev", "/sys/kernel/tracing", "tracefs", 0, NULL) == 0 &&
        access(events, R_OK) == 0)
        return 1;
    print_message("skipped: %s: %s\n", events, strerror(errno));
    return 0;
}

#endif
