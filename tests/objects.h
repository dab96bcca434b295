/* SPDX-License-Identifier: MIT */
/* Object files of bpf/, for tests to open. To be included after intercept.h. */
#ifndef TESTS_OBJECTS_H
#define TESTS_OBJECTS_H

/* What was logged last at the level of errors, and all warnings. */
static char last_error[1024], warnings[4096] UNUSED;

UNUSED static void keep(void *data, enum sta_log_level level, const char *message)
{
    (void)data;
    if (getenv("STA_TEST_LOG"))
        fprintf(stderr, "%d: %s\n", level, message);
    if (level == STA_LOG_ERROR)
        snprintf(last_error, sizeof(last_error), "%s", message);
    if (level == STA_LOG_WARN && strlen(warnings) + strlen(message) + 2 < sizeof(warnings))
        strcat(strcat(warnings, message), "\n");
}

UNUSED static const char *path_of(const char *name)
{
    static _Thread_local char path[512];

    snprintf(path, sizeof(path), "%s/%s.bpf.o", BPF_OBJECT_DIR, name);
    return path;
}

UNUSED static struct sta *quiet_registry(void)
{
    const struct sta_options options = {.size = sizeof(options), .log = keep};
    struct sta *sta;

    CHECK_EQ(sta_new(&sta, &options), 0);
    return sta;
}

UNUSED static struct sta_object *open_object(struct sta *sta, const char *name)
{
    struct sta_object *object = NULL;
    int err = sta_object_open(&object, sta, path_of(name));

    if (err < 0)
        victim_failed("%s: %d: %s", name, err, last_error);
    return object;
}

UNUSED static long *number(struct sta_object *object, const char *name)
{
    size_t size = 0;
    long *at = sta_object_global(object, name, &size);

    if (!at)
        victim_failed("no variable %s", name);
    CHECK(size >= sizeof(int));
    return at;
}

UNUSED static void set_target(struct sta_object *object)
{
    *(int *)number(object, "target_pid") = getpid();
}

UNUSED static void load(struct sta_object *object)
{
    int err = sta_object_load(object);

    if (err < 0)
        victim_failed("not loaded: %d: %s", err, last_error);
}

UNUSED static void attach_all(struct sta_object *object, int count)
{
    int err = sta_object_attach(object);

    if (err != count)
        victim_failed("not attached: %d: %s", err, last_error);
}

#endif
