/* SPDX-License-Identifier: MIT */
/*
 * Things that elements of maps stand for: maps, programs, perf events. In the maps' memory, which
 * processes share, stands a number; this says what the number is in this process. Forked children
 * inherit it; what another process made later is not known here, and its element is as if empty.
 */
#ifndef STA_MAPS_OBJECTS_H
#define STA_MAPS_OBJECTS_H

#include <stdint.h>

#define STA__OBJECTS_MAX 4096 /* of a process */

/*
 * What a thing is can be seen by its number: any process that has the map may write any number into
 * its memory, and must not lead programs to a thing of another kind.
 */
enum sta__object_class {
    STA__OBJECT_MAP,     /* 0..., the map's id; none has number 0 */
    STA__OBJECT_PROGRAM, /* 10.. */
    STA__OBJECT_RING,    /* 11.. */
    STA__OBJECT_NONE,
};

static inline enum sta__object_class sta__object_class_of(uint32_t id)
{
    if (id >> 31 == 0)
        return id ? STA__OBJECT_MAP : STA__OBJECT_NONE;
    return id >> 30 == 2 ? STA__OBJECT_PROGRAM : STA__OBJECT_RING;
}

/* The object of this number; NULL: there is none here. On the dispatch path. */
void *sta__object_find(uint32_t id);

/* Gives an object this number, or with 0 the one that it has or one of its class that is not in
 * use. Returns it; 0: there are too many, another object has the number, or it is one of another
 * class. From any thread. */
uint32_t sta__object_note(void *object, enum sta__object_class class, uint32_t id);

/* From now on its number leads nowhere. Who found it before may use it to the end of the section:
 * base/after_grace.h. */
void sta__object_forget(const void *object);

#endif
