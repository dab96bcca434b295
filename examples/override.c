/* SPDX-License-Identifier: MIT */
/*
 * Does the error path work? A program lets its own nth write() fail with ENOSPC, for every n, and
 * its nth openat() likewise, and sees whether it copes: no disk has to be full for that.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sta.h>

static void claim(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "override: it is not true that %s\n", what);
        exit(EXIT_FAILURE);
    }
}

/* What is under test: save() replaces a file by a new version, wholly or not at all. */

static int write_records(const char *path, int version)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    int err = fd < 0 ? -errno : 0;

    for (int i = 0; i < 3 && !err; i++)
        if (dprintf(fd, "record %d, version %d\n", i, version) < 0)
            err = -errno;
    if (fd >= 0)
        close(fd);
    return err;
}

static int save(const char *path, const char *new_path, int version)
{
    int err = write_records(new_path, version);

    if (!err && rename(new_path, path) < 0)
        err = -errno;
    if (err)
        unlink(new_path);
    return err;
}

/* The version that is in the file; -1 if the file is not whole. */
static int saved_version(const char *path)
{
    FILE *file = fopen(path, "re");
    int version = -1, record, found, n = 0;

    while (file && fscanf(file, "record %d, version %d\n", &record, &found) == 2) {
        if (record != n || (n > 0 && found != version))
            break;
        version = found;
        n++;
    }
    claim(file && fclose(file) == 0, "the file is there");
    return n == 3 ? version : -1;
}

/* The fault. The callback is given it as its user_data. */

struct fault {
    int when;  /* which call of its kind fails: the first is 1 */
    int calls; /* how many there were */
};

static int inject(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct fault *fault = user_data;

    (void)ctx, (void)ctx_size, (void)ret;
    return ++fault->calls == fault->when ? sta_override_return(-ENOSPC) : 0;
}

/* Saves version 2 over version 1, with the nth call of a kind failing. False: there is no nth. */
static bool try_fault(struct sta *sta, const struct sta_target *target, int when)
{
    struct fault fault = {.when = when};
    char path[48], new_path[64];
    bool injected;
    int id, err;

    snprintf(path, sizeof(path), "/tmp/sta-override.%d", (int)getpid());
    snprintf(new_path, sizeof(new_path), "%s.new", path);
    claim(save(path, new_path, 1) == 0, "a file can be saved in /tmp");
    claim((id = sta_attach(sta, target, inject, &fault)) > 0, "a callback can be attached");
    err = save(path, new_path, 2);
    claim(sta_detach(sta, id) == 0, "and detached");
    injected = fault.calls >= when;
    printf("   %d  %-8s  %-24s  version %d\n", when, injected ? "fails" : "not made",
           err ? strerror(-err) : "saved", saved_version(path));
    claim(err == (injected ? -ENOSPC : 0), "save() returns the error of the call that failed");
    claim(saved_version(path) == (injected ? 1 : 2), "a failed save() leaves the old file alone");
    claim(access(new_path, F_OK) < 0, "a failed save() leaves nothing over");
    unlink(path);
    return injected;
}

int main(void)
{
    static const char *const names[] = {"sys_enter_openat", "sys_enter_write"};
    struct sta_target target;
    struct sta *sta;

    claim(sta_new(&sta, NULL) == 0 && sta_transform_install(sta, NULL) == 0, "it can be installed");
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        claim(sta_target_parse(&target, names[i]) == 0, "the names are known");
        printf("%s, call number\n", names[i]);
        for (int when = 1; try_fault(sta, &target, when); when++)
            ;
    }
    sta_free(sta);
    printf("The error paths work.\n");
    return EXIT_SUCCESS;
}
