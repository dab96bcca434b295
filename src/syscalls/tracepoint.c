/* SPDX-License-Identifier: MIT */
/*
 * Tracepoints by name, by id, and all of them: from tracefs, or from the built-in table.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <sta/syscalls.h>

#include "syscalls/escape.h"
#include "syscalls/event.h"
#include "syscalls/format.h"
#include "syscalls/tracefs.h"

static int refuse(const struct sta__tracefs *fs, const char *message)
{
    sta__log(&fs->log, STA_LOG_ERROR, "%s", message);
    return -EINVAL;
}

static void describe(struct sta_tracepoint *out, const struct sta_target *target, int id)
{
    *out = (struct sta_tracepoint){
        .id = id,
        .target = *target,
        .source = id < STA_BUILTIN_ID_BASE ? STA_TRACEPOINT_TRACEFS : STA_TRACEPOINT_BUILTIN,
        .category = sta__event_category(target),
    };
    sta__event_name(target, out->name);
}

/* The id of a target, a built-in one if no tree could be opened; or -errno, logged. */
static int id_of(const struct sta__tracefs *fs, enum sta_log_level level,
                 const struct sta_target *target)
{
    char name[STA_TRACEPOINT_NAME_SIZE];

    if (fs->events < 0)
        return sta__builtin_id(target);
    sta__event_name(target, name);
    return sta__tracefs_read_id(fs, level, sta__event_category(target), name);
}

int sta_tracepoint_by_name_at(const struct sta_tracefs_options *options, const char *name,
                              struct sta_tracepoint *out)
{
    struct sta__tracefs fs;
    struct sta_target target;
    int result = sta__tracefs_init(&fs, options);

    if (result < 0)
        return result;
    if (!name || !out)
        return refuse(&fs, "sta_tracepoint_by_name: the name or the result pointer is NULL");
    result = sta__event_parse(name, &target);
    if (result < 0) {
        sta__log(&fs.log, STA_LOG_ERROR, "'%s' is no system call tracepoint",
                 sta__escape(name, strlen(name)).text);
        return result;
    }
    result = sta__tracefs_open(&fs);
    if (result >= 0)
        result = id_of(&fs, STA_LOG_ERROR, &target);
    sta__tracefs_close(&fs);
    if (result < 0)
        return result;
    describe(out, &target, result);
    return 0;
}

/* The target of an id that the kernel can have given out. */
static int find_target(const struct sta__tracefs *fs, int id, struct sta_target *target)
{
    char event[NAME_MAX + 1];
    int result;

    for (int is_enter = 0; is_enter <= 1; is_enter++) {
        *target = (struct sta_target){STA_ALL_SYSCALLS, is_enter};
        if (id_of(fs, STA_LOG_WARN, target) == id)
            return 0;
    }
    result = sta__tracefs_find(fs, id, event);
    if (result < 0 || sta__event_target(event, target))
        return result;
    sta__log(&fs->log, STA_LOG_WARN, "tracepoint %d is '%s', a call that libsta does not know", id,
             sta__escape(event, strlen(event)).text);
    return -ENOENT;
}

/* The same for any id. */
static int resolve_id(struct sta__tracefs *fs, int id, struct sta_target *target)
{
    int result;

    if (id >= STA_BUILTIN_ID_BASE)
        return sta__builtin_target(id, target) ? 0 : -ENOENT;
    result = sta__tracefs_open(fs);
    if (result == STA__TRACEFS_ABSENT)
        return -ENOENT; /* built-in ids are larger */
    if (result == 0)
        result = find_target(fs, id, target);
    sta__tracefs_close(fs);
    return result;
}

int sta_tracepoint_by_id_at(const struct sta_tracefs_options *options, int id,
                            struct sta_tracepoint *out)
{
    struct sta__tracefs fs;
    struct sta_target target;
    int result = sta__tracefs_init(&fs, options);

    if (result < 0)
        return result;
    if (id <= 0 || !out)
        return refuse(&fs, "sta_tracepoint_by_id: the id is not positive or the result is NULL");
    result = resolve_id(&fs, id, &target);
    if (result == -ENOENT)
        sta__log(&fs.log, STA_LOG_ERROR, "no system call tracepoint has id %d", id);
    if (result < 0)
        return result;
    describe(out, &target, id);
    return 0;
}

/* Events are kept by the part of the built-in id that follows the base: already in order. */
#define EVENT_SLOTS (2 * (STA_SYSCALL_LIMIT + 1))

struct listing {
    const struct sta__tracefs *fs;
    int ids[EVENT_SLOTS]; /* 0: no such event */
};

