/* SPDX-License-Identifier: MIT */
/* Variables of an object that a victim has opened. */
#ifndef TESTS_OBJECT_GLOBAL_H
#define TESTS_OBJECT_GLOBAL_H

#include "intercept.h"

#include <sta/object.h>

static void *global(struct sta_object *object, const char *name)
{
    size_t size;
    void *at = sta_object_global(object, name, &size);

    if (!at)
        victim_failed("no variable %s", name);
    return at;
}

#endif
