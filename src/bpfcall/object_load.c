/* SPDX-License-Identifier: MIT */
/* Loading, and the end of an object: see object.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpfcall/object.h"
#include "bpfcall/reach.h"

/* libbpf asks for much that may be refused. Only what was refused last is told, if loading fails.
 */
static void note_reason(void *data, enum sta_log_level level, const char *message)
{
    struct sta_object *object = data;

    if (level == STA_LOG_ERROR)
        strncpy(object->reason, message, sizeof(object->reason) - 1);
    else
        sta__log(&object->log, level, "object '%s': %s", object->name, message);
}

static int load_through(struct sta_object *object)
{
    struct sta__reach reach;
    int err = sta__reach_begin(&reach, object->bpf, &object->log);

    if (err < 0)
        return err;
    sta__libbpf_begin(object);
    err = bpf_object__load(object->file);
    sta__libbpf_end();
    sta__reach_end(&reach);
    return err;
}

static int load(struct sta_object *object)
{
    const struct sta__log log = {note_reason, object};
    int err = sta__bpf_new(&object->bpf, object->sta, &log);

    if (err == 0) {
        object->bpf->has_own_btf |= object->own_btf_suffices;
        err = load_through(object);
    }
    if (err == 0)
        return 0;
    sta__log(&object->log, STA_LOG_ERROR, "object '%s' cannot be loaded: %s", object->name,
             object->reason[0] ? object->reason : strerror(-err));
    return err;
}

int sta_object_load(struct sta_object *object)
{
    int err;

    if (!object || object->has_failed)
        return -EINVAL;
    if (object->bpf)
        return -EALREADY;
    err = load(object);
    object->has_failed = err < 0;
    return err;
}

void sta_object_close(struct sta_object *object)
{
    if (!object)
        return;
    sta_object_detach(object);
    if (object->file) {
        sta__libbpf_begin(object);
        bpf_object__close(object->file);
        sta__libbpf_end();
    }
    if (object->bpf)
        sta__bpf_free(object->bpf);
    free(object->attached);
    free(object);
}