static int add_event(const char *event, void *data)
{
    struct listing *listing = data;
    struct sta_target target;
    int id;

    if (!sta__event_target(event, &target)) {
        sta__log(&listing->fs->log, STA_LOG_WARN,
                 "%.200s/events/syscalls/%s: left out, libsta does not know this call",
                 listing->fs->root, sta__escape(event, strlen(event)).text);
        return 0;
    }
    id = id_of(listing->fs, STA_LOG_WARN, &target);
    if (id > 0)
        listing->ids[sta__builtin_id(&target) - STA_BUILTIN_ID_BASE] = id;
    return 0;
}

static int list_tracefs(struct listing *listing)
{
    for (int slot = 0; slot < 2; slot++) {
        struct sta_target target = {STA_ALL_SYSCALLS, slot == 0};
        int id = id_of(listing->fs, STA_LOG_WARN, &target);

        listing->ids[slot] = id > 0 ? id : 0;
    }
    return sta__tracefs_walk(listing->fs, add_event, listing);
}

static int list_builtin(struct listing *listing)
{
    struct sta_target target;

    for (int slot = 0; slot < EVENT_SLOTS; slot++)
        if (sta__builtin_target(STA_BUILTIN_ID_BASE + slot, &target))
            listing->ids[slot] = STA_BUILTIN_ID_BASE + slot;
    return 0;
}

int sta_tracepoint_list(const struct sta_tracefs_options *options,
                        int (*visit)(const struct sta_tracepoint *tracepoint, void *user_data),
                        void *user_data)
{
    struct sta__tracefs fs;
    struct listing listing = {.fs = &fs};
    struct sta_tracepoint tracepoint;
    int result = sta__tracefs_init(&fs, options), count = 0;

    if (result < 0)
        return result;
    if (!visit)
        return refuse(&fs, "sta_tracepoint_list: no function to visit the tracepoints");
    result = sta__tracefs_open(&fs);
    if (result >= 0)
        result = result == STA__TRACEFS_ABSENT ? list_builtin(&listing) : list_tracefs(&listing);
    sta__tracefs_close(&fs);
    for (int slot = 0; slot < EVENT_SLOTS && result >= 0; slot++) {
        struct sta_target target = {slot / 2 - 1, slot % 2 == 0};

        if (listing.ids[slot] == 0)
            continue;
        describe(&tracepoint, &target, listing.ids[slot]);
        result = visit(&tracepoint, user_data);
        count++;
    }
    return result < 0 ? result : count;
}

/* Whether a caller's tracepoint is one that this library can have filled in. */
static bool is_sound(const struct sta_tracepoint *tracepoint)
{
    char name[STA_TRACEPOINT_NAME_SIZE];

    return sta__event_name(&tracepoint->target, name) &&
           strncmp(name, tracepoint->name, sizeof(name)) == 0;
}

/* Reads and parses the format file from an open tree. */
static int read_format(const struct sta__tracefs *fs, const struct sta_tracepoint *tracepoint,
                       struct sta_event_format *out)
{
    const char *category = sta__event_category(&tracepoint->target);
    struct sta_event_format format;
    struct sta__format_error error;
    char text[8192]; /* the longest on Linux 6.18 has 1,026 bytes */
    int length = sta__tracefs_read(fs, STA_LOG_ERROR, category, tracepoint->name, "format", text,
                                   sizeof(text));

    if (length < 0)
        return length;
    if (sta__format_parse(text, (size_t)length, &format, &error) < 0) {
        sta__log(&fs->log, STA_LOG_ERROR, "%.200s/events/%s/%s/format: line %u: %s", fs->root,
                 category, tracepoint->name, error.line, error.reason);
        return -EINVAL;
    }
    *out = format;
    return 0;
}

int sta_tracepoint_format(const struct sta_tracefs_options *options,
                          const struct sta_tracepoint *tracepoint, struct sta_event_format *out)
{
    struct sta__tracefs fs;
    int result = sta__tracefs_init(&fs, options);

    if (result < 0)
        return result;
    if (!tracepoint || !out || !is_sound(tracepoint))
        return refuse(&fs, "sta_tracepoint_format: NULL, or no tracepoint of this library's");
    result = STA__TRACEFS_ABSENT;
    if (tracepoint->source == STA_TRACEPOINT_TRACEFS)
        result = sta__tracefs_open(&fs);
    if (result == STA__TRACEFS_ABSENT) {
        sta__log(&fs.log, STA_LOG_ERROR, "%s: only tracefs knows the format", tracepoint->name);
        result = -ENOENT;
    } else if (result == 0) {
        result = read_format(&fs, tracepoint, out);
    }
    sta__tracefs_close(&fs);
    return result;
}

int sta_tracepoint_by_id(int id, struct sta_tracepoint *out)
{
    return sta_tracepoint_by_id_at(NULL, id, out);
}

int sta_tracepoint_by_name(const char *name, struct sta_tracepoint *out)
{
    return sta_tracepoint_by_name_at(NULL, name, out);
}
