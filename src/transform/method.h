/* SPDX-License-Identifier: MIT */
/*
 * A method of interception: some way by which system calls come to sta__entry (entry.h).
 * transform.c chooses one and drives it, one change at a time. None of this is on the dispatch
 * path, and none of it runs in a callback.
 */
#ifndef STA_TRANSFORM_METHOD_H
#define STA_TRANSFORM_METHOD_H

#include <sta/transform.h>

#include "base/log.h"

struct sta__method {
    enum sta_transform_method id;

    /* Whether it can work here: 0, or -errno with the reason logged. Changes nothing. */
    int (*probe)(const struct sta__log *log);

    /* Starts interception for every thread of the process; those threads go on. `flags` are
     * STA_TRANSFORM_*. 0, or -errno with the reason logged and nothing changed. */
    int (*install)(struct sta *sta, unsigned flags);

    /* Ends it. What cannot be undone at once (a thread that does not answer) is undone when it can
     * be. */
    void (*remove)(struct sta *sta);

    void (*report)(struct sta_transform_report *out);

    /* sta_transform_mapping() and sta_transform_site(); NULL: it has no mappings. */
    int (*mapping)(unsigned index, struct sta_transform_mapping *out);
    int (*site)(unsigned mapping, unsigned index, struct sta_transform_site *out);
};

extern const struct sta__method sta__method_rewrite;
extern const struct sta__method sta__method_sud;

#endif
