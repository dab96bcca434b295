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

static int save(const char *path, int version)
{
    char new_path[64];
    int err;

    snprintf(new_path, sizeof(new_path), "%s.new", path);
    err = write_records(new_path, version);
    if (!err && rename(new_path, path) < 0)
        err = -errno;
    if (err)
        unlink(new_path);
    return err;
}

/* The fault. A callback is given it as its user_data. */

struct fault {
    int when;  /* which call of its kind fails: the first is 1 */
    int calls; /* how many there were */
    int err;
};

static int inject(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct fault *fault = user_data;

    (void)ctx, (void)ctx_size, (void)ret;
    return ++fault->calls == fault->when ? sta_override_return(-fault->err) : 0;
}

/* The test. */

static int must(int result, const char *what)
{
    if (result >= 0)
        return result;
    fprintf(stderr, "fault_injection: %s: %s\n", what, strerror(-result));
    exit(EXIT_FAILURE);
}

static void claim(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fault_injection: it is not true that %s\n", what);
    exit(EXIT_FAILURE);
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
    if (file)
        fclose(file);
    return n == 3 ? version : -1;
}

static bool has_leftover(const char *path)
{
    char new_path[64];

    snprintf(new_path, sizeof(new_path), "%s.new", path);
    return access(new_path, F_OK) == 0;
}

/* Saves version 2 over version 1, with the nth call of a kind failing. False if save() made fewer
 * such calls. */
static bool try_fault(struct sta *sta, const char *path, const struct sta_target *target, int when)
{
    struct fault fault = {.when = when, .err = ENOSPC};
    bool injected;
    int id, err;

    claim(save(path, 1) == 0, "a file can be saved in /tmp");
    id = must(sta_attach(sta, target, inject, &fault), "sta_attach");
    err = save(path, 2);
    must(sta_detach(sta, id), "sta_detach");

    injected = fault.calls >= when;
    printf("   %d  %-8s  %-24s  version %d\n", when, injected ? "fails" : "not made",
           err ? strerror(-err) : "saved", saved_version(path));
    claim(err == (injected ? -ENOSPC : 0), "save() returns the error of the call that failed");
    claim(saved_version(path) == (injected ? 1 : 2), "a failed save() leaves the old file alone");
    claim(!has_leftover(path), "a failed save() leaves nothing over");
    return injected;
}

int main(void)
{
    static const char *const names[] = {"sys_enter_openat", "sys_enter_write"};
    struct sta_target target;
    char path[48];
    struct sta *sta;

    snprintf(path, sizeof(path), "/tmp/sta-fault-injection.%d", (int)getpid());
    must(sta_new(&sta, NULL), "sta_new");
    must(sta_transform_install(sta, NULL), "sta_transform_install");
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        must(sta_target_parse(&target, names[i]), names[i]);
        printf("%s, call number\n", names[i]);
        for (int when = 1; try_fault(sta, path, &target, when); when++)
            ;
    }
    sta_free(sta);
    unlink(path);
    printf("The error paths work.\n");
    return EXIT_SUCCESS;
}
